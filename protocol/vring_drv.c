/* SPDX-License-Identifier: MIT */
/* For the memory order see vring_dev.c: this is the other half of the same pairs. */
#include "protocol/vring.h"

#include <errno.h>
#include <stdlib.h>

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_RELAXED)
#define STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELAXED)

static inline uint16_t *used_event(const struct vring_drv *vr)
{
    return &vr->avail->ring[vr->num];
}

static inline uint16_t *avail_event(const struct vring_drv *vr)
{
    return (uint16_t *)&vr->used->ring[vr->num];
}

static size_t avail_offset(uint32_t num)
{
    return vring_desc_bytes(num); /* a multiple of VRING_AVAIL_ALIGN */
}

static size_t used_offset(uint32_t num)
{
    size_t end = avail_offset(num) + vring_avail_bytes(num);

    return (end + VRING_USED_ALIGN - 1) & ~(size_t)(VRING_USED_ALIGN - 1);
}

size_t vring_drv_bytes(uint32_t num)
{
    return used_offset(num) + vring_used_bytes(num);
}

int vring_drv_init(struct vring_drv *vr, void *mem, uint32_t num, bool event_idx,
                   size_t *ret_avail_offset, size_t *ret_used_offset)
{
    struct vring_drv new = {.num = num, .num_free = num, .event_idx = event_idx};

    if (num == 0 || num > VRING_NUM_MAX || (num & (num - 1)) != 0)
        return -EINVAL;
    new.tokens = calloc(num, sizeof(*new.tokens));
    new.chain_len = calloc(num, sizeof(*new.chain_len));
    new.next = calloc(num, sizeof(*new.next));
    if (!new.tokens || !new.chain_len || !new.next) {
        vring_drv_finish(&new);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < num; i++)
        new.next[i] = (uint16_t)(i + 1); /* the last one's is never followed */
    new.desc = mem;
    new.avail = (void *)((char *)mem + avail_offset(num));
    new.used = (void *)((char *)mem + used_offset(num));
    *vr = new;
    *ret_avail_offset = avail_offset(num);
    *ret_used_offset = used_offset(num);
    return 0;
}

void vring_drv_finish(struct vring_drv *vr)
{
    free(vr->tokens);
    free(vr->chain_len);
    free(vr->next);
    *vr = (struct vring_drv){0};
}

int vring_drv_add(struct vring_drv *vr, const struct vring_seg *segs, unsigned n_out, unsigned n_in,
                  void *token)
{
    uint16_t head = vr->free_head, i = head;
    unsigned n;

    if (__builtin_add_overflow(n_out, n_in, &n) || n == 0)
        return -EINVAL;
    if (n > vr->num_free)
        return -ENOSPC;
    for (unsigned k = 0; k < n; k++)
        if (segs[k].len == 0)
            return -EINVAL;

    for (unsigned k = 0; k < n; k++) {
        uint16_t flags =
            (uint16_t)((k >= n_out ? VRING_DESC_F_WRITE : 0) | (k + 1 < n ? VRING_DESC_F_NEXT : 0));

        STORE(&vr->desc[i].addr, segs[k].gpa);
        STORE(&vr->desc[i].len, segs[k].len);
        STORE(&vr->desc[i].flags, flags);
        STORE(&vr->desc[i].next, (uint16_t)(k + 1 < n ? vr->next[i] : 0));
        i = vr->next[i];
    }
    vr->free_head = i;
    vr->num_free = (uint16_t)(vr->num_free - n);
    vr->tokens[head] = token;
    vr->chain_len[head] = (uint16_t)n;

    STORE(&vr->avail->ring[vr->avail_idx & (vr->num - 1)], head);
    vr->avail_idx++;
    __atomic_store_n(&vr->avail->idx, vr->avail_idx, __ATOMIC_RELEASE);
    return 0;
}

bool vring_drv_should_kick(struct vring_drv *vr)
{
    uint16_t old = vr->kicked_idx, new = vr->avail_idx;

    if (new == old)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* avail->idx before the device's wish */
    vr->kicked_idx = new;
    if (!vr->event_idx)
        return !(LOAD(&vr->used->flags) & VRING_USED_F_NO_NOTIFY);
    return vring_need_event(LOAD(avail_event(vr)), new, old);
}

static void free_chain(struct vring_drv *vr, uint16_t head)
{
    uint16_t last = head;

    for (unsigned k = 1; k < vr->chain_len[head]; k++)
        last = vr->next[last];
    vr->next[last] = vr->free_head;
    vr->free_head = head;
    vr->num_free = (uint16_t)(vr->num_free + vr->chain_len[head]);
    vr->chain_len[head] = 0;
    vr->tokens[head] = NULL;
}

int vring_drv_get_used(struct vring_drv *vr, void **ret_token, uint32_t *ret_len)
{
    uint16_t idx = __atomic_load_n(&vr->used->idx, __ATOMIC_ACQUIRE);
    vring_used_elem_t *elem = &vr->used->ring[vr->last_used & (vr->num - 1)];
    uint32_t id, len;

    if (idx == vr->last_used)
        return 0;
    /* No more chains can come back than were made available and are not back yet. */
    if ((uint16_t)(idx - vr->last_used) > (uint16_t)(vr->avail_idx - vr->last_used))
        return -EPROTO;
    id = LOAD(&elem->id);
    len = LOAD(&elem->len);
    if (id >= vr->num || vr->chain_len[id] == 0)
        return -EPROTO;
    *ret_token = vr->tokens[id];
    *ret_len = len;
    free_chain(vr, (uint16_t)id);
    vr->last_used++;
    return 1;
}

bool vring_drv_enable_notify(struct vring_drv *vr, bool on)
{
    if (vr->event_idx)
        /* Off: an index that the device has just passed, and passes again in 65 536 chains. */
        STORE(used_event(vr), (uint16_t)(on ? vr->last_used : vr->last_used - 1));
    else
        STORE(&vr->avail->flags, on ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
    if (on)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish before the last look */
    return LOAD(&vr->used->idx) != vr->last_used;
}
