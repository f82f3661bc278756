/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/state.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/knob_text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct state {
    char *dir;           /* owned; NULL = none */
    char *path;          /* owned; of the file, likewise */
    struct config saved; /* its vGPUs: what is kept; nothing else of it is used */
};

/* ---- reading -------------------------------------------------------------------------------- */

/* A file of ours and nothing that could keep us waiting. */
static int open_file(const char *path, FILE **ret)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOTSUP;
    if (st.st_size > STATE_FILE_MAX)
        return -EFBIG;
    *ret = fdopen(fd, "r");
    if (!*ret)
        return -errno;
    take_fd(&fd);
    return 0;
}

/* Leaves nothing but names and knobs. */
static void strip(struct state *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->saved.n_vgpus; i++) {
        struct vgpu_config *v = &s->saved.vgpus[i];
        struct vgpu_config kept = config_vgpu_unset;

        if (v->gpu || v->backend || v->scanouts >= 0 || v->width || v->scanout_by ||
            v->max_memory_bytes || v->vulkan || v->hostmem_bytes >= 0)
            log_warning("%s: vGPU '%s': only weight, reservation, cap and slice are kept here; the "
                        "rest is ignored",
                        s->path, v->name);
        free(v->gpu);
        memcpy(kept.name, v->name, sizeof(kept.name));
        kept.knobs = v->knobs;
        kept.knobs_set = v->knobs_set;
        if (kept.knobs_set)
            s->saved.vgpus[n++] = kept;
    }
    s->saved.n_vgpus = n;
}

static void read_file(struct state *s)
{
    FILE *file;
    char *error = NULL;
    int r = open_file(s->path, &file);

    if (r == -ENOENT)
        return;
    if (r < 0) {
        log_warning("%s: %s; what was kept there is ignored", s->path,
                    r == -ENOTSUP ? "not a regular file" : strerror(-r));
        return;
    }
    r = config_load_stream(&s->saved, file, s->path, &error);
    (void)fclose(file); /* only read */
    if (r < 0)
        log_warning("%s; what follows there is ignored", error ? error : strerror(-r));
    free(error);
    strip(s);
}

int state_create(const char *dir, struct state **ret)
{
    struct state *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    config_init(&s->saved);
    if (dir) {
        s->dir = strdup(dir);
        if (!s->dir || asprintf(&s->path, "%s/" STATE_FILE, dir) < 0) {
            s->path = NULL;
            state_destroy(s);
            return -ENOMEM;
        }
        read_file(s);
    }
    *ret = s;
    return 0;
}

void state_destroy(struct state *s)
{
    if (!s)
        return;
    config_destroy(&s->saved);
    free(s->path);
    free(s->dir);
    free(s);
}

const struct vgpu_config *state_at(const struct state *s, size_t i)
{
    return i < s->saved.n_vgpus ? &s->saved.vgpus[i] : NULL;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void print_vgpu(const struct vgpu_config *v, FILE *out)
{
    char text[KNOB_TEXT_MAX];

    fprintf(out, "\n[vgpu %s]\n", v->name);
    if (v->knobs_set & CONFIG_KNOB_WEIGHT)
        fprintf(out, "weight = %" PRIu32 "\n", v->knobs.weight);
    if (v->knobs_set & CONFIG_KNOB_RESERVATION) {
        knob_text_ppm(v->knobs.reservation_ppm, text);
        fprintf(out, "reservation = %s\n", text);
    }
    if (v->knobs_set & CONFIG_KNOB_CAP) {
        knob_text_ppm(v->knobs.cap_ppm, text);
        fprintf(out, "cap = %s\n", text);
    }
    if (v->knobs_set & CONFIG_KNOB_SLICE) {
        knob_text_slice(v->knobs.slice_ns, text);
        fprintf(out, "slice = %s\n", text);
    }
}

static int make_dir(const char *dir)
{
    char *copy = strdup(dir);
    int r = copy ? 0 : -ENOMEM;

    /* Parents too: ~/.local/state need not be there. */
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash && r == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            r = -errno;
        *slash = '/';
    }
    if (r == 0 && mkdir(copy, 0700) < 0 && errno != EEXIST)
        r = -errno;
    free(copy);
    return r;
}

/* The new file takes the place of the old one when all of it is on the disk. */
static int write_file(const struct state *s)
{
    _cleanup_close_ int dir_fd = -1;
    char temporary[] = STATE_FILE ".new";
    int r = make_dir(s->dir);

    if (r < 0)
        return r;
    dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    (void)unlinkat(dir_fd, temporary, 0); /* of one that was killed in between */
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        r = -errno;
        close_fd_p(&fd);
        return r;
    }
    fputs("# Written by aliquotd: what 'aliquot set --persist' has changed. It is read after the\n"
          "# configuration, and wins. Remove a section to have the configuration back.\n",
          out);
    for (size_t i = 0; i < s->saved.n_vgpus; i++)
        print_vgpu(&s->saved.vgpus[i], out);
    errno = EIO;
    if (ferror(out) || fflush(out) != 0 || fsync(fd) < 0)
        r = -errno;
    if (fclose(out) != 0 && r == 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, STATE_FILE) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir_fd, temporary, 0);
    else
        (void)fsync(
            dir_fd); /* without it an old file may come back after a crash, but a whole one */
    return r;
}

int state_keep(struct state *s, const struct vgpu_config *change, char **ret_error)
{
    const char *name = change->name;
    struct vgpu_config before, *v;

    if (!s->dir)
        return error_text(ret_error, -ENOENT,
                          "there is no state directory to keep it in: give aliquotd one with "
                          "--state-dir DIR");
    v = config_find_vgpu(&s->saved, name);
    bool is_new = !v;
    if (is_new) {
        int r = config_add_vgpu(&s->saved, name, STATE_FILE, ret_error);
        if (r < 0)
            return r;
        v = config_find_vgpu(&s->saved, name);
    }
    before = *v;
    config_vgpu_merge_knobs(change, &v->knobs);
    v->knobs_set |= change->knobs_set;
    int r = write_file(s);
    if (r == 0)
        return 0;
    *v = before;
    if (is_new)
        s->saved.n_vgpus--;
    return error_text(ret_error, r, "%s can't be written: %s", s->path, strerror(-r));
}
