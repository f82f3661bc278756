/* SPDX-License-Identifier: MIT */
#include "mediator/cli/claim.h"

#include "mediator/base/util.h"
#include "mediator/cli/client.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The daemon answers at once, but where the last one's renderer of the same name takes its time to
 * end: ten seconds, at the most two more for SIGKILL. */
#define CREATE_US UINT64_C(15000000)

struct claim {
    sd_varlink *link; /* owned */
    char *path;       /* of the control socket, owned */
    char *name;       /* owned; NULL = no answer yet */
    char *socket;     /* owned */
    int error;        /* of the answer; a message has been printed */
    bool ended;
    void (*lost)(void *opaque);
    void *opaque;
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The answer, or the end of the connection, after which nothing more comes. */
static int on_reply(sd_varlink *link, sd_json_variant *parameters, const char *error,
                    sd_varlink_reply_flags_t flags, void *opaque)
{
    struct claim *c = opaque;
    if (error) {
        bool was_open = c->name != NULL;
        c->ended = true;
        if (was_open && c->lost)
            c->lost(c->opaque);
        else if (!was_open) {
            client_explain(c->path, 0, error, parameters);
            c->error = -EPROTO;
        }
        return 0;
    }
    const char *name = client_string(parameters, "name");
    const char *socket = client_string(parameters, "socket");
    if (c->name)
        return 0;
    c->name = name ? strdup(name) : NULL;
    c->socket = socket ? strdup(socket) : NULL;
    if (!c->name || !c->socket || !(flags & SD_VARLINK_REPLY_CONTINUES)) {
        fprintf(stderr, "aliquot: aliquotd at %s: an answer without a vGPU\n", c->path);
        c->error = -EPROTO;
    }
    return 0;
}

/* Daemon and program belong to one build: what they agree on may change with it. */
static int check_version(const struct cli_options *options, bool quiet_if_absent)
{
    sd_json_variant *info = NULL;
    sd_varlink *link;
    _cleanup_free_ char *path = NULL;
    int r = client_connect(options, quiet_if_absent, &link, &path);
    if (r < 0)
        return r;
    r = client_call_on(link, path, "GetInfo", NULL, &info);
    sd_varlink_unref(link);
    if (r < 0)
        return r;
    const char *version = client_string(info, "version");
    if (!version || strcmp(version, ALIQUOT_VERSION) != 0) {
        fprintf(stderr,
                "aliquot: aliquotd at %s has version %s, this is aliquot %s. Restart it "
                "('systemctl restart aliquotd') if it has been updated, use the aliquot of its "
                "version, or have a daemon of your own with --private.\n",
                path, version ? version : "unknown", ALIQUOT_VERSION);
        r = -EPROTO;
    }
    sd_json_variant_unref(info);
    return r;
}

static int request(struct claim *c, const struct claim_args *args)
{
    int r = sd_varlink_bind_reply(c->link, on_reply);
    if (r >= 0) /* the reply's time is ours to watch, and later none is due */
        r = sd_varlink_set_relative_timeout(c->link, UINT64_MAX);
    if (r < 0)
        return r;
    sd_varlink_set_userdata(c->link, c);
    return sd_varlink_observebo(
        c->link, CLIENT_INTERFACE ".CreateVGPU",
        SD_JSON_BUILD_PAIR_CONDITION(args->name != NULL, "name", SD_JSON_BUILD_STRING(args->name)),
        SD_JSON_BUILD_PAIR_CONDITION(args->gpu != NULL, "gpu", SD_JSON_BUILD_STRING(args->gpu)),
        SD_JSON_BUILD_PAIR_CONDITION(args->backend != NULL, "backend",
                                     SD_JSON_BUILD_STRING(args->backend)),
        SD_JSON_BUILD_PAIR_CONDITION(args->vulkan != NULL, "vulkan",
                                     SD_JSON_BUILD_STRING(args->vulkan)),
        SD_JSON_BUILD_PAIR_CONDITION(args->max_memory_bytes > 0, "maxMemory",
                                     SD_JSON_BUILD_UNSIGNED(args->max_memory_bytes)),
        KNOBS_BUILD_PAIRS(&args->knobs));
}

static int wait_for_answer(struct claim *c)
{
    uint64_t deadline = now_us() + CREATE_US;
    while (!c->name && !c->error) {
        int r = sd_varlink_process(c->link);
        uint64_t now = now_us();
        if (r == 0 && now < deadline)
            r = sd_varlink_wait(c->link, deadline - now);
        else if (r == 0)
            r = -ETIMEDOUT;
        if (r == -EINTR)
            continue;
        if (r < 0 && !c->error) {
            client_explain(c->path, r, NULL, NULL);
            return r;
        }
    }
    return c->error;
}

int claim_open(const struct cli_options *options, const struct claim_args *args,
               bool quiet_if_absent, struct claim **ret)
{
    struct claim *c = calloc(1, sizeof(*c));
    if (!c) {
        fprintf(stderr, "aliquot: %s\n", strerror(ENOMEM));
        return -ENOMEM;
    }
    /* On a connection of its own: a link that has made a call takes its answer for the next one's.
     */
    int r = check_version(options, quiet_if_absent);
    if (r >= 0)
        r = client_connect(options, false, &c->link, &c->path);
    if (r >= 0) {
        r = request(c, args);
        if (r < 0)
            client_explain(c->path, r, NULL, NULL);
        else
            r = wait_for_answer(c);
    }
    if (r < 0) {
        claim_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

void claim_close(struct claim *c)
{
    if (!c)
        return;
    if (c->link)
        sd_varlink_bind_reply(c->link, NULL);
    sd_varlink_close_unref(c->link);
    free(c->path);
    free(c->name);
    free(c->socket);
    free(c);
}

const char *claim_name(const struct claim *c)
{
    return c->name;
}

const char *claim_socket(const struct claim *c)
{
    return c->socket;
}

int claim_watch(struct claim *c, sd_event *event, void (*lost)(void *opaque), void *opaque)
{
    c->lost = lost;
    c->opaque = opaque;
    if (c->ended) {
        lost(opaque);
        return 0;
    }
    return sd_varlink_attach_event(c->link, event, SD_EVENT_PRIORITY_NORMAL);
}
