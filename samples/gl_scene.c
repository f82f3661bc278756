/* SPDX-License-Identifier: MIT */
/*
 * gl-scene: solids that turn and float over a tiled ground, lit per pixel by two lights, seen from
 * a camera that circles them. A small stand-in for a real OpenGL ES 3 program: depth, textures
 * with mip levels, many uniforms, several draws a frame. Runs natively and in a guest and draws the
 * same picture in both. Talks to the GL driver alone.
 */
#include "samples/gl_math.h"
#include "samples/gl_mesh.h"
#include "samples/gl_program.h"
#include "samples/gl_sample.h"
#include "samples/gl_texture.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>

#define FRAMES_PER_SECOND 60.0f /* of the scene's own time */
#define LIGHTS 2

static const char vertex_source[] =
    "#version 300 es\n"
    "precision highp float;\n"
    "layout(location = 0) in vec3 position;\n"
    "layout(location = 1) in vec3 normal;\n"
    "layout(location = 2) in vec2 coordinate;\n"
    "uniform mat4 model, view_projection;\n"
    "out vec3 world_position, world_normal;\n"
    "out vec2 texel;\n"
    "void main()\n"
    "{\n"
    "    vec4 world = model * vec4(position, 1.0);\n"
    "    world_position = world.xyz;\n"
    /* Models are turned, moved and scaled evenly: no inverse transpose. */
    "    world_normal = mat3(model) * normal;\n"
    "    texel = coordinate;\n"
    "    gl_Position = view_projection * world;\n"
    "}\n";

static const char fragment_source[] =
    "#version 300 es\n"
    "precision highp float;\n"
    "precision highp sampler2D;\n"
    "uniform vec3 eye, tint, fog;\n"
    "uniform vec3 light_position[2], light_color[2];\n"
    "uniform float gloss;\n"
    "uniform sampler2D pattern;\n"
    "in vec3 world_position, world_normal;\n"
    "in vec2 texel;\n"
    "out vec4 result;\n"
    "void main()\n"
    "{\n"
    "    vec3 n = normalize(world_normal);\n"
    "    vec3 to_eye = eye - world_position;\n"
    "    float distance_to_eye = length(to_eye);\n"
    "    vec3 base = texture(pattern, texel).rgb * tint;\n"
    "    vec3 color = base * mix(vec3(0.10, 0.09, 0.08), vec3(0.20, 0.23, 0.28),\n"
    "                            n.y * 0.5 + 0.5);\n"
    "    for (int i = 0; i < 2; i++) {\n"
    "        vec3 to_light = light_position[i] - world_position;\n"
    "        float squared = dot(to_light, to_light);\n"
    "        vec3 l = to_light * inversesqrt(squared);\n"
    "        vec3 h = normalize(l + to_eye / distance_to_eye);\n"
    "        float diffuse = max(dot(n, l), 0.0);\n"
    "        float specular = diffuse > 0.0 ? pow(max(dot(n, h), 0.0), gloss) : 0.0;\n"
    "        vec3 light = light_color[i] / (1.0 + 0.03 * squared);\n"
    "        color += light * (base * diffuse + 0.35 * specular);\n"
    "    }\n"
    "    float haze = clamp((distance_to_eye - 7.0) / 16.0, 0.0, 1.0);\n"
    "    result = vec4(mix(color, fog, haze), 1.0);\n"
    "}\n";

static const struct vec3 fog = {0.46f, 0.56f, 0.68f};

/* What stands where, and how it moves. */
static const struct object {
    enum gl_mesh_shape shape;
    enum gl_texture_pattern pattern;
    struct vec3 place;
    float scale;
    struct vec3 axis;
    float turns_per_s;
    float lift; /* how far it floats up and down */
    struct vec3 tint;
    float gloss;
} objects[] = {
    {GL_MESH_GROUND, GL_TEXTURE_TILES, {0, 0, 0}, 16, {0, 1, 0}, 0, 0, {0.9f, 0.9f, 0.9f}, 24},
    {GL_MESH_TORUS,
     GL_TEXTURE_MARBLE,
     {0, 1.75f, 0},
     1.25f,
     {1, 0.4f, 0.2f},
     0.16f,
     0.12f,
     {1.0f, 0.86f, 0.45f},
     48},
    {GL_MESH_SPHERE,
     GL_TEXTURE_BRICKS,
     {0, 1.75f, 0},
     0.62f,
     {0, 1, 0},
     -0.3f,
     0.12f,
     {1, 1, 1},
     32},
    {GL_MESH_BOX,
     GL_TEXTURE_BRICKS,
     {-2.7f, 0.75f, 1.2f},
     0.75f,
     {0, 1, 0},
     0.1f,
     0,
     {1, 1, 1},
     16},
    {GL_MESH_BOX,
     GL_TEXTURE_MARBLE,
     {-2.7f, 2.15f, 1.2f},
     0.42f,
     {1, 1, 0.3f},
     0.35f,
     0.08f,
     {0.55f, 0.85f, 1.0f},
     64},
    {GL_MESH_SPHERE,
     GL_TEXTURE_MARBLE,
     {2.5f, 0.9f, 1.5f},
     0.9f,
     {0.3f, 1, 0},
     0.2f,
     0,
     {0.62f, 1.0f, 0.62f},
     80},
    {GL_MESH_TORUS,
     GL_TEXTURE_TILES,
     {2.2f, 0.95f, -2.6f},
     0.68f,
     {1, 0, 0.6f},
     0.25f,
     0.2f,
     {1.0f, 0.6f, 0.7f},
     40},
    {GL_MESH_BOX,
     GL_TEXTURE_TILES,
     {-2.0f, 0.6f, -2.8f},
     0.6f,
     {0, 1, 0},
     -0.15f,
     0,
     {0.95f, 0.75f, 0.5f},
     20},
};
#define OBJECTS (sizeof(objects) / sizeof(objects[0]))

static GLuint program, textures[GL_TEXTURE_PATTERNS];
static struct gl_mesh meshes[GL_MESH_SHAPES];
static struct {
    GLint model, view_projection, eye, tint, fog, light_position, light_color, gloss;
} uniforms;

static void finish(void)
{
    for (int i = 0; i < GL_MESH_SHAPES; i++)
        gl_mesh_finish(&meshes[i]);
    glDeleteTextures(GL_TEXTURE_PATTERNS, textures);
    glDeleteProgram(program);
}

static int init(void)
{
    program = gl_program_create(vertex_source, fragment_source);
    if (!program)
        return -EIO;
    uniforms.model = glGetUniformLocation(program, "model");
    uniforms.view_projection = glGetUniformLocation(program, "view_projection");
    uniforms.eye = glGetUniformLocation(program, "eye");
    uniforms.tint = glGetUniformLocation(program, "tint");
    uniforms.fog = glGetUniformLocation(program, "fog");
    uniforms.light_position = glGetUniformLocation(program, "light_position");
    uniforms.light_color = glGetUniformLocation(program, "light_color");
    uniforms.gloss = glGetUniformLocation(program, "gloss");

    bool ok = true;
    for (int i = 0; i < GL_MESH_SHAPES; i++)
        ok = gl_mesh_init(&meshes[i], i) == 0 && ok;
    for (int i = 0; i < GL_TEXTURE_PATTERNS; i++)
        ok = (textures[i] = gl_texture_create(i)) != 0 && ok;
    if (!ok) {
        finish();
        return -ENOMEM;
    }
    return 0;
}

static float turns(float count)
{
    return count * 6.2831853f;
}

static struct mat4 place(const struct object *o, float time_s)
{
    struct vec3 at = o->place;
    at.y += o->lift * sinf(turns(0.5f * time_s));
    struct mat4 turned = mat4_rotate(turns(o->turns_per_s * time_s), o->axis);
    return mat4_mul(mat4_translate(at), mat4_mul(turned, mat4_scale(o->scale)));
}

static void set_view(float time_s, float aspect)
{
    float around = turns(0.08f + 0.05f * time_s);
    struct vec3 eye = {8.0f * sinf(around), 4.2f, 8.0f * cosf(around)};
    struct mat4 view = mat4_look_at(eye, (struct vec3){0, 1.1f, 0}, (struct vec3){0, 1, 0});
    struct mat4 both = mat4_mul(mat4_perspective(turns(0.13f), aspect, 0.5f, 40.0f), view);
    glUniformMatrix4fv(uniforms.view_projection, 1, GL_FALSE, both.m);
    glUniform3f(uniforms.eye, eye.x, eye.y, eye.z);
    glUniform3f(uniforms.fog, fog.x, fog.y, fog.z);
}

static void set_lights(float time_s)
{
    float around = turns(0.12f * time_s);
    const float positions[LIGHTS][3] = {
        {5.0f, 8.0f, 3.0f},
        {3.4f * cosf(around), 3.2f, 3.4f * sinf(around)},
    };
    static const float colors[LIGHTS][3] = {{2.9f, 2.7f, 2.3f}, {0.5f, 0.75f, 1.1f}};
    glUniform3fv(uniforms.light_position, LIGHTS, positions[0]);
    glUniform3fv(uniforms.light_color, LIGHTS, colors[0]);
}

static void draw(uint32_t frame, uint32_t width, uint32_t height)
{
    float time_s = frame / FRAMES_PER_SECOND;
    glClearColor(fog.x, fog.y, fog.z, 1.0f);
    glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT);
    glEnable(GL_DEPTH_TEST);
    glEnable(GL_CULL_FACE);
    glUseProgram(program);
    set_view(time_s, (float)width / height);
    set_lights(time_s);
    for (unsigned i = 0; i < OBJECTS; i++) {
        const struct object *o = &objects[i];
        struct mat4 model = place(o, time_s);
        glUniformMatrix4fv(uniforms.model, 1, GL_FALSE, model.m);
        glUniform3f(uniforms.tint, o->tint.x, o->tint.y, o->tint.z);
        glUniform1f(uniforms.gloss, o->gloss);
        glBindTexture(GL_TEXTURE_2D, textures[o->pattern]);
        gl_mesh_draw(&meshes[o->shape]);
    }
}

int main(int argc, char **argv)
{
    static const struct gl_sample sample = {
        .summary = "Draws a lit, textured, moving scene with OpenGL ES 3.",
        .init = init,
        .draw = draw,
        .finish = finish,
    };
    return gl_sample_main(&sample, argc, argv);
}
