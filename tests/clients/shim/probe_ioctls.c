/* SPDX-License-Identifier: MIT */
/*
 * Errors as the kernel has them, buffers, fences and syncobjs.
 */
#include "probe.h"

#include <fcntl.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define NO_HANDLE 0x7777u

static uint64_t get_param(int fd, uint64_t number)
{
    int value = -1;
    struct drm_virtgpu_getparam param = {.param = number, .value = (uintptr_t)&value};

    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_GETPARAM, &param) == 0);
    return (uint64_t)value;
}

int init_context(int fd, uint64_t param, uint64_t value)
{
    struct drm_virtgpu_context_set_param set = {param, value};
    struct drm_virtgpu_context_init init = {.num_params = 1, .ctx_set_params = (uintptr_t)&set};
    return ioctl(fd, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &init);
}

static void check_node(int fd)
{
    struct stat st;
    char name[32] = "", small[3] = "..";
    struct drm_version version = {.name = name, .name_len = sizeof(name)};

    CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(226, 128));
    CHECK(stat(NODE, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(226, 128));
    CHECK(access(NODE, R_OK | W_OK) == 0);
    CHECK(ioctl(fd, DRM_IOCTL_VERSION, &version) == 0);
    CHECK(strcmp(name, "virtio_gpu") == 0 && version.name_len == 10);
    version = (struct drm_version){.name = small, .name_len = 1};
    CHECK(ioctl(fd, DRM_IOCTL_VERSION, &version) == 0);
    CHECK(small[0] == 'v' && small[1] == '.' && version.name_len == 10);
}

void probe_errors(void)
{
    int fd = open_node();
    uint8_t caps[1408];
    uint32_t handle = NO_HANDLE, nop[2] = {0};
    struct drm_virtgpu_get_caps get_caps = {
        .cap_set_id = 2, .addr = (uintptr_t)caps, .size = sizeof(caps)};
    struct drm_virtgpu_map map = {.handle = NO_HANDLE};
    struct drm_gem_close gem_close = {.handle = NO_HANDLE};
    struct drm_virtgpu_resource_info info = {.bo_handle = NO_HANDLE};
    struct drm_prime_handle prime = {.handle = NO_HANDLE};
    struct drm_virtgpu_resource_create_blob blob = {.blob_mem = 9, .size = 4096};
    struct drm_virtgpu_execbuffer exec = {.command = (uintptr_t)nop, .size = 4};
    struct drm_get_cap cap = {.capability = DRM_CAP_PRIME};

    check_node(fd);
    CHECK_FAILS(EINVAL,
                ioctl(fd, DRM_IOWR(DRM_COMMAND_BASE + 0x3f, struct drm_gem_close), &gem_close));
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOWR(0xf0, struct drm_gem_close), &gem_close));
    CHECK_FAILS(ENOTTY, ioctl(fd, _IOWR('x', 1, struct drm_gem_close), &gem_close));
    CHECK_FAILS(EACCES, ioctl(fd, DRM_IOCTL_GET_MAGIC, &gem_close));
    CHECK_FAILS(EFAULT, ioctl(fd, DRM_IOCTL_GEM_CLOSE, NULL));
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_GEM_CLOSE, &gem_close));
    CHECK_FAILS(ENOENT, ioctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map));
    CHECK_FAILS(ENOENT, ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info));
    CHECK_FAILS(ENOENT, wait_buffer(fd, NO_HANDLE, 0));
    CHECK_FAILS(ENOENT, ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime));
    prime.fd = -1;
    CHECK_FAILS(EBADF, ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime));
    prime.fd = fd;
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime));
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, &blob));
    CHECK(get_param(fd, VIRTGPU_PARAM_3D_FEATURES) == 1);
    CHECK(get_param(fd, VIRTGPU_PARAM_SUPPORTED_CAPSET_IDs) & (1 << 2));
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_GETPARAM,
                              &(struct drm_virtgpu_getparam){.param = 999}));
    CHECK(ioctl(fd, DRM_IOCTL_GET_CAP, &cap) == 0 && cap.value == 3);
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_GET_CAPS, &get_caps) == 0);
    get_caps.size = 0;
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_GET_CAPS, &get_caps));
    get_caps.size = sizeof(caps);
    get_caps.cap_set_id = 33;
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_GET_CAPS, &get_caps));

    CHECK_FAILS(EINVAL, init_context(fd, 99, 0));
    CHECK_FAILS(EINVAL, init_context(fd, VIRTGPU_CONTEXT_PARAM_CAPSET_ID, 63));
    CHECK_FAILS(EINVAL, init_context(fd, VIRTGPU_CONTEXT_PARAM_NUM_RINGS, 65));
    CHECK(init_context(fd, VIRTGPU_CONTEXT_PARAM_CAPSET_ID, 2) == 0);
    CHECK_FAILS(EEXIST, init_context(fd, VIRTGPU_CONTEXT_PARAM_CAPSET_ID, 2));

    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec) == 0);
    /* The structure of kernels before syncobjs. */
    CHECK(ioctl(fd,
                _IOC(_IOC_READ | _IOC_WRITE, 'd', DRM_COMMAND_BASE + DRM_VIRTGPU_EXECBUFFER, 40),
                &exec) == 0);
    exec.flags = 0x80;
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
    exec.flags = VIRTGPU_EXECBUF_RING_IDX;
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
    exec.flags = VIRTGPU_EXECBUF_FENCE_FD_IN;
    exec.fence_fd = fd;
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
    exec.flags = 0;
    exec.num_bo_handles = 1;
    CHECK_FAILS(EFAULT, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
    exec.bo_handles = (uintptr_t)&handle;
    CHECK_FAILS(ENOENT, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
    CHECK(close(fd) == 0);
    CHECK_FAILS(EBADF, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
}

void probe_buffers(void)
{
    int fd = open_node(), other = open_node();
    uint32_t resource;
    uint32_t handle = make_buffer(fd, &resource);
    struct drm_virtgpu_resource_info info = {.bo_handle = handle};
    struct drm_virtgpu_map map = {.handle = handle};

    CHECK(handle == 1);
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info) == 0);
    CHECK(info.res_handle == resource && info.size == BUFFER_BYTES);
    CHECK_FAILS(ENOENT, wait_buffer(other, handle, 0)); /* handles are a file's own */

    /* Two mappings and a fixed one show the same pages. */
    uint8_t *a = map_buffer(fd, handle), *b = map_buffer(fd, handle);
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map) == 0);
    CHECK(munmap(b, BUFFER_BYTES) == 0);
    CHECK(mmap(b, BUFFER_BYTES, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)map.offset) == b);
    a[5000] = 77;
    CHECK(b[5000] == 77);
    CHECK_FAILS(EEXIST, mmap(b, 4096, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
                             (off_t)map.offset) == MAP_FAILED
                            ? -1
                            : 0);
    CHECK(mmap(NULL, BUFFER_BYTES, PROT_READ, MAP_PRIVATE, fd, (off_t)map.offset) == MAP_FAILED);
    CHECK(mmap(NULL, BUFFER_BYTES + 1, PROT_READ, MAP_SHARED, fd, (off_t)map.offset) == MAP_FAILED);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
    close_buffer(fd, handle);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)map.offset) == MAP_FAILED);
    CHECK(make_buffer(fd, NULL) == handle); /* the lowest free one */
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)map.offset) == MAP_FAILED);

    for (int i = 0; i < 50; i++) {
        check_round_trip(fd);
        check_round_trip(other);
    }
    /* What is in use may be closed. */
    for (int i = 0; i < 500; i++) {
        uint32_t h = make_buffer(fd, NULL);
        execute(fd, h, false);
        close_buffer(fd, h);
    }
    check_round_trip(fd);
}

void probe_prime(void)
{
    int fd = open_node(), other = open_node();
    uint32_t resource;
    uint32_t handle = make_buffer(fd, &resource);
    struct drm_prime_handle prime = {.handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR, .fd = -1};

    CHECK(ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime) == 0 && prime.fd >= 0);
    int shared = prime.fd;
    CHECK(lseek(shared, 0, SEEK_END) == BUFFER_BYTES);
    prime.handle = 0;
    CHECK(ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime) == 0 && prime.handle == handle);
    prime.handle = 0;
    prime.fd = dup(shared);
    CHECK(ioctl(other, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime) == 0 && prime.handle != 0);
    uint32_t theirs = prime.handle;
    struct drm_virtgpu_resource_info info = {.bo_handle = theirs};
    CHECK(ioctl(other, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info) == 0);
    CHECK(info.res_handle == resource);

    uint8_t *a = map_buffer(fd, handle), *b = map_buffer(other, theirs);
    uint8_t *c = mmap(NULL, BUFFER_BYTES, PROT_READ, MAP_SHARED, shared, 0);
    CHECK(c != MAP_FAILED);
    a[100] = 42;
    CHECK(b[100] == 42 && c[100] == 42);
    /* The buffer lives as long as anybody has it. */
    close_buffer(fd, handle);
    CHECK(close(shared) == 0 && close(prime.fd) == 0);
    CHECK(transfer(other, DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, theirs, BUFFER_BYTES) == 0);
    CHECK(wait_buffer(other, theirs, 0) == 0);
    b[100] = 0;
    CHECK(transfer(other, DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, theirs, BUFFER_BYTES) == 0);
    CHECK(wait_buffer(other, theirs, 0) == 0 && b[100] == 42);
    close_buffer(other, theirs);
}

/* ---- fences --------------------------------------------------------------------------------- */

void probe_fences(void)
{
    int fd = open_node();
    uint32_t handle = make_buffer(fd, NULL), nop = 0;

    for (int i = 0; i < 20; i++) {
        int fence = execute(fd, handle, true);
        int copy = fcntl(fence, F_DUPFD_CLOEXEC, 3);
        struct pollfd one = {.fd = copy, .events = POLLIN};
        CHECK(poll(&one, 1, 5000) == 1 && one.revents == POLLIN);
        CHECK(poll(&one, 1, 0) == 1);
        CHECK(wait_buffer(fd, handle, VIRTGPU_WAIT_NOWAIT) == 0);
        close(copy);
        close(fence);
    }
    /* Where the kernel waits. */
    int first = execute(fd, handle, true), second = execute(fd, handle, true);
    struct pollfd two[] = {{.fd = first, .events = POLLIN}, {.fd = STDIN_FILENO, .events = 0}};
    CHECK(poll(two, 2, 5000) == 1 && two[0].revents == POLLIN);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = second};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, second, &event) == 0);
    CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
    int third = execute(fd, handle, true);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(third, &set);
    CHECK(select(third + 1, &set, NULL, NULL, &(struct timeval){.tv_sec = 5}) == 1);

    struct sync_merge_data merge = {.name = "both", .fd2 = second};
    CHECK(ioctl(first, SYNC_IOC_MERGE, &merge) == 0 && merge.fence >= 0);
    struct sync_fence_info details;
    struct sync_file_info info = {.num_fences = 1, .sync_fence_info = (uintptr_t)&details};
    CHECK(ioctl(merge.fence, SYNC_IOC_FILE_INFO, &info) == 0);
    CHECK(info.status == 1 && info.num_fences == 1 && details.status == 1);
    merge.fd2 = STDIN_FILENO;
    CHECK_FAILS(ENOENT, ioctl(first, SYNC_IOC_MERGE, &merge));
    CHECK_FAILS(ENOTTY, ioctl(first, DRM_IOCTL_VERSION, &info));

    /* In and out at once, and a call for the fence alone. */
    struct drm_virtgpu_execbuffer exec = {
        .flags = VIRTGPU_EXECBUF_FENCE_FD_IN | VIRTGPU_EXECBUF_FENCE_FD_OUT,
        .command = (uintptr_t)&nop,
        .fence_fd = third,
    };
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec) == 0 && exec.fence_fd != third);
    struct pollfd out = {.fd = exec.fence_fd, .events = POLLIN};
    CHECK(poll(&out, 1, 5000) == 1);
}

static uint32_t make_syncobj(int fd, uint32_t flags)
{
    struct drm_syncobj_create create = {.flags = flags};
    CHECK(ioctl(fd, DRM_IOCTL_SYNCOBJ_CREATE, &create) == 0 && create.handle);
    return create.handle;
}

static int wait_syncobjs(int fd, const uint32_t *handles, uint32_t count, uint32_t flags,
                         int64_t timeout_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct drm_syncobj_wait wait = {
        .handles = (uintptr_t)handles,
        .count_handles = count,
        .flags = flags,
        .timeout_nsec = now.tv_sec * 1000000000ll + now.tv_nsec + timeout_ns,
    };
    return ioctl(fd, DRM_IOCTL_SYNCOBJ_WAIT, &wait);
}

void probe_syncobjs(void)
{
    int fd = open_node(), other = open_node();
    uint32_t empty = make_syncobj(fd, 0), done = make_syncobj(fd, DRM_SYNCOBJ_CREATE_SIGNALED);
    uint32_t both[] = {empty, done}, nop = 0;
    const uint32_t submit = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT;

    CHECK(wait_syncobjs(fd, &done, 1, 0, 0) == 0);
    CHECK_FAILS(EINVAL, wait_syncobjs(fd, &empty, 1, 0, 0));
    CHECK_FAILS(ETIME, wait_syncobjs(fd, &empty, 1, submit, 2000000));
    CHECK(wait_syncobjs(fd, both, 2, submit, 0) == 0);
    CHECK_FAILS(ETIME,
                wait_syncobjs(fd, both, 2, submit | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL, 2000000));
    CHECK_FAILS(ENOENT, wait_syncobjs(other, &done, 1, 0, 0));

    /* Signaled by work, at a point, that waits for another one. */
    struct drm_virtgpu_execbuffer_syncobj in = {.handle = done,
                                                .flags = VIRTGPU_EXECBUF_SYNCOBJ_RESET};
    struct drm_virtgpu_execbuffer_syncobj out = {.handle = empty, .point = 3};
    struct drm_virtgpu_execbuffer exec = {
        .command = (uintptr_t)&nop,
        .size = 4,
        .syncobj_stride = sizeof(in),
        .num_in_syncobjs = 1,
        .in_syncobjs = (uintptr_t)&in,
        .num_out_syncobjs = 1,
        .out_syncobjs = (uintptr_t)&out,
    };
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec) == 0);
    CHECK_FAILS(EINVAL, wait_syncobjs(fd, &done, 1, 0, 0)); /* was reset */
    uint64_t point = 3;
    struct drm_syncobj_timeline_wait wait = {
        .handles = (uintptr_t)&empty,
        .points = (uintptr_t)&point,
        .count_handles = 1,
        .timeout_nsec = INT64_MAX,
    };
    CHECK(ioctl(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait) == 0);
    struct drm_syncobj_timeline_array query = {
        .handles = (uintptr_t)&empty, .points = (uintptr_t)&point, .count_handles = 1};
    point = 0;
    CHECK(ioctl(fd, DRM_IOCTL_SYNCOBJ_QUERY, &query) == 0 && point == 3);

    /* Across files, and as a sync_file. */
    struct drm_syncobj_handle handle = {.handle = empty};
    CHECK(ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &handle) == 0 && handle.fd >= 0);
    handle.handle = 0;
    CHECK(ioctl(other, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &handle) == 0 && handle.handle);
    CHECK(wait_syncobjs(other, &handle.handle, 1, 0, 0) == 0);
    handle = (struct drm_syncobj_handle){.handle = empty,
                                         .flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE};
    CHECK(ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &handle) == 0);
    struct pollfd fence = {.fd = handle.fd, .events = POLLIN};
    CHECK(poll(&fence, 1, 5000) == 1);
    struct drm_syncobj_destroy destroy = {.handle = empty};
    CHECK(ioctl(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy) == 0);
    CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy));
}
