/* SPDX-License-Identifier: MIT */
#include "tests/layer/host.h"

#include "protocol/eventcount.h"
#include "protocol/msg_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 60000
#define PAGE_BYTES 4096

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void host_create(struct host *h)
{
    *h = (struct host){.channel_fd = -1, .shared_fd = -1};
    h->terms = (struct lease_terms){.max_in_flight = 8, .max_predicted_us = UINT32_MAX};
    assert_int_equal(lease_grant_page_create(&h->grant_fd, &h->grant), 0);
    assert_int_equal(lease_ack_page_create(&h->ack_fd, &h->ack), 0);
    h->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->memory_fd = memfd_create("layer-memory", MFD_CLOEXEC);
    assert_true(h->doorbell_fd >= 0 && h->memory_fd >= 0);
    assert_int_equal(ftruncate(h->memory_fd, PAGE_BYTES), 0);
    h->memory = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, h->memory_fd, 0);
    assert_ptr_not_equal(h->memory, MAP_FAILED);
    assert_int_equal(work_rings_create(&h->work_fd, &h->work), 0);
    assert_int_equal(eventcount_create(&h->completions_fd, &h->completions), 0);
    h->memory->magic = LAYER_MAGIC;
    h->memory->version = LAYER_VERSION;
    h->memory->quota_bytes = UINT64_MAX;
    lease_broker_init(&h->broker, h->grant, h->ack, LEASE_SLOTS_MAX, now_ns());
}

void host_destroy(struct host *h)
{
    host_stop(h);
    lease_page_unmap(h->grant);
    lease_page_unmap(h->ack);
    munmap(h->memory, PAGE_BYTES);
    close(h->grant_fd);
    close(h->ack_fd);
    close(h->doorbell_fd);
    close(h->memory_fd);
    work_rings_unmap(h->work);
    close(h->work_fd);
    eventcount_unmap(h->completions);
    close(h->completions_fd);
}

/* ---- the client ----------------------------------------------------------------------------- */

static const char *layers(const struct host *h, enum host_answer answer)
{
    if (answer == HOST_NO_LAYER)
        return "";
    return h->validated ? "VK_LAYER_ALIQUOT_gate:VK_LAYER_KHRONOS_validation"
                        : "VK_LAYER_ALIQUOT_gate";
}

static void exec_client(const struct host *h, const char *layers, const char *option, int layer_fd,
                        int in, int out)
{
    const char *build = getenv("ALIQUOT_BUILD");
    char program[512], folder[512], number[16];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(program, sizeof(program), "%s/tests/layer/layer-client", build ? build : "build");
    snprintf(folder, sizeof(folder), "%s/mediator/layer", build ? build : "build");
    snprintf(number, sizeof(number), "%d", layer_fd);
    setenv("VK_ADD_LAYER_PATH", folder, 1);
    setenv("VK_INSTANCE_LAYERS", layers, 1);
    setenv("VK_LOADER_DRIVERS_SELECT", "*lvp*", 1);
    /* As for the render server; Mesa's for choosing devices can't bear that there is none. */
    setenv("VK_LOADER_LAYERS_DISABLE", "~implicit~", 1);
    unsetenv(LAYER_ENV);
    if (layer_fd >= 0) {
        setenv(LAYER_ENV, number, 1);
        fcntl(layer_fd, F_SETFD, 0);
    }
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    if (h->errors)
        dup2(fileno(h->errors), STDERR_FILENO);
    execl(program, program, option, (char *)NULL);
    _exit(127);
}

static void answer_hello(struct host *h, enum host_answer answer)
{
    const int fds[LAYER_FDS] = {
        [LAYER_FD_GRANT] = h->grant_fd,       [LAYER_FD_ACK] = h->ack_fd,
        [LAYER_FD_DOORBELL] = h->doorbell_fd, [LAYER_FD_MEMORY] = h->memory_fd,
        [LAYER_FD_WORK] = h->work_fd,         [LAYER_FD_COMPLETIONS] = h->completions_fd};
    struct layer_msg msg;
    struct iovec iov = {.iov_base = &msg, .iov_len = sizeof(msg)};
    struct pollfd waiter = {.fd = h->shared_fd, .events = POLLIN};
    size_t n_fds = 0;

    assert_int_equal(poll(&waiter, 1, PATIENCE_MS), 1);
    assert_int_equal(msg_recv(h->shared_fd, &msg, sizeof(msg), &h->channel_fd, 1, &n_fds),
                     sizeof(msg));
    assert_int_equal(n_fds, 1);
    assert_int_equal(msg.version, LAYER_VERSION);
    assert_int_equal(msg.type, LAYER_HELLO);
    assert_int_equal(msg.pid, h->pid);
    msg.type = answer == HOST_REFUSED ? LAYER_REFUSED : LAYER_WELCOME;
    msg.slot = HOST_SLOT;
    msg.gated = answer == HOST_WELCOME;
    if (answer == HOST_WELCOME)
        assert_int_equal(msg_send(h->channel_fd, &iov, 1, fds, LAYER_FDS, -1), 0);
    else if (answer == HOST_WELCOME_UNGATED)
        assert_int_equal(msg_send(h->channel_fd, &iov, 1, &h->memory_fd, 1, -1), 0);
    else
        assert_int_equal(msg_send(h->channel_fd, &iov, 1, NULL, 0, -1), 0);
}

const char *host_start(struct host *h, enum host_answer answer, const char *option)
{
    int shared[2], in[2], out[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, shared), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    if (answer == HOST_HANGS_UP)
        close(shared[0]);
    h->errors = h->validated ? tmpfile() : NULL;
    h->pid = fork();
    assert_true(h->pid >= 0);
    if (h->pid == 0)
        exec_client(h, layers(h, answer), option,
                    answer == HOST_ABSENT || answer == HOST_NO_LAYER ? -1 : shared[1], in[0],
                    out[1]);
    close(shared[1]);
    close(in[0]);
    close(out[1]);
    h->to = fdopen(in[1], "w");
    h->from = fdopen(out[0], "r");
    h->shared_fd = answer == HOST_HANGS_UP ? -1 : shared[0];
    if (answer != HOST_ABSENT && answer != HOST_NO_LAYER && answer != HOST_HANGS_UP)
        answer_hello(h, answer);
    return host_read(h);
}

void host_stop(struct host *h)
{
    if (h->pid <= 0)
        return;
    kill(h->pid, SIGKILL);
    assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
    h->pid = 0;
    (void)fclose(h->to);
    (void)fclose(h->from);
    if (h->errors)
        (void)fclose(h->errors);
    h->errors = NULL;
    if (h->channel_fd >= 0) {
        struct pollfd end = {.fd = h->channel_fd, .events = POLLIN};
        char byte;

        /* The end of the channel is the end of the client. */
        assert_int_equal(poll(&end, 1, PATIENCE_MS), 1);
        assert_int_equal(recv(h->channel_fd, &byte, 1, 0), 0);
        close(h->channel_fd);
    }
    if (h->shared_fd >= 0)
        close(h->shared_fd);
    h->channel_fd = h->shared_fd = -1;
}

bool host_is_valid(struct host *h)
{
    char line[2048];
    bool valid = true;

    rewind(h->errors);
    while (fgets(line, sizeof(line), h->errors))
        if (strstr(line, "VUID") || strstr(line, "Validation Error")) {
            print_error("%s", line);
            valid = false;
        }
    return valid;
}

static void vtell(struct host *h, const char *format, va_list args)
{
    vfprintf(h->to, format, args);
    (void)fputc('\n', h->to);
    (void)fflush(h->to);
}

void host_tell(struct host *h, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vtell(h, format, args);
    va_end(args);
}

bool host_is_silent(struct host *h)
{
    struct pollfd waiter = {.fd = fileno(h->from), .events = POLLIN};

    return poll(&waiter, 1, 0) == 0;
}

const char *host_read(struct host *h)
{
    static char line[256];
    struct pollfd waiter = {.fd = fileno(h->from), .events = POLLIN};

    assert_int_equal(poll(&waiter, 1, PATIENCE_MS), 1);
    if (!fgets(line, sizeof(line), h->from))
        return "";
    line[strcspn(line, "\n")] = '\0';
    return line;
}

const char *host_ask(struct host *h, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vtell(h, format, args);
    va_end(args);
    return host_read(h);
}

/* ---- the broker ----------------------------------------------------------------------------- */

static void wake(struct host *h, uint32_t wakes)
{
    static const int none[LEASE_SLOTS_MAX] = {[0 ... LEASE_SLOTS_MAX - 1] = -1};

    lease_wake(&h->broker, none, wakes);
}

static void await_ring(struct host *h)
{
    struct pollfd waiter = {.fd = h->doorbell_fd, .events = POLLIN};
    eventfd_t count;

    assert_int_equal(poll(&waiter, 1, PATIENCE_MS), 1);
    (void)eventfd_read(h->doorbell_fd, &count);
}

void host_grant(struct host *h)
{
    uint32_t wakes = 0;

    assert_int_equal(lease_grant(&h->broker, &h->terms, NULL, false, &wakes), 0);
    wake(h, wakes);
}

void host_drain(struct host *h)
{
    lease_yield(&h->broker);
    while (!lease_settle(&h->broker))
        await_ring(h);
}

void host_await_want(struct host *h)
{
    while (!lease_wants(&h->broker))
        await_ring(h);
}

void host_await_idle(struct host *h)
{
    /* Who goes idle rings only where others wait. */
    lease_set_contended(&h->broker, true);
    while (!lease_is_parked(&h->broker))
        await_ring(h);
    lease_set_contended(&h->broker, false);
}

void host_revoke(struct host *h)
{
    wake(h, lease_revoke(&h->broker));
}

const struct lease_ack *host_ack(struct host *h)
{
    assert_int_equal(lease_ack_read(&h->broker, HOST_SLOT, now_ns(), &h->seen, &h->seen),
                     LEASE_FAULT_NONE);
    return &h->seen;
}
