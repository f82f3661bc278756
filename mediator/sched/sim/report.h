/* SPDX-License-Identifier: MIT */
/* What a run of aliquot-sim came to, as a table or as JSON on stdout. Used by aliquot-sim. */
#ifndef ALIQUOT_SIM_REPORT_H
#define ALIQUOT_SIM_REPORT_H

#include "mediator/sched/sim/sim.h"

void sim_report_table(struct sim *s);
void sim_report_json(struct sim *s);

#endif
