/* SPDX-License-Identifier: MIT */
/* The copying cursors at 0, at the end, one past it, and across the seams of iovecs. */
#include "protocol/iov.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))

static char part_a[] = {0, 1, 2};
static char part_b[] = {3};
static char part_c[] = {4, 5, 6, 7, 8};

/* Empty ones at the start, in the middle and at the end, one of them without a base. */
static const struct iovec scattered[] = {
    {NULL, 0}, {part_a, 3}, {part_b, 0}, {part_b, 1}, {NULL, 0}, {part_c, 5}, {NULL, 0},
};
#define TOTAL 9

static void test_total(void **state)
{
    const struct iovec huge[] = {{NULL, SIZE_MAX - 1}, {NULL, 1}, {NULL, 1}};
    struct iov_cursor cur;

    assert_int_equal(iov_total(NULL, 0), 0);
    assert_int_equal(iov_total(scattered, N(scattered)), TOTAL);
    assert_true(iov_total(huge, 2) == SIZE_MAX);
    assert_true(iov_total(huge, 3) == SIZE_MAX);
    iov_cursor_init(&cur, huge, 3);
    assert_true(iov_remaining(&cur) == SIZE_MAX);
    assert_true(iov_skip(&cur, SIZE_MAX));
    assert_int_equal(iov_remaining(&cur), 1);
}

static void test_empty(void **state)
{
    struct iov_cursor cur;
    char byte = 'x';

    iov_cursor_init(&cur, NULL, 0);
    assert_int_equal(iov_remaining(&cur), 0);
    assert_true(iov_take(&cur, NULL, 0));
    assert_true(iov_put(&cur, NULL, 0));
    assert_true(iov_skip(&cur, 0));
    assert_false(iov_take(&cur, &byte, 1));
    assert_false(iov_put(&cur, &byte, 1));
    assert_false(iov_skip(&cur, 1));
    assert_false(iov_skip(&cur, SIZE_MAX));
    assert_int_equal(byte, 'x');
}

/* Every way to cut the bytes in two, and one byte more than there is. */
static void test_take_all_cuts(void **state)
{
    for (size_t cut = 0; cut <= TOTAL; cut++) {
        struct iov_cursor cur;
        char out[TOTAL + 1];

        memset(out, 'x', sizeof(out));
        iov_cursor_init(&cur, scattered, N(scattered));
        assert_true(iov_take(&cur, out, cut));
        assert_int_equal(iov_remaining(&cur), TOTAL - cut);
        assert_int_equal(out[cut], 'x');

        assert_false(iov_take(&cur, out + cut, TOTAL - cut + 1));
        assert_int_equal(out[cut], 'x');
        assert_int_equal(iov_remaining(&cur), TOTAL - cut);

        assert_true(iov_take(&cur, out + cut, TOTAL - cut));
        assert_int_equal(iov_remaining(&cur), 0);
        for (int i = 0; i < TOTAL; i++)
            assert_int_equal(out[i], i);
        assert_false(iov_take(&cur, out, 1));
        assert_false(iov_take(&cur, out, SIZE_MAX));
    }
}

static void test_put(void **state)
{
    char a[3], b[2];
    const struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 2}};
    struct iov_cursor cur;

    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    iov_cursor_init(&cur, iov, 3);
    assert_false(iov_put(&cur, "123456", 6));
    assert_memory_equal(a, "xxx", 3);
    assert_memory_equal(b, "xx", 2);
    assert_true(iov_put(&cur, "12", 2));
    assert_true(iov_put(&cur, "345", 3));
    assert_false(iov_put(&cur, "6", 1));
    assert_memory_equal(a, "123", 3);
    assert_memory_equal(b, "45", 2);
}

static void test_skip_then_take(void **state)
{
    for (size_t n = 0; n < TOTAL; n++) {
        struct iov_cursor cur;
        char byte;

        iov_cursor_init(&cur, scattered, N(scattered));
        assert_false(iov_skip(&cur, TOTAL + 1));
        assert_int_equal(iov_remaining(&cur), TOTAL);
        assert_true(iov_skip(&cur, n));
        assert_true(IOV_TAKE(&cur, &byte));
        assert_int_equal(byte, n);
    }
}

static void test_read_at(void **state)
{
    char out[TOTAL + 2];

    for (size_t offset = 0; offset <= TOTAL; offset++) {
        for (size_t len = 0; len <= TOTAL + 1; len++) {
            size_t expected = len < TOTAL - offset ? len : TOTAL - offset;

            memset(out, 'x', sizeof(out));
            assert_int_equal(iov_read_at(scattered, N(scattered), offset, out, len), expected);
            for (size_t i = 0; i < expected; i++)
                assert_int_equal(out[i], offset + i);
            assert_int_equal(out[expected], 'x');
        }
    }
    assert_int_equal(iov_read_at(scattered, N(scattered), TOTAL + 1, out, 1), 0);
    assert_int_equal(iov_read_at(scattered, N(scattered), SIZE_MAX, out, sizeof(out)), 0);
    assert_int_equal(iov_read_at(NULL, 0, 0, out, 1), 0);
}

static void test_write_at(void **state)
{
    char a[3], b[2];
    const struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 2}};

    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    assert_int_equal(iov_write_at(iov, 3, 2, "123", 2), 2);
    assert_memory_equal(a, "xx1", 3);
    assert_memory_equal(b, "2x", 2);
    assert_int_equal(iov_write_at(iov, 3, 4, "789", 3), 1);
    assert_memory_equal(b, "27", 2);
    assert_int_equal(iov_write_at(iov, 3, 5, "1", 1), 0);
    assert_int_equal(iov_write_at(iov, 3, 6, "1", 1), 0);
    assert_int_equal(iov_write_at(iov, 3, SIZE_MAX, "1", 1), 0);
}

/* Random splits and random moves against one flat array. */
static void test_model(void **state)
{
    char flat[256];

    srandom(1);
    for (int i = 0; i < 256; i++)
        flat[i] = (char)i;
    for (int round = 0; round < 2000; round++) {
        struct iovec iov[12];
        struct iov_cursor cur;
        char *copies[12];
        size_t pos = 0, total = 0;

        /* Each piece in an allocation of its own: the sanitizer sees one byte too far. */
        for (int i = 0; i < 12; i++) {
            iov[i].iov_len = (size_t)random() % 20;
            copies[i] = malloc(iov[i].iov_len);
            memcpy(copies[i], flat + total, iov[i].iov_len);
            iov[i].iov_base = copies[i];
            total += iov[i].iov_len;
        }
        iov_cursor_init(&cur, iov, 12);
        for (int step = 0; step < 20; step++) {
            size_t len = (size_t)random() % 40;
            bool fits = len <= total - pos;
            char out[40];

            if (random() % 2) {
                assert_int_equal(iov_take(&cur, out, len), fits);
                if (fits)
                    assert_memory_equal(out, flat + pos, len);
            } else {
                assert_int_equal(iov_skip(&cur, len), fits);
            }
            if (fits)
                pos += len;
            assert_int_equal(iov_remaining(&cur), total - pos);
        }
        for (int i = 0; i < 12; i++)
            free(copies[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_total),          cmocka_unit_test(test_empty),
        cmocka_unit_test(test_take_all_cuts),  cmocka_unit_test(test_put),
        cmocka_unit_test(test_skip_then_take), cmocka_unit_test(test_read_at),
        cmocka_unit_test(test_write_at),       cmocka_unit_test(test_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
