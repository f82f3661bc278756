/* SPDX-License-Identifier: MIT */
/* What the probe finds and what is chosen. The machine may or may not have a GPU. */
#include "mediator/base/util.h"
#include "mediator/renderer/egl_context.h"
#include "mediator/renderer/gpu_identity.h"
#include "mediator/renderer/gpu_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-json.h>

#include <cmocka.h>

static void test_ids(void **state)
{
    static const char *const good[] = {"software", "/dev/dri/renderD128", "egl:0", "egl:12"};
    static const char *const bad[] = {"",
                                      "auto",
                                      "Software",
                                      "software ",
                                      "/dev/dri/renderD",
                                      "/dev/dri/card0",
                                      "/dev/dri/renderD128/../../sda",
                                      "/dev/dri/renderD99999999999",
                                      "egl:",
                                      "egl:-1",
                                      "egl:0x1"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(egl_gpu_id_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(egl_gpu_id_valid(bad[i]));
}

static void test_choose_explicit(void **state)
{
    struct gpu_choice choice;
    const char *why = NULL;

    assert_int_equal(gpu_choose("software", &choice, &why), 0);
    assert_string_equal(choice.id, "software");
    assert_false(choice.hardware);
    assert_non_null(why);
    assert_int_equal(gpu_choose("/dev/dri/renderD200", &choice, &why), 0);
    assert_string_equal(choice.id, "/dev/dri/renderD200");
    assert_true(choice.hardware);
    why = NULL;
    assert_int_equal(gpu_choose("/dev/sda", &choice, &why), -EINVAL);
    assert_non_null(strstr(why, "/dev/sda"));
}

static sd_json_variant *probe(void)
{
    sd_json_variant *document = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(gpu_probe_print(out), 0);
    fclose(out);
    assert_int_equal(sd_json_parse(text, 0, &document, NULL, NULL), 0);
    free(text);
    return document;
}

static const char *string_of(sd_json_variant *object, const char *key)
{
    sd_json_variant *value = sd_json_variant_by_key(object, key);

    return value && sd_json_variant_is_string(value) ? sd_json_variant_string(value) : NULL;
}

static void test_print(void **state)
{
    sd_json_variant *document = probe(), *gpus = sd_json_variant_by_key(document, "gpus");
    const char *automatic = string_of(document, "auto");
    bool listed = false, software = false;

    assert_non_null(gpus);
    assert_non_null(automatic);
    assert_non_null(string_of(document, "why"));
    for (size_t i = 0; i < sd_json_variant_elements(gpus); i++) {
        sd_json_variant *gpu = sd_json_variant_by_index(gpus, i);
        const char *id = string_of(gpu, "id"), *kind = string_of(gpu, "kind");
        bool usable = sd_json_variant_boolean(sd_json_variant_by_key(gpu, "usable"));
        assert_true(egl_gpu_id_valid(id));
        assert_string_equal(kind, strcmp(id, "software") == 0 ? "software" : "hardware");
        /* Works and says with what, or does not and says why. */
        assert_non_null(string_of(gpu, usable ? "gl_renderer" : "error"));
        assert_null(string_of(gpu, usable ? "error" : "none"));
        listed |= strcmp(id, automatic) == 0;
        software |= strcmp(id, "software") == 0;
        if (usable && strcmp(id, "software") == 0)
            assert_true(strstr(string_of(gpu, "gl_renderer"), "llvmpipe") ||
                        strstr(string_of(gpu, "gl_renderer"), "softpipe"));
    }
    assert_true(listed);
    assert_true(software);
    sd_json_variant_unref(document);
    /* All children are reaped. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_auto_is_what_is_printed(void **state)
{
    sd_json_variant *document = probe();
    struct gpu_choice choice;
    const char *why = NULL;

    assert_int_equal(gpu_choose("auto", &choice, &why), 0);
    assert_string_equal(choice.id, string_of(document, "auto"));
    assert_string_equal(why, string_of(document, "why"));
    assert_int_equal(choice.hardware, strcmp(choice.id, "software") != 0);
    assert_int_equal(gpu_choose(NULL, &choice, &why), 0);
    assert_string_equal(choice.id, string_of(document, "auto"));
    sd_json_variant_unref(document);
}

/* Whether the driver knows priorities or not. */
static void test_contexts_of_all_priorities(void **state)
{
    struct egl_gpu *gpu = NULL;
    const char *error = NULL;

    assert_int_equal(egl_gpu_open("software", &gpu, &error), 0);
    for (int i = BACKEND_PRIORITY_LOW; i <= BACKEND_PRIORITY_HIGH; i++) {
        egl_gpu_set_priority(gpu, (enum backend_priority)i);
        void *context = egl_gpu_create_context(gpu, 3, 3, false, false);
        assert_non_null(context);
        egl_gpu_destroy_context(gpu, context);
    }
    egl_gpu_close(gpu);
}

/* By what Vulkan knows it. */
static void test_identity(void **state)
{
    char text[GPU_IDENTITY_MAX];
    struct egl_gpu *gpu = NULL;
    const char *error = NULL;

    assert_int_equal(egl_gpu_open("software", &gpu, &error), 0);
    gpu_identity(gpu, text);
    assert_string_equal(text, "cpu");
    egl_gpu_close(gpu);
    /* Whatever is there: its node, its UUID, or nothing that is known. */
    assert_int_equal(egl_gpu_open("egl:0", &gpu, &error), 0);
    gpu_identity(gpu, text);
    assert_true(strncmp(text, "drm:", 4) == 0 || strcmp(text, "only") == 0 ||
                (strncmp(text, "uuid:", 5) == 0 && strlen(text) == 37));
    egl_gpu_close(gpu);
}

/* A GPU that is not there, or a file that is no GPU, is an error with a sentence. */
static void test_open_missing(void **state)
{
    static const char *const missing[] = {"/dev/dri/renderD9999", "egl:9999", "card0"};

    for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
        struct egl_gpu *gpu = NULL;
        const char *error = NULL;
        assert_true(egl_gpu_open(missing[i], &gpu, &error) < 0);
        assert_null(gpu);
        assert_true(strlen(error) > 10);
    }
}

/* The caller's environment does not turn software into something else. */
static void test_environment(void **state)
{
    sd_json_variant *document, *gpus, *last;

    setenv("GALLIUM_DRIVER", "zink", 1);
    setenv("MESA_LOADER_DRIVER_OVERRIDE", "zink", 1);
    setenv("LIBGL_ALWAYS_SOFTWARE", "0", 1);
    document = probe();
    gpus = sd_json_variant_by_key(document, "gpus");
    last = sd_json_variant_by_index(gpus, sd_json_variant_elements(gpus) - 1);
    if (sd_json_variant_boolean(sd_json_variant_by_key(last, "usable")))
        assert_null(strstr(string_of(last, "gl_renderer"), "zink"));
    sd_json_variant_unref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_choose_explicit),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_auto_is_what_is_printed),
        cmocka_unit_test(test_contexts_of_all_priorities),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_open_missing),
        cmocka_unit_test(test_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
