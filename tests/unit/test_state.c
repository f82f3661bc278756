/* SPDX-License-Identifier: MIT */
/* What is kept over restarts: written as a whole, read back, and never worth a failure. */
#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/aliquot-state-XXXXXX";
static char sub[64], file[96];

static int make_dir(void **state)
{
    log_init("test", NULL, false);
    if (!mkdtemp(dir))
        return -1;
    snprintf(sub, sizeof(sub), "%s/a/b", dir);
    snprintf(file, sizeof(file), "%s/" STATE_FILE, sub);
    return 0;
}

static int remove_dir(void **state)
{
    char parent[64];
    snprintf(parent, sizeof(parent), "%s/a", dir);
    unlink(file);
    rmdir(sub);
    rmdir(parent);
    return rmdir(dir);
}

static struct vgpu_config change(const char *name, const char *key, const char *value)
{
    struct vgpu_config v = config_vgpu_unset;
    snprintf(v.name, sizeof(v.name), "%s", name);
    assert_int_equal(config_vgpu_set(&v, key, value, key, NULL), 0);
    return v;
}

static void keep(struct state *s, const char *name, const char *key, const char *value)
{
    struct vgpu_config v = change(name, key, value);
    char *error = NULL;
    assert_int_equal(state_keep(s, &v, &error), 0);
    assert_null(error);
}

static void test_kept(void **state)
{
    struct state *s;
    const struct vgpu_config *v;

    assert_int_equal(state_create(sub, &s), 0); /* neither file nor directory is there */
    assert_null(state_at(s, 0));
    keep(s, "desk", "weight", "300");
    keep(s, "ci", "reservation", "12.5%");
    keep(s, "desk", "slice", "0.5ms");
    keep(s, "desk", "weight", "400");
    state_destroy(s);

    assert_int_equal(state_create(sub, &s), 0);
    v = state_at(s, 0);
    assert_non_null(v);
    assert_string_equal(v->name, "desk");
    assert_int_equal(v->knobs_set, CONFIG_KNOB_WEIGHT | CONFIG_KNOB_SLICE);
    assert_int_equal(v->knobs.weight, 400);
    assert_int_equal(v->knobs.slice_ns, 500000);
    v = state_at(s, 1);
    assert_non_null(v);
    assert_string_equal(v->name, "ci");
    assert_int_equal(v->knobs_set, CONFIG_KNOB_RESERVATION);
    assert_int_equal(v->knobs.reservation_ppm, 125000);
    assert_null(state_at(s, 2));
    state_destroy(s);
}

static void put(const char *text, size_t size)
{
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* How many vGPUs something is kept of. */
static size_t count(void)
{
    struct state *s;
    size_t n = 0;
    assert_int_equal(state_create(sub, &s), 0);
    while (state_at(s, n))
        n++;
    state_destroy(s);
    return n;
}

static void test_bad_content(void **state)
{
    static const struct {
        const char *text;
        size_t kept;
    } cases[] = {
        {"", 0},
        {"[vgpu a]\nweight = 5\n[vgpu b]\nweight = 0\n[vgpu c]\nweight = 7\n", 1},
        {"[vgpu a]\nweight = -1\n", 0},
        {"[vgpu ../../etc]\nweight = 5\n", 0},
        {"[vgpu a]\nweight = 5\nbackend = null\ngpu = egl:0\nmax-memory = 1M\n", 1},
        {"[vgpu a]\ngpu = egl:0\n", 0}, /* nothing that is kept here */
        {"[aliquot]\nsocket-dir = /etc\n[vgpu a]\nslice = 2ms\n", 1},
        {"\x1b[2J\xff\xfe", 0},
        {"[vgpu a]\nweight = nan\n", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put(cases[i].text, strlen(cases[i].text));
        assert_int_equal(count(), cases[i].kept);
    }
    put("[vgpu a]\0\nweight = 5\n", 21);
    assert_int_equal(count(), 0);

    char *large = calloc(1, STATE_FILE_MAX + 1);
    assert_non_null(large);
    memset(large, '\n', STATE_FILE_MAX + 1);
    put(large, STATE_FILE_MAX + 1);
    free(large);
    assert_int_equal(count(), 0);

    /* Neither waited for nor followed. */
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_int_equal(count(), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("/etc/passwd", file), 0);
    assert_int_equal(count(), 0);
}

static void test_not_writable(void **state)
{
    struct state *s;
    struct vgpu_config v = change("desk", "weight", "7");
    char *error = NULL;

    assert_int_equal(state_create(NULL, &s), 0);
    assert_int_equal(state_keep(s, &v, &error), -ENOENT);
    assert_non_null(strstr(error, "--state-dir"));
    free(error);
    state_destroy(s);

    assert_int_equal(state_create("/proc/aliquot", &s), 0);
    assert_true(state_keep(s, &v, &error) < 0);
    assert_non_null(strstr(error, "/proc/aliquot/" STATE_FILE " can't be written: "));
    assert_null(state_at(s, 0));
    free(error);
    state_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept),
                                       cmocka_unit_test(test_bad_content),
                                       cmocka_unit_test(test_not_writable)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
