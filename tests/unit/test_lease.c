/* SPDX-License-Identifier: MIT */
/*
 * The lease, one call after the other and with real threads. What happens between the steps of two
 * calls is explored in tests/model.
 */
#include "protocol/lease_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOTS 3
#define BORN_NS 1000

/* A vGPU and two participants of it, over pages as they are mapped in different processes. */
struct fixture {
    int grant_fd, ack_fd, doorbell;
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    const struct lease_grant_page *grant_seen;
    struct lease_ack_page *ack_written;
    struct lease_broker broker;
    struct lease_participant gl, layer;
};

static const struct lease_terms terms = {.max_in_flight = 2, .max_predicted_us = 100};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(lease_grant_page_create(&f->grant_fd, &f->grant), 0);
    assert_int_equal(lease_ack_page_create(&f->ack_fd, &f->ack), 0);
    assert_int_equal(lease_grant_page_map(f->grant_fd, &f->grant_seen), 0);
    assert_int_equal(lease_ack_page_map(f->ack_fd, &f->ack_written), 0);
    f->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(f->doorbell >= 0);
    lease_broker_init(&f->broker, f->grant, f->ack, SLOTS, BORN_NS);
    assert_int_equal(lease_attach(&f->gl, f->grant_seen, f->ack_written, LEASE_SLOT_GL), 0);
    assert_int_equal(lease_attach(&f->layer, f->grant_seen, f->ack_written, LEASE_SLOT_ANY), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    lease_page_unmap(f->grant);
    lease_page_unmap(f->ack);
    lease_page_unmap(f->grant_seen);
    lease_page_unmap(f->ack_written);
    close(f->grant_fd);
    close(f->ack_fd);
    close(f->doorbell);
    free(f);
    return 0;
}

static uint32_t grant(struct fixture *f)
{
    uint32_t wakes = 0;

    assert_int_equal(lease_grant(&f->broker, &terms, NULL, false, &wakes), 0);
    return wakes;
}

static enum lease_verdict enter(const struct lease_participant *p, uint32_t us)
{
    uint32_t duties = 0;
    enum lease_verdict verdict = lease_enter(p, us, &duties);

    assert_int_equal(duties, 0);
    return verdict;
}

static uint32_t leave(const struct lease_participant *p, uint32_t us, bool idle)
{
    uint32_t duties = 0;

    lease_exit(p, us, 0, 0, idle, &duties);
    return duties;
}

static uint64_t rings(struct fixture *f)
{
    uint64_t count = 0;

    return read(f->doorbell, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* ---- pages and slots ------------------------------------------------------------------------ */

static void test_pages(void **state)
{
    struct fixture *f = *state;
    const struct lease_grant_page *page = NULL;

    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->grant_fd, 0),
                     MAP_FAILED);
    assert_int_equal(mprotect((void *)f->grant_seen, 4096, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(write(f->grant_fd, "x", 1), -1);
    assert_int_equal(ftruncate(f->grant_fd, 0), -1);
    assert_int_equal(ftruncate(f->ack_fd, 0), -1);
    assert_int_equal(ftruncate(f->ack_fd, 8192), -1);
    assert_int_equal(fcntl(f->ack_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    grant(f);
    assert_int_equal(lease_word(&f->gl), f->grant->word); /* through another mapping */

    int fd = memfd_create("empty", MFD_CLOEXEC);
    assert_int_equal(lease_grant_page_map(fd, &page), -EINVAL);
    assert_null(page);
    close(fd);
}

static void test_attach(void **state)
{
    struct fixture *f = *state;
    struct lease_participant p = {0};

    assert_int_equal(f->gl.index, LEASE_SLOT_GL);
    assert_int_equal(f->layer.index, 1);
    assert_int_equal(lease_attach(&p, f->grant_seen, f->ack_written, 1), -EBUSY);
    assert_int_equal(lease_attach(&p, f->grant_seen, f->ack_written, SLOTS), -EINVAL);
    assert_null(p.slot);
    assert_int_equal(lease_attach(&p, f->grant_seen, f->ack_written, LEASE_SLOT_ANY), 0);
    assert_int_equal(p.index, 2);
    assert_int_equal(lease_attach(&p, f->grant_seen, f->ack_written, LEASE_SLOT_ANY), -EBUSY);
    assert_int_equal(lease_detach(&p), 0);
    assert_int_equal(lease_attach(&p, f->grant_seen, f->ack_written, LEASE_SLOT_ANY), 0);
    f->grant->version++;
    assert_int_equal(lease_attach(&p, f->grant_seen, f->ack_written, 2), -EPROTO);
}

static void test_death(void **state)
{
    struct fixture *f = *state;
    struct lease_participant heir;
    uint32_t duties = 0;

    grant(f);
    assert_int_equal(enter(&f->layer, 1), LEASE_OPEN);
    assert_int_equal(lease_detach(&f->layer), -EBUSY);
    lease_yield(&f->broker);
    assert_int_equal(lease_wait_begin(&f->layer, LEASE_BY_FUTEX, &duties), LEASE_CLOSED);
    assert_true(lease_wants(&f->broker));
    assert_false(lease_settle(&f->broker));
    lease_slot_forget(&f->broker, f->layer.index);
    assert_false(lease_wants(&f->broker));
    assert_true(lease_settle(&f->broker));
    assert_int_equal(lease_attach(&heir, f->grant_seen, f->ack_written, f->layer.index), 0);
    assert_true(lease_is_drained(&f->broker));
    assert_int_equal(heir.slot->submits, 1); /* counters go on */
}

/* ---- states --------------------------------------------------------------------------------- */

static void test_states(void **state)
{
    struct fixture *f = *state;
    uint32_t duties = 0;

    assert_int_equal(enter(&f->gl, 1), LEASE_CLOSED);
    assert_int_equal(lease_wait_begin(&f->gl, LEASE_BY_EVENT, &duties), LEASE_CLOSED);
    assert_int_equal(duties, LEASE_DUTY_RING);
    assert_true(lease_wants(&f->broker));
    assert_int_equal(grant(f), 1u << LEASE_SLOT_GL);
    assert_int_equal(enter(&f->gl, 1), LEASE_OPEN);
    duties = 0;
    lease_wait_end(&f->gl, LEASE_BY_EVENT, false, &duties);
    assert_false(lease_wants(&f->broker));
    assert_false(lease_is_parked(&f->broker));
    lease_yield(&f->broker);
    assert_int_equal(lease_state(&f->broker), LEASE_YIELDING);
    assert_int_equal(enter(&f->layer, 1), LEASE_CLOSED);
    assert_false(lease_settle(&f->broker));
    assert_int_equal(leave(&f->gl, 1, true), LEASE_DUTY_RING);
    assert_true(lease_settle(&f->broker));
    assert_int_equal(lease_state(&f->broker), LEASE_IDLE);

    /* Parked: no rings, taken away at once. */
    assert_int_equal(grant(f), 0);
    assert_int_equal(enter(&f->gl, 1), LEASE_OPEN);
    assert_int_equal(leave(&f->gl, 1, true), 0);
    assert_true(lease_is_parked(&f->broker));
    lease_yield(&f->broker);
    assert_true(lease_settle(&f->broker));

    /* Contended: going idle rings, pausing does not. */
    grant(f);
    assert_false(lease_should_cut(&f->gl));
    lease_set_contended(&f->broker, true);
    assert_true(lease_should_cut(&f->gl));
    assert_int_equal(enter(&f->gl, 1), LEASE_OPEN);
    assert_int_equal(leave(&f->gl, 1, false), 0);
    assert_int_equal(enter(&f->gl, 1), LEASE_OPEN);
    assert_int_equal(leave(&f->gl, 1, true), LEASE_DUTY_RING);

    /* Revoked: nobody gets in, nobody waits, until the reset. */
    assert_int_equal(enter(&f->gl, 1), LEASE_OPEN);
    lease_revoke(&f->broker);
    assert_int_equal(enter(&f->layer, 1), LEASE_LOST);
    duties = 0;
    assert_int_equal(lease_wait_begin(&f->layer, LEASE_BY_FUTEX, &duties), LEASE_LOST);
    assert_int_equal(f->layer.slot->waiters, 0);
    assert_int_equal(lease_reset(&f->broker), -EBUSY);
    assert_int_equal(leave(&f->gl, 1, true), LEASE_DUTY_RING);
    assert_true(lease_settle(&f->broker));
    assert_int_equal(lease_grant(&f->broker, &terms, NULL, false, &duties), -EBUSY);
    assert_int_equal(lease_reset(&f->broker), 0);
    assert_int_equal(grant(f), 0);
}

static void test_hand_over(void **state)
{
    struct fixture *a = *state, *b = NULL;
    uint32_t wakes = 7;

    setup((void **)&b);
    grant(a);
    assert_int_equal(enter(&a->gl, 1), LEASE_OPEN);
    assert_int_equal(lease_grant(&b->broker, &terms, &a->broker, false, &wakes), -EBUSY);
    assert_int_equal(lease_grant(&b->broker, &terms, &a->broker, true, &wakes), -EBUSY);
    lease_yield(&a->broker);
    assert_int_equal(lease_grant(&b->broker, &terms, &a->broker, false, &wakes), -EBUSY);
    assert_int_equal(wakes, 7);
    assert_int_equal(lease_grant(&b->broker, &terms, &a->broker, true, &wakes), 0);
    assert_int_equal(enter(&b->gl, 1), LEASE_OPEN);
    assert_int_equal(enter(&a->gl, 1), LEASE_CLOSED);
    teardown((void **)&b);
}

static void test_bounds(void **state)
{
    struct fixture *f = *state;
    uint32_t seen = 0, word = 0, duties = 0;
    struct lease_terms ungated = {.ungated = true};

    grant(f);
    assert_int_equal(enter(&f->layer, 5000), LEASE_OPEN); /* the first fits whatever it takes */
    assert_int_equal(enter(&f->layer, 1), LEASE_FULL);
    assert_true(lease_wait_room(&f->layer, 1, &seen, &word));
    assert_int_equal(seen, *(const uint32_t *)&f->layer.slot->load);
    assert_int_equal(word, lease_word(&f->layer));
    assert_int_equal(leave(&f->layer, 5000, false), LEASE_DUTY_ROOM);
    assert_int_equal(f->layer.slot->load, 0);
    assert_int_equal(enter(&f->layer, 50), LEASE_OPEN);
    assert_int_equal(enter(&f->layer, 51), LEASE_FULL);
    assert_int_equal(enter(&f->layer, 50), LEASE_OPEN);
    assert_int_equal(enter(&f->layer, 0), LEASE_FULL); /* two are in flight */
    assert_int_equal(enter(&f->gl, 0), LEASE_OPEN);    /* each slot has its bounds */
    assert_int_equal(lease_grant(&f->broker, &ungated, NULL, false, &duties), 0);
    for (unsigned i = 2; i < LEASE_IN_FLIGHT_MAX; i++)
        assert_int_equal(enter(&f->layer, UINT32_MAX), LEASE_OPEN);
    assert_int_equal(enter(&f->layer, 0), LEASE_FULL);
    for (unsigned i = 2; i < LEASE_IN_FLIGHT_MAX; i++)
        leave(&f->layer, UINT32_MAX, false);
    leave(&f->layer, 50, false);
    leave(&f->layer, 50, false);
    assert_int_equal(f->layer.slot->load, 0);
}

/* ---- accounting ----------------------------------------------------------------------------- */

static void job(const struct lease_participant *p, uint64_t submitted_ns, uint64_t completed_ns)
{
    uint32_t duties = 0;

    assert_int_equal(enter(p, 1), LEASE_OPEN);
    lease_exit(p, 1, submitted_ns, completed_ns, true, &duties);
}

static void test_accounting(void **state)
{
    struct fixture *f = *state;
    struct lease_ack ack = {0};

    grant(f);
    job(&f->gl, 2000, 2100);
    job(&f->layer, 2050, 2200); /* 100 of it behind the other */
    job(&f->layer, 2060, 2150); /* told late: already paid for */
    lease_set_charge_from(&f->broker, 3000);
    job(&f->gl, 2500, 3010); /* the GPU was somebody else's until 3000 */
    job(&f->gl, 0, 0);       /* never ran */
    lease_count_cut(&f->gl);
    assert_int_equal(lease_ack_read(&f->broker, 0, 4000, &ack, &ack), LEASE_FAULT_NONE);
    assert_int_equal(ack.busy_ns, 110);
    assert_int_equal(ack.submits, 3);
    assert_int_equal(ack.completions, 3);
    assert_int_equal(ack.cuts, 1);
    assert_int_equal(ack.last_completion_ns, 3010);
    assert_true(ack.live);
    ack = (struct lease_ack){0};
    assert_int_equal(lease_ack_read(&f->broker, 1, 4000, &ack, &ack), LEASE_FAULT_NONE);
    assert_int_equal(ack.busy_ns, 100);
}

static void test_faults(void **state)
{
    struct fixture *f = *state;
    struct lease_slot *s = f->gl.slot, good;
    struct lease_ack before = {0}, after = {0};

    grant(f);
    job(&f->gl, 2000, 2100);
    assert_int_equal(lease_ack_read(&f->broker, 0, 4000, &before, &before), 0);
    good = *s;
#define FAULT(change, fault)                                                                       \
    do {                                                                                           \
        change;                                                                                    \
        assert_int_equal(lease_ack_read(&f->broker, 0, 4000, &before, &after), fault);             \
        assert_int_equal(after.submits, 0);                                                        \
        *s = good;                                                                                 \
    } while (0)
    FAULT(s->owner = 2 << 1 | 1, LEASE_FAULT_OWNER);
    FAULT(s->waiters = 1 << 20, LEASE_FAULT_STATE);
    FAULT(s->load = 1 << 20, LEASE_FAULT_STATE);
    FAULT(s->load = 5ull << 32, LEASE_FAULT_STATE);
    FAULT(s->load = terms.max_in_flight + 1, LEASE_FAULT_IN_FLIGHT);
    FAULT(s->busy_ns--, LEASE_FAULT_BACKWARDS);
    FAULT(s->submits = 0, LEASE_FAULT_BACKWARDS);
    FAULT(s->last_completion_ns--, LEASE_FAULT_BACKWARDS);
    FAULT(s->completions++, LEASE_FAULT_COMPLETIONS);
    FAULT(s->last_completion_ns = UINT64_MAX, LEASE_FAULT_FUTURE);
    FAULT(s->busy_ns = 2100 - BORN_NS + 1, LEASE_FAULT_BUSY);
#undef FAULT
    for (unsigned fault = 0; fault < LEASE_FAULTS; fault++)
        assert_true(strlen(lease_fault_text(fault)) > 0);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void test_timeout(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(lease_acquire(&f->layer, f->doorbell, 1, 1), -ETIMEDOUT); /* long ago */
    assert_int_equal(rings(f), 1);
    assert_int_equal(f->layer.slot->waiters, 0);
    lease_revoke(&f->broker);
    assert_int_equal(lease_acquire(&f->layer, f->doorbell, 1, 0), -ECANCELED);
    assert_int_equal(rings(f), 0);
}

static void *acquire_one(void *arg)
{
    struct fixture *f = arg;

    lease_acquire(&f->layer, f->doorbell, 1, 0);
    return NULL;
}

/* Who waits for room goes on when there is some, though nothing has ended; but not before. */
static void test_wider_bounds(void **state)
{
    const struct lease_terms narrow = {.max_in_flight = 1, .max_predicted_us = 100};
    const int no_fds[SLOTS] = {-1, -1, -1};
    struct fixture *f = *state;
    uint32_t wakes = 0;
    pthread_t thread;

    assert_int_equal(lease_grant(&f->broker, &narrow, NULL, false, &wakes), 0);
    assert_int_equal(enter(&f->layer, 1), LEASE_OPEN);
    assert_int_equal(pthread_create(&thread, NULL, acquire_one, f), 0);
    while (!(__atomic_load_n(&f->layer.slot->load, __ATOMIC_SEQ_CST) & LEASE_LOAD_ROOM))
        sched_yield();
    assert_int_equal(lease_grant(&f->broker, &narrow, NULL, false, &wakes), 0);
    assert_int_equal(wakes, 0);
    assert_int_equal(lease_grant(&f->broker, &terms, NULL, false, &wakes), 0);
    assert_int_equal(wakes, LEASE_WAKE_THREADS);
    lease_wake(&f->broker, no_fds, wakes);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f->layer.slot->submits, 2);
}

#define THREADS 3
#define JOBS 2000

struct worker {
    struct fixture *fixture;
    const struct lease_participant *participant;
    _Atomic uint32_t *inside; /* vGPUs that work: at most one bit */
    uint32_t bit;
    _Atomic uint32_t *errors;
};

static void *work(void *arg)
{
    const struct worker *w = arg;

    for (unsigned i = 1; i <= JOBS; i++) {
        if (lease_acquire(w->participant, w->fixture->doorbell, 1, 0) < 0) {
            (*w->errors)++;
            break;
        }
        uint32_t others = *w->inside & ~(w->bit * 0xffff);
        *w->inside += w->bit;
        *w->errors += others != 0 || (*w->inside & ~(w->bit * 0xffff)) != 0;
        *w->inside -= w->bit;
        lease_release(w->participant, w->fixture->doorbell, 1, 1, 2, i % 4 == 0 || i == JOBS);
    }
    lease_do(w->participant, w->fixture->doorbell, LEASE_DUTY_RING); /* the arbiter counts */
    return NULL;
}

/* Two vGPUs take turns as fast as they can, through real futexes and one doorbell. */
static void test_threads(void **state)
{
    struct fixture *a = *state, *b = NULL, *both[2];
    _Atomic uint32_t inside = 0, errors = 0;
    struct worker workers[2 * THREADS];
    pthread_t threads[2 * THREADS];
    struct lease_broker *holder = NULL, *last = NULL;
    uint64_t submits = 0;

    setup((void **)&b);
    both[0] = a;
    both[1] = b;
    close(b->doorbell);
    close(a->doorbell);
    a->doorbell = eventfd(0, EFD_CLOEXEC); /* the arbiter blocks in read() */
    b->doorbell = dup(a->doorbell);
    for (unsigned i = 0; i < 2 * THREADS; i++) {
        struct fixture *f = both[i % 2];

        workers[i] =
            (struct worker){f, i < 2 ? &f->gl : &f->layer, &inside, i % 2 ? 1u << 16 : 1, &errors};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    const uint64_t all = 2ull * THREADS * JOBS;
    for (unsigned round = 0; submits < all; round++) {
        struct fixture *next = both[round % 2], *other = both[(round + 1) % 2];
        uint64_t count;
        uint32_t wakes;
        const int no_fds[SLOTS] = {-1, -1, -1};

        if (holder && !lease_wants(&(holder == &a->broker ? b : a)->broker)) {
            ; /* nobody else */
        } else if (holder) {
            lease_set_contended(holder, true);
            if (round % 2 == 0 || lease_is_parked(holder))
                lease_yield(holder);
        }
        if (holder && lease_settle(holder))
            holder = NULL;
        if (!holder && !lease_wants(&next->broker))
            next = other;
        if (!holder && lease_wants(&next->broker) &&
            lease_grant(&next->broker, &terms, last, false, &wakes) == 0) {
            holder = last = &next->broker;
            lease_wake(holder, no_fds, wakes);
            continue;
        }
        submits = 0;
        for (unsigned i = 0; i < 2; i++)
            for (unsigned slot = 0; slot < 2; slot++)
                submits +=
                    __atomic_load_n(&both[i]->ack->slots[slot].completions, __ATOMIC_SEQ_CST);
        if (submits < all && errors == 0 && read(a->doorbell, &count, sizeof(count)) < 0)
            errors++;
        if (errors)
            break;
    }
    if (errors)
        for (unsigned i = 0; i < 2; i++) {
            const int no_fds[SLOTS] = {-1, -1, -1};

            lease_wake(&both[i]->broker, no_fds, lease_revoke(&both[i]->broker));
        }
    for (unsigned i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(errors, 0);
    assert_int_equal(submits, all);
    assert_true(lease_is_drained(&a->broker) && lease_is_drained(&b->broker));
    teardown((void **)&b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_pages),   TEST(test_attach),       TEST(test_death),   TEST(test_states),
        TEST(test_bounds),  TEST(test_accounting),   TEST(test_faults),  TEST(test_hand_over),
        TEST(test_timeout), TEST(test_wider_bounds), TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
