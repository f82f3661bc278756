/* SPDX-License-Identifier: MIT */
/* libinih takes the lines apart; sections without keys and line numbers are seen to by the reader
 * that feeds it. */
#include "mediator/sched/sim/table.h"

#include "mediator/base/util.h"

#include <ctype.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

#define CHANGES_MAX 64
#define RUN_DEFAULT_NS UINT64_C(10000000000)
#define RUN_MAX_NS UINT64_C(86400000000000) /* a day */

struct change_text { /* of the present section; a change builds on all keys of it */
    uint64_t at_ns;
    char key[16], value[32];
};

struct reader {
    FILE *file; /* borrowed */
    struct sim_table *table;
    const char *path;
    unsigned line;
    bool in_gpu, in_vgpu, has_work;
    struct sim_vgpu_config vgpu; /* of the present section */
    struct change_text changes[CHANGES_MAX];
    size_t n_changes;
    uint64_t count;
    int result; /* of the first mistake; later lines are skipped */
    unsigned result_line;
    char *error; /* borrowed */
    size_t error_size;
};

static int __attribute__((format(printf, 2, 3))) mistake(struct reader *r, const char *format, ...)
{
    va_list args;
    size_t len;

    if (r->result < 0)
        return r->result;
    r->result = -EINVAL;
    r->result_line = r->line;
    len = (size_t)snprintf(r->error, r->error_size, "%s:%u: ", r->path, r->line);
    if (len < r->error_size) {
        va_start(args, format);
        vsnprintf(r->error + len, r->error_size - len, format, args);
        va_end(args);
    }
    return r->result;
}

static int no_memory(struct reader *r)
{
    r->result = -ENOMEM;
    snprintf(r->error, r->error_size, "%s", strerror(ENOMEM));
    return r->result;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static int number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*end)
        return -EINVAL;
    if (errno == ERANGE || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

static int duration_up_to(const char *text, uint64_t max_ns, uint64_t *ret)
{
    uint64_t ns;
    int r = sched_text_duration(text, &ns);

    if (r == 0 && ns > max_ns)
        r = -ERANGE;
    if (r == 0)
        *ret = ns;
    return r;
}

static int set_policy(struct reader *r, const char *value)
{
    return sched_policy_from_name(value, &r->table->config.policy);
}

static int set_slots(struct reader *r, const char *value)
{
    uint64_t slots;
    int result = number(value, 64, &slots);

    if (result == 0 && slots == 0)
        result = -ERANGE;
    if (result == 0)
        r->table->config.slots = (unsigned)slots;
    return result;
}

static int set_run(struct reader *r, const char *value)
{
    return duration_up_to(value, RUN_MAX_NS, &r->table->run_ns);
}

static int set_seed(struct reader *r, const char *value)
{
    return number(value, UINT64_MAX, &r->table->config.seed);
}

static int set_switch(struct reader *r, const char *value)
{
    return duration_up_to(value, 1000000000, &r->table->config.switch_ns);
}

static int set_reset_after(struct reader *r, const char *value)
{
    return duration_up_to(value, SCHED_CHARGE_MAX_NS, &r->table->config.reset_after_ns);
}

static int set_work(struct reader *r, const char *value)
{
    r->has_work = true;
    return sim_work_parse(value, &r->vgpu.work);
}

static int set_arrive(struct reader *r, const char *value)
{
    return duration_up_to(value, RUN_MAX_NS, &r->vgpu.arrive_ns);
}

static int set_leave(struct reader *r, const char *value)
{
    return duration_up_to(value, RUN_MAX_NS, &r->vgpu.leave_ns);
}

static int set_count(struct reader *r, const char *value)
{
    uint64_t count;
    int result = number(value, SIM_VGPUS_MAX, &count);

    if (result == 0 && count == 0)
        result = -ERANGE;
    if (result == 0)
        r->count = count;
    return result;
}

/* "2s weight 400" */
static int add_change(struct reader *r, const char *value)
{
    struct change_text *change = &r->changes[r->n_changes];
    struct sched_knobs scratch = r->vgpu.knobs;
    char at[32];

    if (r->n_changes == CHANGES_MAX)
        return -ERANGE;
    if (sscanf(value, "%31s %15s %31[^\n]", at, change->key, change->value) != 3 ||
        duration_up_to(at, RUN_MAX_NS, &change->at_ns) < 0 ||
        sched_knobs_set(&scratch, change->key, change->value) < 0)
        return -EINVAL;
    r->n_changes++;
    return 0;
}

static const struct key {
    const char *name;
    bool gpu; /* or vgpu */
    int (*set)(struct reader *r, const char *value);
    const char *allowed;
} keys[] = {
    {"policy", true, set_policy, "fair, equal, fixed or exclusive"},
    {"slots", true, set_slots, "1 to 64"},
    {"run", true, set_run, "a time up to 24 hours, such as 10s"},
    {"seed", true, set_seed, "a number"},
    {"switch", true, set_switch, "a time up to 1s, such as 50us"},
    {"reset-after", true, set_reset_after, "a time up to an hour, such as 2s"},
    {"work", false, set_work, sim_work_allowed},
    {"arrive", false, set_arrive, "a time up to 24 hours, such as 1s"},
    {"leave", false, set_leave, "a time up to 24 hours, such as 5s"},
    {"count", false, set_count, "1 to 10000"},
    {"change", false, add_change, "TIME KNOB VALUE, such as 2s weight 400"},
};

static int take_key(void *opaque, const char *section, const char *name, const char *value)
{
    struct reader *r = opaque;
    const char *allowed = r->in_vgpu ? sched_knobs_allowed(name) : NULL;
    int result = allowed ? sched_knobs_set(&r->vgpu.knobs, name, value) : -ENOENT;

    if (r->result < 0)
        return 1;
    if (!r->in_gpu && !r->in_vgpu) {
        mistake(r, "'%s' stands before the first section", name);
        return 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(keys) && !allowed; i++) {
        if (keys[i].gpu == r->in_gpu && !strcmp(keys[i].name, name)) {
            allowed = keys[i].allowed;
            result = keys[i].set(r, value);
        }
    }
    if (!allowed)
        mistake(r, "unknown key '%s' in [%s]", name, r->in_gpu ? "gpu" : "vgpu NAME");
    else if (result < 0)
        mistake(r, "'%s' is %s for %s; allowed: %s", value,
                result == -ERANGE ? "out of range" : "no value", name, allowed);
    return 1;
}

/* ---- sections ------------------------------------------------------------------------------- */

static int resolve_changes(struct reader *r, struct sim_vgpu_config *v)
{
    struct sched_knobs knobs = v->knobs;

    if (r->n_changes == 0)
        return 0;
    v->changes = calloc(r->n_changes, sizeof(*v->changes));
    if (!v->changes)
        return no_memory(r);
    for (; v->n_changes < r->n_changes; v->n_changes++) {
        const struct change_text *text = &r->changes[v->n_changes];
        (void)sched_knobs_set(&knobs, text->key, text->value); /* was tried before */
        if (sched_knobs_check(&knobs) < 0)
            return mistake(r,
                           "[vgpu %s]: the change of %s makes the cap smaller than the "
                           "reservation",
                           v->name, text->key);
        if (v->n_changes > 0 && text->at_ns < v->changes[v->n_changes - 1].at_ns)
            return mistake(r, "[vgpu %s]: changes must stand in the order of their times", v->name);
        v->changes[v->n_changes] = (struct sim_change){text->at_ns, knobs};
    }
    return 0;
}

static int add_vgpus(struct reader *r)
{
    struct sim_config *config = &r->table->config;
    struct sim_vgpu_config *vgpus;

    if (config->n_vgpus + r->count > SIM_VGPUS_MAX)
        return mistake(r, "more than %d vGPUs", SIM_VGPUS_MAX);
    vgpus = reallocarray(config->vgpus, config->n_vgpus + r->count, sizeof(*vgpus));
    if (!vgpus)
        return no_memory(r);
    config->vgpus = vgpus;
    for (uint64_t i = 0; i < r->count; i++) {
        struct sim_vgpu_config *v = &vgpus[config->n_vgpus++];
        *v = r->vgpu;
        if (r->count > 1) {
            size_t len = MIN(strlen(v->name), sizeof(v->name) - 8);
            snprintf(v->name + len, sizeof(v->name) - len, "-%u",
                     (unsigned)(i % SIM_VGPUS_MAX) + 1);
        }
        if (resolve_changes(r, v) < 0)
            return r->result;
    }
    return 0;
}

static int end_section(struct reader *r)
{
    bool was_vgpu = r->in_vgpu;

    r->in_gpu = false;
    r->in_vgpu = false;
    if (!was_vgpu || r->result < 0)
        return r->result;
    if (!r->has_work)
        return mistake(r, "[vgpu %s] has no work", r->vgpu.name);
    if (sched_knobs_check(&r->vgpu.knobs) < 0)
        return mistake(r, "[vgpu %s]: the cap is smaller than the reservation", r->vgpu.name);
    if (r->vgpu.leave_ns > 0 && r->vgpu.leave_ns <= r->vgpu.arrive_ns)
        return mistake(r, "[vgpu %s] leaves before it arrives", r->vgpu.name);
    return add_vgpus(r);
}

/* text: the line from '[' on. */
static void open_section(struct reader *r, char *text)
{
    char *end = strchr(text, ']'), *name = text + 1;

    if (end_section(r) < 0)
        return;
    if (!end) {
        mistake(r, "']' is missing");
        return;
    }
    *end = '\0';
    if (!strcmp(name, "gpu")) {
        r->in_gpu = true;
        return;
    }
    if (strncmp(name, "vgpu", 4) != 0 || !isblank((unsigned char)name[4])) {
        mistake(r, "unknown section [%s]; known are: [gpu], [vgpu NAME]", name);
        return;
    }
    name += 4 + strspn(name + 4, " \t");
    if (!*name || strlen(name) > SIM_NAME_MAX) {
        mistake(r, "a vGPU needs a name of 1 to %d bytes", SIM_NAME_MAX);
        return;
    }
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) {
            mistake(r, "'%s' is no name: letters, digits, '.', '_' and '-'", name);
            return;
        }
    }
    r->in_vgpu = true;
    r->has_work = false;
    r->n_changes = 0;
    r->count = 1;
    r->vgpu = (struct sim_vgpu_config){.knobs = SCHED_KNOBS_DEFAULT};
    snprintf(r->vgpu.name, sizeof(r->vgpu.name), "%s", name);
}

/* Gives libinih the next line, an empty one in place of a section's. Leading blanks are taken off:
 * it would take an indented line for the continuation of the one before. */
static char *next_line(char *buf, int size, void *opaque)
{
    struct reader *r = opaque;

    if (r->result < 0)
        return NULL;
    if (!fgets(buf, size, r->file)) {
        if (ferror(r->file)) {
            mistake(r, "can't be read");
            r->result = -EIO;
        }
        return NULL;
    }
    r->line++;
    if (!strchr(buf, '\n') && !feof(r->file)) {
        mistake(r, "a line of more than %d bytes", size - 2);
        return NULL;
    }
    size_t blanks = strspn(buf, " \t");
    memmove(buf, buf + blanks, strlen(buf + blanks) + 1);
    if (*buf == '[') {
        open_section(r, buf);
        *buf = '\0';
    }
    return buf;
}

int sim_table_load(struct sim_table *ret, FILE *file, const char *path, char *error,
                   size_t error_size)
{
    struct sim_table table = {.config = SIM_CONFIG_DEFAULT, .run_ns = RUN_DEFAULT_NS};
    struct reader r = {
        .file = file, .table = &table, .path = path, .error = error, .error_size = error_size};
    int line = ini_parse_stream(next_line, &r, take_key, &r);

    /* libinih goes on after a line that it can't take apart: ours may have come later. */
    if (line > 0 && (r.result == 0 || (unsigned)line < r.result_line)) {
        r.result = -EINVAL;
        snprintf(error, error_size, "%s:%d: expected key = value", path, line);
    }
    if (r.result == 0)
        end_section(&r);
    if (r.result == 0 && table.config.n_vgpus == 0)
        mistake(&r, "there is no [vgpu NAME]");
    if (r.result < 0) {
        sim_table_finish(&table);
        return r.result;
    }
    *ret = table;
    return 0;
}

void sim_table_finish(struct sim_table *t)
{
    for (size_t i = 0; i < t->config.n_vgpus; i++)
        free(t->config.vgpus[i].changes);
    free(t->config.vgpus);
    *t = (struct sim_table){0};
}
