/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/host_watch.h"

/* Mesa looks itself whether the host is alive, in waits of more than 3.5 s. */
#define IN_VAIN_NS 5000000000ll
/* Who was not seen to wait for so long has done something else. */
#define GAP_NS 1000000000ll

void host_watch_begin(struct host_watch *w, uint32_t lost)
{
    if (w->contexts++ == 0)
        w->lost = lost;
}

void host_watch_end(struct host_watch *w)
{
    if (w->contexts > 0)
        w->contexts--;
}

bool host_watch_look(struct host_watch *w, uint32_t count, int64_t now_ns)
{
    if (count != w->count || now_ns - w->looked_ns > GAP_NS)
        w->since_ns = now_ns;
    w->count = count;
    w->looked_ns = now_ns;
    if (now_ns - w->since_ns <= IN_VAIN_NS)
        return false;
    w->since_ns = now_ns;
    return true;
}

bool host_watch_has_lost(const struct host_watch *w, uint32_t lost)
{
    return lost != w->lost;
}
