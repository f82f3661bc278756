/* SPDX-License-Identifier: MIT */
/*
 * Both sides of a ring together: tens of thousands of random chains, answered out of order, whose
 * bytes are compared at both ends; neither side may sleep while the other has something for it.
 * First both sides take random turns in one thread, then each has its own, with eventfds.
 */
#include "protocol/iov.h"
#include "protocol/vring.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define NUM 16
#define SLOTS NUM       /* requests at a time */
#define SLOT_BYTES 4096 /* guest memory of one request: table, data out, data in */
#define TABLE_BYTES 256 /* at the start of a slot */
#define MEM_BASE 0x40000000
#define MEM_BYTES (SLOTS * SLOT_BYTES)
#define MEM_SEAM (MEM_BYTES / 2 - 700) /* two regions meet here, in the middle of a slot's data */
#define SEGS_MAX 7
#define CHAINS 20000

struct request {
    bool busy;
    uint32_t tag; /* first word of the data out; says what all other bytes are */
    uint32_t out_bytes, in_bytes, used_bytes;
};

struct pair {
    struct vring_drv drv;
    struct vring_dev dev;
    void *ring_mem;
    char *regions[2]; /* guest memory, in two allocations */
    bool indirect;
    unsigned short seed[2][3]; /* of the driver, of the device */
    struct request requests[SLOTS];
    uint32_t next_tag;
    uint32_t added, done;
    uint32_t wasted_kicks, wasted_notifications; /* to a side that was awake */
    struct vring_chain held[NUM];                /* popped, not answered yet */
    unsigned n_held;
    int kick_fd, call_fd;
};

static void *translate(void *opaque, uint64_t gpa, uint64_t *len)
{
    struct pair *p = opaque;
    uint64_t offset = gpa - MEM_BASE, end;

    if (gpa < MEM_BASE || offset >= MEM_BYTES)
        return NULL;
    end = offset < MEM_SEAM ? MEM_SEAM : MEM_BYTES;
    if (*len > end - offset)
        *len = end - offset;
    return offset < MEM_SEAM ? p->regions[0] + offset : p->regions[1] + (offset - MEM_SEAM);
}

static void copy_guest(struct pair *p, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    char *b = buf;

    while (len > 0) {
        uint64_t n = len;
        char *mem = translate(p, gpa, &n);

        memcpy(to_guest ? mem : b, to_guest ? b : mem, n);
        gpa += n;
        b += n;
        len -= n;
    }
}

static uint32_t pick(struct pair *p, int side, uint32_t n)
{
    return (uint32_t)nrand48(p->seed[side]) % n;
}

static char pattern(uint32_t tag, size_t i)
{
    return (char)(tag * 31 + i * 7);
}

static void assert_pattern(const char *bytes, size_t from, size_t to, uint32_t tag)
{
    size_t wrong = 0; /* one assertion for all: thousands take their time */

    for (size_t i = from; i < to; i++)
        wrong += bytes[i] != pattern(tag, i);
    assert_int_equal(wrong, 0);
}

static struct pair *pair_create(bool event_idx, bool indirect, uint16_t base)
{
    struct pair *p = calloc(1, sizeof(*p));
    size_t avail, used;

    p->ring_mem = calloc(1, vring_drv_bytes(NUM));
    p->regions[0] = malloc(MEM_SEAM);
    p->regions[1] = malloc(MEM_BYTES - MEM_SEAM);
    p->indirect = indirect;
    p->seed[0][0] = 1;
    p->seed[1][0] = 2;
    p->kick_fd = p->call_fd = -1;
    assert_int_equal(vring_drv_init(&p->drv, p->ring_mem, NUM, event_idx, &avail, &used), 0);
    /* As after a long time: so that the indices wrap on the way. */
    p->drv.avail_idx = p->drv.kicked_idx = p->drv.last_used = base;
    p->drv.avail->idx = p->drv.used->idx = base;
    p->dev = (struct vring_dev){
        .num = NUM,
        .desc = p->ring_mem,
        .avail = (void *)((char *)p->ring_mem + avail),
        .used = (void *)((char *)p->ring_mem + used),
        .event_idx = event_idx,
        .indirect = indirect,
    };
    vring_dev_start(&p->dev, base);
    vring_dev_enable_kick(&p->dev, true);
    return p;
}

static void pair_destroy(struct pair *p)
{
    vring_drv_finish(&p->drv);
    free(p->ring_mem);
    free(p->regions[0]);
    free(p->regions[1]);
    if (p->kick_fd >= 0)
        close(p->kick_fd);
    if (p->call_fd >= 0)
        close(p->call_fd);
    free(p);
}

/* ---- the driver ----------------------------------------------------------------------------- */

/* Cuts bytes at gpa into 1 … max segments. */
static unsigned cut(struct pair *p, struct vring_seg *segs, uint64_t gpa, uint32_t bytes,
                    unsigned max)
{
    unsigned n = 0;

    while (bytes > 0) {
        uint32_t len = ++n == max ? bytes : 1 + pick(p, 0, bytes);

        *segs++ = (struct vring_seg){.gpa = gpa, .len = len};
        gpa += len;
        bytes -= len;
    }
    return n;
}

/* Writes segs as an indirect table. */
static void make_table(struct pair *p, uint64_t table_gpa, const struct vring_seg *segs,
                       unsigned n_out, unsigned n)
{
    struct vring_desc table[2 * SEGS_MAX];

    for (unsigned i = 0; i < n; i++)
        table[i] = (struct vring_desc){
            .addr = segs[i].gpa,
            .len = segs[i].len,
            .flags = (uint16_t)((i >= n_out ? VRING_DESC_F_WRITE : 0) |
                                (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
            .next = (uint16_t)(i + 1),
        };
    copy_guest(p, table_gpa, table, n * sizeof(table[0]), true);
}

/* The library makes no indirect chains: it is told of a plain one, on an available ring of our own,
 * and its descriptor is changed before the real one has it. */
static int add_indirect(struct pair *p, const struct vring_seg *table, struct request *req)
{
    struct vring_avail *avail = p->drv.avail, *private = calloc(1, vring_avail_bytes(NUM));
    unsigned slot = p->drv.avail_idx % NUM;
    int r;

    p->drv.avail = private;
    r = vring_drv_add(&p->drv, table, 1, 0, req);
    p->drv.avail = avail;
    if (r == 0) {
        avail->ring[slot] = private->ring[slot];
        p->drv.desc[avail->ring[slot]].flags = VRING_DESC_F_INDIRECT;
        __atomic_store_n(&avail->idx, p->drv.avail_idx, __ATOMIC_RELEASE);
    }
    free(private);
    return r;
}

/* Adds one random request; false if there is no slot or no room in the ring. */
static bool driver_add(struct pair *p)
{
    struct vring_seg segs[2 * SEGS_MAX];
    struct request *req = NULL;
    uint64_t gpa, data;
    unsigned n_out, n_in, slot;
    char out[SLOT_BYTES];
    int r;

    for (slot = 0; slot < SLOTS && !req; slot++)
        if (!p->requests[slot].busy)
            req = &p->requests[slot];
    if (!req)
        return false;
    gpa = MEM_BASE + (slot - 1) * (uint64_t)SLOT_BYTES;
    data = gpa + TABLE_BYTES;
    req->tag = p->next_tag;
    req->out_bytes = 4 + pick(p, 0, 2000);
    req->in_bytes = pick(p, 0, 4) == 0 ? 0 : 1 + pick(p, 0, 1800);
    for (size_t i = 0; i < req->out_bytes; i++)
        out[i] = pattern(req->tag, i);
    memcpy(out, &req->tag, 4);
    copy_guest(p, data, out, req->out_bytes, true);
    n_out = cut(p, segs, data, req->out_bytes, SEGS_MAX);
    n_in = cut(p, segs + n_out, data + req->out_bytes, req->in_bytes, SEGS_MAX);

    if (p->indirect && pick(p, 0, 2)) {
        const struct vring_seg table = {gpa, (n_out + n_in) * sizeof(struct vring_desc)};

        make_table(p, gpa, segs, n_out, n_out + n_in);
        r = add_indirect(p, &table, req);
    } else {
        r = vring_drv_add(&p->drv, segs, n_out, n_in, req);
    }
    if (r == -ENOSPC)
        return false;
    assert_int_equal(r, 0);
    req->busy = true;
    p->next_tag++;
    p->added++;
    return true;
}

/* Takes one answer; false if there is none. */
static bool driver_take(struct pair *p)
{
    struct request *req;
    char in[SLOT_BYTES];
    void *token;
    uint32_t len;
    int r = vring_drv_get_used(&p->drv, &token, &len);

    if (r == 0)
        return false;
    assert_int_equal(r, 1);
    req = token;
    assert_true(req >= p->requests && req < p->requests + SLOTS && req->busy);
    assert_true(len <= req->in_bytes);
    copy_guest(p,
               MEM_BASE + (uint64_t)(req - p->requests) * SLOT_BYTES + TABLE_BYTES + req->out_bytes,
               in, len, false);
    assert_pattern(in, 0, len, req->tag + 1);
    req->busy = false;
    p->done++;
    return true;
}

/* ---- the device ----------------------------------------------------------------------------- */

/* Pops one chain and checks what is in it; false if there is none. */
static bool device_pop(struct pair *p)
{
    struct vring_chain chain;
    const char *reason = NULL;
    char out[SLOT_BYTES];
    uint32_t tag;
    int r = vring_dev_pop(&p->dev, translate, p, &chain, &reason);

    if (r == 0)
        return false;
    assert_int_equal(r, 1);
    assert_true(chain.out_bytes >= 4 && chain.out_bytes <= sizeof(out));
    assert_int_equal(iov_total(chain.iov, chain.n_out), chain.out_bytes);
    assert_int_equal(iov_total(chain.iov + chain.n_out, chain.n_in), chain.in_bytes);
    iov_read_at(chain.iov, chain.n_out, 0, out, sizeof(out));
    memcpy(&tag, out, 4);
    assert_pattern(out, 4, chain.out_bytes, tag);
    assert_true(p->n_held < NUM);
    p->held[p->n_held++] = chain;
    return true;
}

/* Answers one of the chains held. */
static void device_answer(struct pair *p)
{
    unsigned which = pick(p, 1, p->n_held);
    struct vring_chain chain = p->held[which];
    uint32_t tag, len = pick(p, 1, (uint32_t)chain.in_bytes + 1);
    char in[SLOT_BYTES];

    p->held[which] = p->held[--p->n_held];
    iov_read_at(chain.iov, chain.n_out, 0, &tag, 4);
    for (uint32_t i = 0; i < len; i++)
        in[i] = pattern(tag + 1, i);
    assert_int_equal(iov_write_at(chain.iov + chain.n_out, chain.n_in, 0, in, len), len);
    vring_dev_push(&p->dev, chain.head, len);
    vring_chain_finish(&chain);
}

/* ---- random turns --------------------------------------------------------------------------- */

static void run_turns(bool event_idx, bool indirect, uint16_t base)
{
    struct pair *p = pair_create(event_idx, indirect, base);
    bool device_sleeps = false, driver_sleeps = false;
    uint32_t idle = 0;

    while (p->done < CHAINS) {
        bool moved = false;

        if (!driver_sleeps && pick(p, 0, 2)) {
            /* As many as it likes, then a kick for all of them, then answers or sleep. */
            for (uint32_t n = pick(p, 0, 6); n > 0 && p->added < CHAINS && driver_add(p); n--)
                moved = true;
            if (vring_drv_should_kick(&p->drv)) {
                p->wasted_kicks += !device_sleeps;
                device_sleeps = false;
            }
            vring_drv_enable_notify(&p->drv, false);
            for (uint32_t n = pick(p, 0, 6); n > 0 && driver_take(p); n--)
                moved = true;
            if (p->added > p->done && pick(p, 0, 3) == 0)
                driver_sleeps = !vring_drv_enable_notify(&p->drv, true);
        }
        if (!device_sleeps && pick(p, 0, 2)) {
            vring_dev_enable_kick(&p->dev, false);
            for (uint32_t n = pick(p, 1, 6); n > 0 && device_pop(p); n--)
                moved = true;
            for (uint32_t n = pick(p, 1, 6); n > 0 && p->n_held > 0; n--) {
                device_answer(p);
                moved = true;
            }
            if (vring_dev_should_notify(&p->dev)) {
                p->wasted_notifications += !driver_sleeps;
                driver_sleeps = false;
            }
            if (p->n_held == 0 && pick(p, 1, 2)) {
                vring_dev_enable_kick(&p->dev, true);
                device_sleeps = !vring_dev_has_work(&p->dev);
            }
        }
        /* Who sleeps has nothing to do. */
        if (device_sleeps)
            assert_int_equal(p->drv.avail_idx, p->dev.last_avail);
        if (driver_sleeps)
            assert_int_equal(p->dev.used_idx, p->drv.last_used);
        idle = moved ? 0 : idle + 1;
        assert_true(idle < 1000);
    }
    assert_int_equal(p->added, CHAINS);
    assert_int_equal(p->n_held, 0);
    assert_int_equal(p->drv.num_free, NUM);
    assert_false(vring_dev_has_work(&p->dev));
    assert_int_equal(p->dev.used_idx, (uint16_t)(base + CHAINS));
    /* Suppression works: hardly anybody is woken who is awake; with EVENT_IDX nobody but at the
     * start, when neither knows of the other. */
    assert_true(p->wasted_kicks <= (event_idx ? 1 : CHAINS / 8));
    assert_true(p->wasted_notifications <= (event_idx ? 1 : CHAINS / 8));
    pair_destroy(p);
}

static void test_turns(void **state)
{
    run_turns(false, false, 0);
    run_turns(false, true, 0xf000);
}

static void test_turns_event_idx(void **state)
{
    run_turns(true, false, 0xf000);
    run_turns(true, true, 0x7000);
}

/* ---- two threads ---------------------------------------------------------------------------- */

/* A lost notification shows as a wait that ends without one. */
#define LOST_MS 20000

static void ring_bell(int fd)
{
    assert_int_equal(eventfd_write(fd, 1), 0);
}

static bool wait_bell(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    eventfd_t value;

    return poll(&pfd, 1, LOST_MS) == 1 && eventfd_read(fd, &value) == 0;
}

static void *device_thread(void *arg)
{
    struct pair *p = arg;
    uint32_t answered = 0;

    while (answered < CHAINS) {
        vring_dev_enable_kick(&p->dev, false);
        while (device_pop(p)) {
            device_answer(p);
            answered++;
            if (vring_dev_should_notify(&p->dev))
                ring_bell(p->call_fd);
        }
        vring_dev_enable_kick(&p->dev, true);
        if (!vring_dev_has_work(&p->dev) && answered < CHAINS && !wait_bell(p->kick_fd))
            return NULL; /* lost */
    }
    return p;
}

static void run_threads(bool event_idx)
{
    struct pair *p = pair_create(event_idx, false, 0xff00);
    bool lost = false;
    pthread_t thread;
    void *result;

    p->kick_fd = eventfd(0, EFD_CLOEXEC);
    p->call_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(pthread_create(&thread, NULL, device_thread, p), 0);
    while (p->done < CHAINS && !lost) {
        /* Mostly one at a time: then each wake-up is a race. */
        uint32_t n = pick(p, 0, 4) == 0 ? NUM : 1;

        while (n-- > 0 && p->added < CHAINS && driver_add(p))
            ;
        if (vring_drv_should_kick(&p->drv))
            ring_bell(p->kick_fd);
        vring_drv_enable_notify(&p->drv, false);
        while (driver_take(p))
            ;
        if (p->done < p->added && !vring_drv_enable_notify(&p->drv, true))
            lost = !wait_bell(p->call_fd);
    }
    pthread_join(thread, &result); /* where one was lost, it ends by its own limit */
    assert_false(lost);
    assert_ptr_equal(result, p);
    assert_int_equal(p->drv.num_free, NUM);
    pair_destroy(p);
}

static void test_threads(void **state)
{
    run_threads(false);
}

static void test_threads_event_idx(void **state)
{
    run_threads(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_event_idx),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_event_idx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
