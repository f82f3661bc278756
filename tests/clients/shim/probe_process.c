/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are closed, duplicated and inherited in all ways; threads and forks.
 */
#include "probe.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8

static int version(int fd)
{
    struct drm_version args = {0};
    return ioctl(fd, DRM_IOCTL_VERSION, &args);
}

/* By SCM_RIGHTS: a duplicate that nobody has seen coming. */
static int passed_around(int fd)
{
    int pair[2];
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(sendmsg(pair[0], &msg, 0) == 1);
    CHECK(recvmsg(pair[1], &msg, 0) == 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
    close(pair[0]);
    close(pair[1]);
    return fd;
}

void probe_descriptors(void)
{
    int fd = open_node();
    int copies[] = {dup(fd),
                    dup2(fd, 100),
                    dup3(fd, 101, O_CLOEXEC),
                    fcntl(fd, F_DUPFD, 102),
                    fcntl(fd, F_DUPFD_CLOEXEC, 103),
                    passed_around(fd)};
    uint32_t handle = make_buffer(fd, NULL);

    struct pollfd event = {.fd = fd, .events = POLLIN};
    CHECK(poll(&event, 1, 0) == 0); /* no event will ever come */
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(close(fd) == 0);
    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
        CHECK(version(copies[i]) == 0);
        CHECK(wait_buffer(copies[i], handle, 0) == 0);
    }
    /* A number of ours for something else. */
    int null = open("/dev/null", O_RDWR);
    CHECK(dup2(null, 100) == 100);
    CHECK_FAILS(ENOTTY, version(100));
    CHECK(write(100, "x", 1) == 1);
    /* Behind everybody's back: the stream closes it. */
    FILE *stream = fdopen(101, "r");
    CHECK(stream && fclose(stream) == 0);
    CHECK(dup2(null, 101) == 101);
    CHECK_FAILS(ENOTTY, version(101));

    for (int i = 3; i < 1024; i++) {
        if (i != copies[0])
            close(i);
    }
    check_round_trip(copies[0]);
    CHECK(dup2(copies[0], 3) == 3);
    CHECK(close_range(4, ~0u, 0) == 0);
    check_round_trip(3);
    closefrom(3);
    CHECK_FAILS(EBADF, version(3));
    /* And the vGPU is still there for who opens it again. */
    check_round_trip(open_node());
    CHECK(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
    check_round_trip(3);
}

static void join_child(pid_t child)
{
    int status;

    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The second server's socket is in the environment: this one serves the parent alone. */
void probe_fork(void)
{
    int fd = open_node();
    uint32_t handle = make_buffer(fd, NULL);
    uint8_t *map = map_buffer(fd, handle);
    int fence = execute(fd, handle, true);

    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        CHECK_FAILS(EOWNERDEAD, version(fd));
        CHECK_FAILS(EOWNERDEAD, wait_buffer(fd, handle, 0));
        map[9] = 99; /* memory is shared */
        CHECK(setenv("ALIQUOT_SOCKET", getenv("SECOND_SOCKET"), 1) == 0);
        int own = open_node();
        check_round_trip(own);
        CHECK(close(own) == 0 && close(fd) == 0 && close(fence) == 0);
        exit(0);
    }
    join_child(child);
    CHECK(map[9] == 99);
    check_round_trip(fd);
    CHECK(system("true") == 0);
    check_round_trip(fd);
}

/* A parent that has not used the vGPU leaves it to its child. */
void probe_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        check_round_trip(open_node());
        exit(0);
    }
    join_child(child);
}

static void *work(void *arg)
{
    int shared = *(int *)arg;

    for (int i = 0; i < 30; i++) {
        int own = open_node();
        check_round_trip(own);
        check_round_trip(shared);
        CHECK(close(own) == 0);
    }
    return NULL;
}

void probe_threads(void)
{
    int fd = open_node();
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, &fd) == 0);
    /* Forks in the middle of it all. */
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            CHECK_FAILS(EOWNERDEAD, version(fd));
            close(fd);
            _exit(0);
        }
        join_child(child);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check_round_trip(fd);
}

#define CAPSET_VIRGL2 2
#define CAPSET_VENUS 4

/* The timer slack of a thread that had slack_ns before it made such a context. */
static int slack_with(uint64_t capset, unsigned long slack_ns)
{
    int fd = open_node();

    CHECK(prctl(PR_SET_TIMERSLACK, slack_ns) == 0);
    CHECK(init_context(fd, VIRTGPU_CONTEXT_PARAM_CAPSET_ID, capset) == 0);
    CHECK(close(fd) == 0);
    return prctl(PR_GET_TIMERSLACK);
}

/* Who uses Venus naps as short as it means to, unless the program wants it otherwise. */
void probe_naps(void)
{
    CHECK(slack_with(CAPSET_VENUS, 30000) == 30000);
    CHECK(slack_with(CAPSET_VIRGL2, 50000) == 50000);
    CHECK(slack_with(CAPSET_VENUS, 50000) == 1);
}
