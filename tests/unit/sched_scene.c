/* SPDX-License-Identifier: MIT */
#include "tests/unit/sched_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Everyone's lag, each time that something changes. */
static void observe(struct sim *sim, size_t vgpu, void *opaque)
{
    const struct scene *s = opaque;
    for (size_t i = 0; s->lag_bound_ns > 0 && i < s->config.n_vgpus; i++) {
        struct sched_stats stats;
        sim_read_stats(sim, i, &stats);
        if ((uint64_t)llabs(stats.lag_ns) > s->lag_bound_ns) {
            print_error("%s: lag %lld ns at %llu ns\n", s->config.vgpus[i].name,
                        (long long)stats.lag_ns, (unsigned long long)sim->now_ns);
            fail();
        }
    }
}

void scene_init(struct scene *s, enum sched_policy policy, size_t n)
{
    *s = (struct scene){.config = SIM_CONFIG_DEFAULT};
    s->config.policy = policy;
    s->config.n_vgpus = n;
    s->config.vgpus = calloc(n, sizeof(*s->config.vgpus));
    s->before_ns = calloc(n, sizeof(*s->before_ns));
    assert_non_null(s->config.vgpus);
    assert_non_null(s->before_ns);
    for (size_t i = 0; i < n; i++) {
        snprintf(s->config.vgpus[i].name, sizeof(s->config.vgpus[i].name), "%zu", i);
        s->config.vgpus[i].knobs = SCHED_KNOBS_DEFAULT;
        s->config.vgpus[i].work = (struct sim_work){SIM_HOG, 2 * MS, 0};
    }
}

void scene_finish(struct scene *s)
{
    sim_finish(&s->sim);
    free(s->config.vgpus);
    free(s->before_ns);
}

struct sim_vgpu_config *scene_vgpu(struct scene *s, size_t vgpu, const char *work)
{
    assert_int_equal(sim_work_parse(work, &s->config.vgpus[vgpu].work), 0);
    return &s->config.vgpus[vgpu];
}

void scene_begin(struct scene *s)
{
    assert_int_equal(sim_init(&s->sim, &s->config), 0);
    s->sim.observe = observe;
    s->sim.opaque = s;
}

void scene_mark(struct scene *s)
{
    for (size_t i = 0; i < s->config.n_vgpus; i++) {
        struct sched_stats stats;
        sim_read_stats(&s->sim, i, &stats);
        s->before_ns[i] = stats.gpu_ns;
    }
    s->start_ns = s->sim.now_ns;
    s->busy_before_ns = sim_busy_ns(&s->sim);
}

void scene_run(struct scene *s, uint64_t ns)
{
    assert_int_equal(sim_run_until(&s->sim, s->sim.now_ns + ns), 0);
}

uint64_t scene_got_ns(struct scene *s, size_t vgpu)
{
    struct sched_stats stats;
    sim_read_stats(&s->sim, vgpu, &stats);
    return stats.gpu_ns - s->before_ns[vgpu];
}

void scene_expect(struct scene *s, size_t vgpu, uint64_t ppm, uint64_t slack_ns)
{
    uint64_t due_ns = (s->sim.now_ns - s->start_ns) / 1000 * ppm / 1000;
    uint64_t got_ns = scene_got_ns(s, vgpu);
    if (got_ns + slack_ns < due_ns || got_ns > due_ns + slack_ns) {
        print_error("%s: got %llu ns, due are %llu ns\n", s->config.vgpus[vgpu].name,
                    (unsigned long long)got_ns, (unsigned long long)due_ns);
        fail();
    }
}

void scene_expect_busy(struct scene *s)
{
    assert_int_equal(sim_busy_ns(&s->sim) - s->busy_before_ns, s->sim.now_ns - s->start_ns);
}
