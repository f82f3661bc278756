/* SPDX-License-Identifier: MIT */
/*
 * A gate of the renderer and its broker, which is the test. For unit tests of what works under the
 * lease: one at a time.
 */
#ifndef ALIQUOT_TESTS_GATE_FIXTURE_H
#define ALIQUOT_TESTS_GATE_FIXTURE_H

#include "mediator/renderer/gate.h"
#include "protocol/lease_wait.h"

struct gate_broker {
    int grant_fd, ack_fd, doorbell_fd, wake_fd;
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    struct lease_broker lease;
    struct lease_ack copy; /* as read last */
};

extern struct gate_broker broker;

/* The gate has no grant yet. */
struct gate *broker_open(sd_event *event);
/* Also destroys the gate: whatever it waited for or had in flight, nothing may be left. */
void broker_close(struct gate *gate);

/* contended: streams are cut where they take long, as a test's draws do then. */
void grant(bool contended);
/* How often the doorbell has rung since the last look. */
unsigned rings(void);
/* What the gate says of itself; good until the next call. */
const struct lease_ack *ack(void);

#endif
