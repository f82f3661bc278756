/* SPDX-License-Identifier: MIT */
/*
 * sched-bench: what the scheduler's calls cost with N vGPUs that all have work, as one JSON object
 * on stdout. sched.py beside it runs it.
 */
#include "mediator/sched/sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VGPUS_MAX 1000000
#define TURNS 400000

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Every fourth has a reservation, every fourth a cap, weights and slices differ. */
static struct sched_knobs knobs_of(size_t i, size_t n)
{
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;

    k.weight = 1 + (uint32_t)(i * 2654435761u % SCHED_WEIGHT_MAX);
    k.slice_ns = SCHED_SLICE_MIN_NS + i * 40503u % SCHED_SLICE_MAX_NS / 2;
    if (i % 4 == 1)
        k.reservation_ppm = (uint32_t)(2 * SCHED_RESERVATION_MAX_PPM / n);
    if (i % 4 == 2)
        k.cap_ppm = SCHED_CAP_MIN_PPM;
    return k;
}

int main(int argc, char **argv)
{
    static const char help[] =
        "Usage: sched-bench VGPUS\n"
        "Nanoseconds of a sched_pick and of a whole turn (pick, start, charge, put) with VGPUS\n"
        "vGPUs that always have work. Exit code: 0 done, 1 failed, 2 bad usage.\n";
    struct sched s;
    struct sched_entity *entities;
    uint64_t now = 1000000000, next, picks_ns = 0, start;
    char *end;

    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    size_t n = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
    if (n < 1 || n > VGPUS_MAX || *end) {
        fputs(help, stderr);
        return 2;
    }
    entities = calloc(n, sizeof(*entities));
    if (!entities) {
        perror("sched-bench");
        return 1;
    }
    sched_init(&s, SCHED_POLICY_FAIR, 1, now);
    for (size_t i = 0; i < n; i++) {
        struct sched_knobs knobs = knobs_of(i, n);
        if (sched_add(&s, &entities[i], &knobs, now) == 0)
            sched_wake(&entities[i], now);
    }
    /* The clock is read around the first pick of each turn only in the first pass: reading it costs
     * as much as what is measured. Picks that follow each other would find all in the cache. */
    uint64_t turns_ns, turns = 0, overhead_ns;
    start = clock_ns();
    for (unsigned i = 0; i < TURNS; i++)
        (void)clock_ns();
    overhead_ns = (clock_ns() - start) / TURNS;
    for (unsigned pass = 0; pass < 2; pass++) {
        turns = 0;
        picks_ns = pass == 0 ? 0 : picks_ns;
        start = clock_ns();
        for (unsigned i = 0; i < TURNS; i++) {
            uint64_t before = pass == 0 ? clock_ns() : 0;
            struct sched_entity *e = sched_pick(&s, now, &next);
            if (pass == 0)
                picks_ns += clock_ns() - before;
            if (!e) {
                now = next;
                continue;
            }
            sched_start(e, now);
            now += e->knobs.slice_ns;
            sched_charge(e, e->knobs.slice_ns, now);
            sched_put(e, now);
            turns++;
        }
        turns_ns = clock_ns() - start;
    }
    double pick_ns = (double)picks_ns / TURNS - (double)overhead_ns;
    printf("{\"bench\": \"sched\", \"vgpus\": %zu, \"pick_ns\": %.1f, \"turn_ns\": %.1f, "
           "\"entity_bytes\": %zu}\n",
           n, pick_ns > 0 ? pick_ns : 0, (double)turns_ns / (double)turns, sizeof(*entities));
    free(entities);
    return 0;
}
