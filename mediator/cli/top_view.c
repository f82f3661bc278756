/* SPDX-License-Identifier: MIT */
#include "mediator/cli/top_view.h"

#include "mediator/base/util.h"
#include "mediator/cli/format.h"

#include <stdio.h>
#include <string.h>

#define NAME_MIN 8
/* Longer names come before columns of less importance than RANK_FIRST_SPARE: vGPUs that can't be
 * told apart are worse than a GPU that most hosts have one of. */
#define NAME_WANTED 20
#define RANK_FIRST_SPARE 9
#define NAME_MAX_WIDTH 24
/* Lines about GPUs; a host with more has them left out. */
#define GPUS_MAX 4

static const char *const sort_names[TOP_N_SORTS] = {
    [TOP_SORT_SHARE] = "share",     [TOP_SORT_WAITING] = "waiting", [TOP_SORT_P99] = "p99",
    [TOP_SORT_LATENCY] = "latency", [TOP_SORT_SUBMITS] = "submits", [TOP_SORT_MEMORY] = "memory",
    [TOP_SORT_NAME] = "name",
};
/* Of the names, with the letters that are keys. */
static const char keys_line[] =
    "q quit  sort by: s share  w waiting  p p99  l lat99  u sub/s  m memory  n name";
static const char sort_keys[TOP_N_SORTS] = {'s', 'w', 'p', 'l', 'u', 'm', 'n'};

bool top_sort_from_name(const char *name, enum top_sort *ret)
{
    for (unsigned i = 0; i < TOP_N_SORTS; i++) {
        if (!strcmp(sort_names[i], name)) {
            *ret = (enum top_sort)i;
            return true;
        }
    }
    return false;
}

bool top_sort_from_key(char key, enum top_sort *ret)
{
    for (unsigned i = 0; i < TOP_N_SORTS; i++) {
        if (sort_keys[i] == key) {
            *ret = (enum top_sort)i;
            return true;
        }
    }
    return false;
}

/* ---- order ---------------------------------------------------------------------------------- */

struct key {
    size_t index;
    const char *name;
    double value; /* larger ones come first */
};

static int compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

size_t *top_view_order(enum top_sort sort, const struct sample *before, const struct sample *now)
{
    size_t n = now->n_vgpus;
    size_t *order = calloc(n + 1, sizeof(*order));
    struct key *keys = calloc(n + 1, sizeof(*keys));

    if (!order || !keys) {
        free(order);
        free(keys);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        struct sample_rates r;
        sample_vgpu_rates(before, now, i, &r);
        const double values[TOP_N_SORTS] = {
            [TOP_SORT_SHARE] = r.share,
            [TOP_SORT_WAITING] = r.waiting,
            [TOP_SORT_P99] = (double)r.p99_usec,
            [TOP_SORT_LATENCY] = (double)r.latency_p99_usec,
            [TOP_SORT_SUBMITS] = r.submits,
            [TOP_SORT_MEMORY] = (double)now->vgpus[i].memory_bytes,
        };
        keys[i] = (struct key){i, now->vgpus[i].name, values[sort]};
    }
    qsort(keys, n, sizeof(*keys), compare);
    for (size_t i = 0; i < n; i++)
        order[i] = keys[i].index;
    free(keys);
    return order;
}

/* ---- columns -------------------------------------------------------------------------------- */

enum column {
    COLUMN_NAME,
    COLUMN_STATE,
    COLUMN_SHARE,
    COLUMN_WAITING,
    COLUMN_P99,
    COLUMN_LATENCY,
    COLUMN_SUBMITS,
    COLUMN_MEMORY,
    COLUMN_GL,           /* contexts */
    COLUMN_VULKAN,       /* likewise */
    COLUMN_VULKAN_SHARE, /* the part of the GPU that they had */
    COLUMN_WEIGHT,
    COLUMN_GPU,
    N_COLUMNS,
};

static const struct column_row {
    const char *title;
    unsigned width;
    bool right;
    unsigned rank; /* of importance */
} columns[N_COLUMNS] = {
    [COLUMN_NAME] = {"NAME", NAME_MIN, false, 0},
    [COLUMN_STATE] = {"STATE", 9, false, 6},
    [COLUMN_SHARE] = {"SHARE", 6, true, 1},
    [COLUMN_WAITING] = {"WAIT", 6, true, 2},
    [COLUMN_P99] = {"P99", 6, true, 3},
    [COLUMN_LATENCY] = {"LAT99", 6, true, 7},
    [COLUMN_SUBMITS] = {"SUB/S", 5, true, 4},
    [COLUMN_MEMORY] = {"MEMORY", 6, true, 5},
    [COLUMN_WEIGHT] = {"WEIGHT", 6, true, 8},
    [COLUMN_GPU] = {"GPU", 10, false, 9},
    [COLUMN_VULKAN] = {"VK", 2, true, 10},
    [COLUMN_VULKAN_SHARE] = {"VSHARE", 7, true, 11}, /* not on 80 columns */
    [COLUMN_GL] = {"GL", 3, true, 12},               /* likewise */
};

/* widths[c] = 0: the column is left out. Each but the first has a blank before it. */
static void choose_columns(unsigned width, size_t name_len, unsigned widths[static N_COLUMNS])
{
    unsigned used = MIN(columns[COLUMN_NAME].width, width);
    unsigned name_wanted = MIN(MAX((unsigned)name_len, NAME_MIN), NAME_WANTED) - NAME_MIN;

    memset(widths, 0, N_COLUMNS * sizeof(*widths));
    for (unsigned rank = 1; rank < N_COLUMNS; rank++) {
        unsigned kept = rank < RANK_FIRST_SPARE ? 0 : name_wanted;
        for (unsigned c = 0; c < N_COLUMNS; c++) {
            if (columns[c].rank != rank)
                continue;
            if (used + kept + 1 + columns[c].width > width)
                rank = N_COLUMNS; /* a less important one does not take its place */
            else
                used += 1 + (widths[c] = columns[c].width);
        }
    }
    unsigned name = MIN(MAX((unsigned)name_len, NAME_MIN), NAME_MAX_WIDTH);
    widths[COLUMN_NAME] = MIN(columns[COLUMN_NAME].width, width);
    widths[COLUMN_NAME] += MIN(width - used, name - MIN(name, widths[COLUMN_NAME]));
}

static void format_row(const char *const *cells, const unsigned *widths, char *line)
{
    size_t at = 0, end = 0;

    for (unsigned c = 0; c < N_COLUMNS; c++) {
        unsigned width = widths[c], len = (unsigned)strlen(cells[c]);
        if (width == 0)
            continue;
        if (at > 0)
            line[at++] = ' ';
        bool cut = len > width;
        unsigned blanks = cut ? 0 : width - len;
        memset(line + at, ' ', width);
        memcpy(line + at + (columns[c].right ? blanks : 0), cells[c], MIN(len, width));
        if (cut)
            line[at + width - 1] = '~';
        at += width;
        if (len > 0)
            end = columns[c].right || cut ? at : at - blanks;
    }
    line[end] = '\0';
}

/* ---- lines ---------------------------------------------------------------------------------- */

static char *next_line(struct top_text *t)
{
    char *line = t->lines[t->n_lines++];
    *line = '\0';
    return line;
}

static void format_vgpu(const struct sample *before, const struct sample *now, size_t i,
                        const unsigned *widths, char *line)
{
    const struct sample_vgpu *v = &now->vgpus[i];
    char share[FORMAT_MAX] = "-", waiting[FORMAT_MAX] = "-", p99[FORMAT_MAX] = "-";
    char latency[FORMAT_MAX] = "-";
    char gl[FORMAT_MAX], vulkan[FORMAT_MAX], vulkan_share[FORMAT_MAX] = "-";
    char submits[FORMAT_MAX] = "-", memory[FORMAT_MAX], weight[FORMAT_MAX];
    struct sample_rates r;

    sample_vgpu_rates(before, now, i, &r);
    if (before) {
        snprintf(share, sizeof(share), "%.1f%%", r.share);
        snprintf(waiting, sizeof(waiting), "%.1f%%", r.waiting);
        snprintf(vulkan_share, sizeof(vulkan_share), "%.1f%%", r.vulkan);
        if (r.p99_usec >= 0)
            format_usec(r.p99_usec, p99);
        if (r.latency_p99_usec >= 0)
            format_usec(r.latency_p99_usec, latency);
        format_count((int64_t)(r.submits + 0.5), submits);
    }
    format_bytes(v->memory_bytes, memory);
    format_count(MAX(v->contexts - v->vulkan_contexts, INT64_C(0)), gl);
    format_count(v->vulkan_contexts, vulkan);
    format_count(v->weight, weight);
    const char *slash = strrchr(v->gpu, '/');
    const char *const cells[N_COLUMNS] = {
        [COLUMN_NAME] = v->name,
        [COLUMN_STATE] = v->state,
        [COLUMN_SHARE] = share,
        [COLUMN_WAITING] = waiting,
        [COLUMN_P99] = p99,
        [COLUMN_LATENCY] = latency,
        [COLUMN_SUBMITS] = submits,
        [COLUMN_MEMORY] = memory,
        [COLUMN_GL] = gl,
        [COLUMN_VULKAN] = vulkan,
        [COLUMN_WEIGHT] = weight,
        [COLUMN_VULKAN_SHARE] = vulkan_share,
        [COLUMN_GPU] = slash ? slash + 1 : v->gpu,
    };
    format_row(cells, widths, line);
}

static void format_gpu(const struct sample *before, const struct sample *now, size_t i,
                       unsigned width, char *line)
{
    const struct sample_gpu *g = &now->gpus[i];
    char busy[FORMAT_MAX] = "-";

    if (before)
        snprintf(busy, sizeof(busy), "%.1f%%", sample_gpu_busy(before, now, i));
    snprintf(line, width + 1, "GPU %s: busy %s, %s, reserved %s, vGPUs: %lld", g->gpu, busy,
             g->policy, g->reserved, (long long)g->vgpus);
}

static void format_title(const unsigned *widths, char *line)
{
    const char *titles[N_COLUMNS];

    for (unsigned c = 0; c < N_COLUMNS; c++)
        titles[c] = columns[c].title;
    format_row(titles, widths, line);
}

int top_view_format(const struct top_view *view, const struct sample *before,
                    const struct sample *now, struct top_text *ret)
{
    unsigned width = MAX(1u, MIN(view->width, TOP_LINE_MAX - 1u));
    size_t n_gpus = MIN(now->n_gpus, (size_t)GPUS_MAX), rows = now->n_vgpus, name_len = 0;
    unsigned widths[N_COLUMNS];
    struct top_text t = {0};

    /* Title and keys have their lines, and each GPU if there is room for it. */
    if (view->height > 0) {
        size_t room = view->height > 2 ? view->height - 2 : 0;
        n_gpus = MIN(n_gpus, room > 1 ? room - 1 : 0);
        rows = MIN(rows, room - n_gpus);
    }
    bool more = rows < now->n_vgpus && rows > 0;
    for (size_t i = 0; i < now->n_vgpus; i++)
        name_len = MAX(name_len, strlen(now->vgpus[i].name));
    choose_columns(width, name_len, widths);

    size_t *order = top_view_order(view->sort, before, now);
    t.lines = calloc(n_gpus + rows + 2, sizeof(*t.lines));
    if (!order || !t.lines) {
        free(order);
        free(t.lines);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_gpus; i++)
        format_gpu(before, now, i, width, next_line(&t));
    t.title = t.n_lines;
    format_title(widths, next_line(&t));
    for (size_t i = 0; i < rows - more; i++)
        format_vgpu(before, now, order[i], widths, next_line(&t));
    if (more)
        snprintf(next_line(&t), width + 1, "... %zu more", now->n_vgpus - rows + 1);
    if (view->height > 1)
        snprintf(next_line(&t), width + 1, "%s", keys_line);
    free(order);
    *ret = t;
    return 0;
}

void top_text_finish(struct top_text *t)
{
    free(t->lines);
    t->lines = NULL;
}
