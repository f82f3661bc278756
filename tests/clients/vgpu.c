/* SPDX-License-Identifier: MIT */
#include "tests/clients/vgpu.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const uint32_t nop[1] = {0};

int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

struct aliquot_vgpu *open_vgpu(const char *path, int fd, uint32_t timeout_ms)
{
    struct aliquot_vgpu *vgpu = NULL;
    char error[200];
    struct aliquot_open_args args = {.path = path,
                                     .fd = fd,
                                     .timeout_ms = timeout_ms,
                                     .error = error,
                                     .error_size = sizeof(error)};

    if (aliquot_open(&args, &vgpu) < 0)
        fail_msg("aliquot_open: %s", error);
    return vgpu;
}

struct aliquot_context *make_context(struct aliquot_vgpu *vgpu)
{
    struct aliquot_context *context = NULL;

    assert_int_equal(aliquot_context_create(vgpu, 2, "test", &context), 0);
    return context;
}

struct aliquot_fence *submit(struct aliquot_context *context)
{
    struct aliquot_fence *fence = NULL;

    assert_int_equal(aliquot_submit(context, nop, sizeof(nop), ALIQUOT_RING_NONE, &fence), 0);
    return fence;
}

bool is_readable(int fd, int timeout_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, timeout_ms) == 1 && (pfd.revents & POLLIN);
}
