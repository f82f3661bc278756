/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of virgl: the smallest target, a format of bytes, and what a vertex buffer is bound as. */
#define TARGET_BUFFER 0
#define FORMAT_R8 64
#define BIND_VERTEX (1 << 4)

int open_node(void)
{
    int fd = open(NODE, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

uint32_t make_buffer(int fd, uint32_t *ret_resource)
{
    struct drm_virtgpu_resource_create create = {
        .target = TARGET_BUFFER,
        .format = FORMAT_R8,
        .bind = BIND_VERTEX,
        .width = BUFFER_BYTES,
        .height = 1,
        .depth = 1,
        .array_size = 1,
        .size = BUFFER_BYTES,
    };
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, &create) == 0);
    CHECK(create.bo_handle != 0 && create.res_handle != 0);
    if (ret_resource)
        *ret_resource = create.res_handle;
    return create.bo_handle;
}

uint8_t *map_buffer(int fd, uint32_t handle)
{
    struct drm_virtgpu_map map = {.handle = handle};
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map) == 0);
    void *p = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
    CHECK(p != MAP_FAILED);
    return p;
}

void close_buffer(int fd, uint32_t handle)
{
    struct drm_gem_close args = {.handle = handle};
    CHECK(ioctl(fd, DRM_IOCTL_GEM_CLOSE, &args) == 0);
}

int transfer(int fd, unsigned long request, uint32_t handle, uint32_t bytes)
{
    struct drm_virtgpu_3d_transfer_to_host args = {
        .bo_handle = handle,
        .box = {.w = bytes, .h = 1, .d = 1},
    };
    return ioctl(fd, request, &args);
}

int wait_buffer(int fd, uint32_t handle, uint32_t flags)
{
    struct drm_virtgpu_3d_wait args = {.handle = handle, .flags = flags};
    return ioctl(fd, DRM_IOCTL_VIRTGPU_WAIT, &args);
}

int execute(int fd, uint32_t handle, bool fence)
{
    uint32_t nop = 0;
    struct drm_virtgpu_execbuffer args = {
        .flags = fence ? VIRTGPU_EXECBUF_FENCE_FD_OUT : 0,
        .command = (uintptr_t)&nop,
        .size = sizeof(nop),
        .bo_handles = (uintptr_t)&handle,
        .num_bo_handles = 1,
        .fence_fd = -1,
    };
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &args) == 0);
    CHECK(!fence || args.fence_fd >= 0);
    return args.fence_fd;
}

void check_round_trip(int fd)
{
    static unsigned char round;
    uint32_t handle = make_buffer(fd, NULL);
    uint8_t *map = map_buffer(fd, handle);
    unsigned char first = __atomic_add_fetch(&round, 1, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < BUFFER_BYTES; i++)
        map[i] = (uint8_t)(i * 7 + first);
    CHECK(transfer(fd, DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, handle, BUFFER_BYTES) == 0);
    CHECK(wait_buffer(fd, handle, 0) == 0);
    memset(map, 0, BUFFER_BYTES);
    CHECK(transfer(fd, DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, handle, BUFFER_BYTES) == 0);
    CHECK(wait_buffer(fd, handle, 0) == 0);
    CHECK(wait_buffer(fd, handle, VIRTGPU_WAIT_NOWAIT) == 0);
    for (unsigned i = 0; i < BUFFER_BYTES; i++)
        CHECK(map[i] == (uint8_t)(i * 7 + first));
    CHECK(munmap(map, BUFFER_BYTES) == 0);
    close_buffer(fd, handle);
}

/* Works until it is told that the vGPU is gone, and for 30 s at most; tells when it has begun. */
void probe_run(void)
{
    int fd = open_node();
    uint32_t handle = make_buffer(fd, NULL);

    puts("running");
    fflush(stdout);
    alarm(30);
    for (;;) {
        if (transfer(fd, DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, handle, BUFFER_BYTES) < 0)
            break;
        wait_buffer(fd, handle, 0);
    }
    CHECK(errno == ENODEV);
    CHECK(wait_buffer(fd, handle, 0) == 0);
    puts("lost");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } probes[] = {
        {"errors", probe_errors}, {"buffers", probe_buffers},   {"prime", probe_prime},
        {"fences", probe_fences}, {"syncobjs", probe_syncobjs}, {"descriptors", probe_descriptors},
        {"fork", probe_fork},     {"child", probe_child},       {"threads", probe_threads},
        {"run", probe_run},       {"blobs", probe_blobs},       {"naps", probe_naps},
    };

    for (size_t i = 0; argc == 2 && i < sizeof(probes) / sizeof(probes[0]); i++) {
        if (strcmp(argv[1], probes[i].name) == 0) {
            probes[i].run();
            return 0;
        }
    }
    fprintf(stderr, "Usage: %s PROBE\n", argv[0]);
    return 2;
}
