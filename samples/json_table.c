/* SPDX-License-Identifier: MIT */
#include "samples/json_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATED_FIRST 128

/* ---- making --------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), part = strlen(end);
    return length >= part && strcmp(text + length - part, end) == 0;
}

/* With a unit that can be read, where it is bytes. NULL = no memory. */
static char *value_text(const char *path, sd_json_variant *value)
{
    char *text = NULL;
    if (sd_json_variant_is_string(value))
        return strdup(sd_json_variant_string(value));
    if (ends_with(path, "_bytes") && sd_json_variant_is_unsigned(value)) {
        uint64_t bytes = sd_json_variant_unsigned(value);
        return asprintf(&text, "%" PRIu64 " (%.1f MiB)", bytes, (double)bytes / (1 << 20)) < 0
                   ? NULL
                   : text;
    }
    if (sd_json_variant_is_real(value) && !sd_json_variant_is_integer(value))
        return asprintf(&text, "%g", sd_json_variant_real(value)) < 0 ? NULL : text;
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): no flag is a flag set too
    return sd_json_variant_format(value, 0, &text) < 0 ? NULL : text;
}

static struct json_line *find(const struct json_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->lines[i].path, path) == 0)
            return &table->lines[i];
    }
    return NULL;
}

static struct json_line *append(struct json_table *table, const char *path)
{
    if (table->count == table->allocated) {
        size_t wanted = table->allocated ? 2 * table->allocated : ALLOCATED_FIRST;
        struct json_line *lines = reallocarray(table->lines, wanted, sizeof(*lines));
        if (!lines)
            return NULL;
        table->lines = lines;
        table->allocated = wanted;
    }
    char *copy = strdup(path);
    if (!copy)
        return NULL;
    struct json_line *line = &table->lines[table->count++];
    *line = (struct json_line){.path = copy};
    return line;
}

static int add_scalar(struct json_table *table, const char *path, sd_json_variant *value,
                      unsigned column)
{
    struct json_line *line = find(table, path);
    if (!line)
        line = append(table, path);
    char *text = line ? value_text(path, value) : NULL;
    if (!text)
        return -ENOMEM;
    free(line->text[column]); /* a file may say a thing twice */
    line->text[column] = text;
    return 0;
}

/* sd-json limits how deep objects are nested. */
static int add(struct json_table *table, const char *path, sd_json_variant *value, unsigned column)
{
    bool is_object = sd_json_variant_is_object(value);
    if (!is_object && !sd_json_variant_is_array(value))
        return add_scalar(table, path, value, column);
    size_t count = sd_json_variant_elements(value), step = is_object ? 2 : 1;
    for (size_t i = 0; i < count; i += step) {
        sd_json_variant *element = sd_json_variant_by_index(value, i + step - 1);
        char *longer;
        int n = is_object ? asprintf(&longer, "%s%s%s", path, path[0] ? "." : "",
                                     sd_json_variant_string(sd_json_variant_by_index(value, i)))
                          : asprintf(&longer, "%s[%zu]", path, i);
        if (n < 0)
            return -ENOMEM;
        int r = add(table, longer, element, column);
        free(longer);
        if (r < 0)
            return r;
    }
    return 0;
}

int json_table_add(struct json_table *table, sd_json_variant *object, unsigned column)
{
    return add(table, "", object, column);
}

void json_table_finish(struct json_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->lines[i].path);
        free(table->lines[i].text[0]);
        free(table->lines[i].text[1]);
    }
    free(table->lines);
    *table = (struct json_table){0};
}

/* ---- printing ------------------------------------------------------------------------------- */

static const char *shown(const char *text)
{
    return text ? text : "-";
}

int json_table_print(const struct json_table *table, const char *const titles[2])
{
    int path_width = 0, width = titles ? (int)strlen(titles[0]) : 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct json_line *line = &table->lines[i];
        int path = (int)strlen(line->path), first = (int)strlen(shown(line->text[0]));
        path_width = path > path_width ? path : path_width;
        width = first > width ? first : width;
    }
    if (titles)
        printf("  %-*s  %-*s  %s\n", path_width, "", width, titles[0], titles[1]);
    for (size_t i = 0; i < table->count; i++) {
        const struct json_line *line = &table->lines[i];
        const char *first = shown(line->text[0]), *second = shown(line->text[1]);
        if (titles)
            printf("%s %-*s  %-*s  %s\n", strcmp(first, second) == 0 ? " " : "*", path_width,
                   line->path, width, first, second);
        else
            printf("%-*s  %s\n", path_width, line->path, first);
    }
    return fflush(stdout) == 0 ? 0 : -EIO;
}
