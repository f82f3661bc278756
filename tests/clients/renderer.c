/* SPDX-License-Identifier: MIT */
#include "tests/clients/renderer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

static void exec_renderer(const struct renderer *r, const char *backend, int ready_fd)
{
    const char *build = getenv("ALIQUOT_BUILD");
    char program[512], number[16];

    /* A test that crashes leaves nothing running. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(program, sizeof(program), "%s/mediator/renderer/aliquot-renderer",
             build ? build : "build");
    snprintf(number, sizeof(number), "%d", ready_fd);
    fcntl(ready_fd, F_SETFD, 0);
    execl(program, program, "--name", "test", "--backend", backend, "--gpu", "software", "--listen",
          r->path, "--ready-fd", number, (char *)NULL);
    fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

void renderer_start(struct renderer *r, const char *backend)
{
    int ready[2];
    char byte;

    snprintf(r->dir, sizeof(r->dir), "/tmp/aliquot-test-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->path, sizeof(r->path), "%s/socket", r->dir);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0)
        exec_renderer(r, backend, ready[1]);
    close(ready[1]);
    struct pollfd pfd = {.fd = ready[0], .events = POLLIN};
    int n = poll(&pfd, 1, PATIENCE_MS);
    if (n != 1 || read(ready[0], &byte, 1) != 1)
        fail_msg("the renderer did not start");
    close(ready[0]);
}

/* Waits for the end and clears up; returns the wait status, or -1 if it did not come. */
static int reap(struct renderer *r)
{
    int status = -1;
    int pidfd = pidfd_open(r->pid, 0);
    struct pollfd pfd = {.fd = pidfd, .events = POLLIN};

    if (poll(&pfd, 1, PATIENCE_MS) == 1)
        waitpid(r->pid, &status, 0);
    close(pidfd);
    unlink(r->path);
    rmdir(r->dir);
    r->pid = 0;
    return status;
}

void renderer_stop(struct renderer *r)
{
    kill(r->pid, SIGTERM);
    assert_int_equal(reap(r), 0);
}

void renderer_kill(struct renderer *r)
{
    kill(r->pid, SIGKILL);
    reap(r);
}
