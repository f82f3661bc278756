/* SPDX-License-Identifier: MIT */
#include "mediator/base/util.h"
#include "mediator/renderer/guest_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096ull

/* Mappings of this process that have the memfd's name: what leaks would show in. */
static unsigned count_maps(void)
{
    char line[512];
    unsigned n = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strstr(line, "memfd:guest-mem-test") != NULL)
            n++;
    fclose(f);
    return n;
}

static int make_file(uint64_t size)
{
    int fd = memfd_create("guest-mem-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static struct vhost_user_region region(uint64_t gpa, uint64_t size, uint64_t uva, uint64_t offset)
{
    return (struct vhost_user_region){.gpa = gpa, .size = size, .uva = uva, .mmap_offset = offset};
}

static int set_up(void **state)
{
    struct guest_mem *mem = malloc(sizeof(*mem));
    guest_mem_init(mem);
    *state = mem;
    return 0;
}

static int tear_down(void **state)
{
    guest_mem_finish(*state);
    free(*state);
    return count_maps() == 0 ? 0 : -1;
}

static int add(struct guest_mem *mem, struct vhost_user_region r, int fd)
{
    const char *reason = NULL;
    int result = guest_mem_add(mem, &r, fd, &reason);
    assert_true((result < 0) == (reason != NULL));
    return result;
}

static void translates_inside_only(void **state)
{
    struct guest_mem *mem = *state;
    _cleanup_close_ int fd = make_file(4 * PAGE);
    assert_int_equal(pwrite(fd, "x", 1, 2 * PAGE + 7), 1);
    assert_int_equal(add(mem, region(0x10000, 2 * PAGE, 0x700000, 2 * PAGE), fd), 0);

    uint64_t len = 100;
    char *p = guest_mem_translate(mem, 0x10007, &len);
    assert_non_null(p);
    assert_int_equal(*p, 'x');
    assert_int_equal(len, 100);

    len = UINT64_MAX; /* cut to what is there, without wrapping */
    assert_non_null(guest_mem_translate(mem, 0x10001, &len));
    assert_int_equal(len, 2 * PAGE - 1);

    len = 2;
    assert_non_null(guest_mem_translate(mem, 0x10000 + 2 * PAGE - 1, &len));
    assert_int_equal(len, 1);

    static const uint64_t outside[] = {0, 0xffff, 0x10000 + 2 * PAGE, UINT64_MAX, 1ull << 63};
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        len = 1;
        assert_null(guest_mem_translate(mem, outside[i], &len));
    }
}

static void neighbours_are_separate(void **state)
{
    struct guest_mem *mem = *state;
    _cleanup_close_ int a = make_file(PAGE), b = make_file(PAGE);
    /* The later one first: the table is sorted by address, not by arrival. */
    assert_int_equal(add(mem, region(2 * PAGE, PAGE, 0x20000, 0), b), 0);
    assert_int_equal(add(mem, region(PAGE, PAGE, 0x10000, 0), a), 0);

    uint64_t len = 3 * PAGE;
    assert_non_null(guest_mem_translate(mem, PAGE, &len));
    assert_int_equal(len, PAGE);
    len = PAGE;
    assert_non_null(guest_mem_translate(mem, 2 * PAGE, &len));
    assert_int_equal(len, PAGE);
    len = 1;
    assert_null(guest_mem_translate(mem, PAGE - 1, &len));
    assert_null(guest_mem_translate(mem, 3 * PAGE, &len));
    close(b);
}

static void refuses_bad_regions(void **state)
{
    struct guest_mem *mem = *state;
    _cleanup_close_ int fd = make_file(4 * PAGE);
    static const struct vhost_user_region bad[] = {
        {0x10000, 0, 0x700000, 0},                        /* empty */
        {UINT64_MAX - PAGE + 1, PAGE, 0x700000, 0},       /* ends at 2^64 */
        {UINT64_MAX - PAGE + 1, 2 * PAGE, 0x700000, 0},   /* wraps */
        {0x10000, PAGE, UINT64_MAX - PAGE + 1, 0},        /* uva wraps */
        {0x10000, PAGE, 0x700000, UINT64_MAX - PAGE + 1}, /* offset wraps */
        {0x10000, UINT64_MAX, 0x700000, 0},               /* everything */
        {0x10000, 5 * PAGE, 0x700000, 0},                 /* longer than the file */
        {0x10000, 4 * PAGE, 0x700000, PAGE},
        {0x10000, PAGE, 0x700000, 4 * PAGE},
        {0x10000, PAGE, 0x700000, 1ull << 62},
        {0x10000, PAGE, 0x700000, 8}, /* misaligned */
        {0x10008, PAGE, 0x700000, 0},
        {0x10000, PAGE, 0x700008, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(add(mem, bad[i], fd), -EINVAL);

    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(add(mem, region(0x10000, PAGE, 0x700000, 0), pipe_fds[0]), -EINVAL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(mem->count, 0);
    assert_int_equal(count_maps(), 0);
}

static void refuses_overlap(void **state)
{
    struct guest_mem *mem = *state;
    _cleanup_close_ int fd = make_file(4 * PAGE);
    uint64_t at = 0x10000;
    assert_int_equal(add(mem, region(at, 2 * PAGE, 0x700000, 0), fd), 0);
    static const uint64_t other = 0x900000; /* uva */
    assert_int_equal(add(mem, region(at, 2 * PAGE, other, 0), fd), -EINVAL);
    assert_int_equal(add(mem, region(at, PAGE, other, 0), fd), -EINVAL);
    assert_int_equal(add(mem, region(at + PAGE, PAGE, other, 0), fd), -EINVAL);
    assert_int_equal(add(mem, region(at + PAGE, 2 * PAGE, other, 0), fd), -EINVAL);
    assert_int_equal(add(mem, region(at - PAGE, 2 * PAGE, other, 0), fd), -EINVAL);
    assert_int_equal(add(mem, region(at - PAGE, 4 * PAGE, other, 0), fd), -EINVAL);
    assert_int_equal(count_maps(), 1);
    assert_int_equal(add(mem, region(at - PAGE, PAGE, 0x700000 - PAGE, 0), fd), 0);
    assert_int_equal(add(mem, region(0, 2 * PAGE, 0x700000, 0), fd), 0); /* an alias is fine */
    assert_int_equal(add(mem, region(at + 2 * PAGE, PAGE, 0x700000 + 2 * PAGE, 0), fd), 0);
}

static void has_a_limit(void **state)
{
    struct guest_mem *mem = *state;
    _cleanup_close_ int fd = make_file(PAGE);
    for (uint64_t i = 0; i < GUEST_MEM_REGIONS_MAX; i++)
        assert_int_equal(add(mem, region(i * PAGE, PAGE, i * PAGE, 0), fd), 0);
    assert_int_equal(add(mem, region(1ull << 40, PAGE, 0, 0), fd), -ENOSPC);
    assert_int_equal(count_maps(), 1); /* the same page of the same file: one mapping */
}

static void removes_what_was_added(void **state)
{
    struct guest_mem *mem = *state;
    const char *reason = NULL;
    _cleanup_close_ int fd = make_file(2 * PAGE);
    struct vhost_user_region r = region(0x10000, PAGE, 0x700000, PAGE);
    assert_int_equal(add(mem, r, fd), 0);

    struct vhost_user_region other[] = {r, r, r, region(0, PAGE, 0, 0)};
    other[0].gpa += PAGE;
    other[1].uva += PAGE;
    other[2].size += PAGE;
    for (size_t i = 0; i < ARRAY_SIZE(other); i++)
        assert_int_equal(guest_mem_remove(mem, &other[i], &reason), -ENOENT);

    r.mmap_offset = 12345; /* not looked at, says the protocol */
    assert_int_equal(guest_mem_remove(mem, &r, &reason), 0);
    assert_int_equal(guest_mem_remove(mem, &r, &reason), -ENOENT);
    uint64_t len = 1;
    assert_null(guest_mem_translate(mem, 0x10000, &len));
    assert_int_equal(count_maps(), 0);
}

static void reference_outlives_removal(void **state)
{
    struct guest_mem *mem = *state;
    const char *reason;
    _cleanup_close_ int fd = make_file(PAGE);
    struct vhost_user_region r = region(0x10000, PAGE, 0x700000, 0);
    assert_int_equal(add(mem, r, fd), 0);

    struct guest_map *map;
    uint64_t len = 4;
    char *p = guest_mem_ref(mem, 0x10010, &len, &map);
    assert_int_equal(guest_mem_remove(mem, &r, &reason), 0);
    p[0] = 'y'; /* still there, and still the guest's memory */
    char c;
    assert_int_equal(pread(fd, &c, 1, 0x10), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(count_maps(), 1);
    guest_map_unref(map);
    assert_int_equal(count_maps(), 0);
}

static void pins_outlive_removal(void **state)
{
    struct guest_mem *mem = *state;
    struct guest_pins *pins = calloc(1, sizeof(*pins));
    const char *reason;
    _cleanup_close_ int fd = make_file(PAGE);
    struct vhost_user_region r = region(0x10000, PAGE, 0x700000, 0);
    assert_int_equal(add(mem, r, fd), 0);
    assert_true(guest_mem_pin(mem, pins));
    assert_true(guest_mem_pin(mem, pins));
    assert_int_equal(pins->count, 1);
    assert_int_equal(guest_mem_remove(mem, &r, &reason), 0);
    assert_int_equal(count_maps(), 1);
    guest_pins_drop(pins);
    assert_int_equal(count_maps(), 0);
    free(pins);
}

static void table_keeps_what_stays(void **state)
{
    struct guest_mem *mem = *state;
    const char *reason;
    _cleanup_close_ int a = make_file(2 * PAGE), b = make_file(PAGE);
    int again = dup(a); /* another descriptor of the same file */
    struct vhost_user_region regions[] = {region(0x10000, PAGE, 0x700000, 0),
                                          region(0x20000, PAGE, 0x800000, PAGE)};
    assert_int_equal(guest_mem_set(mem, regions, (int[]){a, a}, 2, &reason), 0);
    uint64_t len = 1;
    void *kept = guest_mem_translate(mem, 0x20000, &len);

    /* One goes, one comes, one stays, though it has moved in the front-end's address space. */
    struct vhost_user_region next[] = {region(0x20000, PAGE, 0x900000, PAGE),
                                       region(0x30000, PAGE, 0xa00000, 0)};
    assert_int_equal(guest_mem_set(mem, next, (int[]){again, b}, 2, &reason), 0);
    assert_ptr_equal(guest_mem_translate(mem, 0x20000, &len), kept);
    assert_null(guest_mem_translate(mem, 0x10000, &len));
    assert_non_null(guest_mem_translate(mem, 0x30000, &len));
    struct guest_map *map;
    assert_ptr_equal(guest_mem_uva_ref(mem, 0x900000, PAGE, 16, &map), kept);
    guest_map_unref(map);
    assert_null(guest_mem_uva_ref(mem, 0x800000, PAGE, 16, &map));

    /* All or nothing. */
    struct vhost_user_region bad[] = {region(0x40000, PAGE, 0x900000, 0),
                                      region(0x40000, PAGE, 0xa00000, 0)};
    reason = NULL;
    assert_int_equal(guest_mem_set(mem, bad, (int[]){a, b}, 2, &reason), -EINVAL);
    assert_non_null(reason);
    assert_ptr_equal(guest_mem_translate(mem, 0x20000, &len), kept);
    assert_null(guest_mem_translate(mem, 0x40000, &len));
    assert_int_equal(count_maps(), 2);
    close(again);
    close(b);
}

static void uva_is_checked_whole(void **state)
{
    struct guest_mem *mem = *state;
    struct guest_map *map;
    _cleanup_close_ int fd = make_file(2 * PAGE);
    assert_int_equal(add(mem, region(0, PAGE, 0x700000, 0), fd), 0);
    assert_int_equal(add(mem, region(PAGE, PAGE, 0x700000 + PAGE, PAGE), fd), 0);

    static const struct {
        uint64_t uva, len, align;
        bool good;
    } cases[] = {
        {0x700000, PAGE, 16, true},
        {0x700000 + PAGE - 16, 16, 16, true},
        {0x700000 + PAGE - 16, 17, 16, false}, /* into the next region: not one mapping */
        {0x700000, PAGE + 1, 16, false},
        {0x700008, 8, 16, false}, /* misaligned */
        {0x700002, 8, 2, true},
        {0x700002, 8, 4, false},
        {0x6ffff0, 16, 16, false},
        {0x700000 + 2 * PAGE, 16, 16, false},
        {0x700000, UINT64_MAX, 16, false},
        {UINT64_MAX - 15, 32, 16, false}, /* wraps */
        {0, 16, 16, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        void *p = guest_mem_uva_ref(mem, cases[i].uva, cases[i].len, cases[i].align, &map);
        assert_int_equal(p != NULL, cases[i].good);
        if (p != NULL)
            guest_map_unref(map);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(translates_inside_only),
        TEST(neighbours_are_separate),
        TEST(refuses_bad_regions),
        TEST(refuses_overlap),
        TEST(has_a_limit),
        TEST(removes_what_was_added),
        TEST(reference_outlives_removal),
        TEST(pins_outlive_removal),
        TEST(table_keeps_what_stays),
        TEST(uva_is_checked_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
