/* SPDX-License-Identifier: MIT */
/*
 * lease-bench: what the lease costs. One JSON object on stdout: a submission (enter and exit) while
 * the lease is held, and the round trip of a participant that waits for a grant: ring, arbiter's
 * wake-up, grant, participant's wake-up, end, ring again.
 */
#include "protocol/lease_wait.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SUBMISSIONS 5000000
#define TRIPS 20000

static struct lease_broker broker;
static struct lease_participant participant;
static int doorbell;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *wait_for_grants(void *opaque)
{
    (void)opaque;
    for (unsigned i = 0; i < TRIPS; i++) {
        if (lease_acquire(&participant, doorbell, 1, 0) < 0)
            break;
        lease_release(&participant, doorbell, 1, 0, 0, true);
        /* Or it would be quick enough to use the same grant again. */
        while (i + 1 < TRIPS && lease_verdict(lease_word(&participant)) == LEASE_OPEN)
            sched_yield();
    }
    return NULL;
}

int main(void)
{
    const struct lease_terms terms = {.max_in_flight = 4, .max_predicted_us = 1000};
    const struct lease_terms contended = {
        .max_in_flight = 4, .max_predicted_us = 1000, .contended = true};
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    const struct lease_grant_page *grant_seen;
    struct lease_ack_page *ack_written;
    int grant_fd, ack_fd, no_fds[] = {-1, -1};
    uint32_t wakes, duties = 0;
    pthread_t thread;

    doorbell = eventfd(0, EFD_CLOEXEC);
    if (doorbell < 0 || lease_grant_page_create(&grant_fd, &grant) < 0 ||
        lease_ack_page_create(&ack_fd, &ack) < 0 ||
        lease_grant_page_map(grant_fd, &grant_seen) < 0 ||
        lease_ack_page_map(ack_fd, &ack_written) < 0) {
        perror("lease-bench");
        return 1;
    }
    lease_broker_init(&broker, grant, ack, 2, now_ns());
    if (lease_attach(&participant, grant_seen, ack_written, LEASE_SLOT_ANY) < 0 ||
        lease_grant(&broker, &terms, NULL, false, &wakes) < 0)
        return 1;

    uint64_t start_ns = now_ns();
    for (unsigned i = 0; i < SUBMISSIONS; i++) {
        if (lease_enter(&participant, 1, &duties) != LEASE_OPEN)
            return 1;
        lease_exit(&participant, 1, start_ns, start_ns + i, true, &duties);
    }
    double held_ns = (double)(now_ns() - start_ns) / SUBMISSIONS;

    lease_yield(&broker);
    if (!lease_settle(&broker) || pthread_create(&thread, NULL, wait_for_grants, NULL) != 0)
        return 1;
    start_ns = now_ns();
    const uint64_t *ended = &ack->slots[participant.index].completions;
    while (__atomic_load_n(ended, __ATOMIC_ACQUIRE) < SUBMISSIONS + TRIPS) {
        uint64_t rung;

        lease_yield(&broker);
        if (lease_settle(&broker) && lease_wants(&broker)) {
            if (lease_grant(&broker, &contended, NULL, false, &wakes) < 0)
                return 1;
            lease_wake(&broker, no_fds, wakes);
        }
        if (read(doorbell, &rung, sizeof(rung)) < 0)
            return 1;
    }
    double trip_us = (double)(now_ns() - start_ns) / TRIPS / 1e3;
    pthread_join(thread, NULL);
    printf("{\"bench\": \"lease\", \"enter_exit_ns\": %.1f, \"grant_round_trip_us\": %.2f}\n",
           held_ns, trip_us);
    return 0;
}
