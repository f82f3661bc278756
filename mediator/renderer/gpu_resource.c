/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/gpu_resource.h"

#include "mediator/renderer/gpu_internal.h"
#include "protocol/layer_memory.h"

#include <string.h>

/* Entries copied out of guest memory at a time. */
#define ENTRIES_CHUNK 256

struct gpu_resource *gpu_resource_get(const struct gpu_device *dev, uint32_t id)
{
    return id_table_get(&dev->resources, id);
}

bool gpu_charge(struct gpu_device *dev, uint64_t bytes)
{
    if (!range_inside(dev->total_bytes, bytes, dev->limits.max_total_bytes) ||
        (dev->memory && !layer_memory_take(dev->memory, LEASE_SLOT_GL, bytes)))
        return false;
    dev->total_bytes += bytes;
    gpu_stat_set(&dev->stats->resource_bytes, dev->total_bytes);
    return true;
}

void gpu_uncharge(struct gpu_device *dev, uint64_t bytes)
{
    dev->total_bytes -= bytes;
    if (dev->memory)
        layer_memory_give(dev->memory, LEASE_SLOT_GL, bytes);
    gpu_stat_set(&dev->stats->resource_bytes, dev->total_bytes);
}

/* A buffer has its bytes as width and is bounded by them alone. */
static bool dimensions_ok(const struct gpu_device *dev, const struct backend_resource_args *a)
{
    uint32_t max = dev->limits.max_dimension;

    if (a->target >= GPU_TARGETS || a->width == 0 || a->height == 0 || a->depth == 0)
        return false;
    if (a->target == GPU_TARGET_BUFFER)
        return a->height == 1 && a->depth == 1 && a->last_level == 0;
    return a->width <= max && a->height <= max && a->depth <= max && a->array_size <= max &&
           a->nr_samples <= 32 && a->last_level < 32;
}

uint32_t gpu_resource_add(struct gpu_device *dev, const struct backend_resource_args *args)
{
    uint64_t bytes;
    struct gpu_resource *res;
    int r;

    if (args->id == 0 || gpu_resource_get(dev, args->id))
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!dimensions_ok(dev, args))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    bytes = gpu_format_resource_bytes(args, dev->backend->ops->memory.row_align);
    if (dev->resources.count >= dev->limits.max_resources || bytes > dev->limits.max_resource_bytes)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    bytes += dev->backend->ops->memory.resource_bytes;
    if (!gpu_charge(dev, bytes))
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;

    res = calloc(1, sizeof(*res));
    r = res ? id_table_put(&dev->resources, args->id, res) : -ENOMEM;
    if (r == 0) {
        r = dev->backend->ops->resource_create(dev->backend, args);
        if (r < 0)
            id_table_remove(&dev->resources, args->id);
    }
    if (r < 0) {
        free(res);
        gpu_uncharge(dev, bytes);
        return gpu_response_from_errno(r);
    }
    res->args = *args;
    res->charged_bytes = bytes;
    gpu_stat_set(&dev->stats->resources, dev->resources.count);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- backing --------------------------------------------------------------------------------- */

struct backing {
    struct iovec *iov;
    void **refs;
    size_t n_iov, iov_capacity, n_refs, refs_capacity;
    uint64_t bytes;
    uint64_t charge; /* what the arrays themselves cost */
};

static void backing_finish(struct gpu_device *dev, struct backing *b)
{
    for (size_t i = 0; i < b->n_refs; i++)
        dev->ops->guest_unref(dev->opaque, b->refs[i]);
    free(b->refs);
    free(b->iov);
}

/* Makes room for one element more. */
static bool reserve(void **array, size_t *capacity, size_t count, size_t size)
{
    size_t bigger = *capacity ? *capacity * 2 : 8;
    void *grown;

    if (count < *capacity)
        return true;
    grown = reallocarray(*array, bigger, size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = bigger;
    return true;
}

/* Keeps one reference for each region, however many entries lie in it: they are few, and the
 * next entry mostly lies where the last one did. Always consumes ref. */
static bool backing_keep(struct gpu_device *dev, struct backing *b, void *ref)
{
    for (size_t i = b->n_refs; i-- > 0;) {
        if (b->refs[i] == ref) {
            dev->ops->guest_unref(dev->opaque, ref);
            return true;
        }
    }
    if (!reserve((void **)&b->refs, &b->refs_capacity, b->n_refs, sizeof(*b->refs))) {
        dev->ops->guest_unref(dev->opaque, ref);
        return false;
    }
    b->refs[b->n_refs++] = ref;
    return true;
}

/* Adds one entry, which may span several regions. Neighbours in our address space become one. */
static uint32_t backing_add(struct gpu_device *dev, struct backing *b,
                            const struct virtio_gpu_mem_entry *entry)
{
    uint64_t gpa = entry->addr, left = entry->length;

    if (left == 0)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    while (left > 0) {
        struct iovec *last = b->n_iov ? &b->iov[b->n_iov - 1] : NULL;
        uint64_t len = left;
        void *ref, *p = dev->ops->guest_ref(dev->opaque, gpa, &len, &ref);

        if (!p)
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
        if (!backing_keep(dev, b, ref))
            return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
        if (len == 0 || len > left)
            return VIRTIO_GPU_RESP_ERR_UNSPEC;
        if (last && (uint8_t *)last->iov_base + last->iov_len == p) {
            last->iov_len += len;
        } else {
            if (b->n_iov >= dev->limits.max_backing_entries ||
                !reserve((void **)&b->iov, &b->iov_capacity, b->n_iov, sizeof(*b->iov)))
                return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
            b->iov[b->n_iov++] = (struct iovec){.iov_base = p, .iov_len = len};
        }
        b->bytes += len;
        gpa += len;
        left -= len;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t backing_read(struct gpu_device *dev, struct backing *b, struct iov_cursor *entries,
                             uint32_t n)
{
    struct virtio_gpu_mem_entry chunk[ENTRIES_CHUNK];

    while (n > 0) {
        uint32_t now = MIN(n, (uint32_t)ENTRIES_CHUNK);

        if (!iov_take(entries, chunk, now * sizeof(chunk[0])))
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
        for (uint32_t i = 0; i < now; i++) {
            uint32_t type = backing_add(dev, b, &chunk[i]);
            if (type != VIRTIO_GPU_RESP_OK_NODATA)
                return type;
        }
        n -= now;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Reads the list of entries and charges for it. On success *ret is for backing_adopt() or
 * backing_undo(). */
static uint32_t backing_take(struct gpu_device *dev, struct iov_cursor *entries, uint32_t n,
                             struct backing *ret)
{
    struct backing b = {0};
    uint32_t type;

    /* The count is a claim until the bytes are there. */
    if (n == 0 || n > iov_remaining(entries) / sizeof(struct virtio_gpu_mem_entry))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (n > dev->limits.max_backing_entries)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;

    type = backing_read(dev, &b, entries, n);
    if (type != VIRTIO_GPU_RESP_OK_NODATA) {
        backing_finish(dev, &b);
        return type;
    }
    /* Many resources with a long list each would be a way to a lot of memory. */
    b.charge = b.iov_capacity * sizeof(*b.iov) + b.refs_capacity * sizeof(*b.refs);
    if (!gpu_charge(dev, b.charge)) {
        backing_finish(dev, &b);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    *ret = b;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void backing_undo(struct gpu_device *dev, struct backing *b)
{
    gpu_uncharge(dev, b->charge);
    backing_finish(dev, b);
}

static void backing_adopt(struct gpu_resource *res, const struct backing *b)
{
    res->iov = b->iov;
    res->iov_count = (uint32_t)b->n_iov;
    res->backing_bytes = b->bytes;
    res->backing_charge = b->charge;
    res->refs = b->refs;
    res->n_refs = (uint32_t)b->n_refs;
}

uint32_t gpu_resource_attach(struct gpu_device *dev, struct gpu_resource *res,
                             struct iov_cursor *entries, uint32_t n)
{
    struct backing b;
    uint32_t type;
    int r = 0;

    if (res->iov)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (res->blob_bytes && res->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    type = backing_take(dev, entries, n, &b);
    if (type != VIRTIO_GPU_RESP_OK_NODATA)
        return type;
    if (b.bytes < res->blob_bytes)
        r = -EINVAL;
    if (r == 0)
        r = dev->backend->ops->resource_back(dev->backend, res->args.id, b.iov, (uint32_t)b.n_iov);
    if (r < 0) {
        backing_undo(dev, &b);
        return gpu_response_from_errno(r);
    }
    backing_adopt(res, &b);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* What the blob takes of the host's memory. Guest memory is the guest's own; the Vulkan layer has
 * counted what its context has allocated, so that only Venus's own memory (blob_id 0) is new. */
static uint64_t blob_cost(const struct gpu_device *dev, const struct backend_blob_args *args)
{
    uint64_t cost = dev->backend->ops->memory.resource_bytes;

    if (args->mem == VIRTIO_GPU_BLOB_MEM_GUEST ||
        (args->blob_id != 0 && gpu_context_is_vulkan(dev, args->ctx_id)))
        return cost;
    return cost + args->bytes;
}

/* Makes it in the table and the backend. */
static int blob_create(struct gpu_device *dev, const struct backend_blob_args *args,
                       struct gpu_resource **ret)
{
    struct gpu_resource *res = calloc(1, sizeof(*res));
    int r = res ? id_table_put(&dev->resources, args->id, res) : -ENOMEM;

    if (r == 0) {
        r = dev->backend->ops->blob_create(dev->backend, args);
        if (r < 0)
            id_table_remove(&dev->resources, args->id);
    }
    if (r < 0) {
        free(res);
        return r;
    }
    res->args.id = args->id;
    res->blob_bytes = args->bytes;
    res->blob_mem = (uint8_t)args->mem;
    res->blob_flags = (uint8_t)args->flags; /* few bits each, as the command's handler has seen */
    *ret = res;
    return 0;
}

uint32_t gpu_resource_add_blob(struct gpu_device *dev, const struct backend_blob_args *args,
                               struct iov_cursor *entries, uint32_t n)
{
    struct backend_blob_args full = *args;
    struct backing b = {0};
    struct gpu_resource *res;
    uint64_t cost = blob_cost(dev, args);
    uint32_t type;
    int r;

    if (args->id == 0 || gpu_resource_get(dev, args->id))
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (args->bytes == 0 || args->bytes % GPU_PAGE_BYTES != 0)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (args->bytes > dev->limits.max_resource_bytes ||
        dev->resources.count >= dev->limits.max_resources || !gpu_charge(dev, cost))
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    if (args->mem != VIRTIO_GPU_BLOB_MEM_HOST3D) {
        type = backing_take(dev, entries, n, &b);
        if (type != VIRTIO_GPU_RESP_OK_NODATA) {
            gpu_uncharge(dev, cost);
            return type;
        }
        full.iov = b.iov;
        full.iov_count = (uint32_t)b.n_iov;
    }
    r = full.iov && b.bytes < args->bytes ? -EINVAL : blob_create(dev, &full, &res);
    if (r < 0) {
        backing_undo(dev, &b);
        gpu_uncharge(dev, cost);
        return gpu_response_from_errno(r);
    }
    res->charged_bytes = cost;
    backing_adopt(res, &b);
    gpu_stat_set(&dev->stats->resources, dev->resources.count);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The backend does not use it any more. */
static void drop_backing(struct gpu_device *dev, struct gpu_resource *res)
{
    struct backing b = {.iov = res->iov, .refs = res->refs, .n_refs = res->n_refs};

    if (!res->iov)
        return;
    gpu_uncharge(dev, res->backing_charge);
    backing_finish(dev, &b);
    res->iov = NULL;
    res->iov_count = 0;
    res->backing_bytes = 0;
    res->backing_charge = 0;
    res->refs = NULL;
    res->n_refs = 0;
}

void gpu_resource_detach(struct gpu_device *dev, struct gpu_resource *res)
{
    if (!res->iov)
        return;
    dev->backend->ops->resource_unback(dev->backend, res->args.id);
    drop_backing(dev, res);
}

static void resource_free(struct gpu_device *dev, struct gpu_resource *res)
{
    drop_backing(dev, res);
    gpu_uncharge(dev, res->charged_bytes);
    free(res);
}

void gpu_resource_remove(struct gpu_device *dev, struct gpu_resource *res)
{
    gpu_scanout_resource_gone(dev, res);
    dev->backend->ops->resource_destroy(dev->backend, res->args.id);
    id_table_remove(&dev->resources, res->args.id);
    resource_free(dev, res);
    gpu_stat_set(&dev->stats->resources, dev->resources.count);
}

void gpu_resources_clear(struct gpu_device *dev)
{
    struct gpu_resource *res;
    uint32_t pos = 0;

    while ((res = id_table_next(&dev->resources, &pos)))
        resource_free(dev, res);
    id_table_finish(&dev->resources);
    gpu_stat_set(&dev->stats->resources, 0);
}
