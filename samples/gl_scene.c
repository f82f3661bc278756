/* SPDX-License-Identifier: MIT */
/*
 * gl-scene: the scene with OpenGL ES 3. A small stand-in for a real program: depth, textures with
 * mip levels, many uniforms, several draws a frame. Runs natively and in a guest and draws the same
 * picture in both. Talks to the GL driver alone.
 */
#include "samples/gl_mesh.h"
#include "samples/gl_program.h"
#include "samples/gl_sample.h"
#include "samples/gl_texture.h"
#include "samples/scene.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <stdbool.h>

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

static GLuint program, textures[PATTERNS];
static struct gl_mesh meshes[MESH_SHAPES];
static struct {
    GLint model, view_projection, eye, tint, fog, light_position, light_color, gloss;
} uniforms;

static void finish(void)
{
    for (int i = 0; i < MESH_SHAPES; i++)
        gl_mesh_finish(&meshes[i]);
    glDeleteTextures(PATTERNS, textures);
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
    for (int i = 0; i < MESH_SHAPES; i++)
        ok = gl_mesh_init(&meshes[i], i) == 0 && ok;
    for (int i = 0; i < PATTERNS; i++)
        ok = (textures[i] = gl_texture_create(i)) != 0 && ok;
    if (!ok) {
        finish();
        return -ENOMEM;
    }
    return 0;
}

static void set_view(const struct scene_view *view)
{
    glUniformMatrix4fv(uniforms.view_projection, 1, GL_FALSE, view->view_projection.m);
    glUniform3f(uniforms.eye, view->eye.x, view->eye.y, view->eye.z);
    glUniform3f(uniforms.fog, scene_fog.x, scene_fog.y, scene_fog.z);
    glUniform3fv(uniforms.light_position, SCENE_LIGHTS, &view->light_position[0].x);
    glUniform3fv(uniforms.light_color, SCENE_LIGHTS, &view->light_color[0].x);
}

static void draw(uint32_t frame, uint32_t width, uint32_t height)
{
    struct scene_view view = scene_view(frame, (float)width / height);
    glClearColor(scene_fog.x, scene_fog.y, scene_fog.z, 1.0f);
    glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT);
    glEnable(GL_DEPTH_TEST);
    glEnable(GL_CULL_FACE);
    glUseProgram(program);
    set_view(&view);
    for (unsigned i = 0; i < SCENE_OBJECTS; i++) {
        const struct scene_object *o = &scene_objects[i];
        struct mat4 model = scene_place(o, frame);
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
