/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/mediator.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/arbiter_set.h"
#include "mediator/daemon/claim.h"
#include "mediator/daemon/control.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/listener.h"
#include "mediator/daemon/metrics.h"
#include "mediator/daemon/socket_dir.h"
#include "mediator/daemon/state.h"

#include <stdio.h>
#include <string.h>

/* More than sun_path of struct sockaddr_un, with the NUL. */
#define SOCKET_PATH_MAX 128
/* "auto-" and the digits of an unsigned, with room to spare */
#define ON_DEMAND_NAME_MAX 32

/* For all renderers to end: SIGTERM, two seconds, SIGKILL, and time for the kernel. */
#define STOP_US UINT64_C(10000000)

/* A socket for vGPUs: that of one, or the one where each connection makes its own. */
struct door {
    struct listener *listener; /* owned */
    struct vgpu *vgpu;         /* borrowed; NULL = on demand */
    struct mediator *mediator; /* borrowed */
    struct door *next;         /* owned by the mediator's list */
};

/* ---- the life of vGPUs ---------------------------------------------------------------------- */

void mediator_add_vgpu(struct mediator *m, struct vgpu *v)
{
    struct vgpu **end = &m->vgpus;
    while (*end)
        end = &(*end)->next;
    *end = v;
    if (v->kind != VGPU_CONFIGURED)
        m->n_made++;
}

void mediator_remove_vgpu(struct mediator *m, struct vgpu *v)
{
    struct vgpu **link = &m->vgpus;
    while (*link != v)
        link = &(*link)->next;
    *link = v->next;
    if (v->kind != VGPU_CONFIGURED)
        m->n_made--;
    vgpu_destroy(v);
}

static void exit_if_stopped(struct mediator *m)
{
    if (!m->stopping)
        return;
    for (struct vgpu *v = m->vgpus; v; v = v->next) {
        if (v->renderer)
            return;
    }
    sd_event_exit(m->event, 0);
}

static void on_vgpu_idle(void *opaque, struct vgpu *v)
{
    struct mediator *m = opaque;
    if (v->kind != VGPU_CONFIGURED && !(v->claim && claim_owns_idle(v->claim, v))) {
        mediator_remove_vgpu(m, v);
        if (!m->stopping)
            claims_retry(m); /* someone may wait for its name */
    }
    exit_if_stopped(m);
}

struct vgpu *mediator_find_vgpu(const struct mediator *m, const char *name)
{
    for (struct vgpu *v = m->vgpus; v; v = v->next) {
        if (!strcmp(v->config.name, name))
            return v;
    }
    return NULL;
}

bool mediator_is_full(const struct mediator *m)
{
    return m->n_made >= m->config->max_vgpus;
}

int mediator_set_knobs(struct mediator *m, const struct vgpu_config *change, bool keep,
                       char **ret_error)
{
    const char *name = change->name;
    struct vgpu *v = mediator_find_vgpu(m, name);

    if (!v)
        return error_text(ret_error, -ENOENT, "there is no vGPU '%s'", name);
    if (keep && v->kind != VGPU_CONFIGURED)
        return error_text(ret_error, -EINVAL,
                          "vGPU '%s' is %s and goes with its connection: only what configured ones "
                          "have can be kept",
                          name, vgpu_kind_name(v->kind));
    struct sched_knobs knobs = v->config.knobs;
    config_vgpu_merge_knobs(change, &knobs);
    int r = vgpu_set_knobs(v, &knobs, ret_error);
    if (r < 0)
        return r;
    if (v->claim)
        claim_set_knobs(v->claim, &knobs);

    _cleanup_free_ char *error = NULL;
    if (keep && state_keep(m->state, change, &error) < 0)
        return error_text(ret_error, -EIO, "vGPU '%s': the change is in force, but not kept: %s",
                          name, error ? error : strerror(ENOMEM));
    return 0;
}

/* Makes a vGPU with the smallest free number for one connection, which it consumes. */
static void connect_on_demand(struct mediator *m, const char *socket_path, int connection,
                              const struct peer *peer)
{
    static struct log_limit limit = {.burst = 10, .window_s = 60};
    if (mediator_is_full(m)) {
        if (log_allowed(&limit))
            log_warning("refused a connection of %s (pid %d, uid %d): there are %u vGPUs on "
                        "demand, as many as max-vgpus allows",
                        peer->comm, peer->pid, peer->uid, m->n_made);
        close(connection);
        return;
    }
    struct vgpu_config config = m->config->defaults;
    char name[ON_DEMAND_NAME_MAX];
    unsigned number = 0;
    do
        snprintf(name, sizeof(name), "auto-%u", ++number);
    while (mediator_find_vgpu(m, name)); /* ends: at most max_vgpus are */
    snprintf(config.name, sizeof(config.name), "%s", name);

    struct vgpu *v;
    const char *gpu;
    _cleanup_free_ char *error = NULL;
    if (mediator_resolve_gpu(m, &config, "gpu", &gpu, &error) < 0 ||
        vgpu_create(&config, gpu, VGPU_ON_DEMAND, socket_path, &m->env, NULL, &v, &error) < 0) {
        if (log_allowed(&limit))
            log_error("%s", error ? error : strerror(ENOMEM));
        close(connection);
        return;
    }
    mediator_add_vgpu(m, v);
    if (vgpu_connect(v, connection, peer) < 0)
        mediator_remove_vgpu(m, v);
}

bool mediator_admits(struct mediator *m, int sock, const char *what, struct peer *ret_peer)
{
    static struct log_limit limit = {.burst = 10, .window_s = 60};
    int r = peer_read(sock, ret_peer);
    if (r < 0) {
        if (log_allowed(&limit))
            log_warning("%s: refused a connection: can't tell whose it is: %s", what, strerror(-r));
        return false;
    }
    if (peer_allowed(&m->config->peers, sock, ret_peer))
        return true;
    if (log_allowed(&limit))
        log_warning("%s: refused %s (pid %d, uid %d): neither its user nor a group of it is "
                    "allowed",
                    what, ret_peer->comm, ret_peer->pid, ret_peer->uid);
    return false;
}

static void on_connection(void *opaque, int connection)
{
    struct door *door = opaque;
    struct mediator *m = door->mediator;
    struct peer peer;
    char what[VGPU_NAME_MAX + 16] = "vGPU on demand";
    if (door->vgpu)
        snprintf(what, sizeof(what), "vGPU '%s'", door->vgpu->config.name);
    if (!mediator_admits(m, connection, what, &peer))
        close(connection);
    else if (door->vgpu)
        vgpu_connect(door->vgpu, connection, &peer);
    else
        connect_on_demand(m, listener_path(door->listener), connection, &peer);
}

/* ---- start ---------------------------------------------------------------------------------- */

/* A listening socket, the service manager's or a new one, and its path. */
static int open_socket(struct mediator *m, struct activation *activation, const char *name,
                       const char *file, int *ret_fd, char ret_path[static SOCKET_PATH_MAX],
                       char **ret_error)
{
    struct activation_socket *given = activation_find(activation, name);
    if (!given) {
        int r = socket_dir_listen(m->dir, file, ret_fd, ret_error);
        if (r == 0)
            snprintf(ret_path, SOCKET_PATH_MAX, "%s/%s", socket_dir_path(m->dir), file);
        return r;
    }
    snprintf(ret_path, SOCKET_PATH_MAX, "%s", given->path);
    *ret_fd = take_fd(&given->fd);
    return 0;
}

static int open_door(struct mediator *m, struct vgpu *v, int fd, const char *path)
{
    struct door *door = malloc(sizeof(*door));
    if (!door)
        return -ENOMEM;
    *door = (struct door){.vgpu = v, .mediator = m};
    int r = listener_create(m->event, fd, path, on_connection, door, &door->listener);
    if (r < 0) {
        free(door);
        return r;
    }
    door->next = m->doors;
    m->doors = door;
    return 0;
}

/* v: NULL = the socket for vGPUs on demand. */
static int add_door(struct mediator *m, struct activation *activation, struct vgpu *v,
                    char **ret_error)
{
    char file[VGPU_NAME_MAX + sizeof(".sock")] = MEDIATOR_ON_DEMAND_SOCKET;
    if (v)
        snprintf(file, sizeof(file), "%s.sock", v->config.name);
    char path[SOCKET_PATH_MAX];
    _cleanup_close_ int fd = -1;
    int r = open_socket(m, activation, v ? v->config.name : ACTIVATION_ON_DEMAND, file, &fd, path,
                        ret_error);
    if (r < 0)
        return r;
    char *copy = strdup(path);
    r = copy ? open_door(m, v, fd, path) : -ENOMEM;
    if (r == 0)
        take_fd(&fd);
    if (r == 0 && v) {
        free(v->socket_path);
        v->socket_path = TAKE_PTR(copy);
    }
    free(copy);
    return r < 0 ? error_text(ret_error, r, "%s: %s", path, strerror(-r)) : 0;
}

static bool needs_gpu(const struct vgpu_config *v)
{
    return strcmp(v->backend, "null") != 0;
}

int mediator_resolve_gpu(struct mediator *m, const struct vgpu_config *v, const char *where,
                         const char **ret_gpu, char **ret_error)
{
    if (!needs_gpu(v)) {
        *ret_gpu = "none";
        return 0;
    }
    if (!m->gpus.why)
        return error_text(
            ret_error, -ENODEV,
            "%s: this aliquotd draws nothing (backend null) and has looked for no GPU", where);
    struct gpu_ids gpus;
    int r = gpu_list_resolve(&m->gpus, v->gpu, where, &gpus, ret_error);
    return r < 0 ? r
                 : arbiter_set_place(m->arbiters, &gpus, v->name, &v->knobs, ret_gpu, ret_error);
}

/* Which GPUs vGPUs that name none go to. */
static int choose_default_gpu(struct mediator *m, char **ret_error)
{
    struct gpu_ids gpus;
    int r = gpu_list_resolve(&m->gpus, m->config->defaults.gpu, "gpu", &gpus, ret_error);
    if (r < 0)
        return r;
    m->gpu = gpus.count == 1 ? gpus.ids[0] : "auto";
    for (size_t i = 0; i < gpus.count && gpus.count > 1; i++) {
        char *why;
        if (asprintf(&why, "%s%s%s",
                     m->gpu_why ? m->gpu_why : "for each vGPU the least committed of ",
                     m->gpu_why ? ", " : "", gpus.ids[i]) < 0)
            return error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
        free(m->gpu_why);
        m->gpu_why = why;
    }
    log_info("GPU %s: %s", m->gpu, mediator_gpu_why(m));
    return 0;
}

/* Finds out what GPUs there are, if anything draws on one. */
static int choose_gpus(struct mediator *m, char **ret_error)
{
    const struct config *c = m->config;
    bool needed = needs_gpu(&c->defaults) && c->on_demand;
    for (size_t i = 0; i < c->n_vgpus; i++)
        needed |= needs_gpu(&c->vgpus[i]);
    m->gpu = "none";
    if (!needed) {
        log_info("no GPU is needed: the null backend draws nothing");
        return 0;
    }
    int r = gpu_list_probe(m->env.renderer_program, &m->gpus, ret_error);
    if (r < 0)
        return r;
    return needs_gpu(&c->defaults) ? choose_default_gpu(m, ret_error) : 0;
}

static int add_configured(struct mediator *m, const struct vgpu_config *config,
                          struct activation *activation, char **ret_error)
{
    const char *gpu;
    char where[VGPU_NAME_MAX + 16];
    snprintf(where, sizeof(where), "vGPU '%s'", config->name);
    int r = mediator_resolve_gpu(m, config, where, &gpu, ret_error);
    if (r < 0)
        return r;
    struct vgpu *v;
    r = vgpu_create(config, gpu, VGPU_CONFIGURED, "", &m->env, NULL, &v, ret_error);
    if (r < 0)
        return r;
    mediator_add_vgpu(m, v);
    return add_door(m, activation, v, ret_error);
}

/* Each change is possible in the end, or not at all: a reservation may have to wait for another
 * one's to be lowered. */
static void apply_kept(struct mediator *m)
{
    const struct vgpu_config *kept;
    bool done[CONFIG_VGPUS_MAX] = {0}, progress = true;

    for (bool last = false; progress || !last;) {
        last = !progress;
        progress = false;
        for (size_t i = 0; (kept = state_at(m->state, i)) && i < ARRAY_SIZE(done); i++) {
            char *error = NULL;
            if (done[i])
                continue;
            done[i] = mediator_set_knobs(m, kept, false, &error) == 0;
            progress |= done[i];
            if (done[i])
                log_info("vGPU '%s': has what 'aliquot set --persist' gave it", kept->name);
            else if (last)
                log_warning(STATE_FILE ": %s; what is kept for it is ignored", error ? error : "");
            free(error);
        }
    }
}

int mediator_open(struct mediator *m, struct activation *activation, char **ret_error)
{
    const struct config *c = m->config;
    const struct socket_dir_config dir_config = {.path = c->socket_dir,
                                                 .socket_mode = c->socket_mode,
                                                 .socket_group = c->socket_group,
                                                 .remove = m->remove_dir};
    int r = socket_dir_open(&dir_config, &m->dir, ret_error);
    for (size_t i = 0; i < c->n_vgpus && r == 0; i++)
        r = add_configured(m, &c->vgpus[i], activation, ret_error);
    if (r == 0 && c->on_demand)
        r = add_door(m, activation, NULL, ret_error);
    if (r == 0 && c->metrics.ss_family != AF_UNSPEC)
        r = metrics_create(m, &c->metrics, &m->metrics, ret_error);
    if (r < 0)
        return r;
    apply_kept(m);

    char path[SOCKET_PATH_MAX];
    _cleanup_close_ int fd = -1;
    r = open_socket(m, activation, ACTIVATION_CONTROL, MEDIATOR_CONTROL_SOCKET, &fd, path,
                    ret_error);
    if (r < 0)
        return r;
    r = control_create(m, fd, &m->control);
    if (r < 0)
        return error_text(ret_error, r, "%s: %s", path, strerror(-r));
    take_fd(&fd);
    return 0;
}

int mediator_create(const struct mediator_config *config, struct mediator **ret, char **ret_error)
{
    struct mediator *m = calloc(1, sizeof(*m));
    if (!m)
        return error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    m->config = config->config;
    m->event = config->event;
    m->remove_dir = config->remove_dir;
    m->env = (struct vgpu_env){.event = config->event,
                               .renderer_program = config->renderer_program,
                               .verbose = config->verbose,
                               .idle = on_vgpu_idle,
                               .opaque = m};
    int r = arbiter_set_create(config->config, config->event, &m->arbiters);
    if (r < 0)
        error_text(ret_error, r, "%s", strerror(-r));
    m->env.arbiters = m->arbiters;
    if (r == 0 && (r = state_create(config->config->state_dir, &m->state)) < 0)
        error_text(ret_error, r, "%s", strerror(-r));
    if (r == 0)
        r = choose_gpus(m, ret_error);
    if (r < 0) {
        mediator_destroy(m);
        return r;
    }
    *ret = m;
    return 0;
}

const char *mediator_on_demand_socket(const struct mediator *m)
{
    for (const struct door *door = m->doors; door; door = door->next) {
        if (!door->vgpu)
            return listener_path(door->listener);
    }
    return NULL;
}

const char *mediator_gpu_why(const struct mediator *m)
{
    if (!strcmp(m->gpu, "none"))
        return "the null backend draws nothing";
    if (m->gpu_why)
        return m->gpu_why;
    if (strcmp(m->config->defaults.gpu, "auto") != 0)
        return "as configured";
    return m->gpus.why;
}

/* ---- end ------------------------------------------------------------------------------------ */

static void close_sockets(struct mediator *m)
{
    while (m->doors) {
        struct door *door = m->doors;
        m->doors = door->next;
        listener_destroy(door->listener);
        free(door);
    }
    control_destroy(TAKE_PTR(m->control));
    metrics_destroy(TAKE_PTR(m->metrics));
    socket_dir_close(TAKE_PTR(m->dir));
}

static int on_stop_deadline(sd_event_source *source, uint64_t usec, void *opaque)
{
    log_error("a renderer survives SIGKILL (stuck in the kernel?), leaving it behind");
    return sd_event_exit(sd_event_source_get_event(source), 1);
}

void mediator_stop(struct mediator *m)
{
    bool again = m->stopping;
    if (!again)
        sd_event_add_time_relative(m->event, NULL, CLOCK_MONOTONIC, STOP_US, 0, on_stop_deadline,
                                   NULL);
    m->stopping = true;
    close_sockets(m);
    /* A vGPU leaves the list only when its renderer's end is seen, later in the event loop. That of
     * an ended claim has been told already. */
    for (struct vgpu *v = m->vgpus; v; v = v->next) {
        if (again || v->kind != VGPU_CLAIMED)
            vgpu_stop(v);
    }
    exit_if_stopped(m);
}

void mediator_destroy(struct mediator *m)
{
    if (!m)
        return;
    close_sockets(m);
    while (m->vgpus)
        mediator_remove_vgpu(m, m->vgpus);
    arbiter_set_destroy(m->arbiters);
    state_destroy(m->state);
    gpu_list_destroy(&m->gpus);
    free(m->gpu_why);
    free(m);
}
