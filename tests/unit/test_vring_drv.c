/* SPDX-License-Identifier: MIT */
/* The driver side of a ring against a device that lies, by hand-written used rings. */
#include "protocol/vring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NUM 8

struct fixture {
    struct vring_drv vr;
    void *mem;
};

static const struct vring_seg segs[NUM + 1] = {
    {0x1000, 1}, {0x2000, 2}, {0x3000, 3}, {0x4000, 4}, {0x5000, 5},
    {0x6000, 6}, {0x7000, 7}, {0x8000, 8}, {0x9000, 9},
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    size_t avail, used;

    f->mem = calloc(1, vring_drv_bytes(NUM));
    if (vring_drv_init(&f->vr, f->mem, NUM, false, &avail, &used) < 0)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vring_drv_finish(&f->vr);
    free(f->mem);
    free(f);
    return 0;
}

/* The device gives something back. */
static void give(struct fixture *f, uint32_t id, uint32_t len)
{
    vring_used_elem_t *elem = &f->vr.used->ring[f->vr.used->idx & (NUM - 1)];

    elem->id = id;
    elem->len = len;
    f->vr.used->idx++;
}

static void test_layout(void **state)
{
    for (uint32_t num = 1; num <= VRING_NUM_MAX; num *= 2) {
        struct vring_drv vr;
        void *mem = calloc(1, vring_drv_bytes(num));
        size_t avail = 0, used = 0;

        assert_int_equal(vring_drv_init(&vr, mem, num, true, &avail, &used), 0);
        assert_true(avail >= vring_desc_bytes(num));
        assert_true(used >= avail + vring_avail_bytes(num));
        assert_true(vring_drv_bytes(num) >= used + vring_used_bytes(num));
        assert_int_equal(avail % VRING_AVAIL_ALIGN, 0);
        assert_int_equal(used % VRING_USED_ALIGN, 0);
        assert_ptr_equal(vr.desc, mem);
        assert_ptr_equal(vr.avail, (char *)mem + avail);
        assert_ptr_equal(vr.used, (char *)mem + used);
        /* The last words of both are inside the allocation. */
        assert_int_equal(vring_drv_add(&vr, segs, 1, 0, mem), 0);
        assert_true(vring_drv_should_kick(&vr));
        assert_false(vring_drv_enable_notify(&vr, true));
        vring_drv_finish(&vr);
        vring_drv_finish(&vr); /* once more does no harm */
        free(mem);
    }
}

static void test_bad_num(void **state)
{
    static const uint32_t bad[] = {0, 3, 7, 1023, 2048, 0x10000, 0x80000000, UINT32_MAX};
    struct vring_drv vr;
    size_t avail = 77, used = 77;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(vring_drv_init(&vr, NULL, bad[i], false, &avail, &used), -EINVAL);
    assert_int_equal(avail, 77);
    assert_int_equal(used, 77);
}

static void test_add(void **state)
{
    struct fixture *f = *state;
    struct vring_desc *d = f->vr.desc;
    unsigned i;

    assert_int_equal(vring_drv_add(&f->vr, segs, 2, 1, f), 0);
    assert_int_equal(f->vr.avail->idx, 1);
    i = f->vr.avail->ring[0];
    for (unsigned k = 0; k < 3; k++) {
        assert_int_equal(d[i].addr, segs[k].gpa);
        assert_int_equal(d[i].len, segs[k].len);
        assert_int_equal(d[i].flags,
                         (k < 2 ? VRING_DESC_F_NEXT : 0) | (k == 2 ? VRING_DESC_F_WRITE : 0));
        i = d[i].next;
    }
}

static void test_add_refused(void **state)
{
    struct fixture *f = *state;
    const struct vring_seg empty[] = {{0x1000, 1}, {0x2000, 0}};

    assert_int_equal(vring_drv_add(&f->vr, segs, 0, 0, f), -EINVAL);
    assert_int_equal(vring_drv_add(&f->vr, empty, 1, 1, f), -EINVAL);
    assert_int_equal(vring_drv_add(&f->vr, segs, NUM, 1, f), -ENOSPC);
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, UINT32_MAX, f), -EINVAL);
    assert_int_equal(f->vr.avail->idx, 0);
    assert_false(vring_drv_should_kick(&f->vr));

    assert_int_equal(vring_drv_add(&f->vr, segs, NUM - 2, 1, f), 0);
    assert_int_equal(vring_drv_add(&f->vr, segs, 2, 0, f), -ENOSPC);
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 0, f), 0);
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 0, f), -ENOSPC);
    assert_int_equal(f->vr.avail->idx, 2);
}

static void test_get_used(void **state)
{
    struct fixture *f = *state;
    int a, b;
    void *token = NULL;
    uint32_t len = 77;
    uint16_t head_a, head_b;

    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 0);
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 1, &a), 0);
    assert_int_equal(vring_drv_add(&f->vr, segs, 3, 1, &b), 0);
    head_a = f->vr.avail->ring[0];
    head_b = f->vr.avail->ring[1];
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 0);
    assert_null(token);
    assert_int_equal(len, 77);

    give(f, head_b, 4); /* out of order */
    give(f, head_a, 2);
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 1);
    assert_ptr_equal(token, &b);
    assert_int_equal(len, 4);
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 1);
    assert_ptr_equal(token, &a);
    assert_int_equal(len, 2);
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 0);

    /* All descriptors are free again. */
    assert_int_equal(vring_drv_add(&f->vr, segs, NUM, 0, &a), 0);
}

static void expect_broken(struct fixture *f)
{
    void *token = f;
    uint32_t len = 77;

    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), -EPROTO);
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), -EPROTO); /* and stays so */
    assert_ptr_equal(token, f);
    assert_int_equal(len, 77);
}

static void test_id_outside(void **state)
{
    struct fixture *f = *state;
    static const uint32_t bad[] = {NUM, NUM + 1, 0xffff, 0x10000, 0x80000000, UINT32_MAX};

    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 1, f), 0);
    give(f, 0, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        f->vr.used->ring[0].id = bad[i];
        expect_broken(f);
    }
}

/* A descriptor that is free, one in the middle of a chain, one given back before. */
static void test_id_never_given(void **state)
{
    struct fixture *f = *state;
    uint16_t head, middle;
    void *token;
    uint32_t len;

    assert_int_equal(vring_drv_add(&f->vr, segs, 2, 1, f), 0);
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 1, f), 0);
    head = f->vr.avail->ring[0];
    middle = f->vr.desc[head].next;
    give(f, f->vr.free_head, 0);
    expect_broken(f);
    f->vr.used->ring[0].id = middle;
    expect_broken(f);
    f->vr.used->ring[0].id = head;
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 1);
    give(f, head, 0);
    expect_broken(f);
}

/* More chains come back than are out. */
static void test_index_jump(void **state)
{
    struct fixture *f = *state;
    static const uint16_t bad[] = {2, NUM, NUM + 1, 0x8000, 0xffff};
    void *token;
    uint32_t len;

    f->vr.used->idx = 1; /* nothing is out at all */
    expect_broken(f);
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 1, f), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        f->vr.used->idx = bad[i];
        expect_broken(f);
    }
    f->vr.used->idx = 1;
    f->vr.used->ring[0].id = f->vr.avail->ring[0];
    assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 1);
    f->vr.used->idx = 0; /* backwards */
    expect_broken(f);
}

/* The device writes over everything that we share: our own lists do not notice. */
static void test_scribbled_ring(void **state)
{
    struct fixture *f = *state;
    void *token;
    uint32_t len;

    for (int round = 0; round < 100; round++) {
        bool seen[NUM] = {false};
        unsigned i, head;

        assert_int_equal(vring_drv_add(&f->vr, segs, 2, 1, f), 0);
        head = f->vr.avail->ring[round & (NUM - 1)];
        assert_true(head < NUM);
        memset(f->vr.desc, 0xff, vring_desc_bytes(NUM));
        memset(f->vr.avail, 0xff, vring_avail_bytes(NUM));
        give(f, head, 1);
        assert_int_equal(vring_drv_get_used(&f->vr, &token, &len), 1);

        /* The ring as a whole is still there, each descriptor once. */
        assert_int_equal(f->vr.num_free, NUM);
        for (i = f->vr.free_head; i < NUM && !seen[i]; i = f->vr.next[i])
            seen[i] = true;
        for (i = 0; i < NUM; i++)
            assert_true(seen[i]);
    }
}

static void test_flags(void **state)
{
    struct fixture *f = *state;

    assert_false(vring_drv_should_kick(&f->vr));
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 0, f), 0);
    assert_true(vring_drv_should_kick(&f->vr));
    assert_false(vring_drv_should_kick(&f->vr));
    f->vr.used->flags = VRING_USED_F_NO_NOTIFY;
    assert_int_equal(vring_drv_add(&f->vr, segs, 1, 0, f), 0);
    assert_false(vring_drv_should_kick(&f->vr));

    assert_false(vring_drv_enable_notify(&f->vr, false));
    assert_int_equal(f->vr.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
    assert_false(vring_drv_enable_notify(&f->vr, true));
    assert_int_equal(f->vr.avail->flags, 0);
    give(f, f->vr.avail->ring[0], 0);
    assert_true(vring_drv_enable_notify(&f->vr, true)); /* one is there: do not wait */
}

/* As the device side's: around the wrap, batches of every size. */
static void test_event_idx(void **state)
{
    static const uint16_t bases[] = {0, 1, 0x7fff, 0x8000, 0xfff9, 0xfffe, 0xffff};
    struct fixture *f = *state;
    struct vring_drv *vr = &f->vr;
    uint16_t *event = (uint16_t *)&vr->used->ring[NUM];
    void *token;
    uint32_t len;

    vr->event_idx = true;
    vr->used->flags = VRING_USED_F_NO_NOTIFY; /* means nothing with EVENT_IDX */
    for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
        uint16_t base = bases[b];

        for (int at = -3; at < NUM + 3; at++) {
            for (int batch = 1; batch <= NUM; batch++) {
                vr->avail_idx = vr->kicked_idx = vr->last_used = vr->used->idx = base;
                *event = (uint16_t)(base + at);
                for (int i = 0; i < batch; i++)
                    assert_int_equal(vring_drv_add(vr, segs, 1, 0, f), 0);
                assert_int_equal(vr->avail->idx, (uint16_t)(base + batch));
                assert_int_equal(vring_drv_should_kick(vr), at >= 0 && at < batch);
                assert_false(vring_drv_should_kick(vr));

                assert_false(vring_drv_enable_notify(vr, true));
                assert_int_equal(vr->avail->ring[NUM], base);
                for (int i = 0; i < batch; i++) {
                    give(f, vr->avail->ring[(base + i) & (NUM - 1)], 0);
                    assert_true(vring_drv_enable_notify(vr, true));
                    assert_int_equal(vring_drv_get_used(vr, &token, &len), 1);
                }
                assert_false(vring_drv_enable_notify(vr, false));
                for (uint16_t n = 1; n <= NUM; n++)
                    assert_false(vring_need_event(vr->avail->ring[NUM],
                                                  (uint16_t)(vr->last_used + n), vr->last_used));
            }
        }
    }
    assert_int_equal(vr->avail->flags, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_layout),         TEST(test_bad_num),    TEST(test_add),
        TEST(test_add_refused),    TEST(test_get_used),   TEST(test_id_outside),
        TEST(test_id_never_given), TEST(test_index_jump), TEST(test_scribbled_ring),
        TEST(test_flags),          TEST(test_event_idx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
