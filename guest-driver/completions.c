/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"
#include "protocol/eventcount.h"

#include <errno.h>

/* Without the lock. 0, -EOWNERDEAD in a fork, or -EOPNOTSUPP. */
static int find_completions(struct aliquot_vgpu *vgpu, struct eventcount **ret)
{
    const struct transport *transport = vgpu->transport;

    if (vgpu_is_foreign(vgpu))
        return -EOWNERDEAD;
    *ret = transport->completions ? transport->completions(vgpu) : NULL;
    return *ret ? 0 : -EOPNOTSUPP;
}

int aliquot_completions(struct aliquot_vgpu *vgpu, uint32_t *ret_count)
{
    struct eventcount *e;
    int result = find_completions(vgpu, &e);

    if (result == 0)
        *ret_count = eventcount_read(e);
    return result;
}

int aliquot_contexts_lost(struct aliquot_vgpu *vgpu, uint32_t *ret_count)
{
    struct eventcount *e;
    int result = find_completions(vgpu, &e);

    if (result == 0)
        *ret_count = eventcount_lost(e);
    return result;
}

int aliquot_completions_wait(struct aliquot_vgpu *vgpu, uint32_t seen, int64_t timeout_ns)
{
    struct eventcount *e;
    int result = find_completions(vgpu, &e);

    if (result == 0)
        result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    vgpu_wait_begin(vgpu);
    vgpu_unlock(vgpu);
    eventcount_wait(e, seen, vgpu_deadline_of_ns(vgpu, timeout_ns) - monotonic_ns());
    (void)vgpu_lock_lost(vgpu);
    result = vgpu->lost;
    vgpu_wait_end(vgpu);
    vgpu_unlock(vgpu);
    return result;
}
