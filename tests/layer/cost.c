/* SPDX-License-Identifier: MIT */
/*
 * What the layer costs a submission, in nanoseconds, on the driver that there is: prints a table of
 * vkQueueSubmit of an empty command buffer, alone and with the wait for all of it. The grant is
 * there all the time. Then how well GPU time is accounted. With --json it prints one JSON object
 * instead. Not a test: it asserts no times. Who runs it: people, and `./run bench vulkan`.
 */
#include "tests/layer/host.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    enum host_answer answer;
    bool ungated;
} hows[] = {
    {"no layer", HOST_NO_LAYER, false},
    {"no renderer", HOST_ABSENT, false},
    {"lease", HOST_WELCOME, false},
    {"exclusive lease", HOST_WELCOME, true},
};
#define HOWS (sizeof(hows) / sizeof(hows[0]))

static const unsigned counts[] = {1, 100, 2000};
#define COUNTS (sizeof(counts) / sizeof(counts[0]))

static const unsigned fills[] = {0, 1, 4, 16};
#define FILLS (sizeof(fills) / sizeof(fills[0]))
#define FRAMES 64u

struct cost {
    uint64_t submit_ns, whole_ns; /* of each submission */
};

/* Of all frames: from submission to the end of the wait, which the GPU is busy for but for some
 * microseconds; and what was accounted for that. */
struct account {
    uint64_t wall_ns, busy_ns;
};

static void measure_costs(size_t how, struct cost *ret)
{
    struct host h;

    host_create(&h);
    h.terms.ungated = hows[how].ungated;
    host_grant(&h);
    (void)host_start(&h, hows[how].answer, NULL);
    for (size_t c = 0; c < COUNTS; c++)
        assert_int_equal(sscanf(host_ask(&h, "bench %u", counts[c]), "ns %" SCNu64 " %" SCNu64,
                                &ret[c].submit_ns, &ret[c].whole_ns),
                         2);
    host_destroy(&h);
}

static struct account measure_account(unsigned n_fills)
{
    struct account account;
    struct host h;

    host_create(&h);
    host_grant(&h);
    (void)host_start(&h, HOST_WELCOME, NULL);
    assert_int_equal(
        sscanf(host_ask(&h, "busy %u %u", n_fills, FRAMES), "ns %" SCNu64, &account.wall_ns), 1);
    host_await_idle(&h);
    account.busy_ns = host_ack(&h)->busy_ns;
    host_destroy(&h);
    return account;
}

static void print_table(struct cost costs[HOWS][COUNTS], const struct account *accounts)
{
    printf("%-18s", "ns a submission");
    for (size_t c = 0; c < COUNTS; c++)
        printf("%9u, done", counts[c]);
    printf("\n");
    for (size_t i = 0; i < HOWS; i++) {
        printf("%-18s", hows[i].name);
        for (size_t c = 0; c < COUNTS; c++)
            printf("%9" PRIu64 "%6" PRIu64, costs[i][c].submit_ns, costs[i][c].whole_ns);
        printf("\n");
    }
    for (size_t i = 0; i < FILLS; i++)
        printf("frames of %8.3f ms, accounted %8.3f ms, %+.2f %%\n",
               (double)accounts[i].wall_ns / FRAMES / 1e6,
               (double)accounts[i].busy_ns / FRAMES / 1e6,
               ((double)accounts[i].busy_ns / (double)accounts[i].wall_ns - 1) * 100);
}

static void print_json(struct cost costs[HOWS][COUNTS], const struct account *accounts)
{
    printf("{\"costs\": [");
    for (size_t i = 0; i < HOWS * COUNTS; i++)
        printf("%s\n  {\"how\": \"%s\", \"submissions\": %u, \"submit_ns\": %" PRIu64
               ", \"whole_ns\": %" PRIu64 "}",
               i ? "," : "", hows[i / COUNTS].name, counts[i % COUNTS],
               costs[i / COUNTS][i % COUNTS].submit_ns, costs[i / COUNTS][i % COUNTS].whole_ns);
    printf("],\n \"accounts\": [");
    for (size_t i = 0; i < FILLS; i++)
        printf("%s\n  {\"fills\": %u, \"frames\": %u, \"wall_ns\": %" PRIu64
               ", \"busy_ns\": %" PRIu64 "}",
               i ? "," : "", fills[i], FRAMES, accounts[i].wall_ns, accounts[i].busy_ns);
    printf("]}\n");
}

int main(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    struct cost costs[HOWS][COUNTS] = {0};
    struct account accounts[FILLS];

    if (argc > 1 && !json) {
        fprintf(stderr, "usage: layer-cost [--json]\n");
        return 2;
    }
    for (size_t i = 0; i < HOWS; i++)
        measure_costs(i, costs[i]);
    for (size_t i = 0; i < FILLS; i++)
        accounts[i] = measure_account(fills[i]);
    (json ? print_json : print_table)(costs, accounts);
    return fflush(stdout) == 0 ? 0 : 1;
}
