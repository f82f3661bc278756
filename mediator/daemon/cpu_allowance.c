/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_allowance.h"

void cpu_allowance_use(struct cpu_allowance *a, uint64_t used_ns, uint64_t charged_ns,
                       uint32_t cap_ppm, uint64_t now_ns)
{
    entitlement_expire(&a->had, now_ns, entitlement_span_ns(CPU_ALLOWANCE_NS, cap_ppm));
    if (used_ns > charged_ns)
        entitlement_charge(&a->had, used_ns - charged_ns, cap_ppm);
}

uint64_t cpu_allowance_next_ns(const struct cpu_allowance *a)
{
    return a->had.at_ns;
}
