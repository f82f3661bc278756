/* SPDX-License-Identifier: MIT */
/*
 * The INI file. libinih does the lines of the form key = value; what it can't say (the number of a
 * line, a section without keys, names longer than its buffers) is seen to by the reader that feeds
 * it. Part of config.h.
 */
#include "mediator/daemon/config.h"

#include "mediator/base/util.h"
#include "mediator/daemon/config_key.h"
#include "mediator/daemon/error_text.h"

#include <ctype.h>
#include <ini.h>
#include <string.h>

struct reader {
    FILE *file; /* borrowed */
    struct config *config;
    const char *path;
    unsigned line;
    enum config_section section;
    char vgpu[VGPU_NAME_MAX + 1]; /* whose section it is; the array of vGPUs may move */
    uint32_t seen;                /* keys of this section, a bit per row of the table */
    uint32_t seen_aliquot;        /* the same for [aliquot], which may be opened again */
    int result;                   /* of the first mistake; later lines are skipped */
    unsigned result_line;         /* where that was */
    char *error;                  /* owned */
};

static void reader_where(const struct reader *r, char *buf, size_t size)
{
    snprintf(buf, size, "%s:%u", r->path, r->line);
}

/* text: the line from '[' on. */
static void open_section(struct reader *r, char *text)
{
    char where[512];
    reader_where(r, where, sizeof(where));
    char *end = strchr(text, ']');
    if (!end) {
        r->result = error_text(&r->error, -EINVAL, "%s: ']' is missing", where);
        return;
    }
    *end = '\0';
    const char *name = text + 1;
    if (r->section == CONFIG_SECTION_ALIQUOT)
        r->seen_aliquot = r->seen;

    if (!strcmp(name, "aliquot")) {
        r->section = CONFIG_SECTION_ALIQUOT;
        r->seen = r->seen_aliquot;
    } else if (!strncmp(name, "vgpu", 4) && isblank((unsigned char)name[4])) {
        name += 4 + strspn(name + 4, " \t");
        r->result = config_add_vgpu(r->config, name, where, &r->error);
        r->section = CONFIG_SECTION_VGPU;
        r->seen = 0;
        snprintf(r->vgpu, sizeof(r->vgpu), "%s", name);
    } else {
        r->result =
            error_text(&r->error, -EINVAL,
                       "%s: unknown section [%s]; known are: [aliquot], [vgpu NAME]", where, name);
    }
}

/* Gives libinih the next line, an empty one in place of a section's. Leading blanks are taken off:
 * it would take an indented line for the continuation of the one before. */
static char *next_line(char *buf, int size, void *opaque)
{
    struct reader *r = opaque;
    if (r->result < 0)
        return NULL;
    if (!fgets(buf, size, r->file)) {
        if (ferror(r->file))
            r->result = error_text(&r->error, -EIO, "%s: can't be read", r->path);
        return NULL;
    }
    r->line++;
    if (!strchr(buf, '\n') && !feof(r->file)) {
        r->result = error_text(&r->error, -EINVAL, "%s:%u: a line of more than %d bytes", r->path,
                               r->line, size - 2);
        r->result_line = r->line;
        return NULL;
    }
    size_t blanks = strspn(buf, " \t");
    memmove(buf, buf + blanks, strlen(buf + blanks) + 1);
    if (*buf == '[') {
        open_section(r, buf);
        r->result_line = r->line;
        *buf = '\0';
    }
    return buf;
}

static int take_key(void *opaque, const char *section, const char *name, const char *value)
{
    struct reader *r = opaque;
    char where[512];
    if (r->result < 0)
        return 1;
    reader_where(r, where, sizeof(where));
    if (r->section == CONFIG_SECTION_NONE) {
        r->result = error_text(&r->error, -EINVAL,
                               "%s: '%s' stands before the first section; begin with [aliquot]",
                               where, name);
        return 1;
    }
    struct vgpu_config *v = r->section == CONFIG_SECTION_VGPU ? config_find_vgpu(r->config, r->vgpu)
                                                              : &r->config->defaults;
    r->result = config_key_set(r->config, v, r->section, name, value, &r->seen, where, &r->error);
    r->result_line = r->line;
    return 1;
}

int config_load_stream(struct config *c, FILE *file, const char *path, char **ret_error)
{
    struct reader r = {.file = file, .config = c, .path = path};
    int line = ini_parse_stream(next_line, &r, take_key, &r);
    /* libinih goes on after a line that it can't take apart: ours may have come later. */
    if (line > 0 && (r.result == 0 || (unsigned)line < r.result_line)) {
        free(r.error);
        r.result = error_text(&r.error, -EINVAL, "%s:%d: expected key = value", path, line);
    }
    if (r.result < 0 && ret_error)
        *ret_error = TAKE_PTR(r.error);
    free(r.error);
    return r.result;
}

int config_load(struct config *c, const char *path, char **ret_error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_text(ret_error, -errno, "%s: %s", path, strerror(errno));
    int r = config_load_stream(c, file, path, ret_error);
    fclose(file);
    return r;
}
