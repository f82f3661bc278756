/* SPDX-License-Identifier: MIT */
/* The renderer's end of protocol/layer.h, spoken to as workers and aliquotd do. */
#include "mediator/renderer/layer_link.h"

#include "mediator/base/util.h"
#include "protocol/broker.h"
#include "protocol/eventcount.h"
#include "protocol/layer_memory.h"
#include "protocol/lease_wait.h"
#include "protocol/msg_socket.h"
#include "protocol/work_ring.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define QUOTA 1000

struct fixture {
    struct lease_broker broker;
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    const struct layer_memory *seen;
    struct layer_memory *memory;
    const struct work_rings *work;
    struct eventcount *completions;
    int grant_fd, ack_fd, doorbell, memory_fd, work_fd, completions_fd, broker_sock[2];
    struct layer_link *link;
};

static void make(struct fixture *f, bool gated, uint32_t slots)
{
    struct layer_link_config config = {.grant = -1, .ack = -1, .doorbell = -1};

    *f = (struct fixture){.grant_fd = -1, .ack_fd = -1, .doorbell = -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->broker_sock), 0);
    assert_int_equal(layer_memory_create(&f->memory_fd, &f->seen), 0);
    assert_int_equal(layer_memory_map(f->memory_fd, &f->memory), 0);
    layer_memory_init(f->memory, QUOTA);
    assert_int_equal(work_rings_create(&f->work_fd, &f->work), 0);
    assert_int_equal(eventcount_create(&f->completions_fd, &f->completions), 0);
    if (gated) {
        assert_int_equal(lease_grant_page_create(&f->grant_fd, &f->grant), 0);
        assert_int_equal(lease_ack_page_create(&f->ack_fd, &f->ack), 0);
        f->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        lease_broker_init(&f->broker, f->grant, f->ack, slots, 1);
        config.grant = f->grant_fd;
        config.ack = f->ack_fd;
        config.doorbell = f->doorbell;
    }
    config.memory_fd = f->memory_fd;
    config.memory = f->memory;
    config.work_fd = f->work_fd;
    config.completions_fd = f->completions_fd;
    config.broker_fd = f->broker_sock[0];
    assert_int_equal(layer_link_create(&config, &f->link), 0);
    assert_int_equal(layer_link_start(f->link), 0);
}

static void finish(struct fixture *f)
{
    layer_link_destroy(f->link);
    lease_page_unmap(f->grant);
    lease_page_unmap(f->ack);
    layer_memory_unmap(f->memory);
    layer_memory_unmap(f->seen);
    work_rings_unmap(f->work);
    eventcount_unmap(f->completions);
    const int fds[] = {f->grant_fd, f->ack_fd,         f->doorbell,       f->memory_fd,
                       f->work_fd,  f->completions_fd, f->broker_sock[0], f->broker_sock[1]};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* ---- what a worker does ------------------------------------------------------------------------
 */

struct welcome {
    int channel;
    struct layer_msg msg;
    int fds[LAYER_FDS];
    size_t n_fds;
};

static void hello_on(int shared, struct welcome *w)
{
    const struct layer_msg hello = {
        .version = LAYER_VERSION, .type = LAYER_HELLO, .pid = (uint32_t)getpid()};
    const struct iovec iov = {(void *)&hello, sizeof(hello)};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(msg_send(shared, &iov, 1, &pair[1], 1, 0), 0);
    close(pair[1]);
    w->channel = pair[0];
    assert_int_equal(msg_recv(pair[0], &w->msg, sizeof(w->msg), w->fds, LAYER_FDS, &w->n_fds),
                     sizeof(w->msg));
    assert_int_equal(w->msg.version, LAYER_VERSION);
}

static void hello(struct fixture *f, struct welcome *w)
{
    hello_on(layer_link_fd(f->link), w);
}

static void bye(struct welcome *w)
{
    close_fds(w->fds, w->n_fds);
    close(w->channel);
}

/* ---- what aliquotd does ------------------------------------------------------------------------
 */

static void expect(struct fixture *f, uint16_t type, uint32_t slot, pid_t pid)
{
    struct broker_msg msg;

    assert_int_equal(msg_recv(f->broker_sock[1], &msg, sizeof(msg), NULL, 0, NULL),
                     BROKER_MSG_HEADER);
    assert_int_equal(msg.version, BROKER_VERSION);
    assert_int_equal(msg.type, type);
    assert_int_equal(msg.slot, slot);
    assert_int_equal(msg.pid, pid);
    assert_int_equal(msg.text_len, 0);
    if (type == BROKER_SLOT_GONE)
        lease_slot_forget(&f->broker, slot);
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void test_welcome(void **state)
{
    struct fixture f;
    struct welcome w;
    struct lease_participant p;
    const struct lease_grant_page *grant;
    struct lease_ack_page *ack;
    struct layer_memory *memory;
    struct work_rings *work;
    struct eventcount *completions;
    struct work seen;
    uint64_t cursor = 0, lost = 0;

    make(&f, true, LEASE_SLOTS_MAX);
    hello(&f, &w);
    assert_int_equal(w.msg.type, LAYER_WELCOME);
    assert_int_equal(w.msg.slot, 1);
    assert_int_equal(w.msg.gated, 1);
    assert_int_equal(w.n_fds, LAYER_FDS);
    expect(&f, BROKER_SLOT_TAKEN, 1, getpid());

    assert_int_equal(lease_grant_page_map(w.fds[LAYER_FD_GRANT], &grant), 0);
    assert_int_equal(lease_ack_page_map(w.fds[LAYER_FD_ACK], &ack), 0);
    assert_int_equal(lease_attach(&p, grant, ack, w.msg.slot), 0);
    assert_int_equal(layer_memory_map(w.fds[LAYER_FD_MEMORY], &memory), 0);
    assert_true(layer_memory_take(memory, w.msg.slot, 600));
    assert_int_equal(f.memory->used_bytes, 600);
    assert_int_equal(eventfd_write(w.fds[LAYER_FD_DOORBELL], 1), 0);
    assert_int_equal(work_rings_map(w.fds[LAYER_FD_WORK], &work), 0);
    work_ring_put(&work->slots[w.msg.slot], &(struct work){.begin_ns = 3, .end_ns = 7});
    assert_int_equal(work_ring_take(&f.work->slots[1], &cursor, &seen, 1, &lost), 1);
    assert_int_equal(seen.end_ns, 7);
    work_rings_unmap(work);
    assert_int_equal(eventcount_map(w.fds[LAYER_FD_COMPLETIONS], &completions), 0);
    eventcount_signal(completions);
    assert_int_equal(eventcount_read(f.completions), 1);
    eventcount_unmap(completions);
    eventfd_t rung;
    assert_int_equal(eventfd_read(f.doorbell, &rung), 0);

    /* It ends, whatever it held. */
    bye(&w);
    expect(&f, BROKER_SLOT_GONE, 1, getpid());
    assert_int_equal(f.memory->used_bytes, 0);
    assert_int_equal(f.memory->slots[1].memory_bytes, 0);
    lease_page_unmap(grant);
    lease_page_unmap(ack);
    layer_memory_unmap(memory);
    finish(&f);
}

/* All have one, then one more none; and one that ends makes room, as soon as aliquotd knows. */
static void test_all_slots(void **state)
{
    struct fixture f;
    struct welcome w[LEASE_SLOTS_MAX], more;

    make(&f, true, 4);
    for (uint32_t i = 1; i < 4; i++) {
        hello(&f, &w[i]);
        assert_int_equal(w[i].msg.type, LAYER_WELCOME);
        assert_int_equal(w[i].msg.slot, i);
        expect(&f, BROKER_SLOT_TAKEN, i, getpid());
    }
    hello(&f, &more);
    assert_int_equal(more.msg.type, LAYER_REFUSED);
    assert_int_equal(more.n_fds, 0);
    close(more.channel);

    bye(&w[2]);
    expect(&f, BROKER_SLOT_GONE, 2, getpid());
    hello(&f, &w[2]);
    assert_int_equal(w[2].msg.type, LAYER_WELCOME);
    assert_int_equal(w[2].msg.slot, 2);
    expect(&f, BROKER_SLOT_TAKEN, 2, getpid());
    for (uint32_t i = 1; i < 4; i++)
        bye(&w[i]);
    finish(&f);
}

static void test_ungated(void **state)
{
    struct fixture f;
    struct welcome w;
    struct layer_memory *memory;

    make(&f, false, 0);
    for (int i = 0; i < 3; i++) {
        hello(&f, &w);
        assert_int_equal(w.msg.type, LAYER_WELCOME);
        assert_int_equal(w.msg.gated, 0);
        assert_true(w.msg.slot >= 1);
        assert_int_equal(w.n_fds, 1);
        assert_int_equal(layer_memory_map(w.fds[0], &memory), 0);
        assert_true(layer_memory_is_valid(memory));
        layer_memory_unmap(memory);
        bye(&w);
    }
    /* aliquotd has nothing to do with it. */
    struct pollfd p = {.fd = f.broker_sock[1], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    finish(&f);
}

/* The pid is the kernel's word, and the end is the process's end. */
static void test_process(void **state)
{
    struct fixture f;
    struct welcome w;

    make(&f, true, LEASE_SLOTS_MAX);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        hello(&f, &w);
        layer_memory_take(f.memory, w.msg.slot, 10);
        for (;;)
            pause();
    }
    expect(&f, BROKER_SLOT_TAKEN, 1, pid);
    kill(pid, SIGKILL);
    expect(&f, BROKER_SLOT_GONE, 1, pid);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(f.memory->used_bytes, 0);
    finish(&f);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void test_rubbish(void **state)
{
    struct fixture f;
    struct welcome w;
    struct layer_msg msg = {.version = LAYER_VERSION, .type = LAYER_HELLO};
    const int null[2] = {STDIN_FILENO, STDIN_FILENO};

    make(&f, true, LEASE_SLOTS_MAX);
    unsigned before = open_fds();
    for (int i = 0; i < 6; i++) {
        struct layer_msg bad = msg;
        struct iovec iov = {&bad, sizeof(bad)};
        size_t n_fds = 1;
        bad.version = i == 0 ? 7 : bad.version;
        bad.type = i == 1 ? LAYER_WELCOME : bad.type;
        iov.iov_len = i == 2 ? 3 : iov.iov_len;
        n_fds = i == 3 ? 0 : i == 4 ? 2 : 1;
        bad.type = i == 5 ? 99 : bad.type;
        assert_int_equal(msg_send(layer_link_fd(f.link), &iov, 1, null, n_fds, 0), 0);
    }
    /* A channel that is none: the slot is free again. */
    struct iovec iov = {&msg, sizeof(msg)};
    assert_int_equal(msg_send(layer_link_fd(f.link), &iov, 1, null, 1, 0), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        hello(&f, &w);
        _exit(w.msg.type == LAYER_WELCOME ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct broker_msg got;
    for (uint32_t gone = 0; gone < 2;) { /* of both */
        assert_int_equal(msg_recv(f.broker_sock[1], &got, sizeof(got), NULL, 0, NULL),
                         BROKER_MSG_HEADER);
        gone += got.type == BROKER_SLOT_GONE;
    }
    assert_int_equal(open_fds(), before);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welcome), cmocka_unit_test(test_all_slots),
        cmocka_unit_test(test_ungated), cmocka_unit_test(test_process),
        cmocka_unit_test(test_rubbish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
