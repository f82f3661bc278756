/* SPDX-License-Identifier: MIT */
/*
 * JSON objects as a table for people: a line for each value, named by its path; two objects side by
 * side. For vk-info.
 */
#ifndef ALIQUOT_SAMPLES_JSON_TABLE_H
#define ALIQUOT_SAMPLES_JSON_TABLE_H

#include <stddef.h>
#include <systemd/sd-json.h>

struct json_line {
    char *path;    /* owned */
    char *text[2]; /* owned; NULL = that object has no such value */
};

struct json_table {
    struct json_line *lines; /* owned */
    size_t count, allocated;
};

/* Adds an object as the first (0) or the second (1) column. 0 or -ENOMEM. */
int json_table_add(struct json_table *table, sd_json_variant *object, unsigned column);
void json_table_finish(struct json_table *table);

/* Prints one column, or with titles both, and a mark where they differ. 0 or -EIO. */
int json_table_print(const struct json_table *table, const char *const titles[2]);

#endif
