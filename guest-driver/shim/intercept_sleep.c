/* SPDX-License-Identifier: MIT */
/*
 * The sleep of Venus's threads (nap.h). Venus sleeps nowhere else for less than a second than
 * between its looks; what is of another length than its naps is taken alike, and looks again.
 */
#include "guest-driver/shim/intercept.h"

#include "guest-driver/shim/fence_set.h"
#include "guest-driver/shim/nap.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/venus.h"

#include <sched.h>
#include <time.h>

static _Thread_local struct nap_thread the_nap; /* the thread's; */
static _Thread_local uint32_t seen;             /* how many had ended before Venus looked last */

/* Ends early only for news: a signal is told of, as Venus sleeps on after one. */
static int nap(struct device *device, const struct timespec *asked, struct timespec *remaining)
{
    static const struct timespec moment = {.tv_nsec = NAP_SHORT_NS};
    int64_t begin_ns = fence_clock_ns();
    int result = 0, saved_errno = errno;

    switch (nap_choose(&the_nap, asked->tv_nsec, begin_ns)) {
    case NAP_AS_ASKED:
        result = real()->clock_nanosleep(CLOCK_MONOTONIC, 0, asked, remaining);
        break;
    case NAP_SHORT:
        real()->clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
        break;
    case NAP_UNTIL_NEWS:
        if (device_result(device, aliquot_completions_wait(device->vgpu, seen, asked->tv_nsec)) < 0)
            result = real()->clock_nanosleep(CLOCK_MONOTONIC, 0, asked, remaining);
        nap_ended(&the_nap, asked->tv_nsec, fence_clock_ns() - begin_ns);
        break;
    }
    (void)aliquot_completions(device->vgpu, &seen);
    venus_waits(device, seen, begin_ns);
    errno = saved_errno;
    return result;
}

INTERCEPT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                              struct timespec *remaining)
{
    uint32_t unused;
    struct device *device = NULL;

    if (clock == CLOCK_MONOTONIC && flags == 0 && time && time->tv_sec == 0)
        device = venus_device(__builtin_return_address(0), &unused);
    if (!device)
        return real()->clock_nanosleep(clock, flags, time, remaining);
    return nap(device, time, remaining);
}

INTERCEPT int sched_yield(void)
{
    if (venus_device(__builtin_return_address(0), &seen))
        the_nap.yields++;
    return real()->sched_yield();
}
