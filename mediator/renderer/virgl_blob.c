/* SPDX-License-Identifier: MIT */
/*
 * Blobs of the virgl backend: guest memory, and memory of Venus contexts, which other processes map
 * by a descriptor. Those of GL contexts would need memory that GL and others can share, which only
 * virglrenderer's own EGL makes; it offers guests nothing that needs them (init_virglrenderer()).
 */
#include "mediator/base/util.h"
#include "mediator/renderer/virgl_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Of virtio-gpu; the same numbers in virglrenderer's header. */
#define MEM_GUEST VIRGL_RENDERER_BLOB_MEM_GUEST
#define MEM_HOST3D VIRGL_RENDERER_BLOB_MEM_HOST3D

static int make(struct virgl *v, const struct backend_blob_args *args, struct virgl_ctx *ctx)
{
    const struct virgl_renderer_resource_create_blob_args create = {
        .res_handle = args->id,
        .ctx_id = args->ctx_id,
        .blob_mem = args->mem,
        .blob_flags = args->flags,
        .blob_id = args->blob_id,
        .size = args->bytes,
        .iovecs = args->iov,
        .num_iovs = args->iov_count,
    };

    if (virgl_renderer_resource_create_blob(&create) == 0)
        return 0;
    if (!ctx)
        return -ENOMEM;
    virgl_venus_check(v, ctx);
    return ctx->dead ? -EIO : -EINVAL;
}

int virgl_blob_create(struct backend *b, const struct backend_blob_args *args)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_ctx *ctx = NULL;
    struct virgl_res *res;
    int r;

    if (v->lost)
        return -EIO;
    if (id_table_get(&v->resources, args->id))
        return -EEXIST;
    if (args->mem == MEM_HOST3D) {
        ctx = id_table_get(&v->contexts, args->ctx_id);
        if (!ctx || !ctx->venus)
            return -EINVAL;
        if (ctx->dead)
            return -EIO;
    } else if (args->mem != MEM_GUEST) {
        return -EINVAL;
    }
    res = calloc(1, sizeof(*res));
    if (!res)
        return -ENOMEM;
    *res = (struct virgl_res){
        .id = args->id,
        .plain = true,
        .backed = args->iov_count > 0,
        .blob = ctx ? BLOB_HOST : BLOB_GUEST,
        .blob_ctx_id = ctx ? ctx->id : 0,
        .blob_bytes = args->bytes,
    };
    r = id_table_put(&v->resources, args->id, res);
    if (r == 0) {
        r = make(v, args, ctx);
        if (r < 0)
            id_table_remove(&v->resources, args->id);
    }
    if (r < 0)
        free(res);
    return r;
}

/* ---- mapping ----------------------------------------------------------------------------------
 */

/*
 * lavapipe's exported memory is a memfd that begins with this, and the memory follows at an offset.
 * Who maps it from the beginning has the guest overwrite it. Our layer puts files of its own in
 * place of these (mediator/layer/backing.h), which have no header, whole pages and seals for good;
 * lavapipe's end with a part of one, where it is asked for whole pages. A guest that writes such a
 * header into its memory sees some other part of it.
 */
struct lavapipe_header {
    uint64_t file_bytes;
    uint64_t data_offset;
    uint8_t device_id[16];
    uint64_t zero;
};
#define LAVAPIPE_DATA_OFFSET 0x1000
#define PAGE_BYTES 4096

static int lavapipe_offset(int fd, uint64_t *ret_offset)
{
    struct lavapipe_header header;
    off_t size = lseek(fd, 0, SEEK_END);
    int seals = fcntl(fd, F_GET_SEALS);

    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) || size < 0)
        return -EOPNOTSUPP;
    if (header.file_bytes == (uint64_t)size && header.data_offset == LAVAPIPE_DATA_OFFSET &&
        header.zero == 0)
        *ret_offset = header.data_offset;
    else if (size % PAGE_BYTES == 0 && seals >= 0 && (seals & F_SEAL_SEAL))
        *ret_offset = 0;
    else
        return -EOPNOTSUPP;
    return 0;
}

/* Memory that could shrink would be a way to kill who has it mapped. A dma-buf can't. */
static int check_size(int fd, uint32_t type, uint64_t bytes)
{
    off_t size = lseek(fd, 0, SEEK_END);

    if (size < 0 || (uint64_t)size < bytes)
        return -EINVAL;
    if (type == VIRGL_RENDERER_BLOB_FD_TYPE_DMABUF)
        return 0;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) ? 0 : -EINVAL;
}

int virgl_blob_map(struct backend *b, uint32_t resource_id, struct backend_blob_map *ret)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_get(&v->resources, resource_id);
    uint32_t type = 0, map_info = 0;
    _cleanup_close_ int fd = -1;
    uint64_t offset = 0;
    int r = 0;

    if (!res)
        return -ENOENT;
    if (res->blob != BLOB_HOST ||
        virgl_renderer_resource_get_map_info(resource_id, &map_info) != 0 ||
        virgl_renderer_resource_export_blob(resource_id, &type, &fd) != 0)
        return -EOPNOTSUPP;
    /* What else an opaque descriptor is, only its driver knows. */
    if (type == VIRGL_RENDERER_BLOB_FD_TYPE_OPAQUE)
        r = v->software ? lavapipe_offset(fd, &offset) : -EOPNOTSUPP;
    if (r == 0)
        r = check_size(fd, type, offset + res->blob_bytes);
    if (r < 0)
        return r;
    *ret = (struct backend_blob_map){
        .fd = take_fd(&fd),
        .offset = offset,
        .map_info = map_info & VIRGL_RENDERER_MAP_CACHE_MASK,
    };
    return 0;
}
