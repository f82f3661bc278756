/* SPDX-License-Identifier: MIT */
/*
 * Memory order (virtio 1.3, 2.7.7, 2.7.10, 2.7.13): an index is published with release and looked
 * at with acquire, which orders the ring entries behind it. "Publish, then look whether the other
 * side wants to be told" and "ask to be told, then look once more" are store-load pairs on both
 * sides: only a full fence between keeps both from missing the other.
 */
#include "protocol/vring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The driver must not make a longer chain (virtio 1.3, 2.7.5.2), and no pushed length could say
 * more. */
#define CHAIN_BYTES_MAX (UINT64_C(1) << 32)

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_RELAXED)
#define STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELAXED)

static inline uint16_t *used_event(const struct vring_dev *vr)
{
    return &vr->avail->ring[vr->num];
}

static inline uint16_t *avail_event(const struct vring_dev *vr)
{
    return (uint16_t *)&vr->used->ring[vr->num];
}

/* One pop under way. */
struct walk {
    const struct vring_dev *vr;
    vring_translate_fn translate;
    void *opaque;
    struct vring_chain chain; /* under construction; iov owned */
    uint32_t capacity;        /* iovecs allocated */
    const char *reason;       /* static */
};

static int fail(struct walk *w, int error, const char *reason)
{
    w->reason = reason;
    return error;
}

void vring_chain_finish(struct vring_chain *chain)
{
    free(chain->iov);
    *chain = (struct vring_chain){0};
}

void vring_dev_start(struct vring_dev *vr, uint16_t base)
{
    vr->last_avail = base;
    vr->used_idx = base;
    vr->signalled_used = base;
    vr->signalled_valid = false;
}

bool vring_dev_has_work(const struct vring_dev *vr)
{
    return vr->num != 0 && LOAD(&vr->avail->idx) != vr->last_avail;
}

static int append_iovec(struct walk *w, void *base, size_t len)
{
    uint32_t n = w->chain.n_out + w->chain.n_in;

    if (n == VRING_CHAIN_MAX)
        return fail(w, -EMSGSIZE, "buffers scattered over too many memory regions");
    if (n == w->capacity) {
        uint32_t capacity = w->capacity == 0 ? 8 : 2 * w->capacity;
        struct iovec *iov = realloc(w->chain.iov, capacity * sizeof(*iov));

        if (!iov)
            return fail(w, -ENOMEM, "out of memory");
        w->chain.iov = iov;
        w->capacity = capacity;
    }
    w->chain.iov[n] = (struct iovec){.iov_base = base, .iov_len = len};
    return 0;
}

/* desc is the private copy of a descriptor. */
static int append_buffer(struct walk *w, const struct vring_desc *desc)
{
    bool writable = desc->flags & VRING_DESC_F_WRITE;
    uint64_t gpa = desc->addr;
    uint64_t left = desc->len;

    if (!writable && w->chain.n_in > 0)
        return fail(w, -EBADMSG, "readable descriptor behind a writable one");
    if (left == 0)
        return fail(w, -EMSGSIZE, "descriptor of length zero");
    if (left > CHAIN_BYTES_MAX - w->chain.out_bytes - w->chain.in_bytes)
        return fail(w, -EMSGSIZE, "chain of more than 4 GiB");
    if (left - 1 > UINT64_MAX - gpa)
        return fail(w, -EFAULT, "buffer wraps around the address space");

    while (left > 0) {
        uint64_t len = left;
        void *base = w->translate(w->opaque, gpa, &len);
        int r;

        if (!base || len == 0)
            return fail(w, -EFAULT, "buffer in memory that is not mapped");
        if (len > left)
            len = left;
        r = append_iovec(w, base, len);
        if (r < 0)
            return r;
        if (writable) {
            w->chain.n_in++;
            w->chain.in_bytes += len;
        } else {
            w->chain.n_out++;
            w->chain.out_bytes += len;
        }
        gpa += len;
        left -= len;
    }
    return 0;
}

/* Copies an indirect table out of guest memory, from which no field is read twice. */
static int copy_table(struct walk *w, const struct vring_desc *ref, struct vring_desc *table)
{
    uint64_t gpa = ref->addr;
    size_t left = ref->len;
    char *dst = (char *)table;

    if (left - 1 > UINT64_MAX - gpa)
        return fail(w, -EFAULT, "indirect table wraps around the address space");
    while (left > 0) {
        uint64_t len = left;
        const void *src = w->translate(w->opaque, gpa, &len);

        if (!src || len == 0)
            return fail(w, -EFAULT, "indirect table in memory that is not mapped");
        if (len > left)
            len = left;
        memcpy(dst, src, len);
        dst += len;
        gpa += len;
        left -= len;
    }
    __asm__ volatile("" ::: "memory"); /* the copy is what counts from here on */
    return 0;
}

/* ref is the private copy of the descriptor that points to the table; n_before descriptors of the
 * chain came before it. */
static int walk_indirect(struct walk *w, const struct vring_desc *ref, uint32_t n_before)
{
    struct vring_desc *table;
    uint32_t count = ref->len / sizeof(*table), i = 0, seen;
    int r;

    if (!w->vr->indirect)
        return fail(w, -EBADMSG, "indirect descriptor without the feature");
    if (ref->flags & VRING_DESC_F_NEXT)
        return fail(w, -EBADMSG, "indirect descriptor that is not the last of its chain");
    if (count == 0 || ref->len % sizeof(*table) != 0)
        return fail(w, -EBADMSG, "indirect table of a wrong length");
    if (count > VRING_CHAIN_MAX - n_before)
        return fail(w, -EBADMSG, "indirect table too long");

    table = malloc(ref->len);
    if (!table)
        return fail(w, -ENOMEM, "out of memory");
    r = copy_table(w, ref, table);
    for (seen = 0; r == 0; seen++) {
        if (seen == count) {
            r = fail(w, -EBADMSG, "loop in an indirect table");
        } else if (i >= count) {
            r = fail(w, -EBADMSG, "next descriptor outside the indirect table");
        } else if (table[i].flags & VRING_DESC_F_INDIRECT) {
            r = fail(w, -EBADMSG, "indirect table in an indirect table");
        } else {
            r = append_buffer(w, &table[i]);
            if (r < 0 || !(table[i].flags & VRING_DESC_F_NEXT))
                break;
            i = table[i].next;
        }
    }
    free(table);
    return r;
}

static int walk_chain(struct walk *w)
{
    const struct vring_dev *vr = w->vr;
    uint32_t i = w->chain.head;

    for (uint32_t seen = 0; seen < vr->num; seen++) {
        struct vring_desc desc;
        int r;

        if (i >= vr->num)
            return fail(w, -EBADMSG, "descriptor index outside the table");
        desc.addr = LOAD(&vr->desc[i].addr);
        desc.len = LOAD(&vr->desc[i].len);
        desc.flags = LOAD(&vr->desc[i].flags);
        desc.next = LOAD(&vr->desc[i].next);
        if (desc.flags & VRING_DESC_F_INDIRECT)
            return walk_indirect(w, &desc, seen);
        r = append_buffer(w, &desc);
        if (r < 0 || !(desc.flags & VRING_DESC_F_NEXT))
            return r;
        i = desc.next;
    }
    return fail(w, -EBADMSG, "loop in a descriptor chain");
}

int vring_dev_pop(struct vring_dev *vr, vring_translate_fn translate, void *opaque,
                  struct vring_chain *ret_chain, const char **ret_reason)
{
    struct walk w = {.vr = vr, .translate = translate, .opaque = opaque};
    uint32_t ready, in_flight;
    int r;

    if (vr->num == 0)
        return 0;
    ready = (uint16_t)(__atomic_load_n(&vr->avail->idx, __ATOMIC_ACQUIRE) - vr->last_avail);
    if (ready == 0)
        return 0;
    /* Chains that we hold count too: they bound what the driver can make us remember. */
    in_flight = (uint16_t)(vr->last_avail - vr->used_idx);
    if (ready + in_flight > vr->num) {
        r = fail(&w, -EPROTO, "available index ran ahead of the ring");
    } else {
        w.chain.head = LOAD(&vr->avail->ring[vr->last_avail & (vr->num - 1)]);
        r = walk_chain(&w);
    }
    if (r < 0) {
        free(w.chain.iov);
        if (ret_reason)
            *ret_reason = w.reason;
        return r;
    }
    vr->last_avail++;
    *ret_chain = w.chain;
    return 1;
}

void vring_dev_push(struct vring_dev *vr, uint16_t head, uint32_t len)
{
    vring_used_elem_t *elem = &vr->used->ring[vr->used_idx & (vr->num - 1)];

    STORE(&elem->id, head);
    STORE(&elem->len, len);
    vr->used_idx++;
    __atomic_store_n(&vr->used->idx, vr->used_idx, __ATOMIC_RELEASE);
    if (vr->used_idx == vr->signalled_used)
        vr->signalled_valid = false; /* 65 536 chains and nobody asked: the distance is lost */
}

bool vring_dev_should_notify(struct vring_dev *vr)
{
    uint16_t old = vr->signalled_used, new = vr->used_idx;
    bool valid = vr->signalled_valid;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* used->idx before the driver's wish */
    if (valid && new == old)
        return false;
    vr->signalled_used = new;
    vr->signalled_valid = true;
    if (!vr->event_idx)
        return !(LOAD(&vr->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
    return !valid || vring_need_event(LOAD(used_event(vr)), new, old);
}

void vring_dev_enable_kick(struct vring_dev *vr, bool on)
{
    if (vr->event_idx)
        /* Off: an index that the driver has just passed, and passes again in 65 536 chains. */
        STORE(avail_event(vr), (uint16_t)(on ? vr->last_avail : vr->last_avail - 1));
    else
        STORE(&vr->used->flags, on ? 0 : VRING_USED_F_NO_NOTIFY);
    if (on)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish before the caller's last look */
}
