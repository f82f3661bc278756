/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/venus.h"

#include "guest-driver/shim/host_watch.h"

#include <link.h>
#include <string.h>
#include <sys/prctl.h>

#define DRIVER_NAME "libvulkan_virtio.so"

/* Linux's own, and what is left of it in a thread that waits for a Vulkan driver. */
#define TIMER_SLACK_NS 50000
#define TIMER_SLACK_VENUS_NS 1ul

static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* guards the watch, and who writes below */
static struct host_watch watch;
/* Atomic; NULL, and an empty range, while there is no context. */
static struct device *the_device; /* borrowed: as long as the process */
static uintptr_t driver_begin, driver_end;

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#define STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)

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

void venus_begins(struct device *device)
{
    uint32_t lost = 0;

    nap_shortly();
    (void)aliquot_contexts_lost(device->vgpu, &lost);
    pthread_mutex_lock(&lock);
    host_watch_begin(&watch, lost);
    if (watch.contexts == 1)
        dl_iterate_phdr(find_driver, NULL);
    STORE(&the_device, device);
    pthread_mutex_unlock(&lock);
}

void venus_ends(void)
{
    pthread_mutex_lock(&lock);
    host_watch_end(&watch);
    /* The driver may be unloaded, and something else be loaded there. */
    if (watch.contexts == 0) {
        STORE(&the_device, NULL);
        STORE(&driver_end, (uintptr_t)0);
    }
    pthread_mutex_unlock(&lock);
}

void venus_lock(void)
{
    pthread_mutex_lock(&lock);
}

void venus_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void venus_forked(void)
{
    watch = (struct host_watch){0};
    STORE(&the_device, NULL);
    STORE(&driver_end, (uintptr_t)0);
    pthread_mutex_unlock(&lock);
}

struct device *venus_device(const void *caller, uint32_t *ret_count)
{
    struct device *device = LOAD(&the_device);
    uintptr_t at = (uintptr_t)caller;

    if (!device || at < LOAD(&driver_begin) || at >= LOAD(&driver_end) ||
        device_is_foreign(device) || aliquot_completions(device->vgpu, ret_count) < 0)
        return NULL;
    return device;
}

void venus_waits(struct device *device, uint32_t count, int64_t now_ns)
{
    uint32_t lost = 0;

    pthread_mutex_lock(&lock);
    bool in_vain = host_watch_look(&watch, count, now_ns);
    bool has_lost = in_vain && aliquot_contexts_lost(device->vgpu, &lost) == 0 &&
                    host_watch_has_lost(&watch, lost);
    pthread_mutex_unlock(&lock);
    if (has_lost)
        device_waits_in_vain(device, "the process that does this program's Vulkan work has ended");
    else if (in_vain)
        (void)device_result(device, aliquot_sync(device->vgpu));
}
