/* SPDX-License-Identifier: MIT */
#include "mediator/layer/backing.h"

#include "mediator/base/util.h"
#include "mediator/layer/device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define OPAQUE VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT
/* Which no file of lavapipe's has (Mesa 26.1). */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct backing {
    int fd;     /* owned */
    void *data; /* owned mapping */
    size_t bytes;
};

/* ---- files ---------------------------------------------------------------------------------- */

void backing_destroy(struct backing *b)
{
    if (!b)
        return;
    if (b->data != MAP_FAILED)
        munmap(b->data, b->bytes);
    close_fd_p(&b->fd);
    free(b);
}

/* Maps what fd is, of which it takes a copy. NULL: not to be had. */
static struct backing *map(int fd, size_t bytes)
{
    struct backing *b = calloc(1, sizeof(*b));
    struct stat st;

    if (!b)
        return NULL;
    *b = (struct backing){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .data = MAP_FAILED, .bytes = bytes};
    if (b->fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size >= bytes)
        b->data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (b->data == MAP_FAILED) {
        backing_destroy(b);
        return NULL;
    }
    return b;
}

static struct backing *create(VkDeviceSize bytes)
{
    _cleanup_close_ int fd = memfd_create("aliquot-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || bytes == 0 || bytes > INT64_MAX || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return NULL;
    return map(fd, bytes);
}

/* ---- which are ours ------------------------------------------------------------------------- */

static struct backing *find(const struct layer_device *d, VkDeviceMemory memory)
{
    uint64_t value = 0;

    (void)handle_map_get(&d->backings, DISPATCH_HANDLE(memory), &value);
    return (struct backing *)(uintptr_t)value;
}

/* Of whichever device or process of this layer's. The driver's own begin with a header that says
 * where the memory is, and what says so may be a guest's by now: they are not imported. */
static bool is_ours(int fd)
{
    int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;

    return seals >= 0 && (seals & SEALS) == SEALS;
}

/* ---- memory --------------------------------------------------------------------------------- */

bool backing_is_for(const struct layer_device *d, const VkMemoryAllocateInfo *info)
{
    const VkExportMemoryAllocateInfo *export =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);

    return d->backs_exports && export && export->handleTypes == OPAQUE;
}

/* The memory is b's, which it takes, whatever comes of it. */
static VkResult allocate(struct layer_device *d, const VkMemoryAllocateInfo *info,
                         struct backing *b, const VkAllocationCallbacks *allocator,
                         VkDeviceMemory *ret)
{
    const VkImportMemoryHostPointerInfoEXT import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .pNext = info->pNext,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
        .pHostPointer = b->data};
    VkMemoryAllocateInfo ours = *info;

    ours.pNext = &import;
    VkResult result = d->table.AllocateMemory(d->handle, &ours, allocator, ret);
    if (result == VK_SUCCESS &&
        handle_map_put(&d->backings, DISPATCH_HANDLE(*ret), DISPATCH_HANDLE(b)) < 0) {
        d->table.FreeMemory(d->handle, *ret, allocator);
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    if (result != VK_SUCCESS)
        backing_destroy(b);
    return result;
}

VkResult backing_allocate(struct layer_device *d, const VkMemoryAllocateInfo *info,
                          const VkAllocationCallbacks *allocator, VkDeviceMemory *ret)
{
    /* As with the timeline feature in device.c: it may not be said twice, nor left out of a chain
     * that can't be copied. */
    VkExportMemoryAllocateInfo *export = (VkExportMemoryAllocateInfo *)dispatch_in_chain(
        info->pNext, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
    struct backing *b = create(info->allocationSize);

    if (!b)
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    export->handleTypes = 0;
    VkResult result = allocate(d, info, b, allocator, ret);
    export->handleTypes = OPAQUE;
    return result;
}

VkResult backing_import(struct layer_device *d, const VkMemoryAllocateInfo *info,
                        const VkAllocationCallbacks *allocator, VkDeviceMemory *ret)
{
    const VkImportMemoryFdInfoKHR *import =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);

    if (!d->backs_exports || !import || import->handleType != OPAQUE)
        return d->table.AllocateMemory(d->handle, info, allocator, ret);
    bool ours = info->allocationSize > 0 && is_ours(import->fd);
    struct backing *b = ours ? map(import->fd, info->allocationSize) : NULL;
    if (!b)
        return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    /* Memory of the process goes before a file, with lavapipe, if it is told of both. */
    VkResult result = allocate(d, info, b, allocator, ret);
    if (result == VK_SUCCESS)
        close(import->fd); /* b has its own */
    return result;
}

struct backing *backing_take(struct layer_device *d, VkDeviceMemory memory)
{
    uint64_t value = 0;

    (void)handle_map_take(&d->backings, DISPATCH_HANDLE(memory), &value);
    return (struct backing *)(uintptr_t)value;
}

static void destroy_each(uint64_t key, uint64_t value, void *opaque)
{
    backing_destroy((struct backing *)(uintptr_t)value);
}

void backing_free_all(struct layer_device *d)
{
    handle_map_each(&d->backings, destroy_each, NULL);
}

VkResult VKAPI_CALL backing_get_fd(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *ret_fd)
{
    struct layer_device *d = device_of(device);
    const struct backing *b = find(d, info->memory);

    if (!b || info->handleType != OPAQUE)
        return d->table.GetMemoryFdKHR(device, info, ret_fd);
    int fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return VK_ERROR_TOO_MANY_OBJECTS;
    *ret_fd = fd;
    return VK_SUCCESS;
}
