/* SPDX-License-Identifier: MIT */
/*
 * The backend without a GPU stack: 2D resources live in plain memory, 3D is accepted and nothing
 * drawn, blobs are empty memory. For tests of all the rest, and a guest console where no GPU can be
 * had.
 */
#include "mediator/base/util.h"
#include "mediator/renderer/backend.h"
#include "mediator/renderer/gpu_format.h"
#include "mediator/renderer/id_table.h"
#include "protocol/iov.h"
#include "protocol/virtio_gpu.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define PIXEL_BYTES 4u

/* Memory of the host. */
struct null_blob {
    uint32_t ctx_id;
    int fd; /* owned */
    uint64_t id;
};

struct null_resource {
    struct null_blob *blob; /* owned; NULL = it is none */
    uint32_t width, height, format;
    bool has_pixels;         /* a 2D texture of a 32-bit format; else nothing is kept */
    uint8_t *pixels;         /* owned; NULL = all zeros: made at the first transfer to it */
    const struct iovec *iov; /* borrowed backing, NULL = none */
    uint32_t iov_count;
};

struct backend_null {
    struct backend base;
    const struct backend_events *events;
    void *opaque;
    struct id_table resources; /* of struct null_resource, owned */
};

/* As virglrenderer's two capsets, so that drivers find the sizes they know. All zeros but the
 * version: no format, no feature. */
static const struct {
    uint32_t id, max_version, size;
} capsets[] = {
    {VIRTIO_GPU_CAPSET_VIRGL, 1, 308},
    {VIRTIO_GPU_CAPSET_VIRGL2, 2, 1384},
};

static struct backend_null *null_of(struct backend *b)
{
    return (struct backend_null *)b;
}

static struct null_resource *resource_of(struct backend *b, uint32_t id)
{
    return id_table_get(&null_of(b)->resources, id);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int null_create(const struct backend_config *config, struct backend **ret,
                       const char **ret_error)
{
    struct backend_null *b = calloc(1, sizeof(*b));

    if (!b) {
        *ret_error = "out of memory";
        return -ENOMEM;
    }
    b->base.ops = &backend_null;
    b->events = config->events;
    b->opaque = config->opaque;
    id_table_init(&b->resources);
    *ret = &b->base;
    return 0;
}

static void resource_free(struct null_resource *res)
{
    if (res->blob)
        close_fd_p(&res->blob->fd);
    free(res->blob);
    free(res->pixels);
    free(res);
}

static void null_reset(struct backend *b)
{
    struct id_table *t = &null_of(b)->resources;
    struct null_resource *res;
    uint32_t pos = 0;

    while ((res = id_table_next(t, &pos)))
        resource_free(res);
    id_table_finish(t);
}

static void null_destroy(struct backend *b)
{
    if (!b)
        return;
    null_reset(b);
    free(b);
}

static const char *null_describe(struct backend *b)
{
    return "null (draws nothing)";
}

/* ---- capsets and contexts -------------------------------------------------------------------- */

static uint32_t null_capset_count(struct backend *b)
{
    return ARRAY_SIZE(capsets);
}

static int null_capset_info(struct backend *b, uint32_t index, uint32_t *ret_id,
                            uint32_t *ret_max_version, uint32_t *ret_max_size)
{
    if (index >= ARRAY_SIZE(capsets))
        return -EINVAL;
    *ret_id = capsets[index].id;
    *ret_max_version = capsets[index].max_version;
    *ret_max_size = capsets[index].size;
    return 0;
}

static int null_capset(struct backend *b, uint32_t id, uint32_t version, void *buf, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(capsets); i++) {
        if (capsets[i].id != id)
            continue;
        if (version > capsets[i].max_version || size < sizeof(uint32_t))
            return -EINVAL;
        memset(buf, 0, size);
        memcpy(buf, &capsets[i].max_version, sizeof(uint32_t));
        return 0;
    }
    return -EINVAL;
}

static int null_ctx_create(struct backend *b, uint32_t ctx_id, uint32_t capset_id, const char *name,
                           size_t name_len)
{
    return 0;
}

static void null_ctx_destroy(struct backend *b, uint32_t ctx_id)
{
}

static int null_ctx_attach(struct backend *b, uint32_t ctx_id, uint32_t resource_id)
{
    return 0;
}

static void null_ctx_detach(struct backend *b, uint32_t ctx_id, uint32_t resource_id)
{
}

static int null_submit(struct backend *b, uint32_t ctx_id, void *buf, size_t bytes)
{
    return 0;
}

static int null_fence(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                      uint64_t fence_id)
{
    struct backend_null *null = null_of(b);

    null->events->fence_done(null->opaque, ctx_id, ring_idx, fence_id);
    return 0;
}

/* ---- resources ------------------------------------------------------------------------------- */

static int null_resource_create(struct backend *b, const struct backend_resource_args *args)
{
    struct null_resource *res = calloc(1, sizeof(*res));
    const struct gpu_format format = gpu_format_get(args->format);
    int r;

    if (!res)
        return -ENOMEM;
    res->width = args->width;
    res->height = args->height;
    res->format = args->format;
    res->has_pixels = args->target == GPU_TARGET_2D && format.block_bytes == PIXEL_BYTES &&
                      format.block_width == 1 && format.block_height == 1;
    r = id_table_put(&null_of(b)->resources, args->id, res);
    if (r < 0)
        free(res);
    return r;
}

static void null_resource_destroy(struct backend *b, uint32_t resource_id)
{
    struct null_resource *res = id_table_remove(&null_of(b)->resources, resource_id);

    if (res)
        resource_free(res);
}

static int null_resource_back(struct backend *b, uint32_t resource_id, struct iovec *iov,
                              uint32_t iov_count)
{
    struct null_resource *res = resource_of(b, resource_id);

    if (!res)
        return -EINVAL;
    res->iov = iov;
    res->iov_count = iov_count;
    return 0;
}

static void null_resource_unback(struct backend *b, uint32_t resource_id)
{
    struct null_resource *res = resource_of(b, resource_id);

    if (res) {
        res->iov = NULL;
        res->iov_count = 0;
    }
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* Each context has all objects that there can be, and each can be made a blob of once at a time. */
static bool blob_id_taken(struct backend_null *b, uint32_t ctx_id, uint64_t blob_id)
{
    const struct null_resource *res;
    uint32_t pos = 0;

    while ((res = id_table_next(&b->resources, &pos))) {
        if (res->blob && res->blob->id == blob_id && res->blob->ctx_id == ctx_id)
            return true;
    }
    return false;
}

static int make_blob(struct null_resource *res, const struct backend_blob_args *args)
{
    struct null_blob *blob = malloc(sizeof(*blob));

    if (!blob)
        return -ENOMEM;
    *blob = (struct null_blob){
        .ctx_id = args->ctx_id,
        .fd = memfd_create("aliquot-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL),
        .id = args->blob_id,
    };
    res->blob = blob;
    if (blob->fd < 0 || ftruncate(blob->fd, (off_t)args->bytes) < 0 ||
        fcntl(blob->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -ENOMEM;
    return 0;
}

static int null_blob_create(struct backend *b, const struct backend_blob_args *args)
{
    struct backend_null *null = null_of(b);
    bool on_host = args->mem != VIRTIO_GPU_BLOB_MEM_GUEST;
    struct null_resource *res;
    int r = 0;

    if (on_host && (args->blob_id == 0 || blob_id_taken(null, args->ctx_id, args->blob_id)))
        return -EINVAL;
    res = calloc(1, sizeof(*res));
    if (!res)
        return -ENOMEM;
    res->iov = args->iov;
    res->iov_count = args->iov_count;
    if (on_host)
        r = make_blob(res, args);
    if (r == 0)
        r = id_table_put(&null->resources, args->id, res);
    if (r < 0)
        resource_free(res);
    return r;
}

static int null_blob_map(struct backend *b, uint32_t resource_id, struct backend_blob_map *ret)
{
    const struct null_resource *res = resource_of(b, resource_id);
    int fd;

    if (!res || !res->blob)
        return -EOPNOTSUPP;
    fd = fcntl(res->blob->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -ENOMEM;
    *ret = (struct backend_blob_map){.fd = fd, .map_info = VIRTIO_GPU_MAP_CACHE_CACHED};
    return 0;
}

/* ---- transfers ------------------------------------------------------------------------------- */

static bool ensure_pixels(struct null_resource *res)
{
    if (!res->pixels)
        res->pixels = calloc(res->height, (size_t)res->width * PIXEL_BYTES);
    return res->pixels;
}

/* Copies the box row by row, from the backing or to it. */
static int transfer(struct backend *b, const struct backend_transfer *t, bool to_host)
{
    struct null_resource *res = resource_of(b, t->resource_id);
    struct iov_cursor backing;
    uint64_t row_bytes, span;
    uint32_t stride;

    if (!res || !res->iov)
        return -EINVAL;
    if (!res->has_pixels || t->level != 0)
        return 0;
    stride = t->stride ? t->stride : res->width * PIXEL_BYTES;
    row_bytes = (uint64_t)t->box.w * PIXEL_BYTES;
    if (t->box.d != 1 || t->box.h == 0 || !range_inside(t->box.x, t->box.w, res->width) ||
        !range_inside(t->box.y, t->box.h, res->height) || (t->box.h > 1 && stride < row_bytes))
        return -EINVAL;
    span = (uint64_t)stride * (t->box.h - 1) + row_bytes;
    if (!range_inside(t->offset, span, iov_total(res->iov, res->iov_count)))
        return -EINVAL;
    if (!ensure_pixels(res))
        return -ENOMEM;

    iov_cursor_init(&backing, res->iov, res->iov_count);
    iov_skip(&backing, t->offset);
    for (uint32_t row = 0; row < t->box.h; row++) {
        size_t pixel = (size_t)(t->box.y + row) * res->width + t->box.x;
        uint8_t *pixels = res->pixels + pixel * PIXEL_BYTES;

        if (row > 0)
            iov_skip(&backing, stride - row_bytes);
        if (to_host)
            iov_take(&backing, pixels, row_bytes);
        else
            iov_put(&backing, pixels, row_bytes);
    }
    return 0;
}

static int null_transfer_to_host(struct backend *b, const struct backend_transfer *t)
{
    return transfer(b, t, true);
}

static int null_transfer_from_host(struct backend *b, const struct backend_transfer *t)
{
    return transfer(b, t, false);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static int null_read_pixels(struct backend *b, uint32_t resource_id, uint32_t x, uint32_t y,
                            uint32_t w, uint32_t h, void *dst, uint32_t stride)
{
    const struct null_resource *res = resource_of(b, resource_id);

    if (!res || !range_inside(x, w, res->width) || !range_inside(y, h, res->height))
        return -EINVAL;
    for (uint32_t row = 0; row < h; row++) {
        uint8_t *to = (uint8_t *)dst + (size_t)row * stride;
        const uint8_t *from;

        if (!res->pixels) {
            memset(to, 0, (size_t)w * PIXEL_BYTES);
            continue;
        }
        from = res->pixels + ((size_t)(y + row) * res->width + x) * PIXEL_BYTES;
        gpu_format_to_bgra(res->format, to, from, w);
    }
    return 0;
}

static int null_export_dmabuf(struct backend *b, uint32_t resource_id, struct backend_dmabuf *ret)
{
    return -EOPNOTSUPP;
}

const struct backend_ops backend_null = {
    .name = "null",
    .has_3d = true,
    .memory = {.row_align = 1},
    .create = null_create,
    .destroy = null_destroy,
    .reset = null_reset,
    .describe = null_describe,
    .capset_count = null_capset_count,
    .capset_info = null_capset_info,
    .capset = null_capset,
    .ctx_create = null_ctx_create,
    .ctx_destroy = null_ctx_destroy,
    .ctx_attach = null_ctx_attach,
    .ctx_detach = null_ctx_detach,
    .resource_create = null_resource_create,
    .resource_destroy = null_resource_destroy,
    .resource_back = null_resource_back,
    .resource_unback = null_resource_unback,
    .blob_create = null_blob_create,
    .blob_map = null_blob_map,
    .transfer_to_host = null_transfer_to_host,
    .transfer_from_host = null_transfer_from_host,
    .submit = null_submit,
    .fence = null_fence,
    .read_pixels = null_read_pixels,
    .export_dmabuf = null_export_dmabuf,
};
