/* SPDX-License-Identifier: MIT */
/*
 * aliquot-bench: one measurement a run, as JSON on stdout. The scripts beside it start the servers,
 * repeat and interleave the runs, and compare.
 */
#include "samples/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX 3600

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

void bench_times_add(struct bench_times *times, int64_t ns)
{
    int64_t bucket = ns / BENCH_BUCKET_NS;

    times->count++;
    times->total_ns += ns;
    times->buckets[bucket < BENCH_BUCKETS ? bucket : BENCH_BUCKETS - 1]++;
}

static double percentile_us(const struct bench_times *times, double share)
{
    uint64_t wanted = (uint64_t)((double)times->count * share), seen = 0;

    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        seen += times->buckets[i];
        if (seen > wanted)
            return (i + 0.5) * BENCH_BUCKET_NS / 1e3;
    }
    return BENCH_BUCKETS * BENCH_BUCKET_NS / 1e3;
}

void bench_times_print(const struct bench_times *times, const char *name)
{
    printf("{\"bench\": \"%s\", \"per_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"count\": %llu}\n",
           name, (double)times->count / ((double)times->total_ns / 1e9), percentile_us(times, 0.5),
           percentile_us(times, 0.99), (unsigned long long)times->count);
}

int bench_pin(int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return 0;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        int error = errno;
        fprintf(stderr, "aliquot-bench: cannot run on CPU %d: %s\n", cpu, strerror(error));
        return -error;
    }
    return 0;
}

/* ---- command line --------------------------------------------------------------------------- */

static const char help[] =
    "Usage: aliquot-bench ring --socket PATH [--seconds S] [--pin CPU]\n"
    "       aliquot-bench pingpong [--seconds S] [--pin CPU] [--pin-other CPU]\n"
    "       aliquot-bench first-clear --socket PATH [--hold]\n"
    "One measurement, as one JSON object on stdout.\n"
    "\n"
    "  ring         round trips of a command that does nothing, through a vGPU's control queue\n"
    "  pingpong     round trips of 32 bytes between two processes over a socket: the machine's "
    "own\n"
    "               price of two wake-ups\n"
    "  first-clear  milliseconds from connecting to a vGPU to the first completed clear\n"
    "\n"
    "  --socket PATH    the vGPU's socket, or its render node in a virtual machine\n"
    "  --seconds S      how long to measure (default 1)\n"
    "  --pin CPU        run on this CPU; the server's place is its starter's business\n"
    "  --pin-other CPU  where the process that answers runs, if not there, too\n"
    "  --hold           stay connected, idle, until standard input ends\n"
    "Exit code: 0 done, 1 failed, 2 bad usage.\n";

static const struct {
    const char *name;
    int (*run)(const struct bench_options *options);
    bool needs_socket;
} benches[] = {
    {"ring", bench_ring, true},
    {"pingpong", bench_pingpong, false},
    {"first-clear", bench_first_clear, true},
};

static int usage(void)
{
    fputs(help, stderr);
    return 2;
}

static bool parse_cpu(const char *text, int *ret)
{
    char *end;
    long cpu = strtol(text, &end, 10);

    if (*end || end == text || cpu < 0 || cpu >= CPU_SETSIZE)
        return false;
    *ret = (int)cpu;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"socket", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'},
        {"pin", required_argument, NULL, 'p'},
        {"pin-other", required_argument, NULL, 'q'},
        {"hold", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct bench_options options = {.seconds = 1, .cpu = -1, .other = -1};
    int option;
    char *end;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 's':
            options.socket = optarg;
            break;
        case 't':
            options.seconds = strtod(optarg, &end);
            if (*end || !(options.seconds > 0 && options.seconds <= SECONDS_MAX))
                return usage();
            break;
        case 'p':
            if (!parse_cpu(optarg, &options.cpu))
                return usage();
            break;
        case 'q':
            if (!parse_cpu(optarg, &options.other))
                return usage();
            break;
        case 'o':
            options.hold = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return usage();
        }
    }
    if (optind != argc - 1)
        return usage();
    for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
        if (strcmp(argv[optind], benches[i].name) != 0)
            continue;
        if (benches[i].needs_socket && !options.socket)
            return usage();
        return benches[i].run(&options) < 0 ? 1 : 0;
    }
    return usage();
}
