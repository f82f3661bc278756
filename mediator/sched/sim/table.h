/* SPDX-License-Identifier: MIT */
/*
 * The workload table of aliquot-sim, an INI file: [gpu] and a [vgpu NAME] for each. aliquot-sim(1)
 * has the keys. Used by aliquot-sim.
 */
#ifndef ALIQUOT_SIM_TABLE_H
#define ALIQUOT_SIM_TABLE_H

#include "mediator/sched/sim/sim.h"

#include <stdio.h>

#define SIM_VGPUS_MAX 10000

struct sim_table {
    struct sim_config config; /* vgpus and their changes: owned by the table */
    uint64_t run_ns;          /* how long to run */
};

/* Reads the table from file; path is for messages. 0, -EINVAL, -EIO or -ENOMEM with a text of what
 * is wrong and where in error, then there is no table. Free it with sim_table_finish. */
int sim_table_load(struct sim_table *ret, FILE *file, const char *path, char *error,
                   size_t error_size);
void sim_table_finish(struct sim_table *t);

#endif
