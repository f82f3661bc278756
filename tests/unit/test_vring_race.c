/* SPDX-License-Identifier: MIT */
/*
 * The two races on which notifications depend (virtio 1.3, 2.7.7 and 2.7.10), over and over again:
 * one side publishes and asks whether the other wants to be told, while the other says that it
 * wants to be told and looks once more. Whoever comes first, one of the two has to notice: without
 * a full fence on either side, both miss it now and then, also on x86.
 */
#include "protocol/vring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#define NUM 8
#define ROUNDS 60000
#define JITTER 128 /* steps of delay, so that all overlaps come up */
#define SPINS 2000 /* until the other one may need our CPU */

/* The parts on cache lines of their own, which makes the races likely. */
struct ring {
    _Alignas(64) char desc[NUM * sizeof(struct vring_desc)];
    _Alignas(64) char avail[64];
    _Alignas(64) char used[128];
};

struct race {
    struct ring ring;
    struct vring_drv drv;
    struct vring_dev dev;
    char byte;
    void (*device_turn)(struct race *r);
    bool device_noticed;
    _Alignas(64) _Atomic uint32_t go;
    _Alignas(64) _Atomic uint32_t gone;
};

static void *translate(void *opaque, uint64_t gpa, uint64_t *len)
{
    return opaque;
}

static void wait_for(_Atomic uint32_t *word, uint32_t value)
{
    for (unsigned n = 0; atomic_load_explicit(word, memory_order_acquire) != value; n++)
        if (n % SPINS == SPINS - 1)
            sched_yield();
}

static void delay(unsigned steps)
{
    for (volatile unsigned i = 0; i < steps; i++)
        ;
}

static void *device_thread(void *arg)
{
    struct race *r = arg;

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        wait_for(&r->go, round);
        r->device_turn(r);
        atomic_store_explicit(&r->gone, round, memory_order_release);
    }
    return NULL;
}

static void add(struct race *r)
{
    const struct vring_seg seg = {.gpa = 0x1000, .len = 1};

    assert_int_equal(vring_drv_add(&r->drv, &seg, 1, 0, r), 0);
}

static void pop(struct race *r)
{
    struct vring_chain chain;

    assert_int_equal(vring_dev_pop(&r->dev, translate, &r->byte, &chain, NULL), 1);
    vring_chain_finish(&chain);
}

static void take(struct race *r)
{
    void *token;
    uint32_t len;

    assert_int_equal(vring_drv_get_used(&r->drv, &token, &len), 1);
}

static void device_falls_asleep(struct race *r)
{
    /* It has the index in its cache, as after a look, so that the next load is quick. */
    vring_dev_has_work(&r->dev);
    delay(r->dev.last_avail % (JITTER / 4));
    vring_dev_enable_kick(&r->dev, true);
    r->device_noticed = vring_dev_has_work(&r->dev);
}

static void device_answers(struct race *r)
{
    vring_dev_push(&r->dev, 0, 0); /* the only chain: always the same head */
    r->device_noticed = vring_dev_should_notify(&r->dev);
}

/* Returns the rounds in which nobody noticed anything. */
static unsigned run(bool event_idx, bool answers)
{
    struct race *r = aligned_alloc(64, (sizeof(*r) + 63) & ~(size_t)63);
    unsigned missed = 0;
    pthread_t thread;
    size_t avail, used;

    *r = (struct race){.device_turn = answers ? device_answers : device_falls_asleep};
    assert_true(sizeof(r->ring) >= vring_drv_bytes(NUM));
    assert_int_equal(vring_drv_init(&r->drv, &r->ring, NUM, event_idx, &avail, &used), 0);
    r->drv.avail = (void *)r->ring.avail;
    r->drv.used = (void *)r->ring.used;
    r->dev = (struct vring_dev){
        .num = NUM,
        .desc = r->drv.desc,
        .avail = r->drv.avail,
        .used = r->drv.used,
        .event_idx = event_idx,
    };
    vring_dev_start(&r->dev, 0);
    vring_dev_should_notify(&r->dev); /* the first says true in any case */
    assert_int_equal(pthread_create(&thread, NULL, device_thread, r), 0);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        bool driver_noticed;

        /* What is not part of the race happens while the other thread waits. */
        if (answers) {
            add(r);
            pop(r);
            vring_drv_enable_notify(&r->drv, false);
        } else {
            vring_dev_enable_kick(&r->dev, false);
        }
        atomic_store_explicit(&r->go, round, memory_order_release);
        delay(round % JITTER);
        if (answers) {
            driver_noticed = vring_drv_enable_notify(&r->drv, true);
        } else {
            add(r);
            driver_noticed = vring_drv_should_kick(&r->drv);
        }
        wait_for(&r->gone, round);
        missed += !driver_noticed && !r->device_noticed;
        if (!answers) {
            pop(r);
            vring_dev_push(&r->dev, 0, 0);
        }
        take(r);
    }
    pthread_join(thread, NULL);
    vring_drv_finish(&r->drv);
    free(r);
    return missed;
}

static void test_kick(void **state)
{
    assert_int_equal(run(false, false), 0);
}

static void test_kick_event_idx(void **state)
{
    assert_int_equal(run(true, false), 0);
}

static void test_notify(void **state)
{
    assert_int_equal(run(false, true), 0);
}

static void test_notify_event_idx(void **state)
{
    assert_int_equal(run(true, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kick),
        cmocka_unit_test(test_kick_event_idx),
        cmocka_unit_test(test_notify),
        cmocka_unit_test(test_notify_event_idx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
