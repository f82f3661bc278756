/* SPDX-License-Identifier: MIT */
/*
 * vk-scene: the scene of gl-scene with Vulkan, drawn off-screen. A small stand-in for a real
 * program: depth, textures with mip levels, a uniform buffer, push constants, several draws a
 * frame. Runs natively and in a guest and draws the same picture in both. Talks to the Vulkan
 * driver alone and trusts its command line.
 */
#include "samples/frame_times.h"
#include "samples/json_file.h"
#include "samples/sample_options.h"
#include "samples/scene.h"
#include "samples/scene_frag.h"
#include "samples/scene_vert.h"
#include "samples/vk_layout.h"
#include "samples/vk_pipeline.h"
#include "samples/vk_report.h"
#include "samples/vk_result.h"
#include "samples/vk_target.h"
#include "samples/vk_texture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STAGES (VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT)

/* As the shaders have them, in std140. */
struct view_block {
    struct mat4 view_projection;
    float eye[4], fog[4];
    float light_position[SCENE_LIGHTS][4], light_color[SCENE_LIGHTS][4];
};

struct object_block {
    struct mat4 model;
    float tint[3], gloss;
};

struct solid {
    struct vk_buffer vertices, indices;
    uint32_t index_count;
};

/* All that frames are made of. Empty until it is made, in this order. */
struct things {
    struct vk_target target;
    struct solid solids[MESH_SHAPES];
    struct vk_image textures[PATTERNS];
    VkSampler sampler;
    struct vk_buffer view; /* a struct view_block, written before each frame */
    struct vk_layout layout;
    VkDescriptorSet sets[PATTERNS];
    VkPipeline pipeline;
};

struct report {
    const struct vk_physical *physical;   /* borrowed */
    const struct sample_options *options; /* borrowed */
    struct frame_figures figures;
};

/* ---- things --------------------------------------------------------------------------------- */

static int solid_init(struct solid *s, struct vk_device *d, enum mesh_shape shape)
{
    struct mesh mesh;
    int r = mesh_init(&mesh, shape);
    if (r < 0) {
        fprintf(stderr, "vk-scene: %s\n", strerror(-r));
        return r;
    }
    s->index_count = (uint32_t)mesh.index_count;
    r = vk_buffer_init_data(&s->vertices, d, mesh.vertices,
                            mesh.vertex_count * sizeof(*mesh.vertices),
                            VK_BUFFER_USAGE_VERTEX_BUFFER_BIT);
    if (r == 0)
        r = vk_buffer_init_data(&s->indices, d, mesh.indices,
                                mesh.index_count * sizeof(*mesh.indices),
                                VK_BUFFER_USAGE_INDEX_BUFFER_BIT);
    mesh_finish(&mesh);
    return r;
}

static int make_solids_and_textures(struct things *t, struct vk_device *d)
{
    int r = 0;
    for (int i = 0; i < MESH_SHAPES && r == 0; i++)
        r = solid_init(&t->solids[i], d, i);
    for (int i = 0; i < PATTERNS && r == 0; i++)
        r = vk_texture_init(&t->textures[i], d, i);
    return r < 0 ? r : vk_texture_sampler(d, &t->sampler);
}

static int make_sets(struct things *t, const struct vk_device *d)
{
    static const struct vk_layout_info info = {
        .types = {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER},
        .bindings = 2,
        .sets = PATTERNS,
        .stages = STAGES,
        .push_bytes = sizeof(struct object_block),
    };
    int r = vk_buffer_init(&t->view, d, sizeof(struct view_block),
                           VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT, VK_PLACE_UPLOAD);
    if (r == 0)
        r = vk_layout_init(&t->layout, d, &info);
    for (int i = 0; i < PATTERNS && r == 0; i++) {
        r = vk_layout_set(&t->layout, d, &t->sets[i]);
        if (r < 0)
            break;
        vk_set_buffer(d, t->sets[i], 0, info.types[0], &t->view);
        vk_set_texture(d, t->sets[i], 1, &t->textures[i], t->sampler);
    }
    return r;
}

static int make_pipeline(struct things *t, const struct vk_device *d)
{
    static const VkVertexInputAttributeDescription attributes[] = {
        {0, 0, VK_FORMAT_R32G32B32_SFLOAT, offsetof(struct mesh_vertex, position)},
        {1, 0, VK_FORMAT_R32G32B32_SFLOAT, offsetof(struct mesh_vertex, normal)},
        {2, 0, VK_FORMAT_R32G32_SFLOAT, offsetof(struct mesh_vertex, u)},
    };
    const struct vk_graphics graphics = {
        .vertex = VK_SHADER(scene_vert),
        .fragment = VK_SHADER(scene_frag),
        .layout = t->layout.pipeline,
        .pass = t->target.pass,
        .vertex_bytes = sizeof(struct mesh_vertex),
        .attributes = attributes,
        .attribute_count = sizeof(attributes) / sizeof(attributes[0]),
        .depth = true,
        .cull = true,
    };
    return vk_pipeline_graphics(d, &graphics, &t->pipeline);
}

static void things_finish(struct things *t, const struct vk_device *d)
{
    vkDestroyPipeline(d->device, t->pipeline, NULL);
    vk_layout_finish(&t->layout, d);
    vk_buffer_finish(&t->view, d);
    vkDestroySampler(d->device, t->sampler, NULL);
    for (int i = 0; i < PATTERNS; i++)
        vk_image_finish(&t->textures[i], d);
    for (int i = 0; i < MESH_SHAPES; i++) {
        vk_buffer_finish(&t->solids[i].vertices, d);
        vk_buffer_finish(&t->solids[i].indices, d);
    }
    vk_target_finish(&t->target, d);
}

static int things_init(struct things *t, struct vk_device *d, const struct sample_options *options)
{
    int r = vk_target_init(&t->target, d, options->width, options->height, true);
    if (r == 0)
        r = make_solids_and_textures(t, d);
    if (r == 0)
        r = make_sets(t, d);
    if (r == 0)
        r = make_pipeline(t, d);
    if (r < 0)
        things_finish(t, d);
    return r;
}

/* ---- frames --------------------------------------------------------------------------------- */

static void copy_vec3(float to[4], struct vec3 from)
{
    to[0] = from.x;
    to[1] = from.y;
    to[2] = from.z;
    to[3] = 1;
}

static void write_view(struct view_block *block, uint32_t frame, float aspect)
{
    /* Depth from 0 to 1. */
    static const struct mat4 depth = {{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0.5f, 0, 0, 0, 0.5f, 1}};
    struct scene_view view = scene_view(frame, aspect);
    block->view_projection = mat4_mul(depth, view.view_projection);
    copy_vec3(block->eye, view.eye);
    copy_vec3(block->fog, scene_fog);
    for (int i = 0; i < SCENE_LIGHTS; i++) {
        copy_vec3(block->light_position[i], view.light_position[i]);
        copy_vec3(block->light_color[i], view.light_color[i]);
    }
}

static void record_object(const struct things *t, VkCommandBuffer commands,
                          const struct scene_object *o, uint32_t frame)
{
    const struct solid *solid = &t->solids[o->shape];
    const VkDeviceSize offset = 0;
    const struct object_block block = {
        .model = scene_place(o, frame),
        .tint = {o->tint.x, o->tint.y, o->tint.z},
        .gloss = o->gloss,
    };
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, t->layout.pipeline, 0, 1,
                            &t->sets[o->pattern], 0, NULL);
    vkCmdPushConstants(commands, t->layout.pipeline, STAGES, 0, sizeof(block), &block);
    vkCmdBindVertexBuffers(commands, 0, 1, &solid->vertices.buffer, &offset);
    vkCmdBindIndexBuffer(commands, solid->indices.buffer, 0, VK_INDEX_TYPE_UINT16);
    vkCmdDrawIndexed(commands, solid->index_count, 1, 0, 0, 0);
}

/* One frame, from its first command to its completion. */
static int draw_frame(const struct things *t, struct vk_device *d, uint32_t frame)
{
    const float background[4] = {scene_fog.x, scene_fog.y, scene_fog.z, 1};
    int r = vk_device_begin(d);
    if (r < 0)
        return r;
    /* The frame before is complete: nobody reads it now. */
    write_view(t->view.map, frame, (float)t->target.width / t->target.height);
    vk_target_begin(&t->target, d->commands, background);
    vkCmdBindPipeline(d->commands, VK_PIPELINE_BIND_POINT_GRAPHICS, t->pipeline);
    for (unsigned i = 0; i < SCENE_OBJECTS; i++)
        record_object(t, d->commands, &scene_objects[i], frame);
    vk_target_end(d->commands);
    return vk_device_run(d);
}

static int draw_frames(const struct things *t, struct vk_device *d,
                       const struct sample_options *options, struct frame_times *times)
{
    uint64_t begin_ns = frame_now_ns();
    for (uint32_t i = 0; sample_options_go_on(options, i, frame_now_ns() - begin_ns); i++) {
        uint64_t start_ns = frame_now_ns();
        int r = draw_frame(t, d, options->first_frame + i);
        if (r < 0)
            return r;
        r = frame_times_add(times, frame_now_ns() - start_ns);
        if (r < 0) {
            fprintf(stderr, "vk-scene: frame times: %s\n", strerror(-r));
            return r;
        }
    }
    return 0;
}

/* ---- program -------------------------------------------------------------------------------- */

static void print_json(FILE *f, const void *data)
{
    const struct report *r = data;
    fputc('{', f);
    vk_report_print_json(r->physical, f);
    fprintf(f,
            ", \"width\": %u, \"height\": %u, \"first_frame\": %u, \"frames\": %zu, "
            "\"fps\": %.3f, \"frame_ms\": ",
            r->options->width, r->options->height, r->options->first_frame, r->figures.frames,
            r->figures.fps);
    frame_figures_print_json(&r->figures, f);
    fprintf(f, "}\n");
}

static int run(struct vk_device *d, const struct sample_options *options)
{
    struct things things = {0};
    struct frame_times times = {0};
    int r = things_init(&things, d, options);
    if (r < 0)
        return r;
    r = draw_frames(&things, d, options, &times);
    if (r == 0 && options->png)
        r = vk_target_write_png(&things.target, d, options->png);
    if (r == 0) {
        const struct report report = {&d->physical, options, frame_times_figures(&times)};
        frame_figures_print(&report.figures, "frames");
        r = options->json ? json_file_write(options->json, print_json, &report) : 0;
    }
    frame_times_finish(&times);
    /* After an error the last frame may still be drawn. */
    (void)vkDeviceWaitIdle(d->device);
    things_finish(&things, d);
    return r;
}

enum { OPT_DEVICE = 1 };

static bool parse_one(void *data, int val, const char *arg)
{
    const char **device = data;
    *device = arg;
    return val == OPT_DEVICE;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"device", required_argument, NULL, OPT_DEVICE},
        {0},
    };
    const char *device = NULL;
    const struct sample_options_more more = {
        .help =
            "  --device D        number or part of the name (the first that is no CPU, else the\n"
            "                    first); vk-info --list shows them\n",
        .known = known,
        .parse = parse_one,
        .data = &device,
    };
    struct sample_options options;
    struct vk_device d;
    int exit_code;
    if (sample_options_parse(&options, &more, argc, argv,
                             "Draws a lit, textured, moving scene with Vulkan, off-screen.",
                             &exit_code) < 0)
        return exit_code;
    if (!options.width) {
        options.width = SAMPLE_OPTIONS_WIDTH;
        options.height = SAMPLE_OPTIONS_HEIGHT;
    }
    if (vk_device_open(&d, device, VK_QUEUE_GRAPHICS_BIT) < 0)
        return 1;
    vk_report_print(&d.physical);
    int r = run(&d, &options);
    vk_device_close(&d);
    return r < 0 ? 1 : 0;
}
