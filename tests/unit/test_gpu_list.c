/* SPDX-License-Identifier: MIT */
/* The probe's answer: what is understood, what is refused, and what a GPU's name resolves to. */
#include "mediator/daemon/gpu_list.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_good_answer(void **state)
{
    static const char json[] =
        "{\"gpus\": [{\"id\": \"/dev/dri/renderD128\", \"gl_renderer\": \"Card\\u001b \xc2\xae.\", "
        "\"more\": 7}, {\"id\": \"egl:1\", \"usable\": true}, "
        "{\"id\": \"egl:2\", \"usable\": false, \"error\": \"no OpenGL\"}], \"auto\": \"egl:1\", "
        "\"why\": \"because\"}";
    struct gpu_list list;
    char *error = NULL;
    struct gpu_ids ids;
    assert_int_equal(gpu_list_parse(json, &list, &error), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.gpus[0].text, "Card? ??.");
    assert_string_equal(list.why, "because");
    assert_int_equal(gpu_list_resolve(&list, "auto", "gpu", &ids, &error), 0);
    assert_int_equal(ids.count, 2); /* what the probe chose, then the others that work */
    assert_string_equal(ids.ids[0], "egl:1");
    assert_string_equal(ids.ids[1], "/dev/dri/renderD128");
    assert_int_equal(gpu_list_resolve(&list, "/dev/dri/renderD128", "gpu", &ids, &error), 0);
    assert_int_equal(ids.count, 1);
    assert_string_equal(ids.ids[0], "/dev/dri/renderD128");

    assert_int_equal(gpu_list_resolve(&list, "software", "gpu", &ids, &error), -ENODEV);
    assert_string_equal(error,
                        "gpu: there is no GPU 'software'; there are: "
                        "/dev/dri/renderD128 (Card? ??.), egl:1 (), egl:2 (unusable: no OpenGL)");
    free(error);
    error = NULL;
    assert_int_equal(gpu_list_resolve(&list, "egl:2", "gpu", &ids, &error), -ENODEV);
    assert_non_null(strstr(error, "can't use the GPU 'egl:2'"));
    free(error);
    gpu_list_destroy(&list);
}

static void test_nothing_usable(void **state)
{
    struct gpu_list list;
    char *error = NULL;
    struct gpu_ids ids;
    assert_int_equal(
        gpu_list_parse("{\"gpus\":[],\"auto\":null,\"why\":\"no EGL\"}", &list, &error), 0);
    assert_int_equal(gpu_list_resolve(&list, "auto", "gpu", &ids, &error), -ENODEV);
    assert_non_null(strstr(error, "no EGL"));
    free(error);
    error = NULL;
    assert_int_equal(gpu_list_resolve(&list, "egl:0", "gpu", &ids, &error), -ENODEV);
    assert_non_null(strstr(error, "there are: none"));
    free(error);
    gpu_list_destroy(&list);
}

/* Hardware and software do not stand for each other. */
static void test_auto_keeps_its_kind(void **state)
{
    static const char hardware[] = "{\"gpus\": [{\"id\": \"egl:0\"}, {\"id\": \"software\"}], "
                                   "\"auto\": \"egl:0\", \"why\": \"w\"}";
    static const char software[] = "{\"gpus\": [{\"id\": \"egl:0\"}, {\"id\": \"software\"}], "
                                   "\"auto\": \"software\", \"why\": \"w\"}";
    const char *const answers[] = {hardware, software}, *const expected[] = {"egl:0", "software"};
    for (size_t i = 0; i < 2; i++) {
        struct gpu_list list;
        struct gpu_ids ids;
        char *error = NULL;
        assert_int_equal(gpu_list_parse(answers[i], &list, &error), 0);
        assert_int_equal(gpu_list_resolve(&list, "auto", "gpu", &ids, &error), 0);
        assert_int_equal(ids.count, 1);
        assert_string_equal(ids.ids[0], expected[i]);
        gpu_list_destroy(&list);
    }
}

static void test_bad_answers(void **state)
{
    static const char *const answers[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"gpus\": {}}",
        "{\"gpus\": [7]}",
        "{\"gpus\": [{}]}",
        "{\"gpus\": [{\"id\": \"--evil\"}]}",
        "{\"gpus\": [{\"id\": \"auto\"}]}",
        "{\"gpus\": [], \"auto\": \"/etc/passwd\"}",
        "{\"gpus\": [], \"auto\": \"auto\"}",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct gpu_list list;
        char *error = NULL;
        assert_true(gpu_list_parse(answers[i], &list, &error) < 0);
        assert_non_null(error);
        free(error);
    }
}

static void test_too_many(void **state)
{
    char json[4096] = "{\"gpus\": [";
    for (int i = 0; i <= GPU_LIST_MAX; i++)
        snprintf(json + strlen(json), sizeof(json) - strlen(json), "%s{\"id\": \"egl:%d\"}",
                 i ? ", " : "", i);
    strcat(json, "]}");
    struct gpu_list list;
    char *error = NULL;
    assert_true(gpu_list_parse(json, &list, &error) < 0);
    free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_answer),
        cmocka_unit_test(test_nothing_usable),
        cmocka_unit_test(test_auto_keeps_its_kind),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
