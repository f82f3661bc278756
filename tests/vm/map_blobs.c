/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest, on the null backend: makes blobs of host memory and looks at them through the
 * host-visible region, one after the other and as many at a time as there can be. Says
 * "mapped", keeps some until there is a file "go-on", says "done"; or what went wrong.
 */
#include <drm/virtgpu_drm.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define NODE "/dev/dri/renderD128"
#define CAPSET_VIRGL2 2
#define PAGE 4096u
#define MOST_AT_A_TIME 480 /* the renderer's bound */
#define ONE_BY_ONE 700     /* more than QEMU has room for at a time */
#define KEPT 8

static void fail(const char *what)
{
    fprintf(stderr, "map-blobs: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_context(void)
{
    struct drm_virtgpu_context_set_param param = {
        .param = VIRTGPU_CONTEXT_PARAM_CAPSET_ID,
        .value = CAPSET_VIRGL2,
    };
    struct drm_virtgpu_context_init init = {
        .num_params = 1,
        .ctx_set_params = (uintptr_t)&param,
    };
    int fd = open(NODE, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        fail(NODE);
    if (ioctl(fd, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &init) < 0)
        fail("context");
    return fd;
}

/* The blob's handle. */
static uint32_t make_blob(int fd, uint64_t blob_id, uint64_t bytes)
{
    struct drm_virtgpu_resource_create_blob blob = {
        .blob_mem = VIRTGPU_BLOB_MEM_HOST3D,
        .blob_flags = VIRTGPU_BLOB_FLAG_USE_MAPPABLE,
        .size = bytes,
        .blob_id = blob_id,
    };

    if (ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, &blob) < 0)
        fail("blob");
    return blob.bo_handle;
}

/* NULL: could not be mapped. */
static uint32_t *map_blob(int fd, uint32_t handle, uint64_t bytes)
{
    struct drm_virtgpu_map map = {.handle = handle};
    void *p;

    if (ioctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map) < 0)
        return NULL;
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
    return p == MAP_FAILED ? NULL : p;
}

static void drop_blob(int fd, uint32_t handle)
{
    struct {
        uint32_t handle, pad;
    } drop = {.handle = handle};

    if (ioctl(fd, DRM_IOCTL_GEM_CLOSE, &drop) < 0)
        fail("drop");
}

/* Fresh memory is zeros, and what is written at once is there. */
static void use(volatile uint32_t *p, uint64_t bytes, uint32_t value)
{
    volatile uint32_t *last = p + bytes / sizeof(*p) - 1;

    errno = 0;
    if (*p != 0 || *last != 0)
        fail("the memory is not fresh, or not there");
    *p = value;
    *last = ~value;
    if (*p != value || *last != ~value)
        fail("what was written is not there");
}

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

int main(void)
{
    static uint32_t handles[MOST_AT_A_TIME], *maps[MOST_AT_A_TIME];
    int fd = open_context();

    for (uint32_t i = 1; i <= ONE_BY_ONE; i++) {
        uint64_t bytes = (uint64_t)PAGE * (i % 7 + 1);
        uint32_t handle = make_blob(fd, i, bytes);
        uint32_t *p = map_blob(fd, handle, bytes);

        if (!p)
            fail("one by one");
        use(p, bytes, i);
        munmap(p, bytes);
        drop_blob(fd, handle);
    }

    for (uint32_t i = 0; i < MOST_AT_A_TIME; i++) {
        handles[i] = make_blob(fd, i + 1, PAGE);
        maps[i] = map_blob(fd, handles[i], PAGE);
        if (!maps[i])
            fail("many at a time");
        use(maps[i], PAGE, i + 1);
    }
    uint32_t one_more = make_blob(fd, MOST_AT_A_TIME + 1, PAGE);
    if (map_blob(fd, one_more, PAGE))
        fail("more than can be");
    for (uint32_t i = 0; i < MOST_AT_A_TIME; i++) {
        if (*maps[i] != i + 1)
            fail("a blob is another one's");
        munmap(maps[i], PAGE);
        drop_blob(fd, handles[i]);
    }

    /* When these are there, the unmaps of the others are done. */
    for (uint32_t i = 0; i < KEPT; i++) {
        handles[i] = make_blob(fd, i + 1, PAGE);
        maps[i] = map_blob(fd, handles[i], PAGE);
        if (!maps[i])
            fail("after many");
        use(maps[i], PAGE, i + 1);
    }
    say("mapped");
    while (access("go-on", F_OK) < 0)
        usleep(100000);
    for (uint32_t i = 0; i < KEPT; i++) {
        if (*maps[i] != i + 1)
            fail("a blob was lost");
        munmap(maps[i], PAGE);
        drop_blob(fd, handles[i]);
    }
    say("done");
    return 0;
}
