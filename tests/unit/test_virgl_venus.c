/* SPDX-License-Identifier: MIT */
/*
 * Vulkan of the virgl backend, on lavapipe in real workers of the real render server: capset,
 * contexts, blobs, fences on their timelines, and workers that end. Skipped where one of these is
 * missing.
 */
#include "virgl_fixture.h"

#include "mediator/base/util.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIP 77
#define VENUS_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(test_##name, virgl_set_up_vulkan, virgl_tear_down)

enum { VENUS = 4 };
enum { MEM_GUEST = 1, MEM_HOST3D = 2, MEM_HOST3D_GUEST = 3, MAPPABLE = 1, CACHED = 1 };
#define PAGE 4096u
#define RING_BYTES (32u * PAGE)

static int create_context(struct virgl_fixture *f, uint32_t ctx_id)
{
    return f->ops->ctx_create(f->b, ctx_id, VENUS, "test", 4);
}

/* What Venus has its rings in. */
static int create_shm(struct virgl_fixture *f, uint32_t ctx_id, uint32_t id)
{
    const struct backend_blob_args args = {
        .id = id, .ctx_id = ctx_id, .mem = MEM_HOST3D, .flags = MAPPABLE, .bytes = RING_BYTES};

    return f->ops->blob_create(f->b, &args);
}

/* ---- processes --------------------------------------------------------------------------------
 */

struct pids {
    pid_t list[16];
    size_t n;
};

/* The children of a process, by the kernel's list of all. */
static struct pids children(pid_t parent)
{
    struct pids found = {0};
    DIR *dir = opendir("/proc");
    const struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char path[64], line[512];
        int pid = atoi(entry->d_name), of = 0;
        char state = 0;
        if (pid <= 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fgets(line, sizeof(line), file) && strrchr(line, ')') &&
            sscanf(strrchr(line, ')'), ") %c %d", &state, &of) == 2 && of == parent && state != 'Z')
            if (found.n < ARRAY_SIZE(found.list))
                found.list[found.n++] = pid;
        fclose(file);
    }
    closedir(dir);
    return found;
}

static pid_t the_server(void)
{
    struct pids servers = children(getpid());

    assert_int_equal(servers.n, 1);
    return servers.list[0];
}

/* Newer contexts have larger pids, unless these begin anew just now. */
static pid_t newest_worker(void)
{
    struct pids workers = children(the_server());
    pid_t newest = 0;

    for (size_t i = 0; i < workers.n; i++)
        newest = MAX(newest, workers.list[i]);
    assert_true(newest > 0);
    return newest;
}

static void wait_until_gone(pid_t pid)
{
    char path[64], line[512];

    for (bool gone = false; !gone;) {
        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        FILE *file = fopen(path, "re");
        gone = !file || !fgets(line, sizeof(line), file) || strstr(line, ") Z ");
        if (file)
            fclose(file);
    }
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void test_capset(void **state)
{
    struct virgl_fixture *f = *state;
    uint32_t id, version, size, n_words = 0;

    assert_int_equal(f->ops->capset_count(f->b), 3);
    assert_int_equal(f->ops->capset_info(f->b, 2, &id, &version, &size), 0);
    assert_int_equal(id, VENUS);
    assert_true(size >= 160 && size % 4 == 0 && size < 65536);
    uint32_t *caps = malloc(size);
    assert_int_equal(f->ops->capset(f->b, VENUS, version, caps, size), 0);
    for (uint32_t i = 0; i < size / 4; i++)
        n_words += caps[i] != 0;
    assert_true(n_words > 3);
    assert_int_equal(f->ops->capset(f->b, VENUS, version + 1, caps, size), -EINVAL);
    free(caps);
    assert_non_null(strstr(f->ops->describe(f->b), "Vulkan"));
}

/* Nobody pays for Vulkan who does not use it. */
static void test_starts_when_needed(void **state)
{
    struct virgl_fixture *f = *state;

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(children(getpid()).n, 0);
    assert_int_equal(create_context(f, 2), 0);
    assert_int_equal(children(the_server()).n, 1);
    assert_int_equal(create_context(f, 3), 0);
    assert_int_equal(children(the_server()).n, 2);
}

static size_t read_file(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t len = fread(buf, 1, size - 1, file);
    fclose(file);
    buf[len] = '\0';
    return len;
}

/* What it inherits is what is needed, and nothing else. */
static void test_environment(void **state)
{
    static const char *const allowed[] = {
        "VK_DRIVER_FILES=", "VK_LOADER_LAYERS_DISABLE=", "MESA_SHADER_CACHE_DIR="};
    struct virgl_fixture *f = *state;
    char path[64], env[16384];
    unsigned n_fds = 0;

    assert_int_equal(setenv("VK_INSTANCE_LAYERS", "VK_LAYER_other", 1), 0);
    assert_int_equal(create_context(f, 1), 0);
    unsetenv("VK_INSTANCE_LAYERS");
    snprintf(path, sizeof(path), "/proc/%d/environ", the_server());
    size_t len = read_file(path, env, sizeof(env));
    for (const char *v = env; v < env + len; v += strlen(v) + 1) {
        bool fine = false;
        for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
            fine |= strncmp(v, allowed[i], strlen(allowed[i])) == 0;
        if (!fine)
            fail_msg("%s", v);
    }
    /* The standard ones, its socket, and a signalfd of its own. */
    snprintf(path, sizeof(path), "/proc/%d/fd", the_server());
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        n_fds += e->d_name[0] != '.';
    closedir(dir);
    assert_true(n_fds >= 4 && n_fds <= 6);
}

/* Its threads, and those of its workers, sleep no longer than they want to; ours do as before. */
static void test_timer_slack(void **state)
{
    struct virgl_fixture *f = *state;
    int ours = prctl(PR_GET_TIMERSLACK);
    char path[64], text[64];

    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(prctl(PR_GET_TIMERSLACK), ours);
    snprintf(path, sizeof(path), "/proc/%d/timerslack_ns", newest_worker());
    /* Not everybody may look. */
    if (read_file(path, text, sizeof(text)) > 0)
        assert_string_equal(text, "1\n");
}

static void test_shm_blob(void **state)
{
    struct virgl_fixture *f = *state;
    struct backend_blob_map map;

    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(create_shm(f, 1, 10), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 10), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(f->ops->blob_map(f->b, 10, &map), 0);
        assert_int_equal(map.offset, 0);
        assert_int_equal(map.map_info, CACHED);
        assert_true(lseek(map.fd, 0, SEEK_END) >= RING_BYTES);
        uint32_t *p = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, 0);
        assert_ptr_not_equal(p, MAP_FAILED);
        assert_int_equal(p[100], i);
        p[100] = 1;
        munmap(p, RING_BYTES);
        close(map.fd);
    }
    f->ops->resource_destroy(f->b, 10);
    assert_int_equal(f->ops->blob_map(f->b, 10, &map), -ENOENT);
}

static void test_bad_blobs(void **state)
{
    struct virgl_fixture *f = *state;
    static uint8_t memory[2 * PAGE];
    static struct iovec iov = {memory, sizeof(memory)};
    struct backend_blob_args args = {
        .id = 10, .ctx_id = 1, .mem = MEM_HOST3D, .flags = MAPPABLE, .blob_id = 77, .bytes = PAGE};
    struct backend_blob_map map;
    struct backend_transfer t = {.resource_id = 11, .box = {.w = 1, .h = 1, .d = 1}};

    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(create_context(f, 2), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 3, 2, "", 0), 0);
    args.ctx_id = 4;
    assert_int_equal(f->ops->blob_create(f->b, &args), -EINVAL); /* there is none */
    args.ctx_id = 3;
    assert_int_equal(f->ops->blob_create(f->b, &args), -EINVAL); /* of GL */
    args.ctx_id = 1;
    args.mem = MEM_HOST3D_GUEST;
    assert_int_equal(f->ops->blob_create(f->b, &args), -EINVAL);
    args.mem = MEM_HOST3D;
    assert_int_equal(f->ops->blob_create(f->b, &args), -EINVAL); /* no such memory object */
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 1), 0);
    virgl_wait_fence(f, 1, 0, 1);
    assert_int_equal(create_shm(f, 1, 12), 0);
    assert_int_equal(create_shm(f, 2, 10), 0);
    assert_int_equal(create_shm(f, 2, 10), -EEXIST);
    /* Nobody else gets it, nor is it pixels. */
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 10), -EINVAL);
    t.resource_id = 10;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    assert_int_equal(f->ops->read_pixels(f->b, 10, 0, 0, 1, 1, memory, 4), -EINVAL);

    /* Guest memory needs no context, and has nothing to be mapped. */
    args = (struct backend_blob_args){
        .id = 11, .mem = MEM_GUEST, .bytes = sizeof(memory), .iov = &iov, .iov_count = 1};
    assert_int_equal(f->ops->blob_create(f->b, &args), 0);
    assert_int_equal(f->ops->blob_map(f->b, 11, &map), -EOPNOTSUPP);
    assert_int_equal(f->ops->ctx_attach(f->b, 2, 11), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 3, 11), 0);
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    f->ops->resource_unback(f->b, 11);
    assert_int_equal(f->ops->resource_back(f->b, 11, &iov, 1), 0);
    f->ops->resource_destroy(f->b, 11);
}

static void test_fences(void **state)
{
    struct virgl_fixture *f = *state;

    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(create_context(f, 2), 0);
    /* Also such that are not in order, or twice the same: a guest can do that. */
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, UINT64_MAX), 0);
    assert_int_equal(f->ops->fence(f->b, true, 2, 0, 7), 0);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 7), 0);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 7), 0);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 0), 0);
    virgl_wait_fence(f, 1, 0, 0);
    virgl_wait_fence(f, 2, 0, 7);
    assert_int_equal(f->fences.count, 5);
    assert_int_equal(f->ops->fence(f->b, true, 1, 64, 8), -EINVAL);
    /* A timeline of no queue: the worker takes it ill, but nobody waits for ever. */
    assert_int_equal(f->ops->fence(f->b, true, 2, 5, 8), 0);
    virgl_wait_fence(f, 2, 5, 8);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 10), 0);
    virgl_wait_fence(f, 1, 0, 10);
    /* That of the device is GL's. */
    assert_int_equal(f->ops->fence(f->b, false, 1, 0, 9), 0);
    virgl_wait_fence(f, 0, 0, 9);
}

/* Nobody waits for ever for a context that is gone. */
static void test_fence_of_ended_context(void **state)
{
    struct virgl_fixture *f = *state;

    assert_int_equal(create_context(f, 1), 0);
    pid_t worker = newest_worker();
    kill(worker, SIGSTOP);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(f->ops->fence(f->b, true, 1, (uint32_t)i % 2, i), 0);
    assert_false(virgl_is_done(f, 1, 1, 3));
    f->ops->ctx_destroy(f->b, 1);
    for (uint64_t i = 1; i <= 3; i++)
        assert_true(virgl_is_done(f, 1, (uint32_t)i % 2, i));
    assert_int_equal(f->fences.count, 3);
    wait_until_gone(worker);
}

/* A worker's end is the end of one context. */
static void test_worker_killed(void **state)
{
    struct virgl_fixture *f = *state;
    uint32_t word = 0;

    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(create_context(f, 2), 0);
    pid_t worker = newest_worker();
    kill(worker, SIGSTOP);
    assert_int_equal(f->ops->fence(f->b, true, 2, 0, 1), 0);
    kill(worker, SIGKILL);
    virgl_wait_fence(f, 2, 0, 1);
    wait_until_gone(worker);
    assert_int_equal(f->ops->submit(f->b, 2, &word, 4), -EIO);
    assert_int_equal(f->ops->fence(f->b, true, 2, 3, 2), 0);
    assert_true(virgl_is_done(f, 2, 3, 2));
    assert_int_equal(create_shm(f, 2, 10), -EIO);

    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 3), 0);
    virgl_wait_fence(f, 1, 0, 3);
    assert_int_equal(create_shm(f, 1, 11), 0);
    f->ops->ctx_destroy(f->b, 2);
    assert_int_equal(create_context(f, 2), 0);
    assert_int_equal(f->ops->fence(f->b, true, 2, 0, 4), 0);
    virgl_wait_fence(f, 2, 0, 4);
}

static unsigned threads(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/task");

    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* What the event loop has to do now. */
static void dispatch_all(struct virgl_fixture *f)
{
    struct pollfd p = {.fd = f->ops->event_fd(f->b), .events = POLLIN};

    while (poll(&p, 1, 0) == 1)
        f->ops->dispatch(f->b);
}

/* virglrenderer's thread for its context would go on polling a socket that is closed. Nothing was
 * said to this worker, nor did it say anything: there is no layer here. */
static void test_worker_ended(void **state)
{
    struct virgl_fixture *f = *state;
    uint32_t word = 0;

    assert_int_equal(create_context(f, 1), 0);
    unsigned before = threads();
    assert_int_equal(create_context(f, 2), 0);
    assert_true(threads() > before);
    pid_t worker = newest_worker();
    kill(worker, SIGKILL);
    wait_until_gone(worker);
    assert_true(threads() > before);
    dispatch_all(f);
    while (threads() > before) /* a thread that was joined is there for a moment more */
        sched_yield();
    assert_int_equal(f->ops->submit(f->b, 2, &word, 4), -EIO);
    /* The other one is as it was. */
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 3), 0);
    virgl_wait_fence(f, 1, 0, 3);
    f->ops->ctx_destroy(f->b, 2);
}

/* That of the server is the end of all contexts to come, until the driver starts anew. */
static void test_server_killed(void **state)
{
    struct virgl_fixture *f = *state;

    assert_int_equal(create_context(f, 1), 0);
    pid_t server = the_server();
    kill(server, SIGKILL);
    wait_until_gone(server);
    assert_true(create_context(f, 2) < 0);
    assert_int_equal(f->ops->ctx_create(f->b, 3, 2, "", 0), 0);
    f->ops->reset(f->b);
    assert_int_equal(create_context(f, 2), 0);
    assert_int_equal(f->ops->fence(f->b, true, 2, 0, 1), 0);
    virgl_wait_fence(f, 2, 0, 1);
}

/* GL goes on beside it, and its fences stay its own. */
static void test_beside_gl(void **state)
{
    struct virgl_fixture *f = *state;
    struct virgl_stream s = {0};
    uint8_t pixel[4] = {0};

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(virgl_create_texture(f, 1, B8G8R8A8, 16, 16, 0), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 1), 0);
    assert_int_equal(create_context(f, 2), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 2, 1), -EINVAL);
    virgl_put_draw_to(&s, 1, 1, B8G8R8A8);
    virgl_put_clear(&s, 0, 1, 0, 1);
    assert_int_equal(virgl_submit(f, 1, &s), 0);
    assert_int_equal(f->ops->fence(f->b, true, 2, 0, 5), 0);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 5), 0);
    virgl_wait_fence(f, 1, 0, 5);
    virgl_wait_fence(f, 2, 0, 5);
    assert_int_equal(f->ops->read_pixels(f->b, 1, 3, 3, 1, 1, pixel, 4), 0);
    assert_int_equal(pixel[1], 255);
    f->ops->ctx_destroy(f->b, 2);
    assert_int_equal(virgl_submit(f, 1, &s), 0);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 6), 0);
    virgl_wait_fence(f, 0, 0, 6);
}

static void test_reset(void **state)
{
    struct virgl_fixture *f = *state;

    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(create_shm(f, 1, 10), 0);
    pid_t worker = newest_worker();
    kill(worker, SIGSTOP);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 1), 0);
    f->ops->reset(f->b);
    wait_until_gone(worker);
    assert_int_equal(f->fences.count, 0);
    assert_int_equal(create_context(f, 1), 0);
    assert_int_equal(create_shm(f, 1, 10), 0);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 1), 0);
    virgl_wait_fence(f, 1, 0, 1);
}

static void test_nothing_left(void **state)
{
    struct virgl_fixture *f = *state;
    pid_t server, worker;

    assert_int_equal(create_context(f, 1), 0);
    server = the_server();
    worker = newest_worker();
    kill(worker, SIGSTOP);
    assert_int_equal(virgl_tear_down(state), 0);
    wait_until_gone(worker);
    assert_int_equal(kill(server, 0), -1); /* reaped */
    assert_int_equal(virgl_set_up(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VENUS_TEST(capset),        VENUS_TEST(starts_when_needed),
        VENUS_TEST(environment),   VENUS_TEST(timer_slack),
        VENUS_TEST(shm_blob),      VENUS_TEST(bad_blobs),
        VENUS_TEST(fences),        VENUS_TEST(fence_of_ended_context),
        VENUS_TEST(worker_killed), VENUS_TEST(worker_ended),
        VENUS_TEST(server_killed), VENUS_TEST(beside_gl),
        VENUS_TEST(reset),         VENUS_TEST(nothing_left),
    };

    if (!virgl_available("test_virgl_venus", BACKEND_VULKAN_ON))
        return SKIP;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
