/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/ioctl.h"
#include "guest-driver/shim/message.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* The largest argument that we know. */
#define ARG_BYTES_MAX 128

struct entry {
    uint8_t number;
    uint16_t arg_bytes;
    const char *name;
    int (*handler)(struct drm_file *file, void *arg); /* NULL: for nodes with a display */
};

#define ENTRY(request, handler) {_IOC_NR(request), _IOC_SIZE(request), #request, handler}

static const struct entry entries[] = {
    ENTRY(DRM_IOCTL_VERSION, ioctl_version),
    ENTRY(DRM_IOCTL_GET_UNIQUE, NULL),
    ENTRY(DRM_IOCTL_GET_MAGIC, NULL),
    ENTRY(DRM_IOCTL_AUTH_MAGIC, NULL),
    ENTRY(DRM_IOCTL_SET_VERSION, NULL),
    ENTRY(DRM_IOCTL_GEM_CLOSE, ioctl_gem_close),
    ENTRY(DRM_IOCTL_GEM_FLINK, NULL),
    ENTRY(DRM_IOCTL_GEM_OPEN, NULL),
    ENTRY(DRM_IOCTL_GET_CAP, ioctl_get_cap),
    ENTRY(DRM_IOCTL_SET_CLIENT_CAP, NULL),
    ENTRY(DRM_IOCTL_SET_MASTER, NULL),
    ENTRY(DRM_IOCTL_DROP_MASTER, NULL),
    ENTRY(DRM_IOCTL_PRIME_HANDLE_TO_FD, ioctl_prime_handle_to_fd),
    ENTRY(DRM_IOCTL_PRIME_FD_TO_HANDLE, ioctl_prime_fd_to_handle),
    ENTRY(DRM_IOCTL_WAIT_VBLANK, NULL),
    ENTRY(DRM_IOCTL_MODE_GETRESOURCES, NULL),
    ENTRY(DRM_IOCTL_MODE_GETCRTC, NULL),
    ENTRY(DRM_IOCTL_MODE_GETENCODER, NULL),
    ENTRY(DRM_IOCTL_MODE_GETCONNECTOR, NULL),
    ENTRY(DRM_IOCTL_MODE_CREATE_DUMB, NULL),
    ENTRY(DRM_IOCTL_MODE_MAP_DUMB, NULL),
    ENTRY(DRM_IOCTL_MODE_DESTROY_DUMB, NULL),
    ENTRY(DRM_IOCTL_MODE_GETPLANERESOURCES, NULL),
    ENTRY(DRM_IOCTL_MODE_GETPLANE, NULL),
    ENTRY(DRM_IOCTL_MODE_OBJ_GETPROPERTIES, NULL),
    ENTRY(DRM_IOCTL_SYNCOBJ_CREATE, ioctl_syncobj_create),
    ENTRY(DRM_IOCTL_SYNCOBJ_DESTROY, ioctl_syncobj_destroy),
    ENTRY(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, ioctl_syncobj_handle_to_fd),
    ENTRY(DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, ioctl_syncobj_fd_to_handle),
    ENTRY(DRM_IOCTL_SYNCOBJ_TRANSFER, ioctl_syncobj_transfer),
    ENTRY(DRM_IOCTL_SYNCOBJ_WAIT, ioctl_syncobj_wait),
    ENTRY(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, ioctl_syncobj_timeline_wait),
    ENTRY(DRM_IOCTL_SYNCOBJ_RESET, ioctl_syncobj_reset),
    ENTRY(DRM_IOCTL_SYNCOBJ_SIGNAL, ioctl_syncobj_signal),
    ENTRY(DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, ioctl_syncobj_timeline_signal),
    ENTRY(DRM_IOCTL_SYNCOBJ_QUERY, ioctl_syncobj_query),
    ENTRY(DRM_IOCTL_VIRTGPU_MAP, ioctl_map),
    ENTRY(DRM_IOCTL_VIRTGPU_EXECBUFFER, ioctl_execbuffer),
    ENTRY(DRM_IOCTL_VIRTGPU_GETPARAM, ioctl_getparam),
    ENTRY(DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, ioctl_resource_create),
    ENTRY(DRM_IOCTL_VIRTGPU_RESOURCE_INFO, ioctl_resource_info),
    ENTRY(DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, ioctl_transfer_from_host),
    ENTRY(DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, ioctl_transfer_to_host),
    ENTRY(DRM_IOCTL_VIRTGPU_WAIT, ioctl_wait),
    ENTRY(DRM_IOCTL_VIRTGPU_GET_CAPS, ioctl_get_caps),
    ENTRY(DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, ioctl_resource_create_blob),
    ENTRY(DRM_IOCTL_VIRTGPU_CONTEXT_INIT, ioctl_context_init),
};

#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

/* Index + 1 of each number, so that finding an entry is one look. */
static uint8_t by_number[256];
static bool tracing;

__attribute__((constructor)) static void index_entries(void)
{
    for (size_t i = 0; i < ENTRIES; i++)
        by_number[entries[i].number] = (uint8_t)(i + 1);
    tracing = getenv("ALIQUOT_TRACE") != NULL;
}

static int call(const struct entry *entry, struct drm_file *file, void *arg)
{
    int result;

    if (entry->handler)
        result = entry->handler(file, arg);
    else /* what the kernel says on render nodes, and of drivers that can't set modes */
        result = file->node == &node_render ? -EACCES : -EOPNOTSUPP;
    if (tracing)
        message("%s: %s", entry->name, result < 0 ? strerrorname_np(-result) : "ok");
    return result;
}

static int unknown(unsigned long request)
{
    static _Atomic unsigned char told[256];
    unsigned number = _IOC_NR(request);

    if (!atomic_exchange(&told[number], 1))
        message("the program uses DRM ioctl 0x%02x (%s, %u bytes), which this vGPU does not have",
                number,
                number >= DRM_COMMAND_BASE && number < DRM_COMMAND_END ? "of virtio-gpu"
                                                                       : "of the DRM core",
                (unsigned)_IOC_SIZE(request));
    return -EINVAL;
}

int drm_ioctl(struct drm_file *file, unsigned long request, void *arg)
{
    _Alignas(uint64_t) uint8_t copy[ARG_BYTES_MAX];

    if (_IOC_TYPE(request) != DRM_IOCTL_BASE)
        return -ENOTTY;
    if (device_is_foreign(file->device))
        return -EOWNERDEAD;
    unsigned index = by_number[_IOC_NR(request)];
    if (index == 0)
        return unknown(request);
    const struct entry *entry = &entries[index - 1];
    /* An older or newer program has a shorter or longer structure. */
    size_t given = _IOC_SIZE(request);
    if (given > entry->arg_bytes)
        given = entry->arg_bytes;
    if (given > 0 && !arg)
        return -EFAULT;
    size_t in = request & IOC_IN ? given : 0;
    memcpy(copy, arg, in);
    memset(copy + in, 0, entry->arg_bytes - in);
    int result = call(entry, file, copy);
    if (request & IOC_OUT)
        memcpy(arg, copy, given);
    return result;
}
