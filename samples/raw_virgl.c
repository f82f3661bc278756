/* SPDX-License-Identifier: MIT */
/*
 * raw-virgl: a triangle without Mesa.
 *
 * Connects to a vGPU with libaliquot-guest, encodes the virgl commands by hand, and reads the
 * picture back: the whole way of a frame, with nothing in between that could hide a fault. The
 * picture is checked, and written as PNG if wanted. It runs on a host and in a virtual machine.
 */
#include "samples/png_io.h"
#include "samples/virgl_encode.h"

#include <aliquot-guest.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIDE_MAX 8192
/* Rasterisers round differently. */
#define TOLERANCE 4

struct options {
    const char *socket, *png;
    uint32_t width, height;
};

struct sample {
    struct aliquot_vgpu *vgpu;
    struct aliquot_context *context;
    struct aliquot_resource *target, *vertices;
    double open_ms, clear_ms; /* from the start of the connection */
};

enum { SURFACE = 1, BLEND, DSA, RASTERIZER, VERTEX_SHADER, FRAGMENT_SHADER, ELEMENTS };

static const float background[4] = {0.1f, 0.1f, 0.2f, 1.0f};

struct vertex {
    float position[4], color[4];
};

/* The middle of the picture is halfway between the apex and the base: half red, a quarter each
 * green and blue. */
static const struct vertex triangle[] = {
    {{0.0f, 0.8f, 0, 1}, {1, 0, 0, 1}},
    {{-0.8f, -0.8f, 0, 1}, {0, 1, 0, 1}},
    {{0.8f, -0.8f, 0, 1}, {0, 0, 1, 1}},
};
static const uint8_t middle_rgb[3] = {128, 64, 64};
static const uint8_t background_rgb[3] = {26, 26, 51};

static const char vertex_shader[] = "VERT\n"
                                    "DCL IN[0]\n"
                                    "DCL IN[1]\n"
                                    "DCL OUT[0], POSITION\n"
                                    "DCL OUT[1], GENERIC[0]\n"
                                    "  0: MOV OUT[0], IN[0]\n"
                                    "  1: MOV OUT[1], IN[1]\n"
                                    "  2: END\n";

static const char fragment_shader[] = "FRAG\n"
                                      "DCL IN[0], GENERIC[0], PERSPECTIVE\n"
                                      "DCL OUT[0], COLOR\n"
                                      "  0: MOV OUT[0], IN[0]\n"
                                      "  1: END\n";

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Says what failed and, where the device had a word, why. */
static int failed(const struct sample *sample, const char *what, int error)
{
    char text[256] = "";

    if (sample->vgpu)
        aliquot_last_error(sample->vgpu, text, sizeof(text));
    fprintf(stderr, "raw-virgl: %s: %s%s%s\n", what, strerror(-error), text[0] ? ": " : "", text);
    return error;
}

/* ---- drawing -------------------------------------------------------------------------------- */

/* Picks the newest virgl capset and prints what there is. */
static int choose_capset(struct sample *sample, uint32_t *ret_id)
{
    struct aliquot_info info;
    uint32_t chosen = 0;

    int result = aliquot_get_info(sample->vgpu, &info);
    for (uint32_t i = 0; result == 0 && i < info.num_capsets; i++) {
        struct aliquot_capset_info capset;
        result = aliquot_capset_info(sample->vgpu, i, &capset);
        if (result == 0) {
            printf("capset: id %u, version %u, %u bytes\n", capset.id, capset.max_version,
                   capset.max_bytes);
            if (capset.id <= 2 && capset.id > chosen)
                chosen = capset.id;
        }
    }
    if (result < 0)
        return failed(sample, "cannot read the capsets", result);
    if (chosen == 0)
        return failed(sample, "the vGPU has no virgl", -EOPNOTSUPP);
    *ret_id = chosen;
    return 0;
}

static int create_objects(struct sample *sample, const struct options *options, uint32_t capset)
{
    struct aliquot_resource_args target = {
        .target = VIRGL_TARGET_2D,
        .format = VIRGL_FORMAT_BGRA8,
        .bind = VIRGL_USE_RENDER_TARGET,
        .width = options->width,
        .height = options->height,
        .depth = 1,
        .array_size = 1,
        .backing_bytes = (uint64_t)options->width * options->height * 4,
    };
    struct aliquot_resource_args vertices = {
        .target = VIRGL_TARGET_BUFFER,
        .format = VIRGL_FORMAT_R8,
        .bind = VIRGL_USE_VERTEX_BUFFER,
        .width = sizeof(triangle),
        .height = 1,
        .depth = 1,
        .array_size = 1,
    };

    int result = aliquot_context_create(sample->vgpu, capset, "raw-virgl", &sample->context);
    if (result < 0)
        return failed(sample, "cannot create a context", result);
    result = aliquot_resource_create_3d(sample->vgpu, &target, &sample->target);
    if (result == 0)
        result = aliquot_resource_create_3d(sample->vgpu, &vertices, &sample->vertices);
    if (result == 0)
        result = aliquot_context_attach(sample->context, sample->target);
    if (result == 0)
        result = aliquot_context_attach(sample->context, sample->vertices);
    return result < 0 ? failed(sample, "cannot create the resources", result) : 0;
}

static int submit_and_wait(struct sample *sample, const struct virgl_stream *stream,
                           const char *what)
{
    struct aliquot_fence *fence;

    if (stream->overflow)
        return failed(sample, what, -EMSGSIZE);
    int result = aliquot_submit(sample->context, stream->words, stream->count * 4,
                                ALIQUOT_RING_NONE, &fence);
    if (result == 0)
        result = aliquot_fence_finish(fence);
    return result < 0 ? failed(sample, what, result) : 0;
}

static int draw_clear(struct sample *sample)
{
    struct virgl_stream s = {0};

    virgl_create_surface(&s, SURFACE, aliquot_resource_id(sample->target), VIRGL_FORMAT_BGRA8);
    virgl_set_framebuffer(&s, SURFACE);
    virgl_clear(&s, background);
    return submit_and_wait(sample, &s, "the clear failed");
}

static int draw_triangle(struct sample *sample, const struct options *options)
{
    static const struct virgl_vertex_element elements[] = {
        {offsetof(struct vertex, position), VIRGL_FORMAT_RGBA32F},
        {offsetof(struct vertex, color), VIRGL_FORMAT_RGBA32F},
    };
    uint32_t vertices = aliquot_resource_id(sample->vertices);
    struct virgl_stream s = {0};

    virgl_set_viewport(&s, options->width, options->height);
    virgl_create_blend(&s, BLEND);
    virgl_bind(&s, VIRGL_BLEND, BLEND);
    virgl_create_dsa(&s, DSA);
    virgl_bind(&s, VIRGL_DSA, DSA);
    virgl_create_rasterizer(&s, RASTERIZER);
    virgl_bind(&s, VIRGL_RASTERIZER, RASTERIZER);
    virgl_create_shader(&s, VERTEX_SHADER, VIRGL_STAGE_VERTEX, vertex_shader);
    virgl_bind_shader(&s, VIRGL_STAGE_VERTEX, VERTEX_SHADER);
    virgl_create_shader(&s, FRAGMENT_SHADER, VIRGL_STAGE_FRAGMENT, fragment_shader);
    virgl_bind_shader(&s, VIRGL_STAGE_FRAGMENT, FRAGMENT_SHADER);
    virgl_create_vertex_elements(&s, ELEMENTS, elements, 2);
    virgl_bind(&s, VIRGL_VERTEX_ELEMENTS, ELEMENTS);
    virgl_write_buffer(&s, vertices, triangle, sizeof(triangle));
    virgl_set_vertex_buffer(&s, vertices, sizeof(struct vertex));
    virgl_clear(&s, background);
    virgl_draw(&s, VIRGL_PRIM_TRIANGLES, 0, 3);
    return submit_and_wait(sample, &s, "the triangle failed");
}

/* ---- the picture ---------------------------------------------------------------------------- */

static int read_back(struct sample *sample, const struct options *options)
{
    struct aliquot_transfer all = {
        .box = {.w = options->width, .h = options->height, .d = 1},
        .stride = options->width * 4,
    };
    struct aliquot_fence *fence;

    int result = aliquot_transfer_from_host(sample->context, sample->target, &all, &fence);
    if (result == 0)
        result = aliquot_fence_finish(fence);
    return result < 0 ? failed(sample, "cannot read the picture back", result) : 0;
}

static void to_rgba(uint8_t *rgba, const uint8_t *bgra, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        rgba[4 * i + 0] = bgra[4 * i + 2];
        rgba[4 * i + 1] = bgra[4 * i + 1];
        rgba[4 * i + 2] = bgra[4 * i + 0];
        rgba[4 * i + 3] = bgra[4 * i + 3];
    }
}

static bool check_pixel(const char *where, const uint8_t *rgba, const uint8_t expected[3])
{
    for (unsigned i = 0; i < 3; i++) {
        if (abs(rgba[i] - expected[i]) > TOLERANCE) {
            fprintf(stderr, "raw-virgl: the %s is %u,%u,%u instead of %u,%u,%u\n", where, rgba[0],
                    rgba[1], rgba[2], expected[0], expected[1], expected[2]);
            return false;
        }
    }
    return true;
}

/* The middle, and three places outside of the triangle that tell its top from its bottom. */
static bool check_picture(const struct options *options, const uint8_t *rgba)
{
    uint32_t w = options->width, h = options->height;
    const uint8_t *middle = rgba + ((size_t)(h / 2) * w + w / 2) * 4;
    const uint8_t *corner = rgba;
    const uint8_t *upper_left = rgba + ((size_t)(h / 4) * w + w / 5) * 4;
    const uint8_t *bottom = rgba + ((size_t)(h - 1) * w + w / 2) * 4;

    return check_pixel("centre", middle, middle_rgb) &&
           check_pixel("corner", corner, background_rgb) &&
           check_pixel("upper left", upper_left, background_rgb) &&
           check_pixel("bottom", bottom, background_rgb);
}

static int finish_picture(struct sample *sample, const struct options *options)
{
    size_t pixels = (size_t)options->width * options->height;
    uint8_t *rgba = malloc(pixels * 4);

    if (!rgba)
        return failed(sample, "no memory for the picture", -ENOMEM);
    to_rgba(rgba, aliquot_resource_map(sample->target, NULL), pixels);
    int result = 0;
    if (options->png) {
        result = png_write_rgba(options->png, rgba, options->width, options->height,
                                (size_t)options->width * 4);
        if (result < 0)
            fprintf(stderr, "raw-virgl: cannot write %s: %s\n", options->png, strerror(-result));
    }
    const uint8_t *middle =
        rgba + ((size_t)(options->height / 2) * options->width + options->width / 2) * 4;
    if (result == 0 && !check_picture(options, rgba))
        result = -EBADMSG;
    if (result == 0)
        printf("result: ok, %ux%u, centre %u,%u,%u\n", options->width, options->height, middle[0],
               middle[1], middle[2]);
    free(rgba);
    return result;
}

static int run(struct sample *sample, const struct options *options)
{
    char error[256];
    struct aliquot_open_args args = {
        .path = options->socket, .error = error, .error_size = sizeof(error)};
    uint32_t capset;

    double start_ms = now_ms();
    int result = aliquot_open(&args, &sample->vgpu);
    if (result < 0) {
        fprintf(stderr, "raw-virgl: %s\n", error[0] ? error : strerror(-result));
        return result;
    }
    double open_ms = now_ms();
    result = choose_capset(sample, &capset);
    if (result == 0)
        result = create_objects(sample, options, capset);
    if (result == 0)
        result = draw_clear(sample);
    if (result < 0)
        return result;
    printf("connected after %.1f ms, first clear done after %.1f ms\n", open_ms - start_ms,
           now_ms() - start_ms);
    result = draw_triangle(sample, options);
    if (result == 0)
        result = read_back(sample, options);
    if (result == 0)
        result = finish_picture(sample, options);
    return result;
}

/* ---- command line --------------------------------------------------------------------------- */

static const char help[] =
    "Usage: raw-virgl [--socket PATH] [--png FILE] [--size WxH]\n"
    "Draws a triangle on a vGPU with hand-encoded virgl commands and checks the picture.\n"
    "\n"
    "  --socket PATH  the vGPU's socket, or its render node in a virtual machine (default: what\n"
    "                 ALIQUOT_SOCKET names; else a render node of virtio_gpu; else a vGPU on\n"
    "                 demand, from aliquot.sock in /run/aliquot as root, else in\n"
    "                 $XDG_RUNTIME_DIR/aliquot)\n"
    "  --png FILE     write the picture to FILE\n"
    "  --size WxH     size of the picture (default 256x256, at least 32x32)\n"
    "  --help         this text\n"
    "Exit code: 0 the picture is right, 1 something failed, 2 bad usage.\n";

static bool parse_size(const char *text, struct options *options)
{
    char end;

    return sscanf(text, "%5ux%5u%c", &options->width, &options->height, &end) == 2 &&
           options->width >= 32 && options->height >= 32 && options->width <= SIDE_MAX &&
           options->height <= SIDE_MAX;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"socket", required_argument, NULL, 's'},
        {"png", required_argument, NULL, 'p'},
        {"size", required_argument, NULL, 'z'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct options options = {.socket = ALIQUOT_PATH_DEFAULT, .width = 256, .height = 256};
    struct sample sample = {0};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 's':
            options.socket = optarg;
            break;
        case 'p':
            options.png = optarg;
            break;
        case 'z':
            if (!parse_size(optarg, &options)) {
                fprintf(stderr, "raw-virgl: --size wants WxH, each 32 to %d\n", SIDE_MAX);
                return 2;
            }
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fputs(help, stderr);
        return 2;
    }
    int result = run(&sample, &options);
    aliquot_close(sample.vgpu);
    return result < 0 ? 1 : 0;
}
