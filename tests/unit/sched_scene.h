/* SPDX-License-Identifier: MIT */
/*
 * Scenes for the tests of the scheduler's fairness: vGPUs on the simulator, what each got in a
 * stretch of time, and bounds that are checked at each charge.
 */
#ifndef ALIQUOT_TEST_SCHED_SCENE_H
#define ALIQUOT_TEST_SCHED_SCENE_H

#include "mediator/sched/sim/sim.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

struct scene {
    struct sim_config config;
    struct sim sim;
    uint64_t *before_ns; /* gpu_ns of each at the beginning of the stretch */
    uint64_t start_ns, busy_before_ns;
    uint64_t lag_bound_ns; /* not checked if 0 */
};

/* A scene of n vGPUs with default knobs; fill them in before scene_begin. */
void scene_init(struct scene *s, enum sched_policy policy, size_t n);
void scene_finish(struct scene *s);
/* Sets work from its text, as in a table; returns the vGPU for more. */
struct sim_vgpu_config *scene_vgpu(struct scene *s, size_t vgpu, const char *work);
void scene_begin(struct scene *s);
/* The end of one stretch and the beginning of the next. */
void scene_mark(struct scene *s);
void scene_run(struct scene *s, uint64_t ns);
/* What a vGPU got since the mark. */
uint64_t scene_got_ns(struct scene *s, size_t vgpu);
/* That it got so many ppm of the stretch, to within slack_ns of GPU time. */
void scene_expect(struct scene *s, size_t vgpu, uint64_t ppm, uint64_t slack_ns);
/* That the GPU was never idle in the stretch. */
void scene_expect_busy(struct scene *s);

#endif
