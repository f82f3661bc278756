/* SPDX-License-Identifier: MIT */
/*
 * Blobs of guest and host memory, by a device that has memory of the host behind each number.
 */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RINGS 64

static int create(int fd, struct drm_virtgpu_resource_create_blob *blob)
{
    return ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, blob);
}

static uint32_t make_blob(int fd, uint32_t mem, uint64_t id)
{
    struct drm_virtgpu_resource_create_blob blob = {
        .blob_mem = mem,
        .blob_flags = VIRTGPU_BLOB_FLAG_USE_MAPPABLE,
        .size = BUFFER_BYTES,
        .blob_id = id,
    };
    struct drm_virtgpu_resource_info info = {0};

    CHECK(create(fd, &blob) == 0 && blob.bo_handle != 0 && blob.res_handle != 0);
    info.bo_handle = blob.bo_handle;
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info) == 0);
    CHECK(info.res_handle == blob.res_handle && info.size == BUFFER_BYTES && info.blob_mem == mem);
    return blob.bo_handle;
}

static int get_param(int fd, uint64_t number)
{
    int value = -1;
    struct drm_virtgpu_getparam param = {.param = number, .value = (uintptr_t)&value};

    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_GETPARAM, &param) == 0);
    return value;
}

static void check_refusals(int fd)
{
    const struct drm_virtgpu_resource_create_blob good = {.blob_mem = VIRTGPU_BLOB_MEM_GUEST,
                                                          .size = BUFFER_BYTES};
    struct drm_virtgpu_resource_create_blob bad[] = {good, good, good, good, good,
                                                     good, good, good, good};

    bad[0].blob_mem = 0;
    bad[1].blob_mem = 4;
    bad[2].blob_flags = 8;
    bad[3].blob_flags = VIRTGPU_BLOB_FLAG_USE_CROSS_DEVICE;
    bad[4].size = 0;
    bad[5].size = 4097;
    bad[6].blob_id = 1;
    bad[7].cmd_size = 4;
    bad[8].size = 1ull << 63;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_FAILS(EINVAL, create(fd, &bad[i]));
}

static int count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void check_host_memory(int fd)
{
    uint32_t handle = make_blob(fd, VIRTGPU_BLOB_MEM_HOST3D, 1);
    struct drm_virtgpu_map map = {.handle = handle};
    uint8_t *a = map_buffer(fd, handle), *b = map_buffer(fd, handle);

    /* One memory, also at a place of the program's own, and by PRIME. */
    memset(a, 5, BUFFER_BYTES);
    CHECK(b[BUFFER_BYTES - 1] == 5);
    CHECK(munmap(b, BUFFER_BYTES) == 0);
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map) == 0);
    b = mmap(b, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)map.offset);
    CHECK(b != MAP_FAILED && b[0] == 5);
    struct drm_prime_handle prime = {.handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR, .fd = -1};
    CHECK(ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime) == 0);
    CHECK(lseek(prime.fd, 0, SEEK_END) == BUFFER_BYTES);
    uint8_t *c = mmap(NULL, 4096, PROT_READ, MAP_SHARED, prime.fd, 4096);
    CHECK(c != MAP_FAILED && c[0] == 5);
    int other = open_node();
    CHECK(ioctl(other, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime) == 0);
    struct drm_virtgpu_resource_info info = {.bo_handle = prime.handle};
    CHECK(ioctl(other, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info) == 0);
    CHECK(info.blob_mem == VIRTGPU_BLOB_MEM_HOST3D && info.size == BUFFER_BYTES);
    CHECK(close(prime.fd) == 0 && close(other) == 0);

    CHECK_FAILS(EINVAL, transfer(fd, DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, handle, BUFFER_BYTES));
    close_buffer(fd, handle);
    CHECK(a[0] == 5 && b[0] == 5 && c[0] == 5); /* mappings outlive the handle */
    CHECK(munmap(a, BUFFER_BYTES) == 0 && munmap(b, 4096) == 0 && munmap(c, 4096) == 0);
}

static void check_guest_memory(int fd)
{
    uint32_t handle = make_blob(fd, VIRTGPU_BLOB_MEM_GUEST, 0);
    uint8_t *a = map_buffer(fd, handle), *b = map_buffer(fd, handle);

    a[100] = 3;
    CHECK(b[100] == 3);
    CHECK(munmap(a, BUFFER_BYTES) == 0 && munmap(b, BUFFER_BYTES) == 0);
    close_buffer(fd, handle);
}

/* A fence alone, on each timeline that there is. */
static void check_rings(int fd)
{
    for (unsigned ring = 0; ring <= RINGS; ring++) {
        struct drm_virtgpu_execbuffer exec = {
            .flags = VIRTGPU_EXECBUF_RING_IDX | VIRTGPU_EXECBUF_FENCE_FD_OUT,
            .ring_idx = ring,
            .fence_fd = -1,
        };
        if (ring == RINGS) {
            CHECK_FAILS(EINVAL, ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec));
            break;
        }
        CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &exec) == 0 && exec.fence_fd >= 0);
        struct pollfd pfd = {.fd = exec.fence_fd, .events = POLLIN};
        CHECK(poll(&pfd, 1, 10000) == 1 && (pfd.revents & POLLIN));
        CHECK(close(exec.fence_fd) == 0);
    }
}

void probe_blobs(void)
{
    int fd = open_node();
    struct drm_virtgpu_context_set_param params[] = {
        {VIRTGPU_CONTEXT_PARAM_CAPSET_ID, 2},
        {VIRTGPU_CONTEXT_PARAM_NUM_RINGS, RINGS},
        {VIRTGPU_CONTEXT_PARAM_POLL_RINGS_MASK, 0},
    };
    struct drm_virtgpu_context_init init = {.num_params = 3, .ctx_set_params = (uintptr_t)params};

    CHECK(get_param(fd, VIRTGPU_PARAM_RESOURCE_BLOB) == 1);
    CHECK(get_param(fd, VIRTGPU_PARAM_HOST_VISIBLE) == 1);
    CHECK(get_param(fd, VIRTGPU_PARAM_CROSS_DEVICE) == 0);
    CHECK(get_param(fd, VIRTGPU_PARAM_CONTEXT_INIT) == 1);
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &init) == 0);
    check_refusals(fd);
    check_rings(fd);
    check_host_memory(fd);
    check_guest_memory(fd);
    int before = count_descriptors();
    for (int i = 0; i < 100; i++)
        check_host_memory(fd);
    CHECK(count_descriptors() == before);

    /* The device refuses what it has given out, and says so when it is mapped. */
    uint32_t first = make_blob(fd, VIRTGPU_BLOB_MEM_HOST3D, 9);
    struct drm_virtgpu_map map = {.handle = make_blob(fd, VIRTGPU_BLOB_MEM_HOST3D, 9)};
    CHECK(ioctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map) == 0);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)map.offset) == MAP_FAILED);
    CHECK(munmap(map_buffer(fd, first), BUFFER_BYTES) == 0);
}
