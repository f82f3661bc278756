/* SPDX-License-Identifier: MIT */
/*
 * aliquot-sim: tries a configuration of the scheduler on paper. I read one file that the user named
 * and write to stdout; I touch no GPU, no daemon and no clock. I trust the user's file to be no
 * more than a file: every number in it is bounded. I end when the virtual time is over.
 */
#include "mediator/base/util.h"
#include "mediator/sched/sim/report.h"
#include "mediator/sched/sim/table.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define SECONDS_MAX 86400

static const char help[] =
    "Usage: aliquot-sim [OPTION]... TABLE\n"
    "Runs the vGPUs of a workload table through the scheduler, on a virtual GPU and a virtual\n"
    "clock, and says what each would get. TABLE is a file, or - for standard input.\n"
    "\n"
    "  --policy POLICY    fair, equal, fixed or exclusive, in place of the table's\n"
    "  --seconds S        how long to run, in virtual time, in place of the table's\n"
    "  --seed N           of random workloads, in place of the table's\n"
    "  --json             print JSON\n"
    "  --help, --version  print this, or the version, and exit\n"
    "\n"
    "Exit status: 0 done, 1 failed or a vGPU was refused, 2 bad usage. See aliquot-sim(1).\n";

struct options {
    const char *table; /* borrowed */
    bool json, has_policy, has_seed;
    enum sched_policy policy;
    uint64_t seed, run_ns; /* run: 0 = the table's */
};

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "aliquot-sim: %s%s%s\nTry 'aliquot-sim --help'.\n", what, value ? ": " : "",
            value ? value : "");
    return 2;
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"policy", required_argument, NULL, 'p'},
        {"seconds", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    int option;
    double seconds;
    char *end;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p':
            if (sched_policy_from_name(optarg, &o->policy) < 0)
                return usage("--policy is fair, equal, fixed or exclusive, not", optarg);
            o->has_policy = true;
            break;
        case 't':
            seconds = strtod(optarg, &end);
            if (*end || !(seconds > 0 && seconds <= SECONDS_MAX))
                return usage("--seconds is a number up to 86400, not", optarg);
            o->run_ns = (uint64_t)(seconds * 1e9);
            break;
        case 's':
            errno = 0;
            o->seed = strtoull(optarg, &end, 10);
            if (*end || end == optarg || *optarg == '-' || errno)
                return usage("--seed is a number, not", optarg);
            o->has_seed = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        case 'v':
            puts("aliquot-sim " ALIQUOT_VERSION);
            return 0;
        default: /* getopt_long has named it */
            fprintf(stderr, "Try 'aliquot-sim --help'.\n");
            return 2;
        }
    }
    if (optind != argc - 1)
        return usage("one table is needed", NULL);
    o->table = argv[optind];
    return -1;
}

static int load(const struct options *o, struct sim_table *table)
{
    bool standard_input = !strcmp(o->table, "-");
    char error[512] = "";
    FILE *file = standard_input ? stdin : fopen(o->table, "re");

    if (!file) {
        int r = -errno;
        fprintf(stderr, "aliquot-sim: %s: %s\n", o->table, strerror(-r));
        return r;
    }
    int r = sim_table_load(table, file, standard_input ? "stdin" : o->table, error, sizeof(error));
    if (r < 0)
        fprintf(stderr, "aliquot-sim: %s\n", error);
    if (!standard_input)
        fclose(file);
    return r;
}

/* Says so for each that was refused; true if there was one. */
static bool report_refusals(const struct sim *s)
{
    bool any = false;

    for (size_t i = 0; i < s->config->n_vgpus; i++) {
        const struct sim_vgpu *v = &s->vgpus[i];
        if (v->presence != SIM_REFUSED)
            continue;
        any = true;
        fprintf(stderr, "aliquot-sim: vGPU %s is refused: %s\n", v->config->name,
                v->refusal == -ENOSPC ? "reservations add up to more than 95 %"
                                      : "an exclusive GPU has room for one");
    }
    return any;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct sim_table table;
    struct sim sim;
    bool refused = false;
    int r = parse_options(argc, argv, &o);

    if (r >= 0)
        return r;
    if (load(&o, &table) < 0)
        return 1;
    if (o.has_policy)
        table.config.policy = o.policy;
    if (o.has_seed)
        table.config.seed = o.seed;
    if (o.run_ns > 0)
        table.run_ns = o.run_ns;
    r = sim_init(&sim, &table.config);
    if (r == 0) {
        r = sim_run_until(&sim, table.run_ns);
        if (r == 0) {
            (o.json ? sim_report_json : sim_report_table)(&sim);
            refused = report_refusals(&sim);
        }
        sim_finish(&sim);
    }
    if (r < 0)
        fprintf(stderr, "aliquot-sim: %s\n", strerror(-r));
    sim_table_finish(&table);
    if (fflush(stdout) != 0) {
        perror("aliquot-sim: standard output");
        return 1;
    }
    return r < 0 || refused ? 1 : 0;
}
