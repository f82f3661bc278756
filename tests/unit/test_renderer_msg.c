/* SPDX-License-Identifier: MIT */
/* What the daemon accepts from a renderer: messages in order, of the exact size. */
#include "mediator/daemon/renderer_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static struct broker_msg make(uint16_t type, const char *text)
{
    struct broker_msg msg = {.version = BROKER_VERSION, .type = type};
    msg.text_len = (uint32_t)strlen(text);
    memcpy(msg.text, text, msg.text_len);
    return msg;
}

static size_t size_of(const struct broker_msg *msg)
{
    return BROKER_MSG_HEADER + msg->text_len;
}

static void test_ready_then_done(void **state)
{
    enum renderer_msg_state s = RENDERER_MSG_STARTING;
    struct renderer_msg got;
    struct broker_msg msg = make(BROKER_READY, "virgl on something");
    assert_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
    assert_int_equal(s, RENDERER_MSG_READY);
    assert_int_equal(got.type, BROKER_READY);
    assert_string_equal(got.text, "virgl on something");
    msg = make(BROKER_DONE, "");
    assert_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
    assert_int_equal(s, RENDERER_MSG_DONE);
    assert_string_equal(got.text, "");
}

static void test_order(void **state)
{
    static const struct {
        enum renderer_msg_state from;
        uint16_t type;
    } wrong[] = {
        {RENDERER_MSG_STARTING, BROKER_DONE},  {RENDERER_MSG_READY, BROKER_READY},
        {RENDERER_MSG_DONE, BROKER_READY},     {RENDERER_MSG_DONE, BROKER_DONE},
        {RENDERER_MSG_STARTING, BROKER_SERVE}, {RENDERER_MSG_STARTING, 0},
        {RENDERER_MSG_READY, 0xffff},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        enum renderer_msg_state s = wrong[i].from;
        struct renderer_msg got = {.text = "untouched"};
        struct broker_msg msg = make(wrong[i].type, "x");
        assert_non_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
        assert_int_equal(s, wrong[i].from);
        assert_string_equal(got.text, "untouched");
    }
}

static void test_slots(void **state)
{
    static const struct {
        uint16_t type;
        uint32_t slot, pid, text_len;
    } wrong[] = {
        {BROKER_SLOT_TAKEN, 0, 5, 0},
        {BROKER_SLOT_TAKEN, 16, 5, 0},
        {BROKER_SLOT_TAKEN, 1, 0, 0},
        {BROKER_SLOT_TAKEN, 1, 0x80000000u, 0},
        {BROKER_SLOT_TAKEN, UINT32_MAX, 5, 0},
        {BROKER_SLOT_GONE, 0, 5, 0},
        {BROKER_SLOT_GONE, 16, 5, 0},
        {BROKER_SLOT_GONE, 1, 5, 1},
        {BROKER_DONE, 1, 0, 0},
        {BROKER_DONE, 0, 1, 0},
    };
    enum renderer_msg_state s = RENDERER_MSG_STARTING;
    struct renderer_msg got;
    struct broker_msg msg = make(BROKER_SLOT_TAKEN, "");
    msg.slot = 15;
    msg.pid = 4711;
    assert_non_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got)); /* not yet */
    /* Also after DONE: processes end with their connection. */
    for (s = RENDERER_MSG_READY; s <= RENDERER_MSG_DONE; s++) {
        enum renderer_msg_state before = s;
        msg.type = BROKER_SLOT_TAKEN;
        assert_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
        assert_int_equal(got.type, BROKER_SLOT_TAKEN);
        assert_int_equal(got.slot, 15);
        assert_int_equal(got.pid, 4711);
        msg.type = BROKER_SLOT_GONE;
        assert_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
        assert_int_equal(got.type, BROKER_SLOT_GONE);
        assert_int_equal(s, before);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        s = RENDERER_MSG_READY;
        msg = make(wrong[i].type, wrong[i].text_len ? "x" : "");
        msg.slot = wrong[i].slot;
        msg.pid = wrong[i].pid;
        assert_non_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
        assert_int_equal(s, RENDERER_MSG_READY);
    }
}

static void test_sizes(void **state)
{
    enum renderer_msg_state s = RENDERER_MSG_STARTING;
    struct renderer_msg got;
    struct broker_msg msg = make(BROKER_READY, "text");
    for (size_t size = 0; size <= sizeof(msg); size++) {
        if (size != size_of(&msg))
            assert_non_null(renderer_msg_parse(&s, &msg, size, &got));
    }
    msg.text_len = UINT32_MAX; /* + the header wraps to a small number */
    assert_non_null(renderer_msg_parse(&s, &msg, BROKER_MSG_HEADER - 1, &got));
    assert_non_null(renderer_msg_parse(&s, &msg, sizeof(msg), &got));

    memset(msg.text, 'a', sizeof(msg.text));
    msg.text_len = BROKER_TEXT_MAX;
    assert_null(renderer_msg_parse(&s, &msg, sizeof(msg), &got));
    assert_int_equal(strlen(got.text), BROKER_TEXT_MAX);
}

static void test_version(void **state)
{
    enum renderer_msg_state s = RENDERER_MSG_STARTING;
    struct renderer_msg got;
    struct broker_msg msg = make(BROKER_READY, "text");
    msg.version = BROKER_VERSION + 1;
    assert_non_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
}

static void test_text_is_made_printable(void **state)
{
    enum renderer_msg_state s = RENDERER_MSG_STARTING;
    struct renderer_msg got;
    struct broker_msg msg = make(BROKER_READY, "a?b");
    msg.text[1] = '\0';
    assert_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
    assert_string_equal(got.text, "a?b");
    s = RENDERER_MSG_STARTING;
    msg = make(BROKER_READY, "\x1b[31m\n\x7f\xff~ ");
    assert_null(renderer_msg_parse(&s, &msg, size_of(&msg), &got));
    assert_string_equal(got.text, "?[31m???~ ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_then_done), cmocka_unit_test(test_order),
        cmocka_unit_test(test_slots),           cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_version),         cmocka_unit_test(test_text_is_made_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
