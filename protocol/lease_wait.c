/* SPDX-License-Identifier: MIT */
#include "protocol/lease_wait.h"

#include "protocol/lease_atomic.h"

#include <errno.h>
#include <limits.h>

#ifndef LEASE_SYSTEM /* the exploration in tests/model has a system of its own */
#include <linux/futex.h>
#include <linux/time_types.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The words are shared between processes, and read-only for some: no FUTEX_PRIVATE_FLAG, and
 * nothing but WAIT, which needs to read only. 0 (woken, or never asleep) or -ETIMEDOUT. */
static int futex_wait(const uint32_t *word, uint32_t seen, uint64_t deadline_ns)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                      .tv_nsec = (long)(deadline_ns % 1000000000)};

    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, deadline_ns ? &deadline : NULL, NULL,
                FUTEX_BITSET_MATCH_ANY) < 0 &&
        errno == ETIMEDOUT)
        return -ETIMEDOUT;
    return 0; /* EAGAIN and EINTR: the caller looks again in any case */
}

/* On two words: until one is woken, or not what was seen. */
static int futex_wait_either(const uint32_t *word, uint32_t seen, const uint32_t *other,
                             uint32_t other_seen, uint64_t deadline_ns)
{
    const struct __kernel_timespec deadline = {.tv_sec = (long long)(deadline_ns / 1000000000),
                                               .tv_nsec = (long long)(deadline_ns % 1000000000)};
    const struct futex_waitv waits[] = {
        {.uaddr = (uintptr_t)word, .val = seen, .flags = FUTEX_32},
        {.uaddr = (uintptr_t)other, .val = other_seen, .flags = FUTEX_32},
    };

    if (syscall(SYS_futex_waitv, waits, 2, 0, deadline_ns ? &deadline : NULL, CLOCK_MONOTONIC) >=
            0 ||
        errno == EAGAIN || errno == EINTR)
        return 0;
    if (errno == ETIMEDOUT)
        return -ETIMEDOUT;
    return futex_wait(word, seen, deadline_ns); /* Linux before 5.16, or a filter that is older */
}

static void futex_wake_all(const uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void event_write(int fd)
{
    const uint64_t one = 1;

    /* EAGAIN: so full that it is readable anyway. Other errors have no remedy here: the broker ends
     * a participant that is not heard of. */
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}
#endif

static const uint32_t *room_word(const struct lease_participant *p)
{
    return (const uint32_t *)&p->slot->load; /* the lower half, on little endian */
}

void lease_do(const struct lease_participant *p, int doorbell_fd, uint32_t duties)
{
    if (duties & LEASE_DUTY_RING)
        event_write(doorbell_fd);
    if (duties & LEASE_DUTY_ROOM)
        futex_wake_all(room_word(p));
}

/* One wait for a grant, marked all the time, until lease_enter() says something else than CLOSED.
 */
static enum lease_verdict wait_grant(const struct lease_participant *p, int doorbell_fd,
                                     uint32_t predicted_us, uint64_t deadline_ns, int *ret_result)
{
    uint32_t duties = 0;
    int result = 0;
    enum lease_verdict verdict = lease_wait_begin(p, LEASE_BY_FUTEX, &duties);

    if (verdict == LEASE_LOST)
        return verdict;
    lease_do(p, doorbell_fd, duties);
    verdict = LEASE_CLOSED; /* nothing is entered yet */
    while (verdict == LEASE_CLOSED && result == 0) {
        uint32_t word = lease_word(p);

        duties = 0;
        if (lease_verdict(word) == LEASE_CLOSED)
            result = futex_wait(&p->grant->word, word, deadline_ns);
        else
            verdict = lease_enter(p, predicted_us, &duties);
        lease_do(p, doorbell_fd, duties);
    }
    duties = 0;
    lease_wait_end(p, LEASE_BY_FUTEX, result < 0, &duties);
    lease_do(p, doorbell_fd, duties);
    *ret_result = result;
    return verdict;
}

int lease_acquire(const struct lease_participant *p, int doorbell_fd, uint32_t predicted_us,
                  uint64_t deadline_ns)
{
    int result = 0;
    uint32_t duties = 0, seen, word;
    enum lease_verdict verdict = lease_enter(p, predicted_us, &duties);

    lease_do(p, doorbell_fd, duties);
    while (result == 0 && (verdict == LEASE_CLOSED || verdict == LEASE_FULL)) {
        if (verdict == LEASE_CLOSED) {
            verdict = wait_grant(p, doorbell_fd, predicted_us, deadline_ns, &result);
        } else {
            if (lease_wait_room(p, predicted_us, &seen, &word))
                result = futex_wait_either(room_word(p), seen, &p->grant->word, word, deadline_ns);
            verdict = LEASE_CLOSED;
        }
        if (verdict == LEASE_CLOSED && result == 0) {
            duties = 0;
            verdict = lease_enter(p, predicted_us, &duties);
            lease_do(p, doorbell_fd, duties);
        }
    }
    if (verdict == LEASE_LOST)
        return -ECANCELED;
    return verdict == LEASE_OPEN ? 0 : result;
}

void lease_release(const struct lease_participant *p, int doorbell_fd, uint32_t predicted_us,
                   uint64_t submitted_ns, uint64_t completed_ns, bool idle)
{
    uint32_t duties = 0;

    lease_exit(p, predicted_us, submitted_ns, completed_ns, idle, &duties);
    lease_do(p, doorbell_fd, duties);
}

void lease_wake(const struct lease_broker *b, const int *slot_fds, uint32_t wakes)
{
    for (uint32_t i = 0; i < b->slots; i++)
        if (wakes & 1u << i && slot_fds[i] >= 0)
            event_write(slot_fds[i]);
    if (wakes & LEASE_WAKE_THREADS)
        futex_wake_all(&b->grant->word);
}
