/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/control.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/mediator.h"
#include "mediator/daemon/socket_dir.h"

#include <string.h>
#include <systemd/sd-json.h>

/* Clients at one time, so that idle ones can't take all of the daemon's descriptors. */
#define CONNECTIONS_MAX 64

/* Both methods take no parameters; what comes nevertheless is an error for the caller. */
static const sd_json_dispatch_field no_parameters[] = {{0}};

struct control {
    struct mediator *mediator; /* borrowed */
    sd_varlink_server *server; /* owned */
};

/* Varlink's integers are signed; the counters come from a renderer and may be anything. */
static int64_t json_int(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int vgpu_to_json(const struct vgpu *v, sd_json_variant **ret)
{
    struct renderer_counters n = {0};
    bool active = v->renderer;
    if (active)
        renderer_counters_read(v->renderer, &n);
    return sd_json_buildo(
        ret, SD_JSON_BUILD_PAIR_STRING("name", v->config.name),
        SD_JSON_BUILD_PAIR_STRING("state", vgpu_state_name(vgpu_state(v))),
        SD_JSON_BUILD_PAIR_STRING("kind", v->on_demand ? "on-demand" : "configured"),
        SD_JSON_BUILD_PAIR_STRING("socket", v->socket_path),
        SD_JSON_BUILD_PAIR_CONDITION(!active, "peer", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(
            active, "peer",
            SD_JSON_BUILD_OBJECT(SD_JSON_BUILD_PAIR_INTEGER("pid", v->peer.pid),
                                 SD_JSON_BUILD_PAIR_INTEGER("uid", v->peer.uid),
                                 SD_JSON_BUILD_PAIR_INTEGER("gid", v->peer.gid),
                                 SD_JSON_BUILD_PAIR_STRING("comm", v->peer.comm))),
        SD_JSON_BUILD_PAIR_STRING("gpu", v->config.gpu),
        SD_JSON_BUILD_PAIR_STRING("backend", v->config.backend),
        SD_JSON_BUILD_PAIR_CONDITION(!(active && v->ready), "gl", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(active && v->ready, "gl",
                                     SD_JSON_BUILD_STRING(v->description)),
        SD_JSON_BUILD_PAIR_CONDITION(!active, "rendererPid", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(active, "rendererPid",
                                     SD_JSON_BUILD_INTEGER(active ? renderer_pid(v->renderer) : 0)),
        SD_JSON_BUILD_PAIR_INTEGER("resources", json_int(n.resources)),
        SD_JSON_BUILD_PAIR_INTEGER("resourceBytes", json_int(n.resource_bytes)),
        SD_JSON_BUILD_PAIR_INTEGER("contexts", json_int(n.contexts)),
        SD_JSON_BUILD_PAIR_INTEGER("submits", json_int(n.submits)),
        SD_JSON_BUILD_PAIR_INTEGER("commands", json_int(n.commands)),
        SD_JSON_BUILD_PAIR_INTEGER("fences", json_int(n.fences)),
        SD_JSON_BUILD_PAIR_INTEGER("rejected", json_int(n.rejected)),
        SD_JSON_BUILD_PAIR_INTEGER("flushes", json_int(n.flushes)),
        SD_JSON_BUILD_PAIR_CONDITION(!active, "connectedUsec", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(active, "connectedUsec",
                                     SD_JSON_BUILD_INTEGER(json_int(v->connected_us))));
}

static int on_list(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *opaque)
{
    const struct control *c = opaque;
    int r = sd_varlink_dispatch(link, parameters, no_parameters, NULL);
    if (r != 0)
        return r;

    sd_json_variant *vgpus = NULL;
    r = sd_json_variant_new_array(&vgpus, NULL, 0);
    for (const struct vgpu *v = c->mediator->vgpus; v && r >= 0; v = v->next) {
        sd_json_variant *one = NULL;
        r = vgpu_to_json(v, &one);
        if (r >= 0)
            r = sd_json_variant_append_array(&vgpus, one);
        sd_json_variant_unref(one);
    }
    if (r >= 0)
        r = sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("vgpus", vgpus));
    sd_json_variant_unref(vgpus);
    return r;
}

static int on_info(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *opaque)
{
    const struct control *c = opaque;
    const struct mediator *m = c->mediator;
    int r = sd_varlink_dispatch(link, parameters, no_parameters, NULL);
    if (r != 0)
        return r;
    return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_STRING("version", ALIQUOT_VERSION),
                              SD_JSON_BUILD_PAIR_INTEGER("pid", getpid()),
                              SD_JSON_BUILD_PAIR_STRING("gpu", m->gpu),
                              SD_JSON_BUILD_PAIR_STRING("why", mediator_gpu_why(m)),
                              SD_JSON_BUILD_PAIR_STRING("socketDir", socket_dir_path(m->dir)));
}

/* An error here makes sd-varlink close the connection. */
static int on_connect(sd_varlink_server *server, sd_varlink *link, void *opaque)
{
    struct control *c = opaque;
    struct peer peer;
    return mediator_admits(c->mediator, sd_varlink_get_fd(link), "control", &peer) ? 0 : -EPERM;
}

int control_create(struct mediator *m, int fd, struct control **ret)
{
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->mediator = m;
    int r = sd_varlink_server_new(&c->server, SD_VARLINK_SERVER_INHERIT_USERDATA);
    if (r >= 0)
        r = sd_varlink_server_set_info(c->server, "Aliquot", "aliquotd", ALIQUOT_VERSION, "");
    if (r >= 0)
        r = sd_varlink_server_add_interface(c->server, &vl_interface_io_aliquot_Mediator);
    if (r >= 0)
        r = sd_varlink_server_bind_method_many(c->server, "io.aliquot.Mediator.ListVGPUs", on_list,
                                               "io.aliquot.Mediator.GetInfo", on_info);
    if (r >= 0)
        r = sd_varlink_server_bind_connect(c->server, on_connect);
    if (r >= 0) {
        sd_varlink_server_set_userdata(c->server, c);
        r = sd_varlink_server_set_connections_max(c->server, CONNECTIONS_MAX);
    }
    if (r >= 0)
        r = sd_varlink_server_attach_event(c->server, m->event, SD_EVENT_PRIORITY_NORMAL);
    if (r >= 0)
        r = sd_varlink_server_listen_fd(c->server, fd);
    if (r < 0) {
        control_destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

void control_destroy(struct control *c)
{
    if (!c)
        return;
    sd_varlink_server_shutdown(c->server); /* also closes its connections */
    sd_varlink_server_unref(c->server);
    free(c);
}
