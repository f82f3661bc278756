/* SPDX-License-Identifier: MIT */
/*
 * How "aliquot top" looks: lines of text for a terminal of some size, or for a file. Columns that
 * do not fit are left out, the least important ones first. Pure functions.
 */
#ifndef ALIQUOT_CLI_TOP_VIEW_H
#define ALIQUOT_CLI_TOP_VIEW_H

#include "mediator/cli/sample.h"

#include <stdbool.h>

#define TOP_LINE_MAX 256

enum top_sort {
    TOP_SORT_SHARE,
    TOP_SORT_WAITING,
    TOP_SORT_P99,
    TOP_SORT_LATENCY,
    TOP_SORT_SUBMITS,
    TOP_SORT_MEMORY,
    TOP_SORT_NAME,
    TOP_N_SORTS,
};
/* "share", "waiting", "p99", "latency", "submits", "memory", "name". */
bool top_sort_from_name(const char *name, enum top_sort *ret);
/* The first letter of the name; false: no such key. */
bool top_sort_from_key(char key, enum top_sort *ret);

struct top_view {
    unsigned width;  /* of all lines at most */
    unsigned height; /* lines at most; 0 = all, and no line about keys */
    enum top_sort sort;
};

struct top_text {
    char (*lines)[TOP_LINE_MAX]; /* owned array; no blanks at their ends */
    size_t n_lines;
    size_t title; /* which line has the titles of the columns */
};

/* before: NULL for the first one, which has no rates. -ENOMEM or 0. */
int top_view_format(const struct top_view *view, const struct sample *before,
                    const struct sample *now, struct top_text *ret);
void top_text_finish(struct top_text *t);

/* The order of now's vGPUs, an array of n_vgpus indices that the caller frees; NULL if memory is
 * short. */
size_t *top_view_order(enum top_sort sort, const struct sample *before, const struct sample *now);

#endif
