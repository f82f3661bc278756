/* SPDX-License-Identifier: MIT */
/*
 * Blobs of a vtest client. Each is answered with a descriptor of its memory, which the client maps
 * from its start; there is no region in which something would have to be shown.
 *
 * What can't be answered so gets a descriptor that can't be mapped, and where there is no resource,
 * too, an id that stands for none ("hollow"): Mesa has no ear for an error here, and would end the
 * program, but finds that mapping fails and tells the program that.
 */
#include "mediator/renderer/vtest_internal.h"

#include <string.h>
#include <sys/eventfd.h>

#define PAGE_BYTES 4096u

/* Blobs that could not be made and are not given up: a client that goes on and on like that is not
 * kept. */
#define HOLLOW_MAX 4096

/* Host memory as the client can map it: *ret_fd, or -EOPNOTSUPP, or an error of the backend. */
static int host_memory(struct vtest_session *s, uint32_t id, int *ret_fd)
{
    struct backend *backend = s->config.backend;
    struct backend_blob_map map;
    int r = -EOPNOTSUPP;

    if (backend->ops->blob_map)
        r = backend->ops->blob_map(backend, id, &map);
    if (r == 0 && map.offset != 0) {
        /* The client has no way to know where it begins: it would see, and overwrite, what the
         * driver keeps before. */
        log_info("blob %u begins at %llu in its descriptor: vtest clients can't map it", id,
                 (unsigned long long)map.offset);
        close(map.fd);
        r = -EOPNOTSUPP;
    }
    if (r == 0)
        *ret_fd = map.fd;
    return r;
}

static uint32_t create(struct vtest_session *s, const struct vtest_create_blob *req, uint32_t id,
                       uint64_t bytes, struct vtest_memory *m)
{
    const struct virtio_gpu_mem_entry entry = {.addr = m ? (uintptr_t)m->base : 0,
                                               .length = (uint32_t)bytes};
    const struct iovec iov = {.iov_base = (void *)&entry, .iov_len = m ? sizeof(entry) : 0};
    struct gpu_call call = {
        .req.create_blob = {.hdr.ctx_id = VTEST_CTX_ID,
                            .resource_id = id,
                            .blob_mem = req->mem,
                            .blob_flags = req->flags,
                            .nr_entries = m ? 1 : 0,
                            .blob_id = req->blob_id_lo | (uint64_t)req->blob_id_hi << 32,
                            .size = bytes},
    };
    struct gpu_call attach_call = {
        .req.ctx_resource = {.hdr.ctx_id = VTEST_CTX_ID, .resource_id = id},
    };
    uint32_t response;

    iov_cursor_init(&call.rest, &iov, 1);
    s->lent = m;
    response = gpu_cmd_resource_create_blob(s->device, &call);
    s->lent = NULL;
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        return response;
    response = gpu_cmd_ctx_attach(s->device, &attach_call);
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        gpu_resource_remove(s->device, gpu_resource_get(s->device, id));
    else if (m)
        m->shared = true; /* ends with the resource from now on */
    return response;
}

/* With the descriptor of its memory, if it has one that can be mapped. */
static uint32_t create_with_memory(struct vtest_session *s, const struct vtest_create_blob *req,
                                   uint32_t id, uint64_t bytes, int *ret_fd)
{
    _cleanup_close_ int fd = -1;
    struct vtest_memory *m = NULL;
    uint32_t response;
    int r = 0;

    if (bytes == 0 || bytes > s->config.limits.max_resource_bytes)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    if (req->mem != VIRTIO_GPU_BLOB_MEM_HOST3D) {
        r = vtest_memory_create(s, bytes, &m, &fd);
        if (r < 0)
            return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
        m->shared = false; /* if it fails m is still ours */
    }
    response = create(s, req, id, bytes, m);
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
        if (m)
            vtest_memory_destroy(s, m);
        return response;
    }
    if (!m)
        r = host_memory(s, id, &fd);
    if (r < 0 && r != -EOPNOTSUPP) {
        gpu_resource_remove(s->device, gpu_resource_get(s->device, id));
        return gpu_response_from_errno(r);
    }
    *ret_fd = take_fd(&fd);
    return response;
}

static int answer(struct vtest_session *s, struct vtest_message *msg, uint32_t id, int fd)
{
    uint32_t *body;

    if (fd < 0)
        fd = eventfd(0, EFD_CLOEXEC); /* that can't be mapped */
    if (fd < 0)
        return -ENOMEM;
    if (vtest_answer(s, 1, msg->command, sizeof(*body), &body) < 0) {
        close(fd);
        return -ENOMEM;
    }
    *body = id;
    vtest_output_fd(&s->output, fd);
    return 0;
}

int vtest_resource_create_blob(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_create_blob req;
    uint64_t bytes;
    uint32_t id = vtest_choose_id(s), response;
    int fd = -1;

    memcpy(&req, msg->body, sizeof(req));
    if (req.mem < VIRTIO_GPU_BLOB_MEM_GUEST || req.mem > VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST)
        return vtest_refuse(msg, "no kind of memory is %u", req.mem);
    /* Clients give the size that they need, kernel drivers whole pages. */
    bytes = req.bytes_lo | (uint64_t)req.bytes_hi << 32;
    bytes =
        bytes > UINT64_MAX - PAGE_BYTES ? 0 : (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    response = create_with_memory(s, &req, id, bytes, &fd);
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
        gpu_reject(s->device, msg->info->name, virtio_gpu_response_name(response));
        if (s->hollow.count >= HOLLOW_MAX)
            return vtest_check(msg, response);
        if (id_table_put(&s->hollow, id, s) < 0)
            return -ENOMEM;
    }
    return answer(s, msg, id, fd);
}
