/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/self_limit.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>

/* Program, Mesa, LLVM and thread stacks: a few hundred megabytes with llvmpipe, shaders included.
 */
#define OWN_BYTES (UINT64_C(2) << 30)

/* Before daemon and virtual machines, behind processes that ask for it. 0 to 1000. */
#define OOM_SCORE_ADJ 500

/* Freed memory that malloc keeps at its end. A frame of llvmpipe's is below that. */
#define KEEP_BYTES (256 << 20)
/* Larger blocks are mapped each for itself, and unmapped when freed; glibc takes no more. */
#define MMAP_BYTES (32 << 20)

static void limit_memory(uint64_t bytes)
{
    struct rlimit limit;

#if defined(__SANITIZE_ADDRESS__)
    return; /* its shadow memory counts too, and is larger than any limit */
#endif
    if (getrlimit(RLIMIT_DATA, &limit) < 0)
        return;
    if (bytes < limit.rlim_cur)
        limit.rlim_cur = limit.rlim_max = bytes;
    if (setrlimit(RLIMIT_DATA, &limit) < 0)
        log_warning("memory can't be limited: %m");
}

static void offer_first(void)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", OOM_SCORE_ADJ);
    _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, (size_t)len) < 0)
        log_debug("the OOM score can't be set: %m");
}

void self_limit(uint64_t guest_bytes)
{
    uint64_t bytes;

    if (!__builtin_add_overflow(guest_bytes, OWN_BYTES, &bytes))
        limit_memory(bytes);
    offer_first();
}

void self_keep_freed(void)
{
    if (!mallopt(M_TRIM_THRESHOLD, KEEP_BYTES) || !mallopt(M_MMAP_THRESHOLD, MMAP_BYTES))
        log_debug("malloc keeps its own thresholds");
}

void self_trim(void)
{
    malloc_trim(0);
}
