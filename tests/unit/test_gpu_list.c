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
    const char *id = NULL;
    assert_int_equal(gpu_list_parse(json, &list, &error), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.gpus[0].text, "Card? ??.");
    assert_string_equal(list.why, "because");
    assert_int_equal(gpu_list_resolve(&list, "auto", "gpu", &id, &error), 0);
    assert_string_equal(id, "egl:1");
    assert_int_equal(gpu_list_resolve(&list, "/dev/dri/renderD128", "gpu", &id, &error), 0);
    assert_string_equal(id, "/dev/dri/renderD128");

    assert_int_equal(gpu_list_resolve(&list, "software", "gpu", &id, &error), -ENODEV);
    assert_string_equal(error,
                        "gpu: there is no GPU 'software'; there are: "
                        "/dev/dri/renderD128 (Card? ??.), egl:1 (), egl:2 (unusable: no OpenGL)");
    free(error);
    error = NULL;
    assert_int_equal(gpu_list_resolve(&list, "egl:2", "gpu", &id, &error), -ENODEV);
    assert_non_null(strstr(error, "can't use the GPU 'egl:2'"));
    free(error);
    gpu_list_destroy(&list);
}

static void test_nothing_usable(void **state)
{
    struct gpu_list list;
    char *error = NULL;
    const char *id = NULL;
    assert_int_equal(
        gpu_list_parse("{\"gpus\":[],\"auto\":null,\"why\":\"no EGL\"}", &list, &error), 0);
    assert_int_equal(gpu_list_resolve(&list, "auto", "gpu", &id, &error), -ENODEV);
    assert_non_null(strstr(error, "no EGL"));
    free(error);
    error = NULL;
    assert_int_equal(gpu_list_resolve(&list, "egl:0", "gpu", &id, &error), -ENODEV);
    assert_non_null(strstr(error, "there are: none"));
    free(error);
    gpu_list_destroy(&list);
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
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
