/* SPDX-License-Identifier: MIT */
/* The configuration: values at and beyond their bounds, the file line by line, what is inherited.
 */
#include "mediator/base/util.h"
#include "mediator/daemon/config.h"
#include "mediator/daemon/config_value.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_unsigned(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"100", 0, 100},
        {"101", -ERANGE, 0},
        {"18446744073709551615", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0}, /* would wrap to 0 */
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"0x1", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t value = 77;
        assert_int_equal(value_unsigned(cases[i].text, 0, 100, &value), cases[i].result);
        assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 77);
    }
}

static void test_bytes(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"1048576", 0, 1 << 20},
        {"1M", 0, 1 << 20},
        {"1024k", 0, 1 << 20},
        {"2G", 0, UINT64_C(2) << 30},
        {"16T", 0, UINT64_C(16) << 40},
        {"17T", -ERANGE, 0},
        {"1K", -ERANGE, 0},
        {"18014398509481985K", -ERANGE, 0}, /* (2^54 + 1) K would wrap to 1 K */
        {"1MB", -EINVAL, 0},
        {"M", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t value = 77;
        assert_int_equal(value_bytes(cases[i].text, CONFIG_MEMORY_MIN, CONFIG_MEMORY_MAX, &value),
                         cases[i].result);
        assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 77);
    }
}

static void test_size(void **state)
{
    uint32_t w = 0, h = 0;
    assert_int_equal(value_size("1920x1080", 64, 16384, &w, &h), 0);
    assert_int_equal(w, 1920);
    assert_int_equal(h, 1080);
    assert_int_equal(value_size("16384x64", 64, 16384, &w, &h), 0);
    assert_int_equal(value_size("16385x64", 64, 16384, &w, &h), -ERANGE);
    assert_int_equal(value_size("64x63", 64, 16384, &w, &h), -ERANGE);
    assert_int_equal(value_size("4294967360x64", 64, 16384, &w, &h), -ERANGE); /* 2^32 + 64 */
    assert_int_equal(value_size("1920", 64, 16384, &w, &h), -EINVAL);
    assert_int_equal(value_size("1920x", 64, 16384, &w, &h), -EINVAL);
    assert_int_equal(value_size("1920x1080x2", 64, 16384, &w, &h), -EINVAL);
    assert_int_equal(w, 16384);
}

static void test_bool_and_mode(void **state)
{
    bool b = false;
    mode_t mode = 0;
    assert_int_equal(value_bool("Yes", &b), 0);
    assert_true(b);
    assert_int_equal(value_bool("off", &b), 0);
    assert_false(b);
    assert_int_equal(value_bool("maybe", &b), -EINVAL);
    assert_int_equal(value_mode("0660", &mode), 0);
    assert_int_equal(mode, 0660);
    assert_int_equal(value_mode("1777", &mode), -ERANGE);
    assert_int_equal(value_mode("0680", &mode), -EINVAL);
    assert_int_equal(mode, 0660);
}

static void test_users(void **state)
{
    uid_t uid = 7;
    assert_int_equal(value_user("root", &uid), 0);
    assert_int_equal(uid, 0);
    assert_int_equal(value_user("4294967294", &uid), 0);
    assert_int_equal(uid, UINT32_MAX - 1);
    assert_int_equal(value_user("4294967295", &uid), -ENOENT); /* (uid_t)-1 is no user */
    assert_int_equal(value_user("no-such-user-here", &uid), -ENOENT);
    assert_int_equal(uid, UINT32_MAX - 1);
}

static void test_names(void **state)
{
    char longest[VGPU_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[VGPU_NAME_MAX] = '\0';
    assert_true(vgpu_name_valid(longest));
    longest[VGPU_NAME_MAX] = 'a';
    longest[VGPU_NAME_MAX + 1] = '\0';
    assert_false(vgpu_name_valid(longest));
    assert_true(vgpu_name_valid("0.a_b-C"));
    assert_false(vgpu_name_valid(""));
    assert_false(vgpu_name_valid(".hidden"));
    assert_false(vgpu_name_valid("a/b"));
    assert_false(vgpu_name_valid("a b"));
    assert_true(vgpu_name_on_demand("auto-17"));
    assert_false(vgpu_name_on_demand("auto-"));
    assert_false(vgpu_name_on_demand("auto-x"));

    assert_true(gpu_id_valid("software"));
    assert_true(gpu_id_valid("/dev/dri/renderD128"));
    assert_true(gpu_id_valid("egl:0"));
    assert_false(gpu_id_valid("egl:"));
    assert_false(gpu_id_valid("/dev/dri/renderD128/../card0"));
    assert_false(gpu_id_valid("/dev/sda"));
}

/* Loads a text as /c; the error, if any, goes to *error (caller frees). */
static int load(struct config *c, const char *text, char **error)
{
    FILE *file = fmemopen((void *)text, strlen(text), "r");
    assert_non_null(file);
    *error = NULL;
    int r = config_load_stream(c, file, "/c", error);
    fclose(file);
    return r;
}

static void test_file(void **state)
{
    static const char text[] = "# comment\r\n"
                               "[aliquot]\r\n"
                               "gpu = software   ; inline\n"
                               "\ton-demand = no\n"
                               "max-vgpus=3\n"
                               "allow-users = root, 12\n"
                               "allow-users = 13\n"
                               "\n"
                               "[vgpu with.all]  \n"
                               "gpu = egl:2\n"
                               "backend = null\n"
                               "scanouts = 0\n"
                               "size = 640x480\n"
                               "scanout-by = dmabuf\n"
                               "max-memory = 1G\n"
                               "hostmem = 256M\n"
                               "vulkan = off\n"
                               "[vgpu bare]\n"
                               "[aliquot]\n"
                               "size = 800x600";
    struct config c;
    char *error;
    config_init(&c);
    assert_int_equal(load(&c, text, &error), 0);
    assert_null(error);
    assert_int_equal(config_finish(&c, &error), 0);

    assert_false(c.on_demand);
    assert_int_equal(c.max_vgpus, 3);
    assert_int_equal(c.peers.n_uids, 3);
    assert_int_equal(c.peers.uids[0], 0);
    assert_int_equal(c.peers.uids[2], 13);
    assert_int_equal(c.socket_mode, 0666); /* the list decides */

    assert_int_equal(c.n_vgpus, 2);
    const struct vgpu_config *v = config_find_vgpu(&c, "with.all");
    assert_non_null(v);
    assert_string_equal(v->gpu, "egl:2");
    assert_string_equal(v->backend, "null");
    assert_int_equal(v->scanouts, 0);
    assert_int_equal(v->width, 640);
    assert_string_equal(v->scanout_by, "dmabuf");
    assert_int_equal(v->max_memory_bytes, 1 << 30);
    assert_int_equal(v->hostmem_bytes, 256 << 20);
    assert_string_equal(v->vulkan, "off");
    v = config_find_vgpu(&c, "bare"); /* a section without keys counts */
    assert_non_null(v);
    assert_string_equal(v->gpu, "software");
    assert_string_equal(v->backend, "virgl");
    assert_int_equal(v->scanouts, 1);
    assert_int_equal(v->height, 600);
    assert_string_equal(v->scanout_by, "copy");
    assert_int_equal(v->max_memory_bytes, 0);
    assert_int_equal(v->hostmem_bytes, 1 << 30);
    assert_string_equal(v->vulkan, "auto");
    config_destroy(&c);
}

static void test_time(void **state)
{
    static const char text[] = "[aliquot]\n"
                               "policy = fixed\n"
                               "preempt = drain\n"
                               "parallelism = 2\n"
                               "early-handover = yes\n"
                               "reset-after = 500ms\n"
                               "weight = 50\n"
                               "cap = 60%\n"
                               "[vgpu a]\n"
                               "weight = 300\n"
                               "reservation = 12.5%\n"
                               "slice = 2ms\n"
                               "[vgpu b]\n";
    struct config c;
    char *error;
    config_init(&c);
    assert_int_equal(load(&c, text, &error), 0);
    assert_int_equal(config_finish(&c, &error), 0);
    assert_int_equal(c.policy, SCHED_POLICY_FIXED);
    assert_int_equal(c.preempt, ARBITER_PREEMPT_DRAIN);
    assert_int_equal(c.parallelism, 2);
    assert_true(c.early_handover);
    assert_int_equal(c.reset_after_ns, 500000000);
    const struct sched_knobs *a = &config_find_vgpu(&c, "a")->knobs;
    assert_int_equal(a->weight, 300);
    assert_int_equal(a->reservation_ppm, 125000);
    assert_int_equal(a->cap_ppm, 600000);
    assert_int_equal(a->slice_ns, 2000000);
    const struct sched_knobs *b = &config_find_vgpu(&c, "b")->knobs;
    assert_int_equal(b->weight, 50);
    assert_int_equal(b->reservation_ppm, 0);
    assert_int_equal(b->slice_ns, 4000000);
    assert_int_equal(c.defaults.knobs.weight, 50);
    config_destroy(&c);

    config_init(&c); /* nothing said */
    assert_int_equal(config_finish(&c, &error), 0);
    assert_int_equal(c.policy, SCHED_POLICY_FAIR);
    assert_int_equal(c.preempt, -1);
    assert_int_equal(c.parallelism, 1);
    assert_false(c.early_handover);
    assert_int_equal(c.defaults.knobs.weight, 100);
    assert_int_equal(c.defaults.knobs.cap_ppm, SCHED_PPM);
    config_destroy(&c);
}

static void test_file_mistakes(void **state)
{
    char long_line[600] = "[aliquot]\nsocket-dir = ";
    memset(long_line + strlen(long_line), 'x', 500);
    strcpy(long_line + 590, "\n");
    const struct {
        const char *text, *error;
    } cases[] = {
        {"gpu = auto\n", "/c:1: 'gpu' stands before the first section"},
        {"[aliquot\n", "/c:1: ']' is missing"},
        {"[aliquot]\n\nnothing\n", "/c:3: expected key = value"},
        {"[aliquot]\nnothing\nspeed = 1\n", "/c:2: expected key = value"},
        {"[aliquot]\nspeed = 1\nnothing\n", "/c:2: unknown key 'speed'"},
        {"[aliquot]\ngpu = auto\n[vgpu a]\n[aliquot]\ngpu = auto\n", "/c:5: gpu is set twice"},
        {"[vgpu a]\n[vgpu a]\n", "/c:2: vGPU 'a' is configured already"},
        {"[vgpu]\n", "/c:1: unknown section [vgpu]"},
        {"[vgpu ]\n", "/c:1: '' is no name for a vGPU"},
        {"[vgpu aliquot]\n", "/c:1: the name 'aliquot' is kept"},
        {"[vgpu a]\nsize = 1x1\n", "/c:2: '1x1' is out of range for size; allowed: "},
        {"[aliquot]\nsocket-dir =\n", "/c:2: '' is no value for socket-dir"},
        {"[vgpu a]\nhostmem = 3M\n", "/c:2: '3M' is out of range for hostmem; allowed: 0, or a"},
        {"[vgpu a]\nhostmem = 512K\n", "/c:2: '512K' is out of range for hostmem"},
        {"[vgpu a]\nhostmem = 512G\n", "/c:2: '512G' is out of range for hostmem"},
        {"[vgpu a]\nvulkan = yes\n",
         "/c:2: 'yes' is no value for vulkan; allowed: auto, on or off"},
        {"[vgpu a]\nhostmem = much\n", "/c:2: 'much' is no value for hostmem"},
        {"[vgpu a]\nweight = 0\n", "/c:2: '0' is out of range for weight; allowed: 1 to 10000"},
        {"[vgpu a]\nweight = heavy\n", "/c:2: 'heavy' is no value for weight"},
        {"[vgpu a]\nreservation = 96%\n", "/c:2: '96%' is out of range for reservation"},
        {"[vgpu a]\ncap = 0.5%\n", "/c:2: '0.5%' is out of range for cap"},
        {"[vgpu a]\nslice = 4\n", "/c:2: '4' is no value for slice"},
        {"[vgpu a]\nslice = 31ms\n", "/c:2: '31ms' is out of range for slice"},
        {"[vgpu a]\npolicy = fair\n", "/c:2: unknown key 'policy' in [vgpu NAME]"},
        {"[aliquot]\npolicy = best\n", "/c:2: 'best' is no value for policy; allowed: fair"},
        {"[aliquot]\npreempt = no\n", "/c:2: 'no' is no value for preempt"},
        {"[aliquot]\nparallelism = 65\n", "/c:2: '65' is out of range for parallelism"},
        {"[aliquot]\nearly-handover = soon\n", "/c:2: 'soon' is no value for early-handover"},
        {"[aliquot]\nreset-after = 1ms\n", "/c:2: '1ms' is out of range for reset-after"},
        {"[aliquot]\nallow-groups = root nonesuch\n", "/c:2: 'root nonesuch' for allow-groups: no"},
        {long_line, "/c:2: a line of more than"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config c;
        char *error;
        config_init(&c);
        assert_true(load(&c, cases[i].text, &error) < 0);
        assert_non_null(error);
        if (strncmp(error, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("'%s' does not begin with '%s'", error, cases[i].error);
        free(error);
        config_destroy(&c);
    }
}

static void test_too_many_vgpus(void **state)
{
    struct config c;
    char *error = NULL, name[32];
    config_init(&c);
    for (int i = 0; i < CONFIG_VGPUS_MAX; i++) {
        snprintf(name, sizeof(name), "v%d", i);
        assert_int_equal(config_add_vgpu(&c, name, "x", &error), 0);
    }
    assert_int_equal(config_add_vgpu(&c, "more", "x", &error), -E2BIG);
    assert_non_null(error);
    free(error);
    config_destroy(&c);
}

static void test_command_line_keys(void **state)
{
    struct config c;
    char *error = NULL;
    config_init(&c);
    assert_int_equal(config_set(&c, "gpu", "software", "--gpu", &error), 0);
    assert_int_equal(config_set(&c, "gpu", "egl:1", "--gpu", &error), 0); /* the last one counts */
    assert_int_equal(config_set(&c, "gpu", "fast", "--gpu", &error), -EINVAL);
    assert_string_equal(
        error,
        "--gpu: 'fast' is no value for gpu; allowed: auto, software, /dev/dri/renderDN or egl:N");
    free(error);
    assert_int_equal(config_finish(&c, &error), 0);
    assert_string_equal(c.defaults.gpu, "egl:1");
    assert_int_equal(c.socket_mode, 0660);
    config_destroy(&c);
}

static void test_address(void **state)
{
    static const struct {
        const char *text;
        int result;
        int family;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"off", 0, AF_UNSPEC, "", 0},
        {"9477", 0, AF_INET, "127.0.0.1", 9477},
        {"0", 0, AF_INET, "127.0.0.1", 0},
        {"192.0.2.1:80", 0, AF_INET, "192.0.2.1", 80},
        {"[::1]:9477", 0, AF_INET6, "::1", 9477},
        {"65536", -ERANGE, 0, NULL, 0},
        {"", -EINVAL, 0, NULL, 0},
        {"-1", -EINVAL, 0, NULL, 0},
        {"localhost:9477", -EINVAL, 0, NULL, 0},
        {":9477", -EINVAL, 0, NULL, 0},
        {"127.0.0.1:", -EINVAL, 0, NULL, 0},
        {"127.0.0.1", -EINVAL, 0, NULL, 0},
        {"[127.0.0.1]:80", -EINVAL, 0, NULL, 0},
        {"::1:80", -EINVAL, 0, NULL, 0},
        {"[::1]", -EINVAL, 0, NULL, 0},
        {"[", -EINVAL, 0, NULL, 0},
        {"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1", -EINVAL, 0, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sockaddr_storage address = {.ss_family = AF_PACKET};
        char host[INET6_ADDRSTRLEN] = "";
        assert_int_equal(value_address(cases[i].text, &address), cases[i].result);
        if (cases[i].result < 0) {
            assert_int_equal(address.ss_family, AF_PACKET);
            continue;
        }
        assert_int_equal(address.ss_family, cases[i].family);
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        if (address.ss_family == AF_UNSPEC)
            continue;
        bool is4 = address.ss_family == AF_INET;
        inet_ntop(address.ss_family, is4 ? (const void *)&in4->sin_addr : &in6->sin6_addr, host,
                  sizeof(host));
        assert_string_equal(host, cases[i].host);
        assert_int_equal(ntohs(is4 ? in4->sin_port : in6->sin6_port), cases[i].port);
    }
}

static void test_state_directory(void **state)
{
    struct config c;
    char *error = NULL;

    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    config_init(&c);
    assert_int_equal(config_finish(&c, &error), 0);
    assert_string_equal(c.state_dir, "/var/lib/one");
    config_destroy(&c);
    config_init(&c);
    assert_int_equal(config_set(&c, "state-dir", "/mine", "--state-dir", &error), 0);
    assert_int_equal(config_finish(&c, &error), 0);
    assert_string_equal(c.state_dir, "/mine");
    config_destroy(&c);
    unsetenv("STATE_DIRECTORY");
}

static void test_shares(void **state)
{
    struct config c;
    struct vgpu_config change = config_vgpu_unset;
    struct sched_knobs knobs;
    char *error = NULL;

    config_init(&c);
    assert_int_equal(config_set(&c, "weight", "300", "--weight", &error), 0);
    assert_int_equal(config_add_vgpu(&c, "a", "--vgpu", &error), 0);
    assert_int_equal(config_vgpu_set(&c.vgpus[0], "cap", "12.5%", "cap", &error), 0);
    assert_int_equal(config_finish(&c, &error), 0);
    knobs = c.vgpus[0].knobs;
    assert_int_equal(knobs.weight, 300);
    assert_int_equal(knobs.cap_ppm, 125000);
    assert_int_equal(knobs.slice_ns, 4000000);

    /* A change leaves alone what it does not set. */
    assert_int_equal(config_vgpu_set(&change, "slice", "2ms", "slice", &error), 0);
    config_vgpu_merge_knobs(&change, &knobs);
    assert_int_equal(knobs.weight, 300);
    assert_int_equal(knobs.slice_ns, 2000000);

    static const char *const bad[][2] = {
        {"weight", "0"},     {"weight", "-1"},
        {"weight", "10001"}, {"weight", "1e3"},
        {"weight", "NaN"},   {"reservation", "96%"},
        {"cap", "nan"},      {"cap", "0.5%"},
        {"cap", "101%"},     {"cap", "inf"},
        {"slice", "-1ms"},   {"slice", "31ms"},
        {"slice", "4"},      {"slice", "99999999999999999999s"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct vgpu_config before = change;
        assert_int_equal(config_vgpu_set(&change, bad[i][0], bad[i][1], "set", &error), -EINVAL);
        assert_memory_equal(&before, &change, sizeof(change));
        assert_non_null(strstr(error, "allowed: "));
        free(error);
    }
    config_destroy(&c);
}

int main(void)
{
    setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsigned),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_bool_and_mode),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_mistakes),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_too_many_vgpus),
        cmocka_unit_test(test_command_line_keys),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_state_directory),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
