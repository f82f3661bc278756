/* SPDX-License-Identifier: MIT */
#include "tests/unit/vtest_fixture.h"

#include "mediator/base/util.h"
#include "tests/unit/gate_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct vtest_server server;

static int held_fence(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                      uint64_t fence_id)
{
    if (server.fence_result < 0)
        return server.fence_result;
    server.n_fences++;
    server.last_fence = fence_id;
    server.last_per_context = per_context;
    server.last_ctx_id = ctx_id;
    server.last_ring_idx = ring_idx;
    return 0;
}

static void on_ended(void *opaque, bool broken, const char *reason)
{
    assert_false(server.ended);
    server.ended = true;
    server.broken = broken;
    strncpy(server.reason, reason, sizeof(server.reason) - 1);
    vtest_session_destroy(TAKE_PTR(server.session));
}

void turn(void)
{
    unsigned events = 0;

    while (sd_event_run(server.event, 0) > 0)
        assert_true(++events < 100);
}

void say(const void *data, size_t size)
{
    assert_int_equal(send(server.sock, data, size, MSG_NOSIGNAL), size);
    turn();
}

void assert_silent(void)
{
    char byte;
    assert_int_equal(recv(server.sock, &byte, 1, MSG_DONTWAIT), -1);
}

static int set_up(bool gated)
{
    const char *error;
    int fds[2];

    server = (struct vtest_server){0};
    assert_int_equal(sd_event_new(&server.event), 0);
    if (gated)
        server.gate = broker_open(server.event);
    assert_int_equal(gpu_fence_queue_create(&server.queue), 0);
    const struct backend_config backend = {.events = &gpu_fence_queue_events,
                                           .opaque = server.queue};
    assert_int_equal(backend_null.create(&backend, &server.backend, &error), 0);
    server.ops = backend_null;
    server.ops.fence = held_fence;
    server.backend->ops = &server.ops;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    server.sock = fds[0];
    const struct connection_config config = {
        .event = server.event,
        .backend = server.backend,
        .fences = server.queue,
        .limits = gpu_limits_default,
        .stats = &server.stats,
        .ring = &server.ring,
        .gate = server.gate,
        .ended = on_ended,
    };
    assert_int_equal(vtest_session_create(&config, fds[1], &server.session), 0);
    static const uint32_t hello[] = {4, VTEST_CREATE_RENDERER, 0x74736574};
    say(hello, sizeof(hello));
    return 0;
}

int vtest_set_up(void **state)
{
    return set_up(false);
}

int vtest_set_up_gated(void **state)
{
    return set_up(true);
}

int vtest_tear_down(void **state)
{
    vtest_session_destroy(server.session);
    if (server.gate)
        broker_close(server.gate);
    if (server.sock >= 0)
        close(server.sock);
    assert_int_equal(server.stats.resources, 0);
    assert_int_equal(server.stats.resource_bytes, 0);
    assert_int_equal(server.stats.contexts, 0);
    assert_int_equal(server.stats.connected, 0);
    assert_int_equal(server.stats.driver_ok, 0);
    backend_null.destroy(server.backend);
    gpu_fence_queue_destroy(server.queue);
    sd_event_unref(server.event);
    return 0;
}
