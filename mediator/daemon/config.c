/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/config.h"

#include "mediator/base/util.h"
#include "mediator/daemon/config_key.h"
#include "mediator/daemon/config_value.h"
#include "mediator/daemon/error_text.h"

#include <string.h>

#define VGPUS_ON_DEMAND_DEFAULT 64

int config_set(struct config *c, const char *key, const char *value, const char *where,
               char **ret_error)
{
    return config_key_set(c, &c->defaults, CONFIG_SECTION_ALIQUOT, key, value, NULL, where,
                          ret_error);
}

int config_vgpu_set(struct vgpu_config *v, const char *key, const char *value, const char *where,
                    char **ret_error)
{
    /* What may stand in the section of a vGPU touches nothing else. */
    return config_key_set(NULL, v, CONFIG_SECTION_VGPU, key, value, NULL, where, ret_error);
}

const struct vgpu_config config_vgpu_unset = {.scanouts = -1, .hostmem_bytes = -1};

void config_init(struct config *c)
{
    *c = (struct config){
        .on_demand = true,
        .max_vgpus = VGPUS_ON_DEMAND_DEFAULT,
        .preempt = -1,
        .parallelism = 1,
        .reset_after_ns = UINT64_MAX,
        .socket_mode = (mode_t)-1,
        .socket_group = (gid_t)-1,
        .defaults = config_vgpu_unset,
    };
}

void config_destroy(struct config *c)
{
    for (size_t i = 0; i < c->n_vgpus; i++)
        free(c->vgpus[i].gpu);
    free(c->vgpus);
    free(c->defaults.gpu);
    free(c->socket_dir);
    free(c->state_dir);
    peer_policy_destroy(&c->peers);
    *c = (struct config){0};
}

struct vgpu_config *config_find_vgpu(struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_vgpus; i++) {
        if (!strcmp(c->vgpus[i].name, name))
            return &c->vgpus[i];
    }
    return NULL;
}

int config_vgpu_check_name(const char *name, const char *where, char **ret_error)
{
    if (!vgpu_name_valid(name))
        return error_text(ret_error, -EINVAL,
                          "%s: '%s' is no name for a vGPU; allowed: 1 to %d of A-Z a-z 0-9 . _ -, "
                          "the first a letter or digit",
                          where, name, VGPU_NAME_MAX);
    if (!strcmp(name, "aliquot") || vgpu_name_on_demand(name))
        return error_text(ret_error, -EINVAL, "%s: the name '%s' is kept for vGPUs made on demand",
                          where, name);
    return 0;
}

int config_add_vgpu(struct config *c, const char *name, const char *where, char **ret_error)
{
    int r = config_vgpu_check_name(name, where, ret_error);
    if (r < 0)
        return r;
    if (config_find_vgpu(c, name))
        return error_text(ret_error, -EEXIST, "%s: vGPU '%s' is configured already", where, name);
    if (c->n_vgpus >= CONFIG_VGPUS_MAX)
        return error_text(ret_error, -E2BIG, "%s: more than %d vGPUs", where, CONFIG_VGPUS_MAX);

    struct vgpu_config *vgpus = reallocarray(c->vgpus, c->n_vgpus + 1, sizeof(*vgpus));
    if (!vgpus)
        return error_text(ret_error, -ENOMEM, "%s: %s", where, strerror(ENOMEM));
    c->vgpus = vgpus;
    struct vgpu_config *v = &vgpus[c->n_vgpus++];
    *v = config_vgpu_unset;
    snprintf(v->name, sizeof(v->name), "%s", name);
    return 0;
}

static void copy_knobs(struct sched_knobs *to, const struct sched_knobs *from, unsigned which)
{
    if (which & CONFIG_KNOB_WEIGHT)
        to->weight = from->weight;
    if (which & CONFIG_KNOB_RESERVATION)
        to->reservation_ppm = from->reservation_ppm;
    if (which & CONFIG_KNOB_CAP)
        to->cap_ppm = from->cap_ppm;
    if (which & CONFIG_KNOB_SLICE)
        to->slice_ns = from->slice_ns;
}

void config_vgpu_merge_knobs(const struct vgpu_config *v, struct sched_knobs *knobs)
{
    copy_knobs(knobs, &v->knobs, v->knobs_set);
}

int config_vgpu_inherit(struct vgpu_config *v, const struct vgpu_config *defaults)
{
    if (!v->gpu) {
        v->gpu = strdup(defaults->gpu);
        if (!v->gpu)
            return -ENOMEM;
    }
    if (!v->backend)
        v->backend = defaults->backend;
    if (v->scanouts < 0)
        v->scanouts = defaults->scanouts;
    if (v->width == 0) {
        v->width = defaults->width;
        v->height = defaults->height;
    }
    if (!v->scanout_by)
        v->scanout_by = defaults->scanout_by;
    if (v->max_memory_bytes == 0)
        v->max_memory_bytes = defaults->max_memory_bytes;
    if (!v->vulkan)
        v->vulkan = defaults->vulkan;
    if (v->hostmem_bytes < 0)
        v->hostmem_bytes = defaults->hostmem_bytes;
    copy_knobs(&v->knobs, &defaults->knobs, defaults->knobs_set & ~v->knobs_set);
    v->knobs_set |= defaults->knobs_set;
    return 0;
}

static int default_socket_dir(char **ret, char **ret_error)
{
    char *dir = NULL;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        dir = strdup("/run/aliquot");
    else if (!runtime || *runtime != '/')
        return error_text(ret_error, -EINVAL,
                          "no place for the sockets: XDG_RUNTIME_DIR is not set; "
                          "give one with --socket-dir DIR");
    else if (asprintf(&dir, "%s/aliquot", runtime) < 0)
        dir = NULL;
    if (!dir)
        return error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    *ret = dir;
    return 0;
}

/* None is fine, too: then nothing can be kept over a restart. */
static int default_state_dir(char **ret)
{
    const char *given = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    int r = 0;
    if (given && *given == '/') /* the first of the service manager's list */
        r = asprintf(ret, "%.*s", (int)strcspn(given, ":"), given);
    else if (geteuid() == 0)
        r = asprintf(ret, "/var/lib/aliquot");
    else if (state && *state == '/')
        r = asprintf(ret, "%s/aliquot", state);
    else if (home && *home == '/')
        r = asprintf(ret, "%s/.local/state/aliquot", home);
    if (r < 0)
        *ret = NULL;
    return r < 0 ? -ENOMEM : 0;
}

int config_finish(struct config *c, char **ret_error)
{
    char *built_in_gpu = "auto"; /* only read */
    const struct vgpu_config built_in = {.gpu = built_in_gpu,
                                         .backend = "virgl",
                                         .scanouts = 1,
                                         .width = 1280,
                                         .height = 800,
                                         .scanout_by = "copy",
                                         .vulkan = "auto",
                                         .hostmem_bytes = CONFIG_HOSTMEM_DEFAULT,
                                         .knobs = SCHED_KNOBS_DEFAULT,
                                         .knobs_set = CONFIG_KNOB_WEIGHT | CONFIG_KNOB_RESERVATION |
                                                      CONFIG_KNOB_CAP | CONFIG_KNOB_SLICE};

    if (!c->socket_dir) {
        int r = default_socket_dir(&c->socket_dir, ret_error);
        if (r < 0)
            return r;
    }
    if (!c->state_dir && default_state_dir(&c->state_dir) < 0)
        return error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    /* With a list of who may come in, that list decides and the mode must not stand in its way. */
    if (c->socket_mode == (mode_t)-1)
        c->socket_mode = c->peers.n_uids || c->peers.n_gids ? 0666 : 0660;

    int r = config_vgpu_inherit(&c->defaults, &built_in);
    for (size_t i = 0; i < c->n_vgpus && r == 0; i++)
        r = config_vgpu_inherit(&c->vgpus[i], &c->defaults);
    if (r < 0)
        return error_text(ret_error, r, "%s", strerror(-r));
    return 0;
}
