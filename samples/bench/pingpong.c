/* SPDX-License-Identifier: MIT */
#include "samples/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_BYTES 32
#define WARM_UP 200

static int exchange(int sock)
{
    char message[MESSAGE_BYTES] = "ping";

    if (send(sock, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
        return -EIO;
    ssize_t n = recv(sock, message, sizeof(message), 0);
    return n == sizeof(message) ? 0 : -EIO;
}

static void echo(int sock)
{
    char message[MESSAGE_BYTES];

    while (recv(sock, message, sizeof(message), 0) == sizeof(message) &&
           send(sock, message, sizeof(message), MSG_NOSIGNAL) == sizeof(message))
        ;
}

static int measure(int sock, double seconds, struct bench_times *times)
{
    int result = 0;

    for (unsigned i = 0; i < WARM_UP && result == 0; i++)
        result = exchange(sock);
    int64_t before_ns = bench_now_ns();
    int64_t end_ns = before_ns + (int64_t)(seconds * 1e9);
    while (result == 0 && before_ns < end_ns) {
        result = exchange(sock);
        int64_t after_ns = bench_now_ns();
        bench_times_add(times, after_ns - before_ns);
        before_ns = after_ns;
    }
    return result;
}

int bench_pingpong(const struct bench_options *options)
{
    int pair[2];

    int result = bench_pin(options->cpu);
    if (result < 0)
        return result;
    struct bench_times *times = calloc(1, sizeof(*times));
    if (!times || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        free(times);
        perror("aliquot-bench");
        return -ENOMEM;
    }
    pid_t child = fork(); /* inherits the pinning */
    if (child == 0) {
        close(pair[0]);
        result = bench_pin(options->other);
        if (result == 0)
            echo(pair[1]);
        _exit(result < 0); /* without an answer we fail */
    }
    close(pair[1]);
    result = child < 0 ? -errno : measure(pair[0], options->seconds, times);
    close(pair[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    if (result == 0)
        bench_times_print(times, "pingpong");
    else
        fprintf(stderr, "aliquot-bench: %s\n", strerror(-result));
    free(times);
    return result;
}
