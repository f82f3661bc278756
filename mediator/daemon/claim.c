/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/claim.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/listener.h"
#include "mediator/daemon/mediator.h"
#include "mediator/daemon/socket_dir.h"

#include <stdio.h>
#include <string.h>

/* ".2" … with the digits of an unsigned */
#define SUFFIX_MAX 12

struct claim {
    struct mediator *mediator;  /* borrowed */
    struct claim_config config; /* its vgpu.gpu is a copy, owned */
    const char *gpu;            /* borrowed from the mediator; NULL = waits for its name */
    char file[VGPU_NAME_MAX + sizeof(".sock")];
    struct listener *listener; /* owned; NULL = waits for its name */
    struct vgpu *vgpu;         /* NAME itself, borrowed from the mediator; NULL = likewise */
    struct claim *next;        /* owned by the mediator's list */
};

/* ---- connections ---------------------------------------------------------------------------- */

/* The name of one more connection: the smallest free number behind the claim's own name, which is
 * cut if it has to be. */
static void next_name(const struct claim *c, char name[static VGPU_NAME_MAX + 1])
{
    char suffix[SUFFIX_MAX];
    unsigned number = 1;
    do {
        int len = snprintf(suffix, sizeof(suffix), ".%u", ++number);
        snprintf(name, VGPU_NAME_MAX + 1, "%.*s%s", VGPU_NAME_MAX - len, c->config.vgpu.name,
                 suffix);
    } while (mediator_find_vgpu(c->mediator, name)); /* ends: vGPUs are bounded */
}

static int connect_another(struct claim *c, int connection, const struct peer *peer)
{
    struct vgpu_config config = c->config.vgpu;
    struct vgpu *v;
    next_name(c, config.name);
    _cleanup_free_ char *error = NULL;
    int r = vgpu_create(&config, c->gpu, VGPU_CLAIMED, listener_path(c->listener),
                        &c->mediator->env, c->vgpu, &v, &error);
    if (r < 0) {
        log_error("%s", error ? error : strerror(-r));
        close(connection);
        return r;
    }
    v->claim = c;
    mediator_add_vgpu(c->mediator, v);
    r = vgpu_connect(v, connection, peer);
    if (r < 0)
        mediator_remove_vgpu(c->mediator, v);
    return r;
}

static void on_connection(void *opaque, int connection)
{
    static struct log_limit limit = {.burst = 10, .window_s = 60};
    struct claim *c = opaque;
    struct mediator *m = c->mediator;
    const char *name = c->config.vgpu.name;
    char what[VGPU_NAME_MAX + 16];
    struct peer peer;
    snprintf(what, sizeof(what), "vGPU '%s'", name);
    if (!mediator_admits(m, connection, what, &peer)) {
        close(connection);
        return;
    }

    unsigned count = 0;
    struct vgpu *free_soon = NULL;
    for (struct vgpu *v = m->vgpus; v; v = v->next) {
        if (v->claim != c)
            continue;
        count++;
        if (!free_soon && vgpu_is_free(v))
            free_soon = v;
    }
    /* Better a new renderer than the wait for one that ends. */
    if (!c->vgpu->renderer)
        vgpu_connect(c->vgpu, connection, &peer);
    else if (count < CLAIM_CONNECTIONS_MAX && !mediator_is_full(m))
        connect_another(c, connection, &peer);
    else if (free_soon)
        vgpu_connect(free_soon, connection, &peer);
    else {
        if (log_allowed(&limit))
            log_warning("vGPU '%s': refused one more connection, of %s (pid %d, uid %d): it has "
                        "%u (at most %d), and there are %u vGPUs (max-vgpus allows %u)",
                        name, peer.comm, peer.pid, peer.uid, count, CLAIM_CONNECTIONS_MAX,
                        m->n_made, m->config->max_vgpus);
        close(connection);
    }
}

/* ---- begin and end -------------------------------------------------------------------------- */

static int open_socket(struct claim *c, char **ret_error)
{
    struct mediator *m = c->mediator;
    _cleanup_close_ int fd = -1;
    snprintf(c->file, sizeof(c->file), "%s.sock", c->config.vgpu.name);
    int r = socket_dir_listen(m->dir, c->file, &fd, ret_error);
    if (r < 0) {
        c->file[0] = '\0';
        return r;
    }
    _cleanup_free_ char *path = NULL;
    if (asprintf(&path, "%s/%s", socket_dir_path(m->dir), c->file) < 0)
        r = -ENOMEM;
    if (r == 0)
        r = listener_create(m->event, fd, path, on_connection, c, &c->listener);
    if (r == 0)
        take_fd(&fd);
    return r < 0 ? error_text(ret_error, r, "%s: %s", c->file, strerror(-r)) : 0;
}

static int choose_name(struct claim *c, char **ret_error)
{
    struct mediator *m = c->mediator;
    char *name = c->config.vgpu.name;
    if (*name) {
        int r = config_vgpu_check_name(name, "name", ret_error);
        const struct vgpu *other = r < 0 ? NULL : mediator_find_vgpu(m, name);
        if (!other)
            return r;
        if (other->kind == VGPU_CLAIMED && !other->claim)
            return -EAGAIN;
        return error_text(ret_error, -EEXIST, "there is a vGPU '%s' already (%s)", name,
                          vgpu_kind_name(other->kind));
    }
    unsigned number = 0;
    do
        snprintf(name, VGPU_NAME_MAX + 1, "run-%u", ++number);
    while (mediator_find_vgpu(m, name)); /* ends: vGPUs are bounded */
    return 0;
}

/* 1 = the vGPU is there, 0 = its name is still in the way. */
static int try_open(struct claim *c, char **ret_error)
{
    struct mediator *m = c->mediator;
    int r = choose_name(c, ret_error);
    if (r == -EAGAIN)
        return 0;
    if (r == 0 && mediator_is_full(m))
        r = error_text(ret_error, -EDQUOT, "there are %u vGPUs, as many as max-vgpus allows",
                       m->n_made);
    if (r == 0)
        r = mediator_resolve_gpu(m, &c->config.vgpu, "gpu", &c->gpu, ret_error);
    if (r == 0)
        r = open_socket(c, ret_error);
    if (r < 0)
        return r;
    struct vgpu *v;
    r = vgpu_create(&c->config.vgpu, c->gpu, VGPU_CLAIMED, listener_path(c->listener), &m->env,
                    NULL, &v, ret_error);
    if (r < 0)
        return r;
    v->claim = c;
    c->vgpu = v;
    mediator_add_vgpu(m, v);
    return 1;
}

int claim_create(struct mediator *m, const struct claim_config *config, struct claim **ret,
                 char **ret_error)
{
    if (!m->config->on_demand)
        return error_text(ret_error, -EACCES,
                          "this aliquotd makes no vGPUs but the configured ones (on-demand = no)");
    struct claim *c = malloc(sizeof(*c));
    if (!c)
        return error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    *c = (struct claim){.mediator = m, .config = *config, .next = m->claims};
    m->claims = c;
    c->config.vgpu.gpu = strdup(config->vgpu.gpu);
    int r = c->config.vgpu.gpu ? try_open(c, ret_error)
                               : error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    if (r < 0) {
        claim_destroy(c);
        return r;
    }
    *ret = c;
    if (r > 0)
        config->ready(config->opaque, c->config.vgpu.name, listener_path(c->listener));
    return 0;
}

void claim_destroy(struct claim *c)
{
    if (!c)
        return;
    struct mediator *m = c->mediator;
    struct claim **link = &m->claims;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;

    listener_destroy(c->listener);
    if (c->file[0])
        socket_dir_unlink(m->dir, c->file);
    for (struct vgpu *v = m->vgpus, *next; v; v = next) {
        next = v->next;
        if (v->claim != c)
            continue;
        v->claim = NULL;
        if (v->renderer)
            vgpu_stop(v); /* it leaves the list when its renderer has ended */
        else
            mediator_remove_vgpu(m, v);
    }
    free(c->config.vgpu.gpu);
    free(c);
}

bool claim_owns_idle(const struct claim *c, const struct vgpu *v)
{
    return c->vgpu == v;
}

void claim_set_knobs(struct claim *c, const struct sched_knobs *knobs)
{
    c->config.vgpu.knobs = *knobs;
    for (struct vgpu *v = c->mediator->vgpus; v; v = v->next) {
        if (v->claim == c)
            v->config.knobs = *knobs;
    }
}

const char *claim_name(const struct claim *c)
{
    return c->config.vgpu.name;
}

void claims_retry(struct mediator *m)
{
    for (struct claim *c = m->claims, *next; c; c = next) {
        next = c->next;
        if (c->vgpu)
            continue;
        char *error = NULL;
        int r = try_open(c, &error);
        if (r > 0)
            c->config.ready(c->config.opaque, c->config.vgpu.name, listener_path(c->listener));
        else if (r < 0)
            c->config.failed(c->config.opaque, r, error ? error : strerror(-r));
        free(error);
    }
}
