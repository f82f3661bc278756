/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/config_key.h"

#include "mediator/base/util.h"
#include "mediator/daemon/config_value.h"
#include "mediator/daemon/error_text.h"

#include <string.h>

/* v: the vGPU of the section, or the defaults for [aliquot]. */
typedef int (*config_setter)(struct config *c, struct vgpu_config *v, const char *value);

static int replace_string(char **where, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*where);
    *where = copy;
    return 0;
}

static int set_socket_dir(struct config *c, struct vgpu_config *v, const char *value)
{
    return *value ? replace_string(&c->socket_dir, value) : -EINVAL;
}

static int set_state_dir(struct config *c, struct vgpu_config *v, const char *value)
{
    return *value ? replace_string(&c->state_dir, value) : -EINVAL;
}

static int set_metrics(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_address(value, &c->metrics);
}

static int set_on_demand(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_bool(value, &c->on_demand);
}

static int set_max_vgpus(struct config *c, struct vgpu_config *v, const char *value)
{
    uint64_t number;
    int r = value_unsigned(value, 1, CONFIG_ON_DEMAND_MAX, &number);
    if (r == 0)
        c->max_vgpus = (unsigned)number;
    return r;
}

/* Calls add for each word of a list; an empty list is fine. */
static int for_each_word(struct config *c, const char *value,
                         int (*add)(struct config *c, const char *word))
{
    char *copy = strdup(value), *saved = NULL;
    if (!copy)
        return -ENOMEM;
    int r = 0;
    for (char *word = strtok_r(copy, ", \t", &saved); word && r == 0;
         word = strtok_r(NULL, ", \t", &saved))
        r = add(c, word);
    free(copy);
    return r;
}

static int add_user(struct config *c, const char *word)
{
    uid_t uid;
    int r = value_user(word, &uid);
    return r < 0 ? r : peer_policy_add_uid(&c->peers, uid);
}

static int add_group(struct config *c, const char *word)
{
    gid_t gid;
    int r = value_group(word, &gid);
    return r < 0 ? r : peer_policy_add_gid(&c->peers, gid);
}

static int set_allow_users(struct config *c, struct vgpu_config *v, const char *value)
{
    return for_each_word(c, value, add_user);
}

static int set_allow_groups(struct config *c, struct vgpu_config *v, const char *value)
{
    return for_each_word(c, value, add_group);
}

static int set_socket_mode(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_mode(value, &c->socket_mode);
}

static int set_socket_group(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_group(value, &c->socket_group);
}

static int set_gpu(struct config *c, struct vgpu_config *v, const char *value)
{
    return gpu_id_valid(value) ? replace_string(&v->gpu, value) : -EINVAL;
}

/* Gives the static string that value equals. */
static int choose(const char *value, const char *const *choices, size_t n, const char **ret)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(value, choices[i])) {
            *ret = choices[i];
            return 0;
        }
    }
    return -EINVAL;
}

static int set_backend(struct config *c, struct vgpu_config *v, const char *value)
{
    static const char *const backends[] = {"virgl", "null"};
    return choose(value, backends, ARRAY_SIZE(backends), &v->backend);
}

static int set_vulkan(struct config *c, struct vgpu_config *v, const char *value)
{
    static const char *const ways[] = {"auto", "on", "off"};
    return choose(value, ways, ARRAY_SIZE(ways), &v->vulkan);
}

static int set_scanout_by(struct config *c, struct vgpu_config *v, const char *value)
{
    static const char *const ways[] = {"copy", "dmabuf"};
    return choose(value, ways, ARRAY_SIZE(ways), &v->scanout_by);
}

static int set_scanouts(struct config *c, struct vgpu_config *v, const char *value)
{
    uint64_t number;
    int r = value_unsigned(value, 0, CONFIG_SCANOUTS_MAX, &number);
    if (r == 0)
        v->scanouts = (int)number;
    return r;
}

static int set_size(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_size(value, CONFIG_SIZE_MIN, CONFIG_SIZE_MAX, &v->width, &v->height);
}

static int set_max_memory(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_bytes(value, CONFIG_MEMORY_MIN, CONFIG_MEMORY_MAX, &v->max_memory_bytes);
}

/* QEMU aborts at a region that is no power of two. */
static int set_hostmem(struct config *c, struct vgpu_config *v, const char *value)
{
    uint64_t bytes;
    int r = value_bytes(value, 0, CONFIG_HOSTMEM_MAX, &bytes);
    if (r < 0)
        return r;
    if (bytes != 0 && (bytes < CONFIG_HOSTMEM_MIN || (bytes & (bytes - 1)) != 0))
        return -ERANGE;
    v->hostmem_bytes = (int64_t)bytes;
    return 0;
}

static int set_knob(struct vgpu_config *v, const char *key, unsigned bit, const char *value)
{
    int r = sched_knobs_set(&v->knobs, key, value);
    if (r == 0)
        v->knobs_set |= bit;
    return r;
}

static int set_weight(struct config *c, struct vgpu_config *v, const char *value)
{
    return set_knob(v, "weight", CONFIG_KNOB_WEIGHT, value);
}

static int set_reservation(struct config *c, struct vgpu_config *v, const char *value)
{
    return set_knob(v, "reservation", CONFIG_KNOB_RESERVATION, value);
}

static int set_cap(struct config *c, struct vgpu_config *v, const char *value)
{
    return set_knob(v, "cap", CONFIG_KNOB_CAP, value);
}

static int set_slice(struct config *c, struct vgpu_config *v, const char *value)
{
    return set_knob(v, "slice", CONFIG_KNOB_SLICE, value);
}

static int set_policy(struct config *c, struct vgpu_config *v, const char *value)
{
    return sched_policy_from_name(value, &c->policy);
}

static int set_preempt(struct config *c, struct vgpu_config *v, const char *value)
{
    static const char *const ways[] = {"cpu", "drain", "auto"};
    const char *way;
    int r = choose(value, ways, ARRAY_SIZE(ways), &way);
    if (r == 0)
        c->preempt = way == ways[0]   ? (int)ARBITER_PREEMPT_CPU
                     : way == ways[1] ? (int)ARBITER_PREEMPT_DRAIN
                                      : -1;
    return r;
}

static int set_parallelism(struct config *c, struct vgpu_config *v, const char *value)
{
    uint64_t number;
    int r = value_unsigned(value, 1, CONFIG_PARALLELISM_MAX, &number);
    if (r == 0)
        c->parallelism = (unsigned)number;
    return r;
}

static int set_early_handover(struct config *c, struct vgpu_config *v, const char *value)
{
    return value_bool(value, &c->early_handover);
}

static int set_reset_after(struct config *c, struct vgpu_config *v, const char *value)
{
    uint64_t ns;
    int r = sched_text_duration(value, &ns);
    if (r == 0 && ns != 0 && (ns < CONFIG_RESET_MIN_NS || ns > CONFIG_RESET_MAX_NS))
        return -ERANGE;
    if (r == 0)
        c->reset_after_ns = ns;
    return r;
}

static const struct key {
    const char *name;
    unsigned sections; /* enum config_section, where the key may stand */
    bool repeatable;   /* each line adds to the list */
    config_setter set;
    const char *allowed;
} keys[] = {
    {"socket-dir", CONFIG_SECTION_ALIQUOT, false, set_socket_dir, "a directory"},
    {"on-demand", CONFIG_SECTION_ALIQUOT, false, set_on_demand, "yes or no"},
    {"max-vgpus", CONFIG_SECTION_ALIQUOT, false, set_max_vgpus, "1 to 4096"},
    {"allow-users", CONFIG_SECTION_ALIQUOT, true, set_allow_users, "names or numbers of users"},
    {"allow-groups", CONFIG_SECTION_ALIQUOT, true, set_allow_groups, "names or numbers of groups"},
    {"socket-mode", CONFIG_SECTION_ALIQUOT, false, set_socket_mode,
     "octal permission bits such as 0660"},
    {"socket-group", CONFIG_SECTION_ALIQUOT, false, set_socket_group,
     "the name or number of a group"},
    {"policy", CONFIG_SECTION_ALIQUOT, false, set_policy, "fair, equal, fixed or exclusive"},
    {"preempt", CONFIG_SECTION_ALIQUOT, false, set_preempt, "auto, cpu or drain"},
    {"parallelism", CONFIG_SECTION_ALIQUOT, false, set_parallelism, "1 to 64"},
    {"early-handover", CONFIG_SECTION_ALIQUOT, false, set_early_handover, "yes or no"},
    {"reset-after", CONFIG_SECTION_ALIQUOT, false, set_reset_after,
     "100ms to 600s, or 0s for never"},
    {"metrics", CONFIG_SECTION_ALIQUOT, false, set_metrics,
     "off, PORT, ADDRESS:PORT or [ADDRESS]:PORT, addresses in numbers"},
    {"state-dir", CONFIG_SECTION_ALIQUOT, false, set_state_dir, "a directory"},
    {"weight", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_weight, "1 to 10000"},
    {"reservation", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_reservation,
     "0% to 95%"},
    {"cap", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_cap, "1% to 100%"},
    {"slice", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_slice, "0.5ms to 30ms"},
    {"gpu", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_gpu,
     "auto, software, /dev/dri/renderDN or egl:N"},
    {"backend", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_backend, "virgl or null"},
    {"scanouts", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_scanouts, "0 to 16"},
    {"size", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_size,
     "WIDTHxHEIGHT in pixels, 64 to 16384 each"},
    {"scanout-by", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_scanout_by,
     "copy or dmabuf"},
    {"max-memory", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_max_memory,
     "bytes, 1M to 16T, with K, M, G or T for powers of 1024"},
    {"vulkan", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_vulkan, "auto, on or off"},
    {"hostmem", CONFIG_SECTION_ALIQUOT | CONFIG_SECTION_VGPU, false, set_hostmem,
     "0, or a power of two from 1M to 256G"},
};
_Static_assert(ARRAY_SIZE(keys) <= 32, "a set of keys is a uint32_t");

static const struct key *find_key(const char *name, unsigned section)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if ((keys[i].sections & section) && !strcmp(keys[i].name, name))
            return &keys[i];
    }
    return NULL;
}

static int unknown_key(const char *name, unsigned section, const char *where, char **ret_error)
{
    char known[512] = "";
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        size_t len = strlen(known);
        if (keys[i].sections & section)
            snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "", keys[i].name);
    }
    return error_text(ret_error, -EINVAL, "%s: unknown key '%s' in [%s]; known are: %s", where,
                      name, section == CONFIG_SECTION_ALIQUOT ? "aliquot" : "vgpu NAME", known);
}

int config_key_set(struct config *c, struct vgpu_config *v, enum config_section section,
                   const char *name, const char *value, uint32_t *seen, const char *where,
                   char **ret_error)
{
    const struct key *key = find_key(name, section);
    if (!key)
        return unknown_key(name, section, where, ret_error);
    uint32_t bit = UINT32_C(1) << (key - keys);
    if (!key->repeatable && seen && (*seen & bit))
        return error_text(ret_error, -EINVAL, "%s: %s is set twice", where, name);

    int r = key->set(c, v, value);
    if (r == -ENOENT)
        return error_text(ret_error, -EINVAL, "%s: '%s' for %s: no such user or group", where,
                          value, name);
    if (r == -EINVAL || r == -ERANGE)
        return error_text(ret_error, -EINVAL, "%s: '%s' is %s for %s; allowed: %s", where, value,
                          r == -ERANGE ? "out of range" : "no value", name, key->allowed);
    if (r < 0)
        return error_text(ret_error, r, "%s: %s", where, strerror(-r));
    if (seen)
        *seen |= bit;
    return 0;
}
