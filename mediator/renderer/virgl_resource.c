/* SPDX-License-Identifier: MIT */
/*
 * Resources of the virgl backend: their life, transfers between them and their backing, and the
 * pixels of scan-outs.
 */
#include "mediator/base/util.h"
#include "mediator/renderer/gpu_format.h"
#include "mediator/renderer/virgl_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The public header only names it; this is the wire's struct virtio_gpu_box. */
struct virgl_box {
    uint32_t x, y, z, w, h, d;
};

/* A buffer with this bind flag alone is plain memory: nothing about it needs a GL context. */
#define BIND_CUSTOM (1u << 17)

/* struct virgl_renderer_resource_info's flags. */
#define INFO_Y_0_TOP (1u << 0)

/* Formats of 8 bits a channel that a scan-out can have: which byte of a pixel is blue, green, red.
 */
static const struct {
    uint32_t format;
    uint8_t b, g, r;
} pixel_formats[] = {
    {1, 0, 1, 2},   /* B8G8R8A8 */
    {2, 0, 1, 2},   /* B8G8R8X8 */
    {3, 3, 2, 1},   /* A8R8G8B8 */
    {4, 3, 2, 1},   /* X8R8G8B8 */
    {67, 2, 1, 0},  /* R8G8B8A8 */
    {68, 1, 2, 3},  /* X8B8G8R8 */
    {121, 1, 2, 3}, /* A8B8G8R8 */
    {134, 2, 1, 0}, /* R8G8B8X8 */
    {100, 0, 1, 2}, /* B8G8R8A8 sRGB: the bytes, as they are */
    {101, 0, 1, 2}, /* B8G8R8X8 sRGB */
    {104, 2, 1, 0}, /* R8G8B8A8 sRGB */
};

int virgl_resource_create(struct backend *b, const struct backend_resource_args *args)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_renderer_resource_create_args create = {
        .handle = args->id,
        .target = args->target,
        .format = args->format,
        .bind = args->bind,
        .width = args->width,
        .height = args->height,
        .depth = args->depth,
        .array_size = args->array_size,
        .last_level = args->last_level,
        .nr_samples = args->nr_samples,
        .flags = args->flags,
    };
    struct virgl_renderer_resource_info info = {0};
    struct virgl_res *res;

    if (v->lost)
        return -EIO;
    if (id_table_get(&v->resources, args->id))
        return -EEXIST;
    res = calloc(1, sizeof(*res));
    if (!res)
        return -ENOMEM;
    res->plain = args->target == GPU_TARGET_BUFFER && args->bind == BIND_CUSTOM;

    if (!res->plain)
        virgl_use_own_context(v);
    if (virgl_renderer_resource_create(&create, NULL, 0) != 0) {
        free(res);
        return -EINVAL;
    }
    res->id = args->id;
    if (virgl_renderer_resource_get_info((int)args->id, &info) != 0 ||
        id_table_put(&v->resources, args->id, res) < 0) {
        virgl_renderer_resource_unref(args->id);
        free(res);
        return -ENOMEM;
    }
    res->format = args->format;
    res->width = args->width;
    res->height = args->height;
    res->row_bytes = info.stride;
    return 0;
}

static void destroy(struct virgl *v, struct virgl_res *res)
{
    /* First the backing: objects of a context keep the resource alive, and would write to it. */
    virgl_renderer_resource_detach_iov((int)res->id, NULL, NULL);
    virgl_renderer_resource_unref(res->id);
    free(res);
}

void virgl_resource_destroy(struct backend *b, uint32_t resource_id)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_remove(&v->resources, resource_id);

    if (!res)
        return;
    if (!res->plain)
        virgl_use_own_context(v);
    destroy(v, res);
}

void virgl_resource_destroy_all(struct virgl *v)
{
    struct virgl_res *res;
    uint32_t pos = 0;

    virgl_use_own_context(v);
    while ((res = id_table_next(&v->resources, &pos)))
        destroy(v, res);
    id_table_finish(&v->resources);
}

int virgl_resource_back(struct backend *b, uint32_t resource_id, struct iovec *iov,
                        uint32_t iov_count)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_get(&v->resources, resource_id);

    if (!res)
        return -ENOENT;
    if (iov_count == 0 || iov_count > INT32_MAX)
        return -EINVAL;
    if (res->backed)
        return -EBUSY;
    if (!res->plain)
        virgl_use_own_context(v);
    if (virgl_renderer_resource_attach_iov((int)resource_id, iov, (int)iov_count) != 0)
        return -EINVAL;
    res->backed = true;
    return 0;
}

void virgl_resource_unback(struct backend *b, uint32_t resource_id)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_get(&v->resources, resource_id);

    if (!res || !res->backed)
        return;
    if (!res->plain)
        virgl_use_own_context(v);
    virgl_renderer_resource_detach_iov((int)resource_id, NULL, NULL);
    res->backed = false;
}

/*
 * virglrenderer checks that a transfer stays inside the backing, but with 32-bit sizes that wrap:
 * strides that the sum of does not fit would then make GL read or write past the end. What passes
 * here can't wrap there; whether it is inside is left to virglrenderer, which knows the format.
 */
static bool sizes_fit(const struct virgl_res *res, const struct backend_transfer *t)
{
    const struct backend_box *box = &t->box;
    uint64_t stride = t->stride ? t->stride : res->row_bytes;
    uint64_t layer_stride = t->layer_stride ? t->layer_stride : stride * res->height;
    uint64_t layers = box->d ? box->d - 1 : 0;
    uint64_t size;

    if (box->x > INT32_MAX || box->y > INT32_MAX || box->z > INT32_MAX || box->w > INT32_MAX ||
        box->h > INT32_MAX || box->d > INT32_MAX || t->level > INT32_MAX)
        return false;
    /* Too large rather than too small: a row of the box is at most a row of the resource, and
     * compressed formats have fewer rows of blocks than the box has rows. */
    if (t->offset > UINT32_MAX || stride * box->h > UINT32_MAX ||
        (layers && layer_stride > UINT32_MAX / layers))
        return false;
    size = t->offset + stride * box->h + layer_stride * layers + res->row_bytes;
    return size <= UINT32_MAX;
}

static int transfer(struct backend *b, const struct backend_transfer *t, bool to_host)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_get(&v->resources, t->resource_id);
    struct virgl_box box = {t->box.x, t->box.y, t->box.z, t->box.w, t->box.h, t->box.d};
    int r;

    if (v->lost)
        return -EIO;
    if (!res || (t->ctx_id && !id_table_get(&v->contexts, t->ctx_id)))
        return -ENOENT;
    if (!res->backed || !sizes_fit(res, t))
        return -EINVAL;
    if (box.w == 0 || box.h == 0 || box.d == 0)
        return 0;
    if (t->ctx_id == 0)
        virgl_use_own_context(v);
    if (to_host) {
        r = virgl_renderer_transfer_write_iov(t->resource_id, t->ctx_id, (int)t->level, t->stride,
                                              t->layer_stride, &box, t->offset, NULL, 0);
        virgl_note_work(v, t->ctx_id);
    } else {
        /* What is read is a query's result: a client whose result was late asks like this, again
         * and again, with nothing that a fence is due for. */
        if (res->plain)
            virgl_check_queries(v);
        r = virgl_renderer_transfer_read_iov(t->resource_id, t->ctx_id, t->level, t->stride,
                                             t->layer_stride, &box, t->offset, NULL, 0);
        /* No new work for a fence: the pixels are there when the call returns. */
        v->current = t->ctx_id;
    }
    return r == 0 ? 0 : -EINVAL;
}

int virgl_transfer_to_host(struct backend *b, const struct backend_transfer *t)
{
    return transfer(b, t, true);
}

int virgl_transfer_from_host(struct backend *b, const struct backend_transfer *t)
{
    return transfer(b, t, false);
}

/* In place; the fourth byte means nothing. */
static void to_bgrx(uint8_t *row, uint32_t pixels, unsigned b, unsigned g, unsigned r)
{
    for (uint32_t i = 0; i < pixels; i++, row += 4) {
        uint8_t in[4];
        memcpy(in, row, 4);
        row[0] = in[b];
        row[1] = in[g];
        row[2] = in[r];
        row[3] = 0xff;
    }
}

int virgl_read_pixels(struct backend *b, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w,
                      uint32_t h, void *dst, uint32_t stride)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_get(&v->resources, resource_id);
    struct virgl_box box = {x, y, 0, w, h, 1};
    size_t format = 0;

    if (v->lost)
        return -EIO;
    if (!res)
        return -ENOENT;
    while (format < ARRAY_SIZE(pixel_formats) && pixel_formats[format].format != res->format)
        format++;
    if (format == ARRAY_SIZE(pixel_formats) || !range_inside(x, w, res->width) ||
        !range_inside(y, h, res->height) || stride / 4 < w)
        return -EINVAL;
    if (w == 0 || h == 0)
        return 0;

    struct iovec iov = {dst, (size_t)stride * (h - 1) + (size_t)w * 4};
    virgl_use_own_context(v);
    if (virgl_renderer_transfer_read_iov(resource_id, 0, 0, stride, 0, &box, 0, &iov, 1) != 0)
        return -EIO;
    if (pixel_formats[format].b != 0)
        for (uint32_t row = 0; row < h; row++)
            to_bgrx((uint8_t *)dst + (size_t)row * stride, w, pixel_formats[format].b,
                    pixel_formats[format].g, pixel_formats[format].r);
    return 0;
}

int virgl_export_dmabuf(struct backend *b, uint32_t resource_id, struct backend_dmabuf *ret)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_res *res = id_table_get(&v->resources, resource_id);
    struct virgl_renderer_resource_info info = {0};
    int r;

    if (!res)
        return -ENOENT;
    if (v->lost)
        return -EIO;
    if (virgl_renderer_resource_get_info((int)resource_id, &info) != 0 || info.tex_id == 0)
        return -EOPNOTSUPP;
    /* virglrenderer exports only through an EGL of its own; the display here is ours. */
    virgl_use_own_context(v);
    r = egl_gpu_export_texture(v->gpu, info.tex_id, ret);
    if (r < 0)
        return r;
    ret->width = info.width;
    ret->height = info.height;
    ret->y_0_top = info.flags & INFO_Y_0_TOP;
    return 0;
}
