/* SPDX-License-Identifier: MIT */
#include "mediator/base/util.h"
#include "mediator/renderer/broker_link.h"
#include "protocol/msg_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

struct broker {
    sd_event *event;
    struct broker_link *link;
    int sock;
    int served; /* descriptor of the last SERVE */
    const char *gone;
};

static void on_serve(void *opaque, int fd)
{
    struct broker *b = opaque;
    assert_int_equal(b->served, -1);
    b->served = fd;
}

static void on_gone(void *opaque, const char *reason)
{
    struct broker *b = opaque;
    assert_null(b->gone);
    b->gone = reason;
    broker_link_destroy(TAKE_PTR(b->link)); /* as one may */
}

static int set_up(void **state)
{
    static const struct broker_link_ops ops = {.serve = on_serve, .gone = on_gone};
    struct broker *b = calloc(1, sizeof(*b));
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(sd_event_new(&b->event) >= 0);
    assert_int_equal(broker_link_create(b->event, pair[0], &ops, b, &b->link), 0);
    b->sock = pair[1];
    b->served = -1;
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct broker *b = *state;
    broker_link_destroy(b->link);
    close_fd_p(&b->sock);
    close_fd_p(&b->served);
    sd_event_unref(b->event);
    free(b);
    return 0;
}

static void turn(struct broker *b)
{
    while (sd_event_run(b->event, 0) > 0)
        ;
}

static void send_msg(struct broker *b, const struct broker_msg *msg, size_t size, int fd)
{
    struct iovec iov = {(void *)msg, size};
    assert_int_equal(msg_send(b->sock, &iov, 1, &fd, fd >= 0 ? 1 : 0, 1000), 0);
    turn(b);
}

static void hands_over_connections(void **state)
{
    struct broker *b = *state;
    const struct broker_msg msg = {.version = BROKER_VERSION, .type = BROKER_SERVE};
    send_msg(b, &msg, BROKER_MSG_HEADER, STDIN_FILENO);
    assert_true(b->served > STDERR_FILENO);
    assert_null(b->gone);
}

static void says_when_the_broker_is_gone(void **state)
{
    struct broker *b = *state;
    close(b->sock);
    b->sock = -1;
    turn(b);
    assert_non_null(b->gone);
}

static void refuses_nonsense(void **state)
{
    static const struct broker_msg good = {.version = BROKER_VERSION, .type = BROKER_SERVE};
    for (int i = 0; i < 4; i++) {
        struct broker *b;
        struct broker_msg msg = good;
        size_t size = BROKER_MSG_HEADER;
        int fd = STDIN_FILENO;
        set_up((void **)&b);
        if (i == 0)
            msg.version++;
        else if (i == 1)
            msg.type = BROKER_READY;
        else if (i == 2)
            size--;
        else
            fd = -1;
        send_msg(b, &msg, size, fd);
        assert_non_null(b->gone);
        assert_int_equal(b->served, -1);
        tear_down((void **)&b);
    }
}

static void tells_the_broker(void **state)
{
    struct broker *b = *state;
    char text[BROKER_TEXT_MAX + 100];
    struct broker_msg msg;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';

    assert_int_equal(broker_link_send(b->link, BROKER_READY, "a GPU"), 0);
    assert_int_equal(broker_link_send(b->link, BROKER_DONE, text), 0);
    assert_int_equal(msg_recv(b->sock, &msg, sizeof(msg), NULL, 0, NULL), BROKER_MSG_HEADER + 5);
    assert_int_equal(msg.version, BROKER_VERSION);
    assert_int_equal(msg.type, BROKER_READY);
    assert_int_equal(msg.text_len, 5);
    assert_memory_equal(msg.text, "a GPU", 5);
    assert_int_equal(msg_recv(b->sock, &msg, sizeof(msg), NULL, 0, NULL), sizeof(msg));
    assert_int_equal(msg.type, BROKER_DONE);
    assert_int_equal(msg.text_len, BROKER_TEXT_MAX); /* cut */
}

static void maps_the_page_of_counters(void **state)
{
    struct broker_stats *stats, *same;
    _cleanup_close_ int fd = memfd_create("stats", MFD_CLOEXEC);
    assert_int_equal(broker_stats_map(fd, &stats), -EINVAL); /* too short */
    assert_int_equal(ftruncate(fd, BROKER_STATS_BYTES), 0);
    assert_int_equal(broker_stats_map(fd, &stats), 0);
    assert_int_equal(broker_stats_map(fd, &same), 0);
    stats->submits = 7;
    assert_int_equal(same->submits, 7);
    munmap(stats, BROKER_STATS_BYTES);
    munmap(same, BROKER_STATS_BYTES);

    assert_int_equal(broker_stats_map(-1, &stats), 0); /* a private one */
    assert_int_equal(stats->submits, 0);
    munmap(stats, BROKER_STATS_BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(hands_over_connections),
        TEST(says_when_the_broker_is_gone),
        cmocka_unit_test(refuses_nonsense),
        TEST(tells_the_broker),
        cmocka_unit_test(maps_the_page_of_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
