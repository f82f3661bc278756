/* SPDX-License-Identifier: MIT */
/* Events as a timeline: what is written for sequences that happen, and for those that can't. */
#include "mediator/base/util.h"
#include "mediator/cli/timeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char *text;
static size_t size;

static void begin(struct timeline *t, bool preempts)
{
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    timeline_init(t, out, 0);
    timeline_name_gpu(t, 1, "x\"y\\z\n", preempts);
}

static void end(struct timeline *t, uint64_t time_ns)
{
    FILE *out = t->out;
    timeline_finish(t, time_ns);
    assert_int_equal(fclose(out), 0);
}

#define HEAD                                                                                       \
    "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"                                              \
    "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"tid\":0,\"args\":{\"name\":"              \
    "\"GPU x\\\"y\\\\z\"}}"
#define SPAN(what, ts, dur)                                                                        \
    ",\n{\"name\":\"" what "\",\"ph\":\"X\",\"pid\":1,\"tid\":7,\"ts\":" ts ",\"dur\":" dur
#define TAIL "\n]}\n"

static void add(struct timeline *t, enum timeline_kind kind, uint64_t us)
{
    timeline_add(t, 1, 7, kind, us * 1000, us * 1000);
}

static void test_turn(void **state)
{
    struct timeline t;
    begin(&t, false);
    timeline_name_vgpu(&t, 1, 7, "desk");
    timeline_name_vgpu(&t, 1, 7, "desk"); /* once is enough */
    add(&t, TIMELINE_WAIT, 100);
    add(&t, TIMELINE_GRANT, 150);
    add(&t, TIMELINE_YIELD, 180);
    add(&t, TIMELINE_RELEASE, 190);
    end(&t, 500000);
    assert_string_equal(
        text, HEAD ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":7,"
                   "\"args\":{\"name\":\"desk\"}}" SPAN("wait", "100.000", "50.000") "}" SPAN(
                       "slice", "150.000",
                       "40.000") ",\"args\":{\"charged_us\":190.000}}" SPAN("drain", "180.000",
                                                                            "10.000") "}" TAIL);
    free(text);
}

/* On a GPU that preempts, a slice ends when it is over, and may go on with no release between. */
static void test_preempted(void **state)
{
    struct timeline t;
    begin(&t, true);
    add(&t, TIMELINE_GRANT, 100);
    add(&t, TIMELINE_YIELD, 110);
    add(&t, TIMELINE_GRANT, 130);
    add(&t, TIMELINE_GRANT, 140);
    end(&t, 150000);
    assert_string_equal(
        text,
        HEAD SPAN("slice", "100.000", "10.000") "}" SPAN("preempted", "110.000", "20.000") "}" SPAN(
            "slice", "130.000", "10.000") "}" SPAN("slice", "140.000", "10.000") "}" TAIL);
    free(text);
}

/* What did not begin does not end; what has no end yet is cut at the end of the trace. */
static void test_pieces(void **state)
{
    struct timeline t;
    begin(&t, false);
    add(&t, TIMELINE_YIELD, 10);
    add(&t, TIMELINE_RELEASE, 20);
    add(&t, TIMELINE_WAIT, 30);
    timeline_add(&t, 99, 7, TIMELINE_RELEASE, 35000, 0); /* of another GPU */
    end(&t, 40000);
    assert_string_equal(text, HEAD SPAN("wait", "30.000", "10.000") "}" TAIL);
    free(text);
}

static void test_gone_while_waiting(void **state)
{
    struct timeline t;
    begin(&t, false);
    add(&t, TIMELINE_WAIT, 10);
    timeline_add(&t, 1, 7, TIMELINE_RELEASE, 25000, 0);
    end(&t, 50000);
    assert_string_equal(text, HEAD SPAN("wait", "10.000", "15.000") "}" TAIL);
    free(text);
}

static void test_gap(void **state)
{
    struct timeline t;
    begin(&t, false);
    add(&t, TIMELINE_GRANT, 10);
    timeline_gap(&t, 1, 20000, 5);
    add(&t, TIMELINE_RELEASE, 30);
    add(&t, TIMELINE_RESET, 40);
    end(&t, 50000);
    assert_string_equal(text,
                        HEAD ",\n{\"name\":\"events lost\",\"ph\":\"i\",\"s\":\"p\",\"pid\":1,"
                             "\"tid\":0,\"ts\":20.000,\"args\":{\"lost\":5}}"
                             ",\n{\"name\":\"reset\",\"ph\":\"i\",\"s\":\"t\",\"pid\":1,\"tid\":7,"
                             "\"ts\":40.000}" TAIL);
    free(text);
}

#define WORK(name, cat, phase, id, ts)                                                             \
    ",\n{\"name\":\"" name "\",\"cat\":\"" cat "\",\"ph\":\"" phase "\",\"id\":\"" id              \
    "\",\"pid\":1,\"tid\":7,\"ts\":" ts

static void work(struct timeline *t, uint32_t slot, uint64_t begin_us, uint64_t end_us)
{
    const struct timeline_work w = {
        .begin_ns = begin_us * 1000, .end_ns = end_us * 1000, .slot = slot, .queue = 5, .count = 2};
    timeline_work(t, 1, 7, &w);
}

/* What overlaps has ids of its own, for fences and for each process of Vulkan. */
static void test_work(void **state)
{
    struct timeline t;
    begin(&t, false);
    t.begin_ns = 10000;
    work(&t, 0, 9, 11); /* began before the trace */
    work(&t, 0, 20, 19);
    work(&t, 0, 20, 40);
    timeline_name_vgpu(&t, 1, 7, "desk");
    work(&t, 0, 30, 50);
    work(&t, 0, 40, 60); /* after the first */
    work(&t, 3, 30, 30);
    end(&t, 100000);
    assert_string_equal(
        text, HEAD WORK("vGPU 7 fences", "fence", "b", "0x100000007000001",
                        "20.000") ",\"args\":{\"streams\":2}}" //
        WORK("vGPU 7 fences", "fence", "e", "0x100000007000001",
             "40.000") "}" //
                       ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":7,"
                       "\"args\":{\"name\":\"desk\"}}" //
        WORK("desk fences", "fence", "b", "0x100000007000002",
             "30.000") ",\"args\":{\"streams\":2}}"                          //
        WORK("desk fences", "fence", "e", "0x100000007000002", "50.000") "}" //
        WORK("desk fences", "fence", "b", "0x100000007000001",
             "40.000") ",\"args\":{\"streams\":2}}"                          //
        WORK("desk fences", "fence", "e", "0x100000007000001", "60.000") "}" //
        WORK("desk Vulkan 3", "vulkan", "b", "0x100000007030001",
             "30.000") ",\"args\":{\"submissions\":2,\"queue\":5}}" //
        WORK("desk Vulkan 3", "vulkan", "e", "0x100000007030001", "30.000") "}" TAIL);
    free(text);
}

#define LOST(scope, vgpu, ts, lost)                                                                \
    ",\n{\"name\":\"work lost\",\"ph\":\"i\",\"s\":\"" scope "\",\"pid\":1,\"tid\":" vgpu          \
    ",\"ts\":" ts ",\"args\":{\"lost\":" lost "}}"

static void test_work_lost(void **state)
{
    struct timeline t;
    begin(&t, false);
    timeline_work_gap(&t, 1, 7, 20000, 9);
    timeline_work_gap(&t, 1, 0, 30000, 1000000000000);
    end(&t, 50000);
    assert_string_equal(text, HEAD LOST("t", "7", "20.000", "9")
                                  LOST("p", "0", "30.000", "1000000000000") TAIL);
    free(text);

    /* So many at a time, and no more; what is not shown is told of. */
    begin(&t, false);
    for (uint64_t i = 0; i < TIMELINE_LANES_MAX; i++)
        work(&t, 0, i, 1000 + i);
    fflush(t.out);
    assert_null(strstr(text, "work lost"));
    work(&t, 1, 999, 2000);
    end(&t, 3000000);
    assert_non_null(strstr(text, LOST("t", "7", "2000.000", "1") TAIL));
    free(text);
}

#define MEMORY(name, vgpu, ts, gl, vulkan)                                                         \
    ",\n{\"name\":\"" name " memory\",\"ph\":\"C\",\"pid\":1,\"tid\":" vgpu ",\"ts\":" ts          \
    ",\"args\":{\"resources\":" gl ",\"Vulkan\":" vulkan "}}"

/* What stays as it is need not be said again, but at the end. */
static void test_memory(void **state)
{
    struct timeline t;
    begin(&t, false);
    timeline_memory(&t, 1, 7, 10000, 100, 0);
    timeline_memory(&t, 1, 8, 10000, 0, 0);
    timeline_memory_of_gone(&t, 1, 10000);
    timeline_memory(&t, 1, 7, 20000, 100, 0);
    timeline_memory(&t, 1, 8, 20000, 0, 5);
    timeline_memory_of_gone(&t, 1, 20000);
    timeline_memory(&t, 1, 7, 30000, 100, 0);
    timeline_memory_of_gone(&t, 2, 30000);
    timeline_memory_of_gone(&t, 1, 30000);
    end(&t, 40000);
    assert_string_equal(text, HEAD MEMORY("vGPU 7", "7", "10.000", "100", "0")
                                  MEMORY("vGPU 8", "8", "10.000", "0", "0")
                                      MEMORY("vGPU 8", "8", "20.000", "0", "5")
                                          MEMORY("vGPU 8", "8", "30.000", "0", "0")
                                              MEMORY("vGPU 7", "7", "40.000", "100", "0")
                                                  MEMORY("vGPU 8", "8", "40.000", "0", "0") TAIL);
    free(text);
}

static void test_kinds(void **state)
{
    enum timeline_kind kind = TIMELINE_N_KINDS;
    assert_true(timeline_kind_from_name("reset", &kind));
    assert_int_equal(kind, TIMELINE_RESET);
    assert_false(timeline_kind_from_name("", &kind));
    assert_false(timeline_kind_from_name("grants", &kind));
    assert_int_equal(kind, TIMELINE_RESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn),      cmocka_unit_test(test_preempted),
        cmocka_unit_test(test_pieces),    cmocka_unit_test(test_gone_while_waiting),
        cmocka_unit_test(test_gap),       cmocka_unit_test(test_work),
        cmocka_unit_test(test_work_lost), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
