/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues (virtio 1.3, section 2.7) with INDIRECT_DESC and EVENT_IDX, both sides.
 *
 * struct vring_dev is the device side, used by the renderer: everything it reads is written by a
 * guest that may be hostile and may change it meanwhile, so each field is read once, checked, and
 * the copy is used. struct vring_drv is the driver side, used by the guest library; it distrusts
 * the device in the same way (a used element with a wrong id is an error, not an index).
 *
 * Neither side does I/O: notifications are the caller's. Nothing here locks: one thread at a time
 * a ring.
 */
#ifndef ALIQUOT_PROTOCOL_VRING_H
#define ALIQUOT_PROTOCOL_VRING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The largest ring we take part in. 1024 is what QEMU and the kernel allow for a split ring. */
#define VRING_NUM_MAX 1024

/* The most descriptors (and, where regions split them, iovecs) of one chain, direct and indirect
 * together. The specification forbids a chain longer than the queue, but Linux makes indirect
 * tables as long as the request has pages: 8192 carry 32 MiB of scattered pages, so that a large
 * SUBMIT_3D or backing list of some guest program is answered and does not break the ring. */
#define VRING_CHAIN_MAX (8 * VRING_NUM_MAX)

/* Bytes and alignment of the three parts of a ring of num entries (virtio 1.3, 2.7). */
static inline size_t vring_desc_bytes(uint32_t num)
{
    return sizeof(struct vring_desc) * num;
}
static inline size_t vring_avail_bytes(uint32_t num)
{
    return 2 * 2 + 2 * (size_t)num + 2; /* flags, idx, ring[num], used_event */
}
static inline size_t vring_used_bytes(uint32_t num)
{
    return 2 * 2 + sizeof(struct vring_used_elem) * (size_t)num + 2; /* … avail_event */
}
#define VRING_DESC_ALIGN 16
#define VRING_AVAIL_ALIGN 2
#define VRING_USED_ALIGN 4

/* ---- device side ---------------------------------------------------------------------------- */

/* Translates a guest-physical address. Returns a pointer that is valid for *len bytes, having
 * lowered *len to what is contiguous there, or NULL where nothing is mapped. */
typedef void *(*vring_translate_fn)(void *opaque, uint64_t gpa, uint64_t *len);

struct vring_dev {
    uint32_t num;            /* entries: a power of two, at most VRING_NUM_MAX; 0 = not set up */
    struct vring_desc *desc; /* borrowed, guest memory; checked for num entries by the caller */
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t last_avail;     /* next avail entry to look at */
    uint16_t used_idx;       /* our own copy of used->idx, never read back */
    uint16_t signalled_used; /* used_idx at the last notification */
    bool signalled_valid;
    bool event_idx; /* VIRTIO_RING_F_EVENT_IDX negotiated */
    bool indirect;  /* VIRTIO_RING_F_INDIRECT_DESC negotiated */
};

/* A popped descriptor chain: first what the device may read, then what it may write. */
struct vring_chain {
    uint16_t head;  /* goes back with vring_dev_push */
    uint32_t n_out; /* iovecs to read: iov[0 … n_out) */
    uint32_t n_in;  /* iovecs to write: iov[n_out … n_out + n_in) */
    size_t out_bytes;
    size_t in_bytes;
    struct iovec *iov; /* owned by the chain: malloc, freed by vring_chain_finish */
};
void vring_chain_finish(struct vring_chain *chain);

/* Takes up a ring at given base (avail and used index). */
void vring_dev_start(struct vring_dev *vr, uint16_t base);

/* True if the driver has made a chain available that was not popped yet. */
bool vring_dev_has_work(const struct vring_dev *vr);

/*
 * Takes the next available chain.
 * Returns 1 with *ret_chain filled, 0 if there is none, or for a ring that breaks the rules:
 *   -EPROTO   avail index ran ahead: more chains, those popped and not pushed yet included, than
 * num -EBADMSG  head or next outside the table, a loop, a nested or empty or misshapen indirect
 *             table, a readable descriptor behind a writable one, an indirect one not negotiated
 *   -EMSGSIZE a zero-length descriptor, lengths that add up to more than 4 GiB, or more than
 *             VRING_CHAIN_MAX iovecs
 *   -EFAULT   memory that is not mapped
 *   -ENOMEM
 * After an error the ring is broken and must not be used until it is set up again. On error
 * *ret_reason (if not NULL) points to a static sentence for the log.
 */
int vring_dev_pop(struct vring_dev *vr, vring_translate_fn translate, void *opaque,
                  struct vring_chain *ret_chain, const char **ret_reason);

/* Gives a chain back with len bytes written. The index is published at once. */
void vring_dev_push(struct vring_dev *vr, uint16_t head, uint32_t len);

/* True if the driver wants a notification for what was pushed since the last true. */
bool vring_dev_should_notify(struct vring_dev *vr);

/* Asks the driver for a kick at the next chain (or for none). After enabling, look at
 * vring_dev_has_work() once more: a chain may have come in between. */
void vring_dev_enable_kick(struct vring_dev *vr, bool on);

/* ---- driver side ---------------------------------------------------------------------------- */

struct vring_seg {
    uint64_t gpa; /* guest-physical address */
    uint32_t len; /* bytes, not 0 */
};

struct vring_drv {
    uint32_t num;
    struct vring_desc *desc; /* borrowed, shared with the device */
    struct vring_avail *avail;
    struct vring_used *used;
    void **tokens;       /* owned: per head, the caller's pointer */
    uint16_t *chain_len; /* owned: per head, descriptors of the chain; 0 = free */
    uint16_t *next;      /* owned: private copy of the free list and chains; the device can
                            scribble over desc[].next */
    uint16_t free_head;
    uint16_t num_free;
    uint16_t avail_idx; /* our own copy of avail->idx */
    uint16_t last_used;
    uint16_t kicked_idx; /* avail_idx at the last kick decision */
    bool event_idx;
};

/* Bytes that vring_drv_init needs at mem, which must be 16-byte aligned and zeroed. */
size_t vring_drv_bytes(uint32_t num);

/* Lays out a ring of num entries at mem and gives the offsets of its parts, to be told to the
 * device. Returns 0, -EINVAL (num no power of two, 0 or over VRING_NUM_MAX) or -ENOMEM. */
int vring_drv_init(struct vring_drv *vr, void *mem, uint32_t num, bool event_idx,
                   size_t *ret_avail_offset, size_t *ret_used_offset);
void vring_drv_finish(struct vring_drv *vr);

/* Makes a chain of n_out readable and n_in writable segments available. Returns 0, or -ENOSPC if
 * the ring has too few free descriptors (nothing changed), -EINVAL for an empty chain. */
int vring_drv_add(struct vring_drv *vr, const struct vring_seg *segs, unsigned n_out, unsigned n_in,
                  void *token);

/* True if the device wants a kick for what was added since the last call. */
bool vring_drv_should_kick(struct vring_drv *vr);

/* Takes one finished chain: 1 with its token and the bytes the device says it wrote, 0 if there is
 * none, -EPROTO if the device gave back what it was never given. */
int vring_drv_get_used(struct vring_drv *vr, void **ret_token, uint32_t *ret_len);

/* Asks the device for a notification at the next used chain (or for none). Returns true if one is
 * there already, in which case the caller takes it without waiting. */
bool vring_drv_enable_notify(struct vring_drv *vr, bool on);

#endif
