/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_virtgpu.h"
#include "guest-driver/virtgpu/libdrm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define FENCES 16
/* As the kernel, whose capsets 2 and 4 are versions 2 and 0. */
#define VIRGL2_VERSION 2

struct fake_virtgpu fake;

static int fences[FENCES]; /* the driver's ends of those that are held */
static unsigned n_fences;
static uint32_t last_handle;

void fake_reset(void)
{
    fake_signal();
    fake = (struct fake_virtgpu){
        .driver = "virtio_gpu",
        .node_type = DRM_NODE_RENDER,
        .has_3d = true,
        .has_blob = true,
        .has_host_visible = true,
        .has_context_init = true,
        .has_debug_name = true,
    };
}

void fake_signal(void)
{
    while (n_fences > 0) {
        n_fences--;
        eventfd_write(fences[n_fences], 1);
        close(fences[n_fences]);
    }
}

/* ---- a device that takes up nothing ---------------------------------------------------------- */

static pthread_mutex_t block_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t block_changed = PTHREAD_COND_INITIALIZER;
static unsigned long blocked_request; /* 0: none */
static unsigned n_blocked;            /* threads in it */

void fake_block(unsigned long request)
{
    pthread_mutex_lock(&block_lock);
    blocked_request = request;
    pthread_mutex_unlock(&block_lock);
}

void fake_await_blocked(void)
{
    pthread_mutex_lock(&block_lock);
    while (n_blocked == 0)
        pthread_cond_wait(&block_changed, &block_lock);
    pthread_mutex_unlock(&block_lock);
}

void fake_unblock(void)
{
    pthread_mutex_lock(&block_lock);
    blocked_request = 0;
    pthread_cond_broadcast(&block_changed);
    pthread_mutex_unlock(&block_lock);
}

/* Sleeps as long as calls of this ioctl are blocked. */
static void take_up(unsigned long request)
{
    pthread_mutex_lock(&block_lock);
    while (request == blocked_request) {
        n_blocked++;
        pthread_cond_broadcast(&block_changed);
        pthread_cond_wait(&block_changed, &block_lock);
        n_blocked--;
    }
    pthread_mutex_unlock(&block_lock);
}

/* ---- ioctls --------------------------------------------------------------------------------- */

static int refuse(int error)
{
    errno = error;
    return -1;
}

static int get_param(struct drm_virtgpu_getparam *args)
{
    int value;

    switch (args->param) {
    case VIRTGPU_PARAM_3D_FEATURES:
        value = fake.has_3d;
        break;
    case VIRTGPU_PARAM_RESOURCE_BLOB:
        value = fake.has_blob;
        break;
    case VIRTGPU_PARAM_HOST_VISIBLE:
        value = fake.has_host_visible;
        break;
    case VIRTGPU_PARAM_CONTEXT_INIT:
        if (fake.old)
            return refuse(EINVAL);
        value = fake.has_context_init;
        break;
    case VIRTGPU_PARAM_SUPPORTED_CAPSET_IDs:
        if (fake.old)
            return refuse(EINVAL);
        value = 1 << 2 | 1 << 4;
        break;
    case VIRTGPU_PARAM_EXPLICIT_DEBUG_NAME:
        if (fake.old || !fake.has_debug_name)
            return refuse(EINVAL);
        value = 1;
        break;
    default:
        return refuse(EINVAL);
    }
    memcpy((void *)(uintptr_t)args->value, &value, sizeof(value));
    return 0;
}

static int get_caps(const struct drm_virtgpu_get_caps *args)
{
    uint32_t bytes = args->cap_set_id == 2 ? FAKE_CAPSET_BYTES : FAKE_CAPSET_BYTES / 2;
    uint32_t version = args->cap_set_id == 2 ? VIRGL2_VERSION : 0;

    if (args->size == 0 || (args->cap_set_id != 2 && args->cap_set_id != 4) ||
        args->cap_set_ver > version)
        return refuse(EINVAL);
    /* Ends in zeros, as capsets do. */
    for (uint32_t i = 0; i < bytes && i < args->size; i++)
        ((uint8_t *)(uintptr_t)args->addr)[i] = i < bytes - 8 ? (uint8_t)(i + 1) : 0;
    return 0;
}

static int init_context(const struct drm_virtgpu_context_init *args)
{
    const struct drm_virtgpu_context_set_param *params = (void *)(uintptr_t)args->ctx_set_params;

    if (!fake.has_context_init || fake.old)
        return refuse(EINVAL);
    fake.capset_id = fake.num_rings = 0;
    for (uint32_t i = 0; i < args->num_params; i++) {
        switch (params[i].param) {
        case VIRTGPU_CONTEXT_PARAM_CAPSET_ID:
            if (params[i].value != 2 && params[i].value != 4)
                return refuse(EINVAL);
            fake.capset_id = (unsigned)params[i].value;
            break;
        case VIRTGPU_CONTEXT_PARAM_NUM_RINGS:
            fake.num_rings = (unsigned)params[i].value;
            break;
        case VIRTGPU_CONTEXT_PARAM_DEBUG_NAME:
            if (!fake.has_debug_name)
                return refuse(EINVAL);
            strncpy(fake.debug_name, (const char *)(uintptr_t)params[i].value,
                    sizeof(fake.debug_name) - 1);
            break;
        default:
            return refuse(EINVAL);
        }
    }
    fake.contexts++;
    return 0;
}

static int execbuffer(int fd, struct drm_virtgpu_execbuffer *args)
{
    size_t bytes = args->size < sizeof(fake.words) ? args->size : sizeof(fake.words);

    if (args->flags & VIRTGPU_EXECBUF_FENCE_FD_OUT) {
        args->fence_fd = eventfd(fake.hold ? 0 : 1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (args->fence_fd < 0 || n_fences == FENCES)
            return refuse(EMFILE);
        if (fake.hold)
            fences[n_fences++] = dup(args->fence_fd);
    }
    if (bytes > 0)
        memcpy(fake.words, (const void *)(uintptr_t)args->command, bytes);
    fake.execbuffer = *args;
    fake.execbuffer_fd = fd;
    return 0;
}

static int create_resource(struct drm_virtgpu_resource_create *args)
{
    fake.resource = *args;
    fake.handles++;
    args->bo_handle = ++last_handle;
    args->res_handle = 100 + last_handle;
    return 0;
}

static int create_blob(struct drm_virtgpu_resource_create_blob *args)
{
    fake.blob = *args;
    fake.handles++;
    args->bo_handle = ++last_handle;
    args->res_handle = 100 + last_handle;
    return 0;
}

static int transfer(int fd, const struct drm_virtgpu_3d_transfer_to_host *args, bool to_host)
{
    if (fake.n_transfers == FAKE_TRANSFERS)
        return refuse(ENOMEM);
    fake.transfers[fake.n_transfers++] = (struct fake_transfer){*args, to_host, fd};
    return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
    take_up(request);
    if (request == fake.fail_request)
        return refuse(fake.fail_errno);
    switch (request) {
    case DRM_IOCTL_VIRTGPU_GETPARAM:
        return get_param(arg);
    case DRM_IOCTL_VIRTGPU_GET_CAPS:
        return get_caps(arg);
    case DRM_IOCTL_VIRTGPU_CONTEXT_INIT:
        return init_context(arg);
    case DRM_IOCTL_VIRTGPU_EXECBUFFER:
        return execbuffer(fd, arg);
    case DRM_IOCTL_VIRTGPU_RESOURCE_CREATE:
        return create_resource(arg);
    case DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB:
        return create_blob(arg);
    case DRM_IOCTL_VIRTGPU_MAP:
        ((struct drm_virtgpu_map *)arg)->offset = 0;
        return 0;
    case DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST:
    case DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST:
        return transfer(fd, arg, request == DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST);
    default:
        return refuse(ENOTTY);
    }
}

/* ---- the rest of libdrm --------------------------------------------------------------------- */

static drmVersionPtr fake_get_version(int fd)
{
    char name[32] = "";
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (pread(fd, name, sizeof(name) - 1, 0) <= 0)
            return NULL;
    } else if (fake.driver) {
        strncpy(name, fake.driver, sizeof(name) - 1);
    } else {
        return NULL;
    }
    drmVersionPtr version = calloc(1, sizeof(*version));
    version->name = strdup(name);
    return version;
}

static void fake_free_version(drmVersionPtr version)
{
    free(version->name);
    free(version);
}

static int fake_node_type(int fd)
{
    return fake.node_type;
}

/* Around what makes and closes handles of an object that has others. */
static atomic_uint n_handling;

static void begin_handling(void)
{
    if (atomic_fetch_add(&n_handling, 1) > 0)
        fake.crossings++;
    sched_yield();
}

static void end_handling(void)
{
    atomic_fetch_sub(&n_handling, 1);
}

static int fake_export(int fd, uint32_t handle, uint32_t flags, int *ret_fd)
{
    take_up(DRM_IOCTL_PRIME_HANDLE_TO_FD);
    *ret_fd = eventfd(handle, EFD_CLOEXEC);
    return *ret_fd < 0 ? -1 : 0;
}

static int fake_import(int fd, int prime_fd, uint32_t *ret_handle)
{
    take_up(DRM_IOCTL_PRIME_FD_TO_HANDLE);
    begin_handling();
    fake.handles++;
    fake.imports++;
    *ret_handle = ++last_handle;
    end_handling();
    return 0;
}

static int fake_close_handle(int fd, uint32_t handle)
{
    take_up(DRM_IOCTL_GEM_CLOSE);
    if (fcntl(fd, F_GETFD) < 0) /* the node is closed already */
        return refuse(EBADF);
    begin_handling();
    fake.handles--;
    end_handling();
    return 0;
}

int libdrm_load(struct libdrm *drm)
{
    if (fake.no_libdrm)
        return -ENOPKG;
    *drm = (struct libdrm){
        .get_version = fake_get_version,
        .free_version = fake_free_version,
        .get_node_type = fake_node_type,
        .ioctl = fake_ioctl,
        .prime_export = fake_export,
        .prime_import = fake_import,
        .close_handle = fake_close_handle,
    };
    return 0;
}

void libdrm_unload(struct libdrm *drm)
{
}
