/* SPDX-License-Identifier: MIT */
/*
 * vk-compute: a product of two square matrices on a Vulkan device, checked against the CPU. The
 * numbers are small whole ones, so that every order of adding gives the same bits: the device is
 * right or it is not. Talks to the Vulkan driver alone and trusts its command line.
 */
#include "samples/frame_times.h"
#include "samples/json_file.h"
#include "samples/matmul_comp.h"
#include "samples/sample_options.h"
#include "samples/vk_layout.h"
#include "samples/vk_pipeline.h"
#include "samples/vk_report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MAX 8192
#define RUNS_MAX 100000
#define TILE 32 /* of a work group of the shader */

/* Whole numbers from -VALUE_MAX to VALUE_MAX: a sum of SIDE_MAX products is exact in a float. */
#define VALUE_MAX 8

/* More rows than that are checked in part: the CPU would take longer than all the rest. */
#define ROWS_CHECKED_MAX 1024
#define ROWS_CHECKED_OF_MORE 256

struct options {
    uint32_t side, runs;
    double seconds; /* 0 = runs */
    const char *device, *json;
};

enum { A, B, C, MATRICES };

struct things {
    struct vk_buffer near[MATRICES]; /* where the device computes */
    struct vk_buffer result;         /* C, where the CPU reads it */
    struct vk_layout layout;
    VkDescriptorSet set;
    VkPipeline pipeline;
};

struct report {
    const struct vk_physical *physical; /* borrowed */
    const struct options *options;      /* borrowed */
    uint32_t rows_checked;
    double gflops;
    struct frame_figures figures;
};

static const char usage_text[] =
    "Usage: vk-compute [OPTION]...\n"
    "Multiplies two matrices with Vulkan and checks the product on the CPU.\n\n"
    "  --size N          rows and columns (512)\n"
    "  --runs N          how often (10)\n"
    "  --seconds S       for so long, however many runs that makes\n"
    "  --json FILE       write what computed, and how fast\n"
    "  --device D        number or part of the name (the first that is no CPU, else the\n"
    "                    first); vk-info --list shows them\n"
    "  --help\n";

/* ---- numbers -------------------------------------------------------------------------------- */

static float value(uint32_t which, uint32_t row, uint32_t column)
{
    uint32_t h = (row * 0x9e3779b1u) ^ (column * 0x85ebca77u) ^ (which * 0xc2b2ae3du);
    h = (h ^ (h >> 15)) * 0x2c1b3c6du;
    return (float)((int)((h >> 16) % (2 * VALUE_MAX + 1)) - VALUE_MAX);
}

static void fill(float *matrix, uint32_t which, uint32_t side)
{
    for (uint32_t row = 0; row < side; row++)
        for (uint32_t column = 0; column < side; column++)
            *matrix++ = value(which, row, column);
}

/* Whether a row of the product is right. sums is room for one. */
static bool check_row(const float *row_of_c, const float *b, uint32_t row, uint32_t side,
                      int32_t *sums)
{
    memset(sums, 0, side * sizeof(*sums));
    for (uint32_t k = 0; k < side; k++) {
        int32_t a = (int32_t)value(A, row, k);
        for (uint32_t column = 0; column < side; column++)
            sums[column] += a * (int32_t)b[(size_t)k * side + column];
    }
    for (uint32_t column = 0; column < side; column++) {
        if (row_of_c[column] == (float)sums[column])
            continue;
        fprintf(stderr, "vk-compute: row %u, column %u: the device says %g, right is %d\n", row,
                column, (double)row_of_c[column], sums[column]);
        return false;
    }
    return true;
}

/* Returns how many rows were right; -EILSEQ if one was not, -ENOMEM. */
static int check(const float *c, uint32_t side)
{
    uint32_t rows = side <= ROWS_CHECKED_MAX ? side : ROWS_CHECKED_OF_MORE;
    float *b = calloc((size_t)side * side, sizeof(*b));
    int32_t *sums = calloc(side, sizeof(*sums));
    int r = -ENOMEM;
    if (b && sums) {
        fill(b, B, side);
        r = (int)rows;
        for (uint32_t i = 0; i < rows && r > 0; i++) {
            /* The first and the last are among them. */
            uint32_t row = rows == 1 ? 0 : (uint32_t)((uint64_t)i * (side - 1) / (rows - 1));
            if (!check_row(c + (size_t)row * side, b, row, side, sums))
                r = -EILSEQ;
        }
    }
    free(b);
    free(sums);
    if (r == -ENOMEM)
        fprintf(stderr, "vk-compute: %s\n", strerror(ENOMEM));
    return r;
}

/* ---- the device's part ---------------------------------------------------------------------- */

static int make_input(struct vk_buffer *b, struct vk_device *d, uint32_t which, uint32_t side)
{
    size_t bytes = (size_t)side * side * sizeof(float);
    float *numbers = malloc(bytes);
    if (!numbers) {
        fprintf(stderr, "vk-compute: %s\n", strerror(ENOMEM));
        return -ENOMEM;
    }
    fill(numbers, which, side);
    int r = vk_buffer_init_data(b, d, numbers, bytes, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
    free(numbers);
    return r;
}

static void things_finish(struct things *t, const struct vk_device *d)
{
    vkDestroyPipeline(d->device, t->pipeline, NULL);
    vk_layout_finish(&t->layout, d);
    vk_buffer_finish(&t->result, d);
    for (int i = 0; i < MATRICES; i++)
        vk_buffer_finish(&t->near[i], d);
}

static int make_buffers(struct things *t, struct vk_device *d, uint32_t side)
{
    VkDeviceSize bytes = (VkDeviceSize)side * side * sizeof(float);
    uint32_t max_bytes = d->physical.properties.limits.maxStorageBufferRange;
    if (bytes > max_bytes) {
        fprintf(stderr,
                "vk-compute: %s has no buffers larger than %u bytes: use a smaller --size\n",
                d->physical.properties.deviceName, max_bytes);
        return -E2BIG;
    }
    int r = make_input(&t->near[A], d, A, side);
    if (r == 0)
        r = make_input(&t->near[B], d, B, side);
    if (r == 0)
        r = vk_buffer_init(&t->near[C], d, bytes,
                           VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                           VK_PLACE_DEVICE);
    if (r == 0)
        r = vk_buffer_init(&t->result, d, bytes, VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                           VK_PLACE_READBACK);
    return r;
}

static int things_init(struct things *t, struct vk_device *d, uint32_t side)
{
    static const struct vk_layout_info info = {
        .types = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                  VK_DESCRIPTOR_TYPE_STORAGE_BUFFER},
        .bindings = MATRICES,
        .sets = 1,
        .stages = VK_SHADER_STAGE_COMPUTE_BIT,
        .push_bytes = sizeof(side),
    };
    int r = make_buffers(t, d, side);
    if (r == 0)
        r = vk_layout_init(&t->layout, d, &info);
    if (r == 0)
        r = vk_layout_set(&t->layout, d, &t->set);
    for (uint32_t i = 0; i < MATRICES && r == 0; i++)
        vk_set_buffer(d, t->set, i, info.types[i], &t->near[i]);
    if (r == 0)
        r = vk_pipeline_compute(d, VK_SHADER(matmul_comp), t->layout.pipeline, &t->pipeline);
    if (r < 0)
        things_finish(t, d);
    return r;
}

static int multiply(const struct things *t, struct vk_device *d, uint32_t side)
{
    uint32_t groups = (side + TILE - 1) / TILE;
    int r = vk_device_begin(d);
    if (r < 0)
        return r;
    /* One run after the other. */
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
    };
    vkCmdPipelineBarrier(d->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                         VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    vkCmdBindPipeline(d->commands, VK_PIPELINE_BIND_POINT_COMPUTE, t->pipeline);
    vkCmdBindDescriptorSets(d->commands, VK_PIPELINE_BIND_POINT_COMPUTE, t->layout.pipeline, 0, 1,
                            &t->set, 0, NULL);
    vkCmdPushConstants(d->commands, t->layout.pipeline, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                       sizeof(side), &side);
    vkCmdDispatch(d->commands, groups, groups, 1);
    return vk_device_run(d);
}

static int read_back(const struct things *t, struct vk_device *d)
{
    int r = vk_device_begin(d);
    if (r < 0)
        return r;
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT,
    };
    const VkBufferCopy all = {.size = t->near[C].bytes};
    vkCmdPipelineBarrier(d->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                         VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    vkCmdCopyBuffer(d->commands, t->near[C].buffer, t->result.buffer, 1, &all);
    vk_buffer_to_host(d->commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    return vk_device_run(d);
}

static int multiply_often(const struct things *t, struct vk_device *d, const struct options *o,
                          struct frame_times *times)
{
    const struct sample_options until = {.frames = o->runs, .seconds = o->seconds};
    int r = multiply(t, d, o->side); /* caches fill, the shader gets compiled */
    uint64_t begin_ns = frame_now_ns();
    for (uint32_t i = 0; r == 0 && sample_options_go_on(&until, i, frame_now_ns() - begin_ns);
         i++) {
        uint64_t start_ns = frame_now_ns();
        r = multiply(t, d, o->side);
        if (r == 0 && frame_times_add(times, frame_now_ns() - start_ns) < 0) {
            fprintf(stderr, "vk-compute: %s\n", strerror(ENOMEM));
            r = -ENOMEM;
        }
    }
    return r;
}

/* ---- program -------------------------------------------------------------------------------- */

static void print_json(FILE *f, const void *data)
{
    const struct report *r = data;
    fputc('{', f);
    vk_report_print_json(r->physical, f);
    fprintf(f,
            ", \"size\": %u, \"runs\": %zu, \"correct\": true, \"rows_checked\": %u, "
            "\"gflops\": %.6g, \"run_ms\": ",
            r->options->side, r->figures.frames, r->rows_checked, r->gflops);
    frame_figures_print_json(&r->figures, f);
    fprintf(f, "}\n");
}

static int report(const struct vk_device *d, const struct options *o, uint32_t rows_checked,
                  struct frame_times *times)
{
    struct report r = {&d->physical, o, rows_checked, 0, frame_times_figures(times)};
    double operations = 2.0 * o->side * o->side * o->side;
    r.gflops = r.figures.p50_ms > 0 ? operations / r.figures.p50_ms / 1e6 : 0;
    frame_figures_print(&r.figures, "runs");
    printf("%ux%u, %.2f GFLOP/s by the median; right in %s%u rows that were checked\n", o->side,
           o->side, r.gflops, rows_checked == o->side ? "all " : "the ", rows_checked);
    if (fflush(stdout) != 0)
        return -EIO;
    return o->json ? json_file_write(o->json, print_json, &r) : 0;
}

static int run(struct vk_device *d, const struct options *o)
{
    struct things things = {0};
    struct frame_times times = {0};
    int r = things_init(&things, d, o->side);
    if (r < 0)
        return r;
    r = multiply_often(&things, d, o, &times);
    if (r == 0)
        r = read_back(&things, d);
    if (r == 0)
        r = check(things.result.map, o->side);
    if (r > 0)
        r = report(d, o, (uint32_t)r, &times);
    frame_times_finish(&times);
    /* After an error the last run may still go on. */
    (void)vkDeviceWaitIdle(d->device);
    things_finish(&things, d);
    return r;
}

static bool parse_one(struct options *o, int option, const char *arg)
{
    switch (option) {
    case 's':
        return sample_parse_u32(arg, SIDE_MAX, &o->side) && o->side;
    case 'r':
        return sample_parse_u32(arg, RUNS_MAX, &o->runs) && o->runs;
    case 't':
        return sample_parse_number(arg, 0.001, SAMPLE_OPTIONS_SECONDS_MAX, &o->seconds);
    case 'j':
        o->json = arg;
        return true;
    case 'd':
        o->device = arg;
        return true;
    default:
        return false;
    }
}

/* 0, or -1 with the exit status. */
static int parse(struct options *o, int argc, char **argv, int *ret_exit)
{
    static const struct option known[] = {
        {"size", required_argument, NULL, 's'},
        {"runs", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 't'},
        {"json", required_argument, NULL, 'j'},
        {"device", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, which = 0;
    *o = (struct options){.side = 512, .runs = 10};
    *ret_exit = 2;
    while ((option = getopt_long(argc, argv, "h", known, &which)) >= 0) {
        if (option == 'h') {
            fputs(usage_text, stdout);
            *ret_exit = 0;
            return -1;
        }
        if (option == '?')
            return -1;
        if (!parse_one(o, option, optarg)) {
            fprintf(stderr, "vk-compute: --%s: bad value \"%s\"\n", known[which].name, optarg);
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "vk-compute: unexpected argument \"%s\"\n", argv[optind]);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct vk_device d;
    int exit_code;
    if (parse(&options, argc, argv, &exit_code) < 0)
        return exit_code;
    if (vk_device_open(&d, options.device, VK_QUEUE_COMPUTE_BIT) < 0)
        return 1;
    vk_report_print(&d.physical);
    int r = run(&d, &options);
    vk_device_close(&d);
    return r < 0 ? 1 : 0;
}
