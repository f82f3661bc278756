/* SPDX-License-Identifier: MIT */
/*
 * Resources of a vtest client: their life, the memory that is shared with the client, and
 * transfers.
 *
 * To the device model that memory is guest memory: the session lends it (vtest_session.lent) while
 * the device takes it as a resource's backing, or for one transfer where the data is inline.
 */
#include "mediator/renderer/vtest_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u

/* ---- memory ---------------------------------------------------------------------------------- */

void *vtest_memory_ref(void *opaque, uint64_t address, uint64_t *len, void **ret_ref)
{
    struct vtest_session *s = opaque;
    struct vtest_memory *m = s->lent;

    if (!m || address != (uintptr_t)m->base || *len > m->bytes)
        return NULL;
    *ret_ref = m;
    return m->base;
}

/* What the kernel keeps for it: whole pages. */
static uint64_t memory_cost(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

void vtest_memory_destroy(struct vtest_session *s, struct vtest_memory *m)
{
    munmap(m->base, m->bytes);
    gpu_uncharge(s->device, memory_cost(m->bytes));
    free(m);
}

void vtest_memory_unref(void *opaque, void *ref)
{
    struct vtest_memory *m = ref;

    if (m->shared)
        vtest_memory_destroy(opaque, m);
}

/* Memory for the client to map: its size can't be changed, so that no access of ours ends in
 * SIGBUS. *ret_fd is the caller's to close. */
int vtest_memory_create(struct vtest_session *s, size_t bytes, struct vtest_memory **ret,
                        int *ret_fd)
{
    struct vtest_memory *m;
    void *base = MAP_FAILED;

    if (bytes > s->config.limits.max_resource_bytes || !gpu_charge(s->device, memory_cost(bytes)))
        return -ENOMEM;
    m = calloc(1, sizeof(*m));
    int fd = memfd_create("aliquot-vtest", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (m && fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        close_fd_p(&fd);
        free(m);
        gpu_uncharge(s->device, memory_cost(bytes));
        return -ENOMEM;
    }
    *m = (struct vtest_memory){.base = base, .bytes = bytes, .shared = true};
    *ret = m;
    *ret_fd = fd;
    return 0;
}

/* Makes m the backing of a resource that has none. If that fails m is still the caller's. */
static uint32_t attach(struct vtest_session *s, struct gpu_resource *res, struct vtest_memory *m)
{
    const struct virtio_gpu_mem_entry entry = {.addr = (uintptr_t)m->base,
                                               .length = (uint32_t)m->bytes};
    const struct iovec iov = {.iov_base = (void *)&entry, .iov_len = sizeof(entry)};
    bool shared = m->shared;
    struct iov_cursor entries;
    uint32_t response;

    iov_cursor_init(&entries, &iov, 1);
    m->shared = false; /* a failing attach gives the reference back, and m is still the caller's */
    s->lent = m;
    response = gpu_resource_attach(s->device, res, &entries, 1);
    s->lent = NULL;
    m->shared = shared;
    return response;
}

/* ---- life ------------------------------------------------------------------------------------ */

uint32_t vtest_choose_id(struct vtest_session *s)
{
    do
        s->last_id++;
    while (s->last_id == 0 || gpu_resource_get(s->device, s->last_id) ||
           id_table_get(&s->hollow, s->last_id));
    return s->last_id;
}

static uint32_t create(struct vtest_session *s, const struct vtest_resource_create *req,
                       uint32_t id)
{
    struct gpu_call call = {
        .req.create_3d = {.resource_id = id,
                          .target = req->target,
                          .format = req->format,
                          .bind = req->bind,
                          .width = req->width,
                          .height = req->height,
                          .depth = req->depth,
                          .array_size = req->array_size,
                          .last_level = req->last_level,
                          .nr_samples = req->nr_samples},
    };
    struct gpu_call attach_call = {
        .req.ctx_resource = {.hdr.ctx_id = VTEST_CTX_ID, .resource_id = id},
    };
    uint32_t response = gpu_cmd_resource_create_3d(s->device, &call);

    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        return response;
    response = gpu_cmd_ctx_attach(s->device, &attach_call);
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        gpu_resource_remove(s->device, gpu_resource_get(s->device, id));
    return response;
}

/* The same with shared memory, whose descriptor is then in *ret_fd. */
static uint32_t create_shared(struct vtest_session *s, const struct vtest_resource_create *req,
                              uint32_t id, uint32_t bytes, int *ret_fd)
{
    uint32_t response = create(s, req, id);
    struct gpu_resource *res;
    struct vtest_memory *m;
    _cleanup_close_ int fd = -1;

    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC || bytes == 0)
        return response;
    res = gpu_resource_get(s->device, id);
    if (vtest_memory_create(s, bytes, &m, &fd) < 0) {
        response = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    } else {
        response = attach(s, res, m);
        if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
            vtest_memory_destroy(s, m);
    }
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        gpu_resource_remove(s->device, res);
    else
        *ret_fd = take_fd(&fd);
    return response;
}

/*
 * What the client hears of it: its id where the server chooses, and the descriptor. If it could not
 * be made the id is 0, and where a descriptor is awaited its byte comes alone: Mesa then has no
 * resource, and goes on. A client that awaits nothing would go on as if it had one: false.
 */
static int answer_create(struct vtest_session *s, uint32_t command, uint32_t id, bool shared,
                         int fd, bool *ret_heard)
{
    bool by_server = s->version >= VTEST_VERSION_SERVER_IDS;
    uint32_t *body;

    *ret_heard = by_server || shared;
    if (by_server) {
        if (vtest_answer(s, 1, command, sizeof(*body), &body) < 0)
            return -ENOMEM;
        *body = id;
    }
    if (shared && fd >= 0)
        vtest_output_fd(&s->output, fd);
    else if (shared && !vtest_output_add(&s->output, 1))
        return -ENOMEM;
    return 0;
}

static int create_and_answer(struct vtest_session *s, struct vtest_message *msg,
                             const struct vtest_resource_create *req, uint32_t bytes)
{
    bool by_server = s->version >= VTEST_VERSION_SERVER_IDS, heard;
    uint32_t id = req->handle, response;
    _cleanup_close_ int fd = -1;
    int r;

    if (by_server && id != 0)
        return vtest_refuse(msg, "an id, %u, where the server chooses", id);
    if (by_server)
        id = vtest_choose_id(s);
    response = create_shared(s, req, id, bytes, &fd);
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        id = 0;
    r = answer_create(s, msg->command, id, bytes > 0, take_fd(&fd), &heard);
    if (r < 0 || id != 0)
        return r;
    if (!heard)
        return vtest_check(msg, response);
    gpu_reject(s->device, msg->info->name, virtio_gpu_response_name(response));
    return 0;
}

int vtest_resource_create(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_resource_create req;

    memcpy(&req, msg->body, sizeof(req));
    return create_and_answer(s, msg, &req, 0);
}

int vtest_resource_create2(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_resource_create2 req;

    memcpy(&req, msg->body, sizeof(req));
    return create_and_answer(s, msg, &req.args, req.data_size);
}

int vtest_resource_unref(struct vtest_session *s, struct vtest_message *msg)
{
    struct gpu_resource *res;
    uint32_t id;

    memcpy(&id, msg->body, sizeof(id));
    if (id_table_remove(&s->hollow, id))
        return 0;
    res = gpu_resource_get(s->device, id);
    if (!res)
        return vtest_refuse(msg, "no resource %u", id);
    gpu_resource_remove(s->device, res);
    return 0;
}

/* ---- transfers ------------------------------------------------------------------------------- */

static int transfer2(struct vtest_session *s, struct vtest_message *msg, gpu_handler *run)
{
    struct vtest_transfer2 req;

    memcpy(&req, msg->body, sizeof(req));
    struct gpu_call call = {
        .req.transfer_3d = {.hdr.ctx_id = VTEST_CTX_ID,
                            .resource_id = req.handle,
                            .level = req.level,
                            .offset = req.offset,
                            .box = {req.x, req.y, req.z, req.w, req.h, req.d}},
    };
    return vtest_check(msg, run(s->device, &call));
}

int vtest_transfer_get2(struct vtest_session *s, struct vtest_message *msg)
{
    return transfer2(s, msg, gpu_cmd_transfer_from_host_3d);
}

int vtest_transfer_put2(struct vtest_session *s, struct vtest_message *msg)
{
    return transfer2(s, msg, gpu_cmd_transfer_to_host_3d);
}

/* Between a resource that has no memory of its own and data. */
static int transfer_inline(struct vtest_session *s, struct vtest_message *msg,
                           const struct vtest_transfer *req, void *data, gpu_handler *run)
{
    struct gpu_resource *res = gpu_resource_get(s->device, req->handle);
    struct vtest_memory memory = {.base = data, .bytes = req->data_size};
    struct gpu_call call = {
        .req.transfer_3d = {.hdr.ctx_id = VTEST_CTX_ID,
                            .resource_id = req->handle,
                            .level = req->level,
                            .stride = req->stride,
                            .layer_stride = req->layer_stride,
                            .box = {req->x, req->y, req->z, req->w, req->h, req->d}},
    };
    uint32_t response;

    if (!res)
        return vtest_refuse(msg, "no resource %u", req->handle);
    if (res->iov)
        return vtest_refuse(msg, "resource %u has shared memory for this", req->handle);
    response = attach(s, res, &memory);
    if (response < VIRTIO_GPU_RESP_ERR_UNSPEC) {
        response = run(s->device, &call);
        gpu_resource_detach(s->device, res);
    }
    return vtest_check(msg, response);
}

int vtest_transfer_put(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_transfer req;

    memcpy(&req, msg->body, sizeof(req));
    return transfer_inline(s, msg, &req, (uint8_t *)msg->body + sizeof(req),
                           gpu_cmd_transfer_to_host_3d);
}

int vtest_transfer_get(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_transfer req;
    void *data;

    memcpy(&req, msg->body, sizeof(req));
    if (req.data_size > s->config.limits.max_resource_bytes ||
        !gpu_charge(s->device, req.data_size))
        return vtest_refuse(msg, "no memory for %u bytes of data", req.data_size);
    s->output_charge = req.data_size;
    data = vtest_output_add(&s->output, req.data_size);
    if (!data)
        return -ENOMEM;
    return transfer_inline(s, msg, &req, data, gpu_cmd_transfer_from_host_3d);
}
