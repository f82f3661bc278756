/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/virgl_stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HEADER(command, words) ((uint32_t)(command) | (uint32_t)(words) << 16)
enum { NOP, CLEAR = 7, CREATE_SUB = 29, DESTROY_SUB = 30, PIPE_CREATE = 48, PIPE_TYPE = 49 };

static int sub_context(struct virgl_stream_notes *notes, uint32_t command, uint32_t id)
{
    const uint32_t stream[] = {HEADER(NOP, 0), HEADER(command, 1), id};
    return virgl_stream_check(stream, sizeof(stream), notes);
}

static void test_what_allocates_past_the_limits(void **state)
{
    struct virgl_stream_notes notes = {0};
    const uint32_t create[] = {HEADER(CLEAR, 2), 1, 2, HEADER(PIPE_CREATE, 1), 0};
    const uint32_t type[] = {HEADER(PIPE_TYPE, 0)};

    assert_int_equal(virgl_stream_check(create, sizeof(create), &notes), -EOPNOTSUPP);
    assert_int_equal(virgl_stream_check(type, sizeof(type), &notes), -EOPNOTSUPP);
    assert_int_equal(virgl_stream_check(create, 3 * 4, &notes), 0);
}

static void test_operands_are_no_commands(void **state)
{
    struct virgl_stream_notes notes = {0};
    const uint32_t stream[] = {HEADER(CLEAR, 2), HEADER(PIPE_CREATE, 0), HEADER(CREATE_SUB, 1)};

    assert_int_equal(virgl_stream_check(stream, sizeof(stream), &notes), 0);
    assert_int_equal(notes.subs.count, 0);
}

static void test_cut_short(void **state)
{
    struct virgl_stream_notes notes = {0};
    const uint32_t stream[] = {HEADER(CREATE_SUB, 1), 5, HEADER(CREATE_SUB, 1)};
    const uint32_t longest = HEADER(CREATE_SUB, 0xffff);

    assert_int_equal(virgl_stream_check(stream, sizeof(stream), &notes), 0);
    assert_int_equal(notes.subs.count, 1);
    assert_int_equal(virgl_stream_check(&longest, sizeof(longest), &notes), 0);
    assert_int_equal(virgl_stream_check(&longest, 0, &notes), 0);
    assert_int_equal(notes.subs.count, 1);
}

static void test_number_of_sub_contexts(void **state)
{
    struct virgl_stream_notes notes = {0};

    for (uint32_t id = 1; id <= VIRGL_SUB_CONTEXTS_MAX; id++)
        assert_int_equal(sub_context(&notes, CREATE_SUB, id * 1000), 0);
    assert_int_equal(sub_context(&notes, CREATE_SUB, 1), -ENOMEM);
    assert_int_equal(sub_context(&notes, CREATE_SUB, 1000), 0); /* there already */
    assert_int_equal(sub_context(&notes, DESTROY_SUB, 1), 0);   /* not there: makes no room */
    assert_int_equal(sub_context(&notes, CREATE_SUB, 1), -ENOMEM);
    assert_int_equal(sub_context(&notes, DESTROY_SUB, 5000), 0);
    assert_int_equal(sub_context(&notes, CREATE_SUB, 1), 0);
    assert_int_equal(sub_context(&notes, CREATE_SUB, 2), -ENOMEM);
}

static void test_refused_stream_changes_nothing(void **state)
{
    struct virgl_stream_notes notes = {0};
    const uint32_t stream[] = {HEADER(CREATE_SUB, 1), 5, HEADER(PIPE_CREATE, 0)};

    assert_int_equal(virgl_stream_check(stream, sizeof(stream), &notes), -EOPNOTSUPP);
    assert_int_equal(notes.subs.count, 0);
}

static void test_query_asked_for(void **state)
{
    struct virgl_stream_notes notes = {0};
    enum { END_QUERY = 20, GET_QUERY_RESULT = 21 };
    const uint32_t stream[] = {HEADER(END_QUERY, 1), GET_QUERY_RESULT, HEADER(GET_QUERY_RESULT, 2),
                               1, 1};

    assert_int_equal(virgl_stream_check(stream, 2 * 4, &notes), 0);
    assert_false(notes.asks_query);
    assert_int_equal(virgl_stream_check(stream, sizeof(stream), &notes), 0);
    assert_true(notes.asks_query);
}

static void test_pieces(void **state)
{
    enum { SET_STATE = 4, DRAW = 8, DISPATCH = 37 };
    const uint32_t stream[] = {
        HEADER(SET_STATE, 2), DRAW, DRAW, /* 3 words, the last two are operands */
        HEADER(DRAW, 1),      1,          /* 5 */
        HEADER(SET_STATE, 0),             /* 6 */
        HEADER(CLEAR, 0),                 /* 7 */
        HEADER(DISPATCH, 1),  1,          /* 9 */
        HEADER(SET_STATE, 0),             /* 10 */
    };

    assert_int_equal(virgl_stream_piece(stream, sizeof(stream), 1), 5 * 4);
    assert_int_equal(virgl_stream_piece(stream, sizeof(stream), 2), 7 * 4);
    assert_int_equal(virgl_stream_piece(stream, sizeof(stream), 3), 9 * 4);
    assert_int_equal(virgl_stream_piece(stream, sizeof(stream), 4), sizeof(stream));
    assert_int_equal(virgl_stream_piece(stream + 9, 4, 1), 4);
    assert_int_equal(virgl_stream_piece(stream, 0, 1), 0);
    /* A command that is cut short ends the stream. */
    assert_int_equal(virgl_stream_piece(stream, 4 * 4, 1), 4 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_allocates_past_the_limits),
        cmocka_unit_test(test_operands_are_no_commands),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_number_of_sub_contexts),
        cmocka_unit_test(test_refused_stream_changes_nothing),
        cmocka_unit_test(test_query_asked_for),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
