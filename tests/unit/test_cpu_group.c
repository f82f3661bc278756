/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_group.h"

#include "mediator/base/util.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MOUNT_V1 "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_V1_SET "33 31 0:30 / /sys/fs/cgroup/cpuset rw shared:9 - cgroup cgroup rw,cpuset\n"
#define MOUNT_V2 "40 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void expect_found(const char *mounts, const char *cgroups, const char *path, bool v2)
{
    char found[256];
    bool is_v2;

    assert_true(cpu_group_find(mounts, cgroups, found, sizeof(found), &is_v2));
    assert_string_equal(found, path);
    assert_int_equal(is_v2, v2);
}

static void expect_none(const char *mounts, const char *cgroups, size_t size)
{
    char found[256] = "untouched";
    bool v2;

    assert_true(size <= sizeof(found));
    assert_false(cpu_group_find(mounts, cgroups, found, size, &v2));
}

static void test_find_version_1(void **state)
{
    expect_found(MOUNT_V1_SET MOUNT_V1, "3:cpuset:/\n1:cpuacct,cpu:/\n0::/\n", "/sys/fs/cgroup/cpu",
                 false);
    expect_found(MOUNT_V2 MOUNT_V1, "1:cpu:/a/b\n0::/c\n", "/sys/fs/cgroup/cpu/a/b", false);
    /* What a container sees of it. */
    expect_found("32 31 0:29 /a /cg rw - cgroup cgroup rw,cpu\n", "1:cpu:/a/b\n", "/cg/b", false);
    expect_found("32 31 0:29 /a /cg rw - cgroup cgroup rw,cpu\n", "1:cpu:/a\n", "/cg", false);
}

static void test_find_version_2(void **state)
{
    expect_found(MOUNT_V2, "0::/system.slice/aliquotd.service/daemon\n",
                 "/sys/fs/cgroup/system.slice/aliquotd.service/daemon", true);
    /* Without an end of line. */
    expect_found(MOUNT_V2, "0::/", "/sys/fs/cgroup", true);
}

static void test_find_nothing(void **state)
{
    expect_none("", "", 256);
    expect_none(MOUNT_V1_SET, "3:cpuset:/\n", 256);
    expect_none(MOUNT_V1, "3:cpuset:/\n", 256);
    expect_none("garbage\n- - -\n", "1:cpu:/\n:\n::\n", 256);
    /* The group is not below what is mounted. */
    expect_none("32 31 0:29 /a /cg rw - cgroup cgroup rw,cpu\n", "1:cpu:/ab\n", 256);
    /* A path that does not fit is none. */
    expect_none(MOUNT_V1, "1:cpu:/a/b\n", 10);
}

static void read_group_file(const struct cpu_group_parent *parent, const struct cpu_group *group,
                            const char *name, char *ret, size_t size)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/%s", group->name, name);
    int fd = openat(parent->dir_fd, path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, ret, size - 1);
    assert_true(n >= 0);
    ret[n] = '\0';
    close(fd);
}

static void expect_idle(const struct cpu_group_parent *parent, const struct cpu_group *group,
                        const char *value)
{
    char text[16];

    read_group_file(parent, group, "cpu.idle", text, sizeof(text));
    assert_string_equal(text, value);
}

static void open_parent(struct cpu_group_parent *parent)
{
    if (cpu_group_parent_open(parent) < 0) {
        print_message("no control groups can be made here\n");
        skip();
    }
}

static pid_t start(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    for (; pid == 0;)
        pause();
    return pid;
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool exists(const struct cpu_group_parent *parent, const char *name)
{
    return faccessat(parent->dir_fd, name, F_OK, 0) == 0;
}

static void test_idle_and_back(void **state)
{
    struct cpu_group_parent parent;
    struct cpu_group group;
    char text[32], own[32];

    open_parent(&parent);
    pid_t pid = start();
    assert_int_equal(cpu_group_create(&parent, pid, &group), 0);
    snprintf(own, sizeof(own), "%d\n", pid);
    read_group_file(&parent, &group, "cgroup.procs", text, sizeof(text));
    assert_string_equal(text, own);
    for (int i = 0; i < 2; i++) {
        expect_idle(&parent, &group, "0\n");
        assert_int_equal(cpu_group_set_idle(&group, true), 0);
        expect_idle(&parent, &group, "1\n");
        assert_int_equal(cpu_group_set_idle(&group, false), 0);
    }
    char name[sizeof(group.name)];
    memcpy(name, group.name, sizeof(name));
    stop(pid);
    cpu_group_remove(&parent, &group);
    assert_int_equal(group.idle_fd, -1);
    assert_false(exists(&parent, name));
    cpu_group_parent_close(&parent);
}

/* One whose process outlives it goes when it can. */
static void test_removed_later(void **state)
{
    struct cpu_group_parent parent;
    struct cpu_group first, second;

    open_parent(&parent);
    pid_t pids[2] = {start(), start()};
    assert_int_equal(cpu_group_create(&parent, pids[0], &first), 0);
    assert_int_equal(cpu_group_create(&parent, pids[1], &second), 0);
    char name[sizeof(first.name)];
    memcpy(name, first.name, sizeof(name));
    cpu_group_remove(&parent, &first);
    assert_true(exists(&parent, name));
    stop(pids[0]);
    stop(pids[1]);
    cpu_group_remove(&parent, &second);
    assert_false(exists(&parent, name));
    cpu_group_parent_close(&parent);
}

static void test_no_process(void **state)
{
    struct cpu_group_parent parent;
    struct cpu_group group;

    open_parent(&parent);
    pid_t pid = start();
    stop(pid);
    assert_int_equal(cpu_group_create(&parent, pid, &group), -ESRCH);
    assert_int_equal(group.idle_fd, -1);
    assert_int_equal(cpu_group_set_idle(&group, true), 0);
    cpu_group_remove(&parent, &group);
    cpu_group_parent_close(&parent);
}

static void test_nowhere(void **state)
{
    struct cpu_group_parent parent = {.dir_fd = -1};
    struct cpu_group group;

    assert_int_equal(cpu_group_create(&parent, getpid(), &group), -EOPNOTSUPP);
    assert_int_equal(group.idle_fd, -1);
    cpu_group_parent_close(&parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_version_1), cmocka_unit_test(test_find_version_2),
        cmocka_unit_test(test_find_nothing),   cmocka_unit_test(test_idle_and_back),
        cmocka_unit_test(test_removed_later),  cmocka_unit_test(test_no_process),
        cmocka_unit_test(test_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
