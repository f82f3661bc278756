/* SPDX-License-Identifier: MIT */
/*
 * The device side of a ring against a driver that lies, on hand-made rings. Each part of the ring
 * and each region of guest memory is an allocation of its own, so that the sanitizer sees one byte
 * too far. The driver side against a device that lies is in test_vring_drv.c.
 */
#include "protocol/vring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NUM 8
#define REGION 0x1000
#define LOW 0x10000         /* two regions next to each other, apart on the host */
#define HIGH (LOW + REGION) /* … and a hole behind */
#define HOLE (LOW + 2 * REGION)
#define VAST (UINT64_C(1) << 40) /* a region so large that no length is outside; never touched */
#define TOP (UINT64_MAX - 0xfff) /* the last page of the address space */

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

struct guest {
    struct vring_dev vr;
    char *low, *high, *top;
    void (*on_translate)(struct guest *g); /* what the driver does while we look */
    struct vring_chain chain;
    const char *reason;
};

static void *translate(void *opaque, uint64_t gpa, uint64_t *len)
{
    struct guest *g = opaque;
    const struct {
        uint64_t gpa, size;
        char *host;
    } regions[] = {
        {LOW, REGION, g->low},
        {HIGH, REGION, g->high},
        {VAST, VAST, (char *)0x10000},
        {TOP, REGION, g->top},
    };

    if (g->on_translate)
        g->on_translate(g);
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        uint64_t offset = gpa - regions[i].gpa;

        if (gpa < regions[i].gpa || offset >= regions[i].size)
            continue;
        if (*len > regions[i].size - offset)
            *len = regions[i].size - offset;
        return regions[i].host + offset;
    }
    return NULL;
}

static int setup(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));

    g->low = malloc(REGION);
    g->high = malloc(REGION);
    g->top = malloc(REGION);
    g->vr = (struct vring_dev){
        .num = NUM,
        .desc = calloc(1, vring_desc_bytes(NUM)),
        .avail = calloc(1, vring_avail_bytes(NUM)),
        .used = calloc(1, vring_used_bytes(NUM)),
        .indirect = true,
    };
    vring_dev_start(&g->vr, 0);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct guest *g = *state;

    vring_chain_finish(&g->chain);
    free(g->vr.desc);
    free(g->vr.avail);
    free(g->vr.used);
    free(g->low);
    free(g->high);
    free(g->top);
    free(g);
    return 0;
}

static void put(struct vring_desc *table, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
                uint16_t next)
{
    table[i] =
        (struct vring_desc){.addr = addr, .len = len, .flags = (uint16_t)flags, .next = next};
}

static void desc(struct guest *g, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
                 uint16_t next)
{
    put(g->vr.desc, i, addr, len, flags, next);
}

/* Entry i of an indirect table at LOW. */
static void entry(struct guest *g, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
                  uint16_t next)
{
    put((struct vring_desc *)g->low, i, addr, len, flags, next);
}

static void offer(struct guest *g, uint16_t head)
{
    g->vr.avail->ring[g->vr.avail->idx & (NUM - 1)] = head;
    g->vr.avail->idx++;
}

static int pop(struct guest *g)
{
    vring_chain_finish(&g->chain);
    g->reason = NULL;
    return vring_dev_pop(&g->vr, translate, g, &g->chain, &g->reason);
}

/* Nothing is taken, nothing handed out, and there is a reason. */
static void expect_broken(struct guest *g, int error)
{
    uint16_t last_avail = g->vr.last_avail;

    assert_int_equal(pop(g), error);
    assert_non_null(g->reason);
    assert_null(g->chain.iov);
    assert_int_equal(g->vr.last_avail, last_avail);
    assert_int_equal(vring_dev_pop(&g->vr, translate, g, &g->chain, NULL), error);
}

/* ---- good chains ---------------------------------------------------------------------------- */

static void test_not_set_up(void **state)
{
    struct vring_dev vr = {0};
    struct vring_chain chain;

    assert_false(vring_dev_has_work(&vr));
    assert_int_equal(vring_dev_pop(&vr, translate, NULL, &chain, NULL), 0);
}

static void test_pop_and_push(void **state)
{
    struct guest *g = *state;

    assert_false(vring_dev_has_work(&g->vr));
    assert_int_equal(pop(g), 0);
    desc(g, 5, LOW + 16, 24, NEXT, 2);
    desc(g, 2, LOW + 64, 8, NEXT, 7);
    desc(g, 7, HIGH, 100, WRITE, 99); /* next means nothing here */
    offer(g, 5);
    assert_true(vring_dev_has_work(&g->vr));
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.head, 5);
    assert_int_equal(g->chain.n_out, 2);
    assert_int_equal(g->chain.n_in, 1);
    assert_int_equal(g->chain.out_bytes, 32);
    assert_int_equal(g->chain.in_bytes, 100);
    assert_ptr_equal(g->chain.iov[0].iov_base, g->low + 16);
    assert_int_equal(g->chain.iov[0].iov_len, 24);
    assert_ptr_equal(g->chain.iov[1].iov_base, g->low + 64);
    assert_ptr_equal(g->chain.iov[2].iov_base, g->high);
    assert_false(vring_dev_has_work(&g->vr));
    assert_int_equal(pop(g), 0);

    vring_dev_push(&g->vr, 5, 77);
    assert_int_equal(g->vr.used->idx, 1);
    assert_int_equal(g->vr.used->ring[0].id, 5);
    assert_int_equal(g->vr.used->ring[0].len, 77);
}

/* A chain of all the ring's descriptors is the longest one. */
static void test_longest_direct_chain(void **state)
{
    struct guest *g = *state;

    for (unsigned i = 0; i < NUM; i++)
        desc(g, i, LOW + i, 1, i < NUM - 1 ? NEXT : 0, (uint16_t)(i + 1));
    offer(g, 0);
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.n_out, NUM);
}

static void test_split_over_regions(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW + REGION - 10, 30, NEXT, 1);
    desc(g, 1, HIGH - 1, 2, WRITE, 0);
    offer(g, 0);
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.n_out, 2);
    assert_int_equal(g->chain.n_in, 2);
    assert_int_equal(g->chain.out_bytes, 30);
    assert_int_equal(g->chain.in_bytes, 2);
    assert_ptr_equal(g->chain.iov[0].iov_base, g->low + REGION - 10);
    assert_int_equal(g->chain.iov[0].iov_len, 10);
    assert_ptr_equal(g->chain.iov[1].iov_base, g->high);
    assert_int_equal(g->chain.iov[1].iov_len, 20);
    assert_ptr_equal(g->chain.iov[2].iov_base, g->low + REGION - 1);
    assert_ptr_equal(g->chain.iov[3].iov_base, g->high);
}

/* Direct descriptors may come before an indirect one, whose WRITE flag means nothing; its table may
 * lie across two regions and be walked in any order. */
static void test_indirect(void **state)
{
    struct guest *g = *state;
    struct vring_desc table[3];

    put(table, 0, LOW + 8, 8, NEXT, 2);
    put(table, 2, LOW + 16, 16, NEXT | WRITE, 1);
    put(table, 1, LOW + 32, 32, WRITE, 0);
    memcpy(g->low + REGION - 24, table, 24);
    memcpy(g->high, (char *)table + 24, 24);
    desc(g, 3, LOW, 4, NEXT, 4);
    desc(g, 4, LOW + REGION - 24, sizeof(table), INDIRECT | WRITE, 0);
    offer(g, 3);
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.head, 3);
    assert_int_equal(g->chain.n_out, 2);
    assert_int_equal(g->chain.out_bytes, 12);
    assert_int_equal(g->chain.n_in, 2);
    assert_int_equal(g->chain.in_bytes, 48);
}

/* Linux makes indirect tables that are longer than the ring. */
static void test_indirect_longer_than_ring(void **state)
{
    struct guest *g = *state;

    for (unsigned i = 0; i < 100; i++)
        entry(g, i, LOW, 1, i < 99 ? NEXT : 0, (uint16_t)(i + 1));
    desc(g, 0, LOW, 100 * 16, INDIRECT, 0);
    offer(g, 0);
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.n_out, 100);
}

/* ---- bad chains ----------------------------------------------------------------------------- */

static void test_head_outside(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, 0, 0);
    offer(g, NUM);
    expect_broken(g, -EBADMSG);
    g->vr.avail->ring[0] = 0xffff;
    expect_broken(g, -EBADMSG);
}

static void test_next_outside(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, NEXT, NUM);
    offer(g, 0);
    expect_broken(g, -EBADMSG);
    g->vr.desc[0].next = 0xffff;
    expect_broken(g, -EBADMSG);
}

static void test_loops(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, NEXT, 0); /* to itself */
    offer(g, 0);
    expect_broken(g, -EBADMSG);
    for (unsigned i = 0; i < NUM; i++) /* through all: one longer than the ring */
        desc(g, i, LOW, 1, NEXT, (uint16_t)((i + 1) % NUM));
    expect_broken(g, -EBADMSG);
}

static void test_zero_length(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, NEXT, 1);
    desc(g, 1, LOW, 0, WRITE, 0);
    offer(g, 0);
    expect_broken(g, -EMSGSIZE);
    desc(g, 0, LOW, 0, 0, 0);
    expect_broken(g, -EMSGSIZE);
}

static void test_read_behind_write(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, NEXT | WRITE, 1);
    desc(g, 1, LOW, 1, 0, 0);
    offer(g, 0);
    expect_broken(g, -EBADMSG);

    entry(g, 0, HIGH, 1, 0, 0); /* the same through a table */
    desc(g, 1, LOW, 16, INDIRECT, 0);
    expect_broken(g, -EBADMSG);
}

static void test_unmapped(void **state)
{
    struct guest *g = *state;
    static const struct {
        uint64_t addr;
        uint32_t len;
    } cases[] = {
        {0, 1},
        {LOW - 1, 2},
        {HOLE, 1},
        {HOLE - 1, 2},
        {LOW, 0xffffffff},
        {UINT64_MAX, 2},
        {UINT64_MAX - 1, 3},
        {TOP, REGION + 1},
        {TOP, 0xffffffff},
        {VAST - 1, 1},
    };

    offer(g, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        desc(g, 0, cases[i].addr, cases[i].len, 0, 0);
        expect_broken(g, -EFAULT);
    }
    /* The very last byte of the address space is a byte like any other. */
    desc(g, 0, UINT64_MAX, 1, 0, 0);
    assert_int_equal(pop(g), 1);
    assert_ptr_equal(g->chain.iov[0].iov_base, g->top + REGION - 1);
}

static void *translate_nothing(void *opaque, uint64_t gpa, uint64_t *len)
{
    *len = 0;
    return opaque;
}

static void *translate_more(void *opaque, uint64_t gpa, uint64_t *len)
{
    *len = UINT64_MAX;
    return opaque;
}

/* A translator that makes no way, and one that says more than it was asked. */
static void test_odd_translators(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 8, 0, 0);
    offer(g, 0);
    assert_int_equal(vring_dev_pop(&g->vr, translate_nothing, g->low, &g->chain, NULL), -EFAULT);
    assert_int_equal(vring_dev_pop(&g->vr, translate_more, g->low, &g->chain, NULL), 1);
    assert_int_equal(g->chain.out_bytes, 8);
    assert_int_equal(g->chain.iov[0].iov_len, 8);
}

/* Where all addresses are mapped, what wraps is still refused. */
static void test_wrap(void **state)
{
    struct guest *g = *state;

    memset(g->low, 0, REGION);
    offer(g, 0);
    desc(g, 0, UINT64_MAX - 6, 8, 0, 0);
    assert_int_equal(vring_dev_pop(&g->vr, translate_more, g->low, &g->chain, NULL), -EFAULT);
    desc(g, 0, UINT64_MAX - 14, 16, INDIRECT, 0);
    assert_int_equal(vring_dev_pop(&g->vr, translate_more, g->low, &g->chain, &g->reason), -EFAULT);
    assert_string_equal(g->reason, "indirect table wraps around the address space");
}

static void test_four_gigabytes(void **state)
{
    struct guest *g = *state;

    desc(g, 0, VAST, 0x80000000, NEXT, 1);
    desc(g, 1, VAST, 0x7fffffff, NEXT | WRITE, 2);
    desc(g, 2, VAST, 1, WRITE, 0);
    offer(g, 0);
    assert_int_equal(pop(g), 1);
    assert_true(g->chain.out_bytes + g->chain.in_bytes == UINT64_C(1) << 32);

    desc(g, 2, VAST, 2, WRITE, 0);
    offer(g, 0);
    expect_broken(g, -EMSGSIZE);
    for (unsigned i = 0; i < NUM; i++) /* a sum that wraps 32 bits several times */
        desc(g, i, VAST, 0xffffffff, i < NUM - 1 ? NEXT : 0, (uint16_t)(i + 1));
    expect_broken(g, -EMSGSIZE);
}

static void test_avail_jump(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, 0, 0);
    g->vr.avail->idx = NUM + 1;
    expect_broken(g, -EPROTO);
    g->vr.avail->idx = 0xffff; /* backwards */
    expect_broken(g, -EPROTO);
    g->vr.avail->idx = NUM; /* all entries at once are fine */
    assert_int_equal(pop(g), 1);
}

/* The driver goes on offering without waiting for anything to come back: what we have to remember
 * stays bounded by the ring. */
static void test_too_many_in_flight(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 1, 0, 0);
    for (int i = 0; i < NUM; i++) {
        offer(g, 0);
        assert_int_equal(pop(g), 1);
    }
    offer(g, 0);
    expect_broken(g, -EPROTO);
    vring_dev_push(&g->vr, 0, 0);
    assert_int_equal(pop(g), 1);
    offer(g, 0);
    expect_broken(g, -EPROTO);
}

/* ---- bad indirect tables -------------------------------------------------------------------- */

static void test_indirect_not_negotiated(void **state)
{
    struct guest *g = *state;

    entry(g, 0, LOW, 1, 0, 0);
    desc(g, 0, LOW, 16, INDIRECT, 0);
    offer(g, 0);
    g->vr.indirect = false;
    expect_broken(g, -EBADMSG);
    g->vr.indirect = true;
    assert_int_equal(pop(g), 1);
}

static void test_indirect_nested(void **state)
{
    struct guest *g = *state;

    entry(g, 0, LOW, 1, NEXT, 1);
    entry(g, 1, LOW, 16, INDIRECT, 0);
    desc(g, 0, LOW, 32, INDIRECT, 0);
    offer(g, 0);
    expect_broken(g, -EBADMSG);
}

static void test_indirect_with_next(void **state)
{
    struct guest *g = *state;

    entry(g, 0, LOW, 1, 0, 0);
    desc(g, 0, LOW, 16, INDIRECT | NEXT, 1);
    desc(g, 1, LOW, 1, 0, 0);
    offer(g, 0);
    expect_broken(g, -EBADMSG);
}

static void test_indirect_lengths(void **state)
{
    struct guest *g = *state;
    static const uint32_t bad[] = {
        0, 1, 15, 17, 31, (VRING_CHAIN_MAX + 1) * 16, 0xffffffff, 0xfffffff0,
    };

    entry(g, 0, LOW, 1, 0, 0);
    offer(g, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        desc(g, 0, LOW, bad[i], INDIRECT, 0);
        expect_broken(g, -EBADMSG);
    }
    /* Direct descriptors before the table count too. */
    desc(g, 0, LOW, 1, NEXT, 1);
    desc(g, 1, LOW, VRING_CHAIN_MAX * 16, INDIRECT, 0);
    expect_broken(g, -EBADMSG);
    g->vr.desc[1].len -= 16; /* as long as may be, but there is no such memory */
    expect_broken(g, -EFAULT);
}

static void test_indirect_unmapped(void **state)
{
    struct guest *g = *state;
    static const uint64_t bad[] = {0, LOW - 16, HOLE, HOLE - 16, HOLE - 8, UINT64_MAX - 15};

    memset(g->high, 0, REGION);
    offer(g, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        desc(g, 0, bad[i], 32, INDIRECT, 0);
        expect_broken(g, -EFAULT);
    }
}

static void test_indirect_loop_and_outside(void **state)
{
    struct guest *g = *state;

    entry(g, 0, HIGH, 1, NEXT, 1);
    entry(g, 1, HIGH, 1, NEXT, 0);
    entry(g, 2, HIGH, 1, 0, 0);
    desc(g, 0, LOW, 48, INDIRECT, 0);
    offer(g, 0);
    expect_broken(g, -EBADMSG);
    entry(g, 1, HIGH, 1, NEXT, 3); /* inside guest memory, outside the table */
    expect_broken(g, -EBADMSG);
    entry(g, 1, HIGH, 1, NEXT, 0xffff);
    expect_broken(g, -EBADMSG);
}

/* Every descriptor split by regions: the iovecs are bounded as well as the descriptors. */
static void *translate_bytewise(void *opaque, uint64_t gpa, uint64_t *len)
{
    *len = 1;
    return opaque;
}

static void test_scattered(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, VRING_CHAIN_MAX, 0, 0);
    offer(g, 0);
    assert_int_equal(vring_dev_pop(&g->vr, translate_bytewise, g->low, &g->chain, NULL), 1);
    assert_int_equal(g->chain.n_out, VRING_CHAIN_MAX);
    vring_chain_finish(&g->chain);
    desc(g, 0, LOW, VRING_CHAIN_MAX + 1, 0, 0);
    offer(g, 0);
    assert_int_equal(vring_dev_pop(&g->vr, translate_bytewise, g->low, &g->chain, NULL), -EMSGSIZE);
}

/* ---- memory that changes while we look ------------------------------------------------------ */

static void scribble_ring(struct guest *g)
{
    for (unsigned i = 0; i < NUM; i++)
        if (i != 1)
            desc(g, i, HOLE, 0, INDIRECT | NEXT, 0xffff);
    memset(g->vr.avail->ring, 0xff, NUM * sizeof(g->vr.avail->ring[0]));
    g->vr.avail->idx = 0x7fff;
}

/* What was checked is what is used: fields are read once. */
static void test_ring_changes(void **state)
{
    struct guest *g = *state;

    desc(g, 0, LOW, 8, NEXT, 1);
    desc(g, 1, HIGH, 4, WRITE, 0);
    offer(g, 0);
    g->on_translate = scribble_ring;
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.head, 0);
    assert_int_equal(g->chain.n_out, 1);
    assert_ptr_equal(g->chain.iov[0].iov_base, g->low);
    assert_int_equal(g->chain.iov[0].iov_len, 8);
    assert_int_equal(g->chain.in_bytes, 4);
    assert_int_equal(g->vr.last_avail, 1);
}

static int translations;

static void scribble_table(struct guest *g)
{
    if (translations++ > 0) /* after the table itself was looked up and copied */
        memset(g->low, 0xff, REGION);
}

static void test_table_changes(void **state)
{
    struct guest *g = *state;

    entry(g, 0, HIGH, 8, NEXT, 1);
    entry(g, 1, HIGH + 8, 4, WRITE, 0);
    desc(g, 0, LOW, 32, INDIRECT, 0);
    offer(g, 0);
    translations = 0;
    g->on_translate = scribble_table;
    assert_int_equal(pop(g), 1);
    assert_int_equal(g->chain.out_bytes, 8);
    assert_int_equal(g->chain.in_bytes, 4);
}

/* The used index is ours: what the driver writes there is not believed. */
static void test_used_index_is_not_read(void **state)
{
    struct guest *g = *state;

    g->vr.used->idx = 0x1234;
    vring_dev_push(&g->vr, 3, 1);
    assert_int_equal(g->vr.used->idx, 1);
    assert_int_equal(g->vr.used->ring[0].id, 3);
}

/* ---- notifications -------------------------------------------------------------------------- */

static void test_flags(void **state)
{
    struct guest *g = *state;

    vring_dev_should_notify(&g->vr);
    assert_false(vring_dev_should_notify(&g->vr)); /* nothing pushed */
    vring_dev_push(&g->vr, 0, 0);
    assert_true(vring_dev_should_notify(&g->vr));
    assert_false(vring_dev_should_notify(&g->vr));
    g->vr.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    vring_dev_push(&g->vr, 0, 0);
    assert_false(vring_dev_should_notify(&g->vr));

    vring_dev_enable_kick(&g->vr, false);
    assert_int_equal(g->vr.used->flags, VRING_USED_F_NO_NOTIFY);
    vring_dev_enable_kick(&g->vr, true);
    assert_int_equal(g->vr.used->flags, 0);
}

static uint16_t *used_event(struct guest *g)
{
    return &g->vr.avail->ring[NUM];
}

static uint16_t avail_event(struct guest *g)
{
    return *(uint16_t *)&g->vr.used->ring[NUM];
}

/* From bases around the wrap of the 16-bit index, with batches of every size: a notification is
 * due exactly if the batch passes the index that the driver named. */
static void test_event_idx_notify(void **state)
{
    struct guest *g = *state;
    static const uint16_t bases[] = {0, 1, 0x7ffe, 0x7fff, 0x8000, 0xfff8, 0xfffe, 0xffff};

    g->vr.event_idx = true;
    g->vr.avail->flags = VRING_AVAIL_F_NO_INTERRUPT; /* means nothing with EVENT_IDX */
    for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
        for (int event = -3; event < NUM + 3; event++) {
            for (int batch = 1; batch <= NUM; batch++) {
                vring_dev_start(&g->vr, bases[b]);
                assert_true(vring_dev_should_notify(&g->vr)); /* the first: nothing is known */
                *used_event(g) = (uint16_t)(bases[b] + event);
                for (int i = 0; i < batch; i++)
                    vring_dev_push(&g->vr, 0, 0);
                assert_int_equal(g->vr.used->idx, (uint16_t)(bases[b] + batch));
                assert_int_equal(vring_dev_should_notify(&g->vr), event >= 0 && event < batch);
                assert_false(vring_dev_should_notify(&g->vr));
            }
        }
    }
}

/* 65 536 pushes look like none in 16 bits. */
static void test_event_idx_full_turn(void **state)
{
    struct guest *g = *state;

    g->vr.event_idx = true;
    vring_dev_push(&g->vr, 0, 0);
    assert_true(vring_dev_should_notify(&g->vr));
    for (int i = 0; i < 0x10000; i++)
        vring_dev_push(&g->vr, 0, 0);
    assert_true(vring_dev_should_notify(&g->vr));
    assert_false(vring_dev_should_notify(&g->vr));
}

static void test_event_idx_kick(void **state)
{
    struct guest *g = *state;

    g->vr.event_idx = true;
    vring_dev_start(&g->vr, 0xffff);
    vring_dev_enable_kick(&g->vr, true);
    assert_int_equal(avail_event(g), 0xffff);
    desc(g, 0, LOW, 1, 0, 0);
    g->vr.avail->ring[NUM - 1] = 0;
    g->vr.avail->idx = 0;
    assert_int_equal(pop(g), 1);
    vring_dev_enable_kick(&g->vr, false);
    /* A driver that goes from here on never passes it, but for a whole turn. */
    assert_false(vring_need_event(avail_event(g), 1, 0));
    assert_false(vring_need_event(avail_event(g), NUM, 0));
    vring_dev_enable_kick(&g->vr, true);
    assert_int_equal(avail_event(g), 0);
    assert_int_equal(g->vr.used->flags, 0); /* stays 0 with EVENT_IDX */
}

/* Indices wrap, the slots go on. */
static void test_index_wrap(void **state)
{
    struct guest *g = *state;

    vring_dev_start(&g->vr, 0xfffe);
    g->vr.avail->idx = 0xfffe;
    for (uint16_t i = 0; i < NUM; i++)
        desc(g, i, LOW + i, 1, 0, 0);
    for (uint16_t i = 0; i < 5; i++)
        offer(g, i);
    assert_int_equal(g->vr.avail->idx, 3);
    for (uint16_t i = 0; i < 5; i++) {
        assert_int_equal(pop(g), 1);
        assert_int_equal(g->chain.head, i);
        vring_dev_push(&g->vr, i, i);
        assert_int_equal(g->vr.used->ring[(0xfffe + i) & (NUM - 1)].id, i);
    }
    assert_int_equal(pop(g), 0);
    assert_int_equal(g->vr.used->idx, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_not_set_up),
        TEST(test_pop_and_push),
        TEST(test_longest_direct_chain),
        TEST(test_split_over_regions),
        TEST(test_indirect),
        TEST(test_indirect_longer_than_ring),
        TEST(test_head_outside),
        TEST(test_next_outside),
        TEST(test_loops),
        TEST(test_zero_length),
        TEST(test_read_behind_write),
        TEST(test_unmapped),
        TEST(test_odd_translators),
        TEST(test_wrap),
        TEST(test_four_gigabytes),
        TEST(test_avail_jump),
        TEST(test_too_many_in_flight),
        TEST(test_indirect_not_negotiated),
        TEST(test_indirect_nested),
        TEST(test_indirect_with_next),
        TEST(test_indirect_lengths),
        TEST(test_indirect_unmapped),
        TEST(test_indirect_loop_and_outside),
        TEST(test_scattered),
        TEST(test_ring_changes),
        TEST(test_table_changes),
        TEST(test_used_index_is_not_read),
        TEST(test_flags),
        TEST(test_event_idx_notify),
        TEST(test_event_idx_full_turn),
        TEST(test_event_idx_kick),
        TEST(test_index_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
