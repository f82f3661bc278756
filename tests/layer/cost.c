/* SPDX-License-Identifier: MIT */
/*
 * What the layer costs a submission, in nanoseconds, on the driver that there is: prints a table of
 * vkQueueSubmit of an empty command buffer, alone and with the wait for all of it. The grant is
 * there all the time. Then how well GPU time is accounted. Not a test: it asserts no times.
 */
#include "tests/layer/host.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *name;
    enum host_answer answer;
    uint32_t max_in_flight;
    bool ungated;
} rows[] = {
    {"no layer", HOST_NO_LAYER, 8, false},
    {"no renderer", HOST_ABSENT, 8, false},
    {"lease", HOST_WELCOME, 8, false},
    {"exclusive lease", HOST_WELCOME, 8, true},
};
static const unsigned counts[] = {1, 100, 2000};

/* What is accounted for frames that are waited for, against the time from submission to the end of
 * the wait, which the GPU is busy for but for some microseconds. */
static void print_accounts(void)
{
    static const unsigned fills[] = {0, 1, 4, 16};

    for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++) {
        struct host h;
        uint64_t wall_ns = 0;

        host_create(&h);
        host_grant(&h);
        (void)host_start(&h, HOST_WELCOME, NULL);
        (void)sscanf(host_ask(&h, "busy %u 64", fills[i]), "ns %" SCNu64, &wall_ns);
        host_await_idle(&h);
        printf("frames of %8.3f ms, accounted %8.3f ms, %+.2f %%\n", (double)wall_ns / 64e6,
               (double)host_ack(&h)->busy_ns / 64e6,
               ((double)host_ack(&h)->busy_ns / (double)wall_ns - 1) * 100);
        host_destroy(&h);
    }
}

int main(void)
{
    printf("%-18s", "ns a submission");
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
        printf("%9u, done", counts[c]);
    printf("\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct host h;
        uint64_t submit_ns = 0, whole_ns = 0;

        host_create(&h);
        h.terms.max_in_flight = rows[i].max_in_flight;
        h.terms.ungated = rows[i].ungated;
        host_grant(&h);
        (void)host_start(&h, rows[i].answer, NULL);
        printf("%-18s", rows[i].name);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            (void)sscanf(host_ask(&h, "bench %u", counts[c]), "ns %" SCNu64 " %" SCNu64, &submit_ns,
                         &whole_ns);
            printf("%9" PRIu64 "%6" PRIu64, submit_ns, whole_ns);
        }
        printf("\n");
        host_destroy(&h);
    }
    print_accounts();
    return 0;
}
