/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_class.h"

#include "mediator/base/util.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include <cmocka.h>

static void *sleep_on(void *arg)
{
    pause();
    return NULL;
}

/* A child with two threads; tells the id of the second one. */
static pid_t start(int *ret_pipe)
{
    int pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, sleep_on, NULL) != 0 || write(pipe_fds[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(pipe_fds[1]);
    char byte;
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    *ret_pipe = pipe_fds[0];
    return pid;
}

static void stop(pid_t pid, int pipe_fd)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(pipe_fd);
}

static unsigned threads_of_class(pid_t pid, int class)
{
    unsigned n = 0;
    /* Numbers of threads that a process makes follow its own, with gaps in a busy system. */
    for (pid_t tid = pid; tid < pid + 1000; tid++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
        if (access(path, F_OK) == 0 && sched_getscheduler(tid) == class)
            n++;
    }
    return n;
}

static void open_process(struct cpu_process *p, pid_t pid)
{
    int pidfd = pidfd_open(pid, 0);

    assert_true(pidfd >= 0);
    assert_int_equal(cpu_process_init(p, pidfd, pid), 0);
}

static void close_process(struct cpu_process *p)
{
    close(p->pidfd);
    cpu_process_finish(p);
}

static void test_all_threads_and_back(void **state)
{
    struct cpu_process p;
    int pipe_fd;
    pid_t pid = start(&pipe_fd);
    unsigned threads = threads_of_class(pid, SCHED_OTHER);

    open_process(&p, pid);
    assert_true(threads >= 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cpu_process_set(&p, CPU_CLASS_IDLE), 0);
        assert_int_equal(threads_of_class(pid, SCHED_IDLE), threads);
        assert_int_equal(cpu_process_set(&p, CPU_CLASS_IDLE), 0);
        assert_int_equal(cpu_process_set(&p, CPU_CLASS_NORMAL), 0);
        assert_int_equal(threads_of_class(pid, SCHED_OTHER), threads);
    }
    close_process(&p);
    stop(pid, pipe_fd);
}

static void expect_stopped(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static void expect_continued(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, WCONTINUED), pid);
    assert_true(WIFCONTINUED(status));
}

static void test_stopped_and_back(void **state)
{
    struct cpu_process p;
    int pipe_fd;
    pid_t pid = start(&pipe_fd);
    unsigned threads = threads_of_class(pid, SCHED_OTHER);

    open_process(&p, pid);
    assert_int_equal(cpu_process_set(&p, CPU_CLASS_STOPPED), 0);
    expect_stopped(pid);
    assert_int_equal(cpu_process_set(&p, CPU_CLASS_IDLE), 0);
    expect_continued(pid);
    assert_int_equal(threads_of_class(pid, SCHED_IDLE), threads);

    assert_int_equal(cpu_process_set(&p, CPU_CLASS_STOPPED), 0);
    expect_stopped(pid);
    assert_int_equal(cpu_process_set(&p, CPU_CLASS_NORMAL), 0);
    expect_continued(pid);
    assert_int_equal(threads_of_class(pid, SCHED_OTHER), threads);
    close_process(&p);
    stop(pid, pipe_fd);
}

/* What a process may do to itself is no way out. */
static void test_of_its_own_choice(void **state)
{
    static const int classes[] = {SCHED_BATCH, SCHED_OTHER | SCHED_RESET_ON_FORK,
                                  SCHED_BATCH | SCHED_RESET_ON_FORK};
    const struct sched_param param = {0};

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        int kept = classes[i] & SCHED_RESET_ON_FORK;
        struct cpu_process p;
        int pipe_fd;
        pid_t pid = start(&pipe_fd);

        open_process(&p, pid);
        assert_int_equal(sched_setscheduler(pid, classes[i], &param), 0);
        assert_int_equal(cpu_process_set(&p, CPU_CLASS_IDLE), 0);
        assert_int_equal(sched_getscheduler(pid), SCHED_IDLE | kept);
        assert_int_equal(cpu_process_set(&p, CPU_CLASS_NORMAL), 0);
        assert_int_equal(sched_getscheduler(pid), SCHED_OTHER | kept);
        close_process(&p);
        stop(pid, pipe_fd);
    }
}

static void test_other_classes_are_left_alone(void **state)
{
    const struct sched_param param = {.sched_priority = 1};
    struct cpu_process p;
    int pipe_fd;
    pid_t pid = start(&pipe_fd);

    open_process(&p, pid);
    if (sched_setscheduler(pid, SCHED_RR, &param) == 0) { /* else we may not, nor may it */
        assert_int_equal(cpu_process_set(&p, CPU_CLASS_IDLE), 0);
        assert_int_equal(sched_getscheduler(pid), SCHED_RR);
    }
    close_process(&p);
    stop(pid, pipe_fd);
}

static void test_gone(void **state)
{
    struct cpu_process p = {0};
    int pipe_fd;
    pid_t pid = start(&pipe_fd);

    assert_int_equal(cpu_process_set(&p, CPU_CLASS_IDLE), 0); /* none */
    open_process(&p, pid);
    stop(pid, pipe_fd);
    assert_true(cpu_process_set(&p, CPU_CLASS_IDLE) < 0);
    assert_int_equal(cpu_process_set(&p, CPU_CLASS_STOPPED), -ESRCH);
    close_process(&p);
    assert_int_equal(cpu_process_init(&p, -1, 0x7fffffff), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_threads_and_back),
        cmocka_unit_test(test_stopped_and_back),
        cmocka_unit_test(test_of_its_own_choice),
        cmocka_unit_test(test_other_classes_are_left_alone),
        cmocka_unit_test(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
