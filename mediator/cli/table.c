/* SPDX-License-Identifier: MIT */
#include "mediator/cli/table.h"

#include "mediator/base/util.h"

#include <assert.h>
#include <string.h>

void table_init(struct table *t, const struct table_column *columns, size_t n_columns)
{
    assert(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){.columns = columns, .n_columns = n_columns};
}

void table_finish(struct table *t)
{
    free(t->cells);
    t->cells = NULL;
}

int table_add(struct table *t, const char *text)
{
    void *cells = reallocarray(t->cells, t->n_cells + 1, sizeof(*t->cells));
    if (!cells)
        return -ENOMEM;
    t->cells = cells;
    snprintf(t->cells[t->n_cells++], sizeof(*t->cells), "%s", text);
    return 0;
}

static void print_row(const struct table *t, const unsigned *widths, const char *const *texts,
                      FILE *out)
{
    for (size_t c = 0; c < t->n_columns; c++) {
        int width = (int)widths[c];
        int len = (int)strlen(texts[c]);
        bool last = c + 1 == t->n_columns;
        bool cut = len > width;
        int blanks = cut ? 0 : width - len;
        if (cut)
            fprintf(out, "%.*s~", width - 1, texts[c]);
        else if (t->columns[c].right)
            fprintf(out, "%*s%s", blanks, "", texts[c]);
        else
            fprintf(out, "%s%*s", texts[c], last ? 0 : blanks, "");
        fputc(last ? '\n' : ' ', out);
    }
}

void table_print(const struct table *t, FILE *out)
{
    unsigned widths[TABLE_COLUMNS_MAX] = {0};
    const char *texts[TABLE_COLUMNS_MAX];
    for (size_t c = 0; c < t->n_columns; c++) {
        texts[c] = t->columns[c].title;
        widths[c] = (unsigned)strlen(texts[c]);
    }
    for (size_t row = 0; row + t->n_columns <= t->n_cells; row += t->n_columns) {
        for (size_t c = 0; c < t->n_columns; c++)
            widths[c] = MAX(widths[c], (unsigned)strlen(t->cells[row + c]));
    }
    for (size_t c = 0; c < t->n_columns; c++)
        widths[c] = MIN(widths[c], t->columns[c].max_width);

    print_row(t, widths, texts, out);
    for (size_t row = 0; row + t->n_columns <= t->n_cells; row += t->n_columns) {
        for (size_t c = 0; c < t->n_columns; c++)
            texts[c] = t->cells[row + c];
        print_row(t, widths, texts, out);
    }
}
