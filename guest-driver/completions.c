/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"
#include "protocol/eventcount.h"

#include <errno.h>

static struct eventcount *completions_of(struct aliquot_vgpu *vgpu)
{
    const struct transport *transport = vgpu->transport;

    return transport->completions && !vgpu_is_foreign(vgpu) ? transport->completions(vgpu) : NULL;
}

int aliquot_completions(struct aliquot_vgpu *vgpu, uint32_t *ret_count)
{
    const struct eventcount *e = completions_of(vgpu);

    if (!e)
        return -EOPNOTSUPP;
    *ret_count = eventcount_read(e);
    return 0;
}

int aliquot_contexts_lost(struct aliquot_vgpu *vgpu, uint32_t *ret_count)
{
    const struct eventcount *e = completions_of(vgpu);

    if (!e)
        return -EOPNOTSUPP;
    *ret_count = eventcount_lost(e);
    return 0;
}

int aliquot_completions_wait(struct aliquot_vgpu *vgpu, uint32_t seen, int64_t timeout_ns)
{
    struct eventcount *e = completions_of(vgpu);

    if (!e)
        return -EOPNOTSUPP;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    vgpu_wait_begin(vgpu);
    vgpu_unlock(vgpu);
    eventcount_wait(e, seen, timeout_ns);
    (void)vgpu_lock_lost(vgpu);
    vgpu_wait_end(vgpu);
    vgpu_unlock(vgpu);
    return 0;
}
