/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/control.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/claim.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/mediator.h"
#include "mediator/daemon/socket_dir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-json.h>

/* Clients at one time beyond those that hold a claim, so that idle ones can't take all of the
 * daemon's descriptors. */
#define CONNECTIONS_MAX 64

/* What comes nevertheless is an error for the caller. */
static const sd_json_dispatch_field no_parameters[] = {{0}};

struct control {
    struct mediator *mediator; /* borrowed */
    sd_varlink_server *server; /* owned */
    struct client *clients;    /* owned list */
};

/* One connection. Its claim lives as long. */
struct client {
    struct control *control; /* borrowed */
    sd_varlink *link;        /* borrowed: the server has it until on_disconnect() */
    struct peer peer;
    struct claim *claim; /* owned; NULL = none */
    struct client *next; /* owned by the control's list */
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
        SD_JSON_BUILD_PAIR_STRING("kind", vgpu_kind_name(v->kind)),
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
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    int r = sd_varlink_dispatch(link, parameters, no_parameters, NULL);
    if (r != 0)
        return r;

    sd_json_variant *vgpus = NULL;
    r = sd_json_variant_new_array(&vgpus, NULL, 0);
    for (const struct vgpu *v = m->vgpus; v && r >= 0; v = v->next) {
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
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    int r = sd_varlink_dispatch(link, parameters, no_parameters, NULL);
    if (r != 0)
        return r;
    const char *on_demand = mediator_on_demand_socket(m);
    return sd_varlink_replybo(
        link, SD_JSON_BUILD_PAIR_STRING("version", ALIQUOT_VERSION),
        SD_JSON_BUILD_PAIR_INTEGER("pid", getpid()), SD_JSON_BUILD_PAIR_STRING("gpu", m->gpu),
        SD_JSON_BUILD_PAIR_STRING("why", mediator_gpu_why(m)),
        SD_JSON_BUILD_PAIR_STRING("socketDir", socket_dir_path(m->dir)),
        SD_JSON_BUILD_PAIR_CONDITION(on_demand == NULL, "onDemandSocket", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(on_demand != NULL, "onDemandSocket",
                                     SD_JSON_BUILD_STRING(on_demand)));
}

/* ---- claims --------------------------------------------------------------------------------- */

struct create_parameters {
    const char *name, *gpu, *backend; /* borrowed from the message; NULL = not given */
    uint64_t max_memory_bytes;        /* 0 = not given */
};

static int dispatch_bytes(const char *name, sd_json_variant *value, sd_json_dispatch_flags_t flags,
                          void *opaque)
{
    return sd_json_variant_is_null(value) ? 0 : sd_json_dispatch_uint64(name, value, flags, opaque);
}

static const sd_json_dispatch_field create_fields[] = {
    {"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
     offsetof(struct create_parameters, name), SD_JSON_NULLABLE},
    {"gpu", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
     offsetof(struct create_parameters, gpu), SD_JSON_NULLABLE},
    {"backend", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
     offsetof(struct create_parameters, backend), SD_JSON_NULLABLE},
    {"maxMemory", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_bytes,
     offsetof(struct create_parameters, max_memory_bytes), SD_JSON_NULLABLE},
    {0},
};

static void on_claim_ready(void *opaque, const char *name, const char *socket_path)
{
    struct client *client = opaque;
    log_info("vGPU '%s': claimed by %s (pid %d, uid %d)", name, client->peer.comm, client->peer.pid,
             client->peer.uid);
    int r = sd_varlink_notifybo(client->link, SD_JSON_BUILD_PAIR_STRING("name", name),
                                SD_JSON_BUILD_PAIR_STRING("socket", socket_path));
    if (r < 0) /* its end follows */
        log_warning("vGPU '%s': can't answer the one who claimed it: %s", name, strerror(-r));
}

static int claim_error(sd_varlink *link, int error, const char *text)
{
    static const struct {
        int error;
        const char *id;
    } ids[] = {
        {-EEXIST, "io.aliquot.Mediator.NameTaken"},  {-EDQUOT, "io.aliquot.Mediator.TooManyVGPUs"},
        {-EACCES, "io.aliquot.Mediator.NotAllowed"}, {-EINVAL, "io.aliquot.Mediator.BadValue"},
        {-ENODEV, "io.aliquot.Mediator.BadValue"},
    };
    const char *id = "io.aliquot.Mediator.Failed";
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        if (ids[i].error == error)
            id = ids[i].id;
    }
    return sd_varlink_errorbo(link, id, SD_JSON_BUILD_PAIR_STRING("message", text));
}

static void on_claim_failed(void *opaque, int error, const char *text)
{
    struct client *client = opaque;
    claim_destroy(TAKE_PTR(client->claim));
    (void)claim_error(client->link, error, text);
}

/* The table of the configuration's keys checks the values. */
static int read_settings(const struct mediator *m, const struct create_parameters *p,
                         struct vgpu_config *v, char **ret_error)
{
    char memory[24];
    snprintf(memory, sizeof(memory), "%" PRIu64, p->max_memory_bytes);
    const struct {
        const char *key, *value;
    } settings[] = {
        {"gpu", p->gpu},
        {"backend", p->backend},
        {"max-memory", p->max_memory_bytes > 0 ? memory : NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        int r = settings[i].value ? config_vgpu_set(v, settings[i].key, settings[i].value,
                                                    settings[i].key, ret_error)
                                  : 0;
        if (r < 0)
            return r;
    }
    int r = config_vgpu_inherit(v, &m->config->defaults);
    return r < 0 ? error_text(ret_error, r, "%s", strerror(-r)) : 0;
}

static int on_create(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                     void *opaque)
{
    struct client *client = opaque;
    struct mediator *m = client->control->mediator;
    struct create_parameters p = {0};
    int r = sd_varlink_dispatch(link, parameters, create_fields, &p);
    if (r != 0)
        return r;
    if (!(flags & SD_VARLINK_METHOD_MORE)) /* the claim would end before the caller knows of it */
        return sd_varlink_error(link, SD_VARLINK_ERROR_EXPECTED_MORE, NULL);

    struct claim_config config = {.vgpu = config_vgpu_unset,
                                  .ready = on_claim_ready,
                                  .failed = on_claim_failed,
                                  .opaque = client};
    _cleanup_free_ char *error = NULL;
    if (p.name) {
        r = config_vgpu_check_name(p.name, "name", &error);
        snprintf(config.vgpu.name, sizeof(config.vgpu.name), "%s", p.name);
    }
    if (r == 0)
        r = read_settings(m, &p, &config.vgpu, &error);
    if (r == 0)
        r = claim_create(m, &config, &client->claim, &error);
    free(config.vgpu.gpu);
    return r < 0 ? claim_error(link, r, error ? error : strerror(-r)) : 0;
}

/* ---- connections ---------------------------------------------------------------------------- */

/* An error here makes sd-varlink close the connection. */
static int on_connect(sd_varlink_server *server, sd_varlink *link, void *opaque)
{
    struct control *c = opaque;
    struct peer peer;
    if (!mediator_admits(c->mediator, sd_varlink_get_fd(link), "control", &peer))
        return -EPERM;
    struct client *client = malloc(sizeof(*client));
    if (!client)
        return -ENOMEM;
    *client = (struct client){.control = c, .link = link, .peer = peer, .next = c->clients};
    c->clients = client;
    sd_varlink_set_userdata(link, client);
    return 0;
}

/* Also for those that on_connect() has refused. */
static void on_disconnect(sd_varlink_server *server, sd_varlink *link, void *opaque)
{
    struct control *c = opaque;
    for (struct client **at = &c->clients; *at; at = &(*at)->next) {
        struct client *client = *at;
        if (client->link != link)
            continue;
        *at = client->next;
        claim_destroy(client->claim);
        free(client);
        return;
    }
}

int control_create(struct mediator *m, int fd, struct control **ret)
{
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->mediator = m;
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): no flag is a flag set too
    int r = sd_varlink_server_new(&c->server, 0);
    if (r >= 0)
        r = sd_varlink_server_set_info(c->server, "Aliquot", "aliquotd", ALIQUOT_VERSION, "");
    if (r >= 0)
        r = sd_varlink_server_add_interface(c->server, &vl_interface_io_aliquot_Mediator);
    if (r >= 0)
        r = sd_varlink_server_bind_method_many(c->server, "io.aliquot.Mediator.ListVGPUs", on_list,
                                               "io.aliquot.Mediator.GetInfo", on_info,
                                               "io.aliquot.Mediator.CreateVGPU", on_create);
    if (r >= 0)
        r = sd_varlink_server_bind_connect(c->server, on_connect);
    if (r >= 0)
        r = sd_varlink_server_bind_disconnect(c->server, on_disconnect);
    if (r >= 0) {
        sd_varlink_server_set_userdata(c->server, c);
        r = sd_varlink_server_set_connections_max(c->server,
                                                  CONNECTIONS_MAX + m->config->max_vgpus);
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
    if (c->server)
        sd_varlink_server_shutdown(c->server);
    while (c->clients)
        sd_varlink_close(c->clients->link); /* on_disconnect() follows */
    sd_varlink_server_unref(c->server);
    free(c);
}
