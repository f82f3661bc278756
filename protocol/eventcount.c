/* SPDX-License-Identifier: MIT */
#include "protocol/eventcount.h"

#include "protocol/shared_file.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sequentially consistent: of one who waits and one who signals at the same time, at least one sees
 * what the other wrote. */
#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_SEQ_CST)
#define EXCHANGE(ptr, value) __atomic_exchange_n((ptr), (value), __ATOMIC_SEQ_CST)

int eventcount_create(int *ret_fd, struct eventcount **ret)
{
    return shared_file_create("aliquot-completions", EVENTCOUNT_BYTES, PROT_READ | PROT_WRITE, 0,
                              ret_fd, (void **)ret);
}

int eventcount_map(int fd, struct eventcount **ret)
{
    return shared_file_map(fd, EVENTCOUNT_BYTES, PROT_READ | PROT_WRITE, (void **)ret);
}

void eventcount_unmap(struct eventcount *e)
{
    if (e)
        munmap(e, EVENTCOUNT_BYTES);
}

/* Between processes: no FUTEX_PRIVATE_FLAG. */
static void wait_word(const uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    const struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                                     .tv_nsec = timeout_ns % 1000000000};

    syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

static void wake_all(const uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void eventcount_signal(struct eventcount *e)
{
    __atomic_add_fetch(&e->count, 1, __ATOMIC_SEQ_CST);
    if (LOAD(&e->wanted) != 0 && EXCHANGE(&e->wanted, 0) != 0)
        wake_all(&e->count);
}

void eventcount_lose(struct eventcount *e)
{
    __atomic_add_fetch(&e->lost, 1, __ATOMIC_SEQ_CST);
    eventcount_signal(e);
}

uint32_t eventcount_lost(const struct eventcount *e)
{
    return LOAD(&e->lost);
}

bool eventcount_is_wanted(const struct eventcount *e)
{
    return LOAD(&e->wanted) != 0;
}

void eventcount_rest(const struct eventcount *e, unsigned us)
{
    wait_word(&e->wanted, 0, us * 1000ll);
}

uint32_t eventcount_read(const struct eventcount *e)
{
    return LOAD(&e->count);
}

void eventcount_wait(struct eventcount *e, uint32_t seen, int64_t timeout_ns)
{
    if (timeout_ns <= 0)
        return;
    if (EXCHANGE(&e->wanted, 1) == 0)
        wake_all(&e->wanted);
    wait_word(&e->count, seen, timeout_ns);
}
