/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/control_internal.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/claim.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/mediator.h"
#include "mediator/daemon/metrics.h"
#include "mediator/daemon/socket_dir.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-json.h>

/* Clients at one time beyond those that hold a claim, so that idle ones can't take all of the
 * daemon's descriptors. */
#define CONNECTIONS_MAX 64

int control_dispatch(sd_varlink *link, sd_json_variant *parameters,
                     const sd_json_dispatch_field *fields, void *ret)
{
    static struct log_limit limit = {.burst = 10, .window_s = 60};
    struct pollfd socket = {.fd = sd_varlink_get_fd(link), .events = POLLOUT};
    const struct client *client = sd_varlink_get_userdata(link);

    /* Who waits for each answer before he asks again has always room for one. */
    if (poll(&socket, 1, 0) == 1 && (socket.revents & POLLOUT))
        return sd_varlink_dispatch(link, parameters, fields, ret);
    if (log_allowed(&limit))
        log_warning("control: %s (pid %d, uid %d) asks and does not read, closing its connection",
                    client->peer.comm, client->peer.pid, client->peer.uid);
    (void)shutdown(socket.fd, SHUT_RDWR); /* sd-varlink sees the end and cleans up */
    return sd_varlink_error(link, "io.aliquot.Mediator.Failed", NULL);
}

static int on_info(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *opaque)
{
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    int r = control_dispatch(link, parameters, control_no_parameters, NULL);
    if (r != 0)
        return r;
    const char *on_demand = mediator_on_demand_socket(m);
    const char *metrics = m->metrics ? metrics_url(m->metrics) : NULL;
    return sd_varlink_replybo(
        link, SD_JSON_BUILD_PAIR_STRING("version", ALIQUOT_VERSION),
        SD_JSON_BUILD_PAIR_INTEGER("pid", getpid()), SD_JSON_BUILD_PAIR_STRING("gpu", m->gpu),
        SD_JSON_BUILD_PAIR_STRING("why", mediator_gpu_why(m)),
        SD_JSON_BUILD_PAIR_STRING("socketDir", socket_dir_path(m->dir)),
        SD_JSON_BUILD_PAIR_CONDITION(on_demand == NULL, "onDemandSocket", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(on_demand != NULL, "onDemandSocket",
                                     SD_JSON_BUILD_STRING(on_demand)),
        SD_JSON_BUILD_PAIR_CONDITION(metrics == NULL, "metrics", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(metrics != NULL, "metrics", SD_JSON_BUILD_STRING(metrics)));
}

/* ---- claims --------------------------------------------------------------------------------- */

struct create_parameters {
    const char *name, *gpu, *backend, *vulkan; /* borrowed from the message; NULL = not given */
    uint64_t max_memory_bytes;                 /* 0 = not given */
    struct control_knobs knobs;
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
    {"vulkan", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
     offsetof(struct create_parameters, vulkan), SD_JSON_NULLABLE},
    {"maxMemory", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_bytes,
     offsetof(struct create_parameters, max_memory_bytes), SD_JSON_NULLABLE},
    CONTROL_KNOB_FIELDS(struct create_parameters, knobs),
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

int control_error(sd_varlink *link, int error, const char *text)
{
    static const struct {
        int error;
        const char *id;
    } ids[] = {
        {-EEXIST, "io.aliquot.Mediator.NameTaken"},   {-EDQUOT, "io.aliquot.Mediator.TooManyVGPUs"},
        {-EACCES, "io.aliquot.Mediator.NotAllowed"},  {-EINVAL, "io.aliquot.Mediator.BadValue"},
        {-ENODEV, "io.aliquot.Mediator.BadValue"},    {-ERANGE, "io.aliquot.Mediator.BadValue"},
        {-ENOSPC, "io.aliquot.Mediator.NotAdmitted"}, {-EBUSY, "io.aliquot.Mediator.NotAdmitted"},
        {-EPERM, "io.aliquot.Mediator.NotPermitted"}, {-ENOENT, "io.aliquot.Mediator.NoSuchVGPU"},
        {-EIO, "io.aliquot.Mediator.NotKept"},
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
    (void)control_error(client->link, error, text);
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
        {"vulkan", p->vulkan},
        {"max-memory", p->max_memory_bytes > 0 ? memory : NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        int r = settings[i].value ? config_vgpu_set(v, settings[i].key, settings[i].value,
                                                    settings[i].key, ret_error)
                                  : 0;
        if (r < 0)
            return r;
    }
    int r = control_read_knobs(&p->knobs, v, ret_error);
    if (r < 0)
        return r;
    r = config_vgpu_inherit(v, &m->config->defaults);
    return r < 0 ? error_text(ret_error, r, "%s", strerror(-r)) : 0;
}

static int on_create(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                     void *opaque)
{
    struct client *client = opaque;
    struct mediator *m = client->control->mediator;
    struct create_parameters p = {0};
    int r = control_dispatch(link, parameters, create_fields, &p);
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
    return r < 0 ? control_error(link, r, error ? error : strerror(-r)) : 0;
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
        r = sd_varlink_server_bind_method_many(
            c->server, "io.aliquot.Mediator.ListVGPUs", control_on_list,
            "io.aliquot.Mediator.ListGPUs", control_on_list_gpus, "io.aliquot.Mediator.SetVGPU",
            control_on_set, "io.aliquot.Mediator.ReadEvents", control_on_events,
            "io.aliquot.Mediator.ReadWork", control_on_work, "io.aliquot.Mediator.GetInfo", on_info,
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
