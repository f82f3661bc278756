/* SPDX-License-Identifier: MIT */
#include "tests/unit/gate_fixture.h"

#include "mediator/base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <time.h>

#include <cmocka.h>

struct gate_broker broker;

struct gate *broker_open(sd_event *event)
{
    struct gate *gate;

    broker = (struct gate_broker){
        .doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    assert_true(broker.doorbell_fd >= 0 && broker.wake_fd >= 0);
    assert_int_equal(lease_grant_page_create(&broker.grant_fd, &broker.grant), 0);
    assert_int_equal(lease_ack_page_create(&broker.ack_fd, &broker.ack), 0);
    lease_broker_init(&broker.lease, broker.grant, broker.ack, 1, 0);
    const struct gate_fds fds = {.grant = broker.grant_fd,
                                 .ack = broker.ack_fd,
                                 .doorbell = broker.doorbell_fd,
                                 .wake = broker.wake_fd};
    assert_int_equal(gate_create(event, &fds, &gate), 0);
    return gate;
}

void broker_close(struct gate *gate)
{
    const int fds[] = {broker.grant_fd, broker.ack_fd, broker.doorbell_fd, broker.wake_fd};

    gate_destroy(gate);
    assert_int_equal(ack()->in_flight, 0);
    assert_int_equal(ack()->waiting, 0);
    lease_page_unmap(broker.grant);
    lease_page_unmap(broker.ack);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

void grant(bool contended)
{
    const struct lease_terms terms = {
        .max_in_flight = 8, .max_predicted_us = 1000, .contended = contended};
    const int fds[LEASE_SLOTS_MAX] = {[LEASE_SLOT_GL] = broker.wake_fd};
    uint32_t wakes;

    assert_int_equal(lease_grant(&broker.lease, &terms, NULL, false, &wakes), 0);
    lease_wake(&broker.lease, fds, wakes);
}

unsigned rings(void)
{
    eventfd_t count;
    return eventfd_read(broker.doorbell_fd, &count) < 0 ? 0 : (unsigned)count;
}

const struct lease_ack *ack(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    assert_int_equal(lease_ack_read(&broker.lease, LEASE_SLOT_GL, now, &broker.copy, &broker.copy),
                     LEASE_FAULT_NONE);
    return &broker.copy;
}
