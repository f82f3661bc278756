/* SPDX-License-Identifier: MIT */
#include "mediator/sched/sim/report.h"

#include <stdio.h>
#include <string.h>

static const char *const presences[] = {
    [SIM_ABSENT] = "absent", [SIM_PRESENT] = "present", [SIM_LEAVING] = "present",
    [SIM_GONE] = "left",     [SIM_REFUSED] = "refused", [SIM_RESET] = "reset",
};

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

void sim_report_table(struct sim *s)
{
    uint64_t busy_ns = sim_busy_ns(s);
    int width = (int)strlen("vGPU");

    for (size_t i = 0; i < s->config->n_vgpus; i++) {
        int len = (int)strlen(s->config->vgpus[i].name);
        width = len > width ? len : width;
    }
    printf("%-*s  share %%   gpu ms   jobs  missed   wait ms: p50    p99    max   "
           "latency ms: p50    p99    max  debt ms\n",
           width, "vGPU");
    for (size_t i = 0; i < s->config->n_vgpus; i++) {
        struct sim_vgpu *v = &s->vgpus[i];
        struct sched_stats stats;
        sim_read_stats(s, i, &stats);
        printf("%-*s  %7.2f %8.1f %6llu %7llu %14.2f %6.2f %6.2f %17.2f %6.2f %6.2f %8.2f", width,
               v->config->name, percent(stats.gpu_ns, sim_present_ns(s, i)), ms(stats.gpu_ns),
               (unsigned long long)v->n_jobs, (unsigned long long)v->n_missed,
               ms(sim_samples_percentile(&v->wait, 50)), ms(sim_samples_percentile(&v->wait, 99)),
               ms(sim_samples_percentile(&v->wait, 100)),
               ms(sim_samples_percentile(&v->latency, 50)),
               ms(sim_samples_percentile(&v->latency, 99)),
               ms(sim_samples_percentile(&v->latency, 100)), ms(stats.debt_ns));
        if (v->presence != SIM_PRESENT && v->presence != SIM_LEAVING)
            printf("  %s", presences[v->presence]);
        putchar('\n');
    }
    printf("%s, %.3f s: busy %.2f %%, idle %.2f %%, of it %.2f %% between vGPUs (%llu switches)\n",
           sched_policy_name(s->config->policy), (double)s->now_ns / 1e9,
           percent(busy_ns, s->now_ns), percent(s->now_ns - busy_ns, s->now_ns),
           percent(s->switching_ns, s->now_ns), (unsigned long long)s->n_switches);
}

static void print_times(const char *name, struct sim_samples *times)
{
    printf("\"%s_ns\": {\"p50\": %llu, \"p99\": %llu, \"max\": %llu}, ", name,
           (unsigned long long)sim_samples_percentile(times, 50),
           (unsigned long long)sim_samples_percentile(times, 99),
           (unsigned long long)sim_samples_percentile(times, 100));
}

/* Names need no escapes: the table allows none that would. */
void sim_report_json(struct sim *s)
{
    uint64_t busy_ns = sim_busy_ns(s);

    printf("{\"policy\": \"%s\", \"slots\": %u, \"seed\": %llu, \"run_ns\": %llu, "
           "\"busy_ns\": %llu, \"idle_ns\": %llu, \"switching_ns\": %llu, \"switches\": %llu,\n"
           " \"vgpus\": [",
           sched_policy_name(s->config->policy), s->config->slots,
           (unsigned long long)s->config->seed, (unsigned long long)s->now_ns,
           (unsigned long long)busy_ns, (unsigned long long)(s->now_ns - busy_ns),
           (unsigned long long)s->switching_ns, (unsigned long long)s->n_switches);
    for (size_t i = 0; i < s->config->n_vgpus; i++) {
        struct sim_vgpu *v = &s->vgpus[i];
        struct sched_stats stats;
        sim_read_stats(s, i, &stats);
        printf(
            "%s\n  {\"name\": \"%s\", \"state\": \"%s\", \"present_ns\": %llu, \"gpu_ns\": %llu, "
            "\"share\": %.6f, ",
            i > 0 ? "," : "", v->config->name, presences[v->presence],
            (unsigned long long)sim_present_ns(s, i), (unsigned long long)stats.gpu_ns,
            percent(stats.gpu_ns, sim_present_ns(s, i)) / 100);
        print_times("wait", &v->wait);
        print_times("latency", &v->latency);
        printf("\"jobs\": %llu, \"missed\": %llu, \"slices\": %llu, \"waiting_ns\": %llu, "
               "\"capped_ns\": %llu, \"overrun_ns\": %llu, \"debt_ns\": %llu, \"lag_ns\": %lld}",
               (unsigned long long)v->n_jobs, (unsigned long long)v->n_missed,
               (unsigned long long)stats.slices, (unsigned long long)stats.waiting_ns,
               (unsigned long long)stats.capped_ns, (unsigned long long)stats.overrun_ns,
               (unsigned long long)stats.debt_ns, (long long)stats.lag_ns);
    }
    printf("\n ]}\n");
}
