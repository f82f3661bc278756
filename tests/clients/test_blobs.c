/* SPDX-License-Identifier: MIT */
/*
 * Blobs and their mapping, against the fake server: what is mapped is what the server has, a server
 * that shows something else than was asked for is not believed, and nothing is left behind.
 */
#include "tests/clients/fake_server.h"
#include "tests/clients/vgpu.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define REGION_BYTES (1ull << 20)
#define BLOB_BYTES (256ull << 10)

struct scene {
    struct fake_server *server;
    struct aliquot_vgpu *vgpu;
    struct aliquot_context *context;
    int fds_before;
};

static void begin(struct scene *s, const struct fake_options *options)
{
    int fd;

    s->fds_before = count_fds();
    s->server = fake_server_start(options, &fd);
    s->vgpu = open_vgpu(NULL, fd, PATIENT_MS);
    s->context = make_context(s->vgpu);
}

static void end(struct scene *s)
{
    aliquot_close(s->vgpu);
    fake_server_stop(s->server);
    assert_int_equal(count_fds(), s->fds_before);
}

static void begin_with(struct scene *s, enum fake_shmem_fault fault)
{
    begin(s, &(struct fake_options){.shmem_bytes = REGION_BYTES, .shmem_fault = fault});
}

static struct aliquot_resource *make_blob(struct scene *s, enum aliquot_blob_mem mem,
                                          uint64_t bytes)
{
    const struct aliquot_blob_args args = {
        .mem = mem, .flags = ALIQUOT_BLOB_MAPPABLE, .bytes = bytes};
    struct aliquot_resource *blob = NULL;

    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), 0);
    return blob;
}

static uint64_t free_bytes(struct scene *s)
{
    struct aliquot_info info;

    /* What is being given back has been, after it. */
    assert_int_equal(aliquot_sync(s->vgpu), 0);
    assert_int_equal(aliquot_get_info(s->vgpu, &info), 0);
    return info.host_visible_free_bytes;
}

static bool is_filled(const void *memory, size_t bytes, uint8_t value)
{
    const uint8_t *p = memory;

    return p[0] == value && memcmp(p, p + 1, bytes - 1) == 0;
}

static void test_mapping(void **state)
{
    static const enum fake_shmem_fault ways[] = {SHMEM_FINE,   SHMEM_ASKING, SHMEM_UNSAID,
                                                 SHMEM_PIECES, SHMEM_NEWS,   SHMEM_TWICE};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct scene s;
        begin_with(&s, ways[i]);
        struct aliquot_resource *blob = make_blob(&s, ALIQUOT_BLOB_HOST3D, BLOB_BYTES);
        uint8_t id = (uint8_t)aliquot_resource_id(blob);
        void *memory = NULL, *again = NULL, *own = NULL, *part = NULL;
        size_t bytes = 0;

        assert_null(aliquot_resource_map(blob, NULL));
        assert_int_equal(free_bytes(&s), REGION_BYTES);
        assert_int_equal(aliquot_blob_map(blob, &memory, &bytes), 0);
        assert_int_equal(bytes, BLOB_BYTES);
        assert_true(is_filled(memory, bytes, id));
        assert_int_equal(free_bytes(&s), REGION_BYTES - BLOB_BYTES);
        assert_int_equal(aliquot_blob_map(blob, &again, NULL), 0);
        assert_ptr_equal(memory, again);
        memset(memory, 99, 100);

        /* Mapped by the caller, who keeps it. The fake server makes new memory for it. */
        assert_int_equal(aliquot_blob_mmap(blob, BLOB_BYTES, PROT_READ, MAP_SHARED, 0, &own), 0);
        assert_int_equal(
            aliquot_blob_mmap(blob, 4096, PROT_READ, MAP_SHARED, BLOB_BYTES - 4096, &part), 0);
        assert_int_equal(free_bytes(&s), REGION_BYTES - BLOB_BYTES);
        aliquot_resource_destroy(blob);
        assert_int_equal(free_bytes(&s), REGION_BYTES);
        assert_true(is_filled(own, BLOB_BYTES, id));
        assert_true(is_filled(part, 4096, id));
        munmap(own, BLOB_BYTES);
        munmap(part, 4096);
        end(&s);
    }
}

static void test_mapping_faults(void **state)
{
    for (enum fake_shmem_fault fault = SHMEM_NOTHING; fault <= SHMEM_UNMAP_FD; fault++) {
        struct scene s;
        if (fault == SHMEM_TWICE) /* the second time is refused, that is all */
            continue;
        begin_with(&s, fault);
        struct aliquot_resource *blob = make_blob(&s, ALIQUOT_BLOB_HOST3D, BLOB_BYTES);
        int error = fault == SHMEM_CLOSE ? -ECONNRESET : -EPROTO;
        void *memory = NULL;
        char text[200];

        int result = aliquot_blob_map(blob, &memory, NULL);
        if (result != error)
            fail_msg("fault %u: %d instead of %d", fault, result, error);
        assert_null(memory);
        assert_int_equal(aliquot_sync(s.vgpu), error);
        assert_true(aliquot_last_error(s.vgpu, text, sizeof(text)) > 0);
        aliquot_resource_destroy(blob);
        end(&s);
    }
}

/* The device may have no room; that is no fault, and leaves nothing behind. */
static void test_refused(void **state)
{
    struct scene s;
    void *memory = NULL;

    begin_with(&s, SHMEM_REFUSE);
    struct aliquot_resource *blob = make_blob(&s, ALIQUOT_BLOB_HOST3D, BLOB_BYTES);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(aliquot_blob_map(blob, &memory, NULL), -ENOMEM);
        assert_int_equal(free_bytes(&s), REGION_BYTES);
    }
    assert_null(memory);
    aliquot_resource_destroy(blob);
    assert_int_equal(aliquot_sync(s.vgpu), 0);
    end(&s);
}

static void test_region_full(void **state)
{
    struct aliquot_resource *blobs[REGION_BYTES / BLOB_BYTES], *one_more, *large;
    struct scene s;
    void *memory = NULL;

    begin_with(&s, SHMEM_FINE);
    large = make_blob(&s, ALIQUOT_BLOB_HOST3D, REGION_BYTES + 4096);
    assert_int_equal(aliquot_blob_map(large, &memory, NULL), -ENOMEM);
    for (size_t i = 0; i < REGION_BYTES / BLOB_BYTES; i++) {
        blobs[i] = make_blob(&s, ALIQUOT_BLOB_HOST3D, BLOB_BYTES);
        assert_int_equal(aliquot_blob_map(blobs[i], &memory, NULL), 0);
    }
    one_more = make_blob(&s, ALIQUOT_BLOB_HOST3D, BLOB_BYTES);
    assert_int_equal(aliquot_resource_wait(one_more), 0);
    assert_int_equal(aliquot_blob_map(one_more, &memory, NULL), -ENOMEM);
    aliquot_resource_destroy(blobs[1]);
    assert_int_equal(aliquot_blob_map(one_more, &memory, NULL), 0); /* waits for the room */
    assert_true(is_filled(memory, BLOB_BYTES, (uint8_t)aliquot_resource_id(one_more)));
    assert_int_equal(free_bytes(&s), 0);
    end(&s); /* with all that is mapped */
}

static void test_arguments(void **state)
{
    const struct aliquot_blob_args good = {
        .mem = ALIQUOT_BLOB_HOST3D, .flags = ALIQUOT_BLOB_MAPPABLE, .bytes = 4096};
    struct aliquot_blob_args bad[] = {good, good, good, good, good, good, good};
    struct aliquot_resource *blob = NULL;
    struct scene s;
    void *memory = NULL;

    begin_with(&s, SHMEM_FINE);
    bad[0].mem = 0;
    bad[1].mem = 4;
    bad[2].flags = 8;
    bad[3].bytes = 0;
    bad[4].bytes = 4097;
    bad[5].bytes = 1ull << 63;
    bad[6].reserved = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(aliquot_resource_create_blob(s.vgpu, s.context, &bad[i], &blob), -EINVAL);
    assert_int_equal(aliquot_resource_create_blob(s.vgpu, NULL, &good, &blob), -EINVAL);
    bad[0] = (struct aliquot_blob_args){.mem = ALIQUOT_BLOB_GUEST, .bytes = 4096, .blob_id = 1};
    assert_int_equal(aliquot_resource_create_blob(s.vgpu, NULL, &bad[0], &blob), -EINVAL);
    assert_null(blob);

    blob = make_blob(&s, ALIQUOT_BLOB_HOST3D, 8192);
    assert_int_equal(aliquot_blob_mmap(blob, 0, PROT_READ, MAP_SHARED, 0, &memory), -EINVAL);
    assert_int_equal(aliquot_blob_mmap(blob, 8192, PROT_READ, MAP_SHARED, 4096, &memory), -EINVAL);
    assert_int_equal(aliquot_blob_mmap(blob, 4096, PROT_READ, MAP_SHARED, 8, &memory), -EINVAL);
    assert_int_equal(aliquot_blob_mmap(blob, 4096, PROT_READ, MAP_SHARED, ~0xfffull, &memory),
                     -EINVAL);
    struct aliquot_blob_args hidden = good;
    hidden.flags = 0;
    assert_int_equal(aliquot_resource_create_blob(s.vgpu, s.context, &hidden, &blob), 0);
    assert_int_equal(aliquot_blob_map(blob, &memory, NULL), -EINVAL);
    assert_null(memory);
    end(&s);
}

/* Blobs of guest memory need no region, and those of the host can't be mapped without. */
static void test_no_region(void **state)
{
    struct scene s;
    void *memory = NULL;
    size_t bytes;

    begin(&s, &(struct fake_options){
                  .shmem_bytes = REGION_BYTES, .no_region = true, .shmem_fault = SHMEM_UNSAID});
    struct aliquot_resource *guest = make_blob(&s, ALIQUOT_BLOB_GUEST, 8192);
    struct aliquot_resource *host = make_blob(&s, ALIQUOT_BLOB_HOST3D, 8192);
    assert_int_equal(free_bytes(&s), 0);
    assert_int_equal(aliquot_blob_map(host, &memory, NULL), -EOPNOTSUPP);
    assert_int_equal(aliquot_blob_map(guest, &memory, &bytes), 0);
    assert_ptr_equal(memory, aliquot_resource_map(guest, NULL));
    assert_int_equal(bytes, 8192);
    memset(memory, 1, bytes);
    aliquot_resource_destroy(guest);
    end(&s);

    begin(&s, &(struct fake_options){0});
    const struct aliquot_blob_args args = {.mem = ALIQUOT_BLOB_GUEST, .bytes = 4096};
    assert_int_equal(aliquot_resource_create_blob(s.vgpu, NULL, &args, &guest), -EOPNOTSUPP);
    end(&s);
}

static void test_bad_regions(void **state)
{
    static const uint64_t sizes[] = {4097, 1, 1ull << 63, ~0ull};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int before = count_fds(), fd;
        struct fake_server *server =
            fake_server_start(&(struct fake_options){.shmem_bytes = sizes[i]}, &fd);
        struct aliquot_vgpu *vgpu = NULL;
        assert_int_equal(
            aliquot_open(&(struct aliquot_open_args){.fd = fd, .timeout_ms = PATIENT_MS}, &vgpu),
            -EPROTO);
        close(fd);
        fake_server_stop(server);
        assert_int_equal(count_fds(), before);
    }
}

struct worker {
    pthread_t thread;
    struct scene *scene;
    struct aliquot_resource *shared;
    void *shared_memory;
    int error; /* the first; asserted by the test's own thread */
};

static void *map_and_free(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < 10 && w->error == 0; i++) {
        const struct aliquot_blob_args args = {
            .mem = ALIQUOT_BLOB_HOST3D, .flags = ALIQUOT_BLOB_MAPPABLE, .bytes = 8192};
        struct aliquot_resource *blob = NULL;
        void *memory = NULL;
        w->error = aliquot_resource_create_blob(w->scene->vgpu, w->scene->context, &args, &blob);
        if (w->error == 0)
            w->error = aliquot_blob_map(blob, &memory, NULL);
        if (w->error == 0 && !is_filled(memory, 8192, (uint8_t)aliquot_resource_id(blob)))
            w->error = 1;
        if (w->error == 0)
            w->error = aliquot_blob_map(w->shared, &w->shared_memory, NULL);
        aliquot_resource_destroy(blob);
    }
    return NULL;
}

static void test_threads(void **state)
{
    static const enum fake_shmem_fault ways[] = {SHMEM_FINE, SHMEM_ASKING, SHMEM_UNSAID};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct worker workers[4];
        struct scene s;
        begin_with(&s, ways[i]);
        struct aliquot_resource *shared = make_blob(&s, ALIQUOT_BLOB_HOST3D, 4096);
        for (unsigned w = 0; w < 4; w++) {
            workers[w] = (struct worker){.scene = &s, .shared = shared};
            pthread_create(&workers[w].thread, NULL, map_and_free, &workers[w]);
        }
        for (unsigned w = 0; w < 4; w++) {
            pthread_join(workers[w].thread, NULL);
            assert_int_equal(workers[w].error, 0);
            assert_ptr_equal(workers[w].shared_memory, workers[0].shared_memory);
        }
        assert_int_equal(free_bytes(&s), REGION_BYTES - 4096);
        end(&s);
    }
}

/* A fork has its own copies of the mappings, and gives only those up. */
static void test_fork(void **state)
{
    struct scene s;
    void *memory = NULL;
    int status;

    begin_with(&s, SHMEM_FINE);
    struct aliquot_resource *blob = make_blob(&s, ALIQUOT_BLOB_HOST3D, 4096);
    uint8_t id = (uint8_t)aliquot_resource_id(blob);
    assert_int_equal(aliquot_blob_map(blob, &memory, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        void *other = NULL;
        bool fine = is_filled(memory, 4096, id) &&
                    aliquot_blob_mmap(blob, 4096, PROT_READ, MAP_SHARED, 0, &other) == -EOWNERDEAD;
        aliquot_resource_destroy(blob);
        aliquot_close(s.vgpu);
        _exit(fine ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(is_filled(memory, 4096, id));
    assert_int_equal(aliquot_sync(s.vgpu), 0);
    end(&s);
}

/* A fence on a timeline needs no commands. */
static void test_fence_alone(void **state)
{
    struct aliquot_fence *fence = NULL;
    struct scene s;

    begin_with(&s, SHMEM_FINE);
    assert_int_equal(aliquot_submit(s.context, NULL, 0, 5, &fence), 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(aliquot_submit(s.context, NULL, 0, 5, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(s.context, nop, 4, 64, &fence), -EINVAL);
    end(&s);
}

/* ---- what ends on the GPU -------------------------------------------------------------------- */

static void begin_showing(struct scene *s, enum fake_completions how)
{
    begin(s, &(struct fake_options){
                 .shmem_bytes = REGION_BYTES, .shmem_fault = SHMEM_UNSAID, .completions = how});
}

static void *wait_for_more(void *opaque)
{
    struct scene *s = opaque;
    uint32_t seen = 0, count = 0;

    if (aliquot_completions(s->vgpu, &seen) < 0)
        return s;
    for (count = seen; count == seen; aliquot_completions(s->vgpu, &count))
        if (aliquot_completions_wait(s->vgpu, seen, 3600000000000ll) < 0)
            return s;
    return NULL;
}

static void *sleep_to_the_end(void *opaque)
{
    struct scene *s = opaque;
    int result = 0;

    while (result == 0) {
        uint32_t seen;
        result = aliquot_completions(s->vgpu, &seen);
        if (result == 0)
            result = aliquot_completions_wait(s->vgpu, seen, 3600000000000ll);
    }
    return result == -ECONNRESET ? NULL : s;
}

static void test_completions(void **state)
{
    static const enum fake_completions ways[] = {COMPLETIONS_SHOWN, COMPLETIONS_TWICE};

    for (unsigned i = 0; i < 2; i++) {
        struct scene s;
        uint32_t before, after;
        pthread_t thread;
        void *failed;

        begin_showing(&s, ways[i]);
        assert_int_equal(aliquot_completions(s.vgpu, &before), 0);
        assert_int_equal(aliquot_sync(s.vgpu), 0);
        assert_int_equal(aliquot_completions(s.vgpu, &after), 0);
        assert_int_not_equal(after, before);
        /* There was one since; and none in time. */
        assert_int_equal(aliquot_completions_wait(s.vgpu, before, 3600000000000ll), 0);
        assert_int_equal(aliquot_completions_wait(s.vgpu, after, 1000), 0);

        pthread_create(&thread, NULL, wait_for_more, &s);
        while (pthread_tryjoin_np(thread, &failed) == EBUSY)
            assert_int_equal(aliquot_sync(s.vgpu), 0);
        assert_null(failed);
        end(&s);
    }
}

/* Who sleeps wakes up when the vGPU is lost, however long he meant to. */
static void test_completions_end(void **state)
{
    struct scene s;
    pthread_t thread;
    void *failed = NULL;

    begin_showing(&s, COMPLETIONS_SHOWN);
    pthread_create(&thread, NULL, sleep_to_the_end, &s);
    fake_server_kill(s.server);
    while (aliquot_sync(s.vgpu) == 0)
        ;
    pthread_join(thread, &failed);
    assert_null(failed);
    end(&s);
}

/* A server that shows something else shows nothing, and is served otherwise. */
static void test_completions_faults(void **state)
{
    for (enum fake_completions how = COMPLETIONS_UNANNOUNCED; how <= COMPLETIONS_PIPE; how++) {
        struct scene s;
        uint32_t count;

        begin_showing(&s, how);
        assert_int_equal(aliquot_sync(s.vgpu), 0);
        assert_int_equal(aliquot_completions(s.vgpu, &count), -EOPNOTSUPP);
        assert_int_equal(aliquot_completions_wait(s.vgpu, 0, 1000), -EOPNOTSUPP);
        end(&s);
    }
}

/* A mapping without a descriptor breaks the protocol, whatever it is of. */
static void test_completions_without_descriptor(void **state)
{
    int before = count_fds(), fd;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.shmem_bytes = REGION_BYTES,
                                                 .shmem_fault = SHMEM_UNSAID,
                                                 .completions = COMPLETIONS_NO_FD},
                          &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, PATIENT_MS);
    uint32_t count;

    while (aliquot_sync(vgpu) == 0)
        ;
    assert_int_equal(aliquot_sync(vgpu), -EPROTO);
    assert_int_equal(aliquot_completions(vgpu, &count), -EOPNOTSUPP);
    aliquot_close(vgpu);
    fake_server_stop(server);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_mapping_faults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_region_full),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_no_region),
        cmocka_unit_test(test_bad_regions),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fence_alone),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_completions_faults),
        cmocka_unit_test(test_completions_without_descriptor),
        cmocka_unit_test(test_completions_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
