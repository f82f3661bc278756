/* SPDX-License-Identifier: MIT */
#include "samples/json_file.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static int write_to(const char *path, void (*print)(FILE *f, const void *data), const void *data)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return -errno;
    errno = 0;
    print(f, data);
    int error = errno; /* why, if the stream says that something failed */
    bool failed = ferror(f);
    if (fclose(f) != 0 && !failed)
        return -errno;
    return !failed ? 0 : error ? -error : -EIO;
}

static int replace(const char *path, void (*print)(FILE *f, const void *data), const void *data)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof(temporary), "%s.part", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    int r = write_to(temporary, print, data);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        remove(temporary);
    return r;
}

int json_file_write(const char *path, void (*print)(FILE *f, const void *data), const void *data)
{
    struct stat st;
    bool in_place = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    int r = in_place ? write_to(path, print, data) : replace(path, print, data);
    if (r < 0)
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(-r));
    return r;
}

void json_print_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(f, "\\u%04x", *text);
        else
            fputc(*text, f);
    }
    fputc('"', f);
}
