/* SPDX-License-Identifier: MIT */
/*
 * The sleep of Venus's threads (nap.h), which is told from that of others by where it is called
 * from.
 */
#include "guest-driver/shim/intercept.h"

#include "guest-driver/shim/fence_set.h"
#include "guest-driver/shim/nap.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/venus.h"

#include <link.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define DRIVER_NAME "libvulkan_virtio.so"

/* Linux's own, and what is left of it in a thread that waits for a Vulkan driver. */
#define TIMER_SLACK_NS 50000
#define TIMER_SLACK_VENUS_NS 1ul

/* Mesa looks itself whether the host is alive, in waits of more than 3.5 s. */
#define STUCK_NS 5000000000ll

static struct device *the_device;               /* borrowed: as long as the process; atomic */
static uintptr_t driver_begin, driver_end;      /* atomic */
static _Thread_local struct nap_thread the_nap; /* the thread's */

/* Since when nothing has ended, as who naps has seen it. Each word is atomic. */
static struct {
    int64_t since_ns;
    uint32_t count; /* of ends, then */
    uint32_t lost;  /* contexts, when the last one came or went */
} stuck;

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#define STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)

/* ---- whose sleep it is ---------------------------------------------------------------------- */

static int find_driver(struct dl_phdr_info *info, size_t size, void *unused)
{
    const char *slash = strrchr(info->dlpi_name, '/');
    uintptr_t end = 0;

    if (strcmp(slash ? slash + 1 : info->dlpi_name, DRIVER_NAME) != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_vaddr + part->p_memsz > end)
            end = part->p_vaddr + part->p_memsz;
    }
    STORE(&driver_begin, info->dlpi_addr);
    STORE(&driver_end, info->dlpi_addr + end);
    return 1;
}

/*
 * Its naps are of 160 µs at first, which the kernel makes 50 µs longer, to collect timers. The
 * slack is a thread's, and threads that it makes inherit it. One that the program has chosen is
 * left as it is.
 */
static void nap_shortly(void)
{
    if (prctl(PR_GET_TIMERSLACK) == TIMER_SLACK_NS)
        (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_VENUS_NS);
}

/* What was lost before is known, or has been given up. */
static void forget_losses(struct device *device)
{
    uint32_t lost = 0;

    (void)aliquot_contexts_lost(device->vgpu, &lost);
    STORE(&stuck.lost, lost);
    STORE(&stuck.since_ns, fence_clock_ns());
}

void venus_ends(struct device *device)
{
    if (!device_is_foreign(device))
        forget_losses(device);
}

void venus_begins(struct device *device)
{
    forget_losses(device);
    nap_shortly();
    dl_iterate_phdr(find_driver, NULL);
    STORE(&the_device, device);
}

/* The device if Venus calls, from an address in its library, and there is news to be had. */
static struct device *device_behind(const void *caller, uint32_t *ret_count)
{
    struct device *device = LOAD(&the_device);
    uintptr_t at = (uintptr_t)caller;

    if (!device || at < LOAD(&driver_begin) || at >= LOAD(&driver_end) ||
        device_is_foreign(device) || aliquot_completions(device->vgpu, ret_count) < 0)
        return NULL;
    return device;
}

/* ---- sleeping ------------------------------------------------------------------------------- */

/*
 * Who waits by looking for moments at a time would do so for ever if what he waits for is lost:
 * what he looks at is his own memory, and neither Mesa nor anybody else asks the host.
 */
static void check_host(struct device *device, int64_t at_ns)
{
    uint32_t lost = 0;

    if (LOAD(&stuck.count) != the_nap.seen) {
        STORE(&stuck.count, the_nap.seen);
        STORE(&stuck.since_ns, at_ns);
    }
    if (at_ns - LOAD(&stuck.since_ns) <= STUCK_NS)
        return;
    STORE(&stuck.since_ns, at_ns);
    if (aliquot_contexts_lost(device->vgpu, &lost) == 0 && lost != LOAD(&stuck.lost))
        device_lose(device, "the process that does this program's Vulkan work has ended");
    else
        (void)device_result(device, aliquot_sync(device->vgpu));
}

static void nap(struct device *device, const struct timespec *asked)
{
    static const struct timespec moment = {.tv_nsec = NAP_SHORT_NS};
    int64_t asked_ns = asked->tv_sec * 1000000000ll + asked->tv_nsec, begin_ns = fence_clock_ns();

    switch (nap_choose(&the_nap, asked_ns, begin_ns)) {
    case NAP_AS_ASKED:
        real()->clock_nanosleep(CLOCK_MONOTONIC, 0, asked, NULL);
        break;
    case NAP_SHORT:
        real()->clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
        break;
    case NAP_UNTIL_NEWS:
        if (device_result(device, aliquot_completions_wait(device->vgpu, the_nap.seen, asked_ns)) <
            0)
            real()->clock_nanosleep(CLOCK_MONOTONIC, 0, asked, NULL);
        nap_ended(&the_nap, asked_ns, fence_clock_ns() - begin_ns);
        break;
    }
    (void)aliquot_completions(device->vgpu, &the_nap.seen);
    check_host(device, begin_ns);
}

INTERCEPT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                              struct timespec *remaining)
{
    uint32_t unused;
    struct device *device = NULL;

    if (clock == CLOCK_MONOTONIC && flags == 0 && time && time->tv_sec == 0)
        device = device_behind(__builtin_return_address(0), &unused);
    if (!device)
        return real()->clock_nanosleep(clock, flags, time, remaining);
    nap(device, time);
    return 0;
}

INTERCEPT int sched_yield(void)
{
    if (device_behind(__builtin_return_address(0), &the_nap.seen))
        the_nap.yielded = true;
    return real()->sched_yield();
}
