/* SPDX-License-Identifier: MIT */
/* The log's lines as they come out of stderr, which is a pipe (or a terminal) of ours meanwhile. */
#include "mediator/base/log.h"

#include "mediator/base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int real_stderr = -1;
static int pipe_read = -1;

static void log_to(int fd)
{
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

static int setup(void **state)
{
    int fds[2];

    real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (real_stderr < 0 || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    pipe_read = fds[0];
    log_to(fds[1]);
    close(fds[1]);
    return 0;
}

static int teardown(void **state)
{
    log_to(real_stderr);
    close(real_stderr);
    close(pipe_read);
    return 0;
}

/* All that was logged since the last call. */
static const char *logged(void)
{
    static char text[8192];
    ssize_t n = read(pipe_read, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_line(void **state)
{
    log_init("program", NULL, false);
    log_info("a number: %d", 7);
    assert_string_equal(logged(), "<6>program: a number: 7\n");
    log_error("bad");
    log_warning("so so");
    assert_string_equal(logged(), "<3>program: bad\n<4>program: so so\n");
}

static void test_vgpu_name(void **state)
{
    char name[] = "desk\n1";

    log_init("program", name, false);
    name[0] = 'X'; /* was copied */
    log_info("text");
    assert_string_equal(logged(), "<6>program[desk?1]: text\n");
    log_init("program", NULL, false);
    log_info("text");
    assert_string_equal(logged(), "<6>program: text\n");
}

static void test_levels(void **state)
{
    log_init("program", NULL, false);
    log_debug("hidden");
    assert_string_equal(logged(), "");
    log_init("program", NULL, true);
    log_debug("shown");
    assert_string_equal(logged(), "<7>program: shown\n");
}

/* A guest's text can not forge a line, a level or a terminal's escape. */
static void test_hostile_text(void **state)
{
    log_init("program", NULL, false);
    log_info("%s", "a\n<0>kernel: b\r\x1b[2J\x7f\x80\xff\t~");
    assert_string_equal(logged(), "<6>program: a?<0>kernel: b??[2J????~\n");
}

static void test_long_text(void **state)
{
    char text[5000];
    const char *out;
    size_t len;

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_init("program", NULL, false);
    log_info("%s", text);
    out = logged();
    len = strlen(out);
    assert_int_equal(len, 1023);
    assert_string_equal(out + len - 5, "a...\n");
    assert_memory_equal(out, "<6>program: aaa", 15);

    /* Every length around the limit: one line, cut or whole, never both. */
    for (size_t n = 980; n < 1040; n++) {
        log_info("%.*s", (int)n, text);
        out = logged();
        len = strlen(out);
        assert_true(len < 1024);
        assert_int_equal(out[len - 1], '\n');
        assert_ptr_equal(strchr(out, '\n'), out + len - 1);
        assert_int_equal(strstr(out, "...") != NULL, n > 1023 - strlen("<6>program: \n"));
    }
}

static void test_errno(void **state)
{
    log_init("program", NULL, false);
    errno = ENOENT;
    log_info("open: %m");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(logged(), "<6>program: open: No such file or directory\n");
    errno = EPERM;
    log_debug("hidden");
    assert_int_equal(errno, EPERM);
}

static void test_terminal_has_no_prefix(void **state)
{
    _cleanup_close_ int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    _cleanup_close_ int main_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    _cleanup_close_ int terminal = -1;
    char text[100];
    ssize_t n;

    if (main_fd < 0 || grantpt(main_fd) < 0 || unlockpt(main_fd) < 0)
        skip();
    terminal = open(ptsname(main_fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        skip();
    log_to(terminal);
    log_init("program", NULL, false);
    log_info("text");
    log_to(saved);
    n = read(main_fd, text, sizeof(text));
    assert_int_equal(n, strlen("program: text\r\n"));
    assert_memory_equal(text, "program: text\r\n", n);
}

static void test_limit(void **state)
{
    struct log_limit limit = {.burst = 3, .window_s = 10000};

    log_init("program", NULL, false);
    /* The first window starts now, however long the machine has been up. */
    limit.start_s = -20000;
    for (int i = 0; i < 3; i++)
        assert_true(log_allowed(&limit));
    for (int i = 0; i < 5; i++)
        assert_false(log_allowed(&limit));
    assert_string_equal(logged(), "");

    limit.start_s -= 9000; /* later, in the same window */
    assert_false(log_allowed(&limit));
    limit.start_s -= 1000; /* the next one */
    assert_true(log_allowed(&limit));
    assert_string_equal(logged(), "<4>program: 6 messages like the next one were dropped\n");
    assert_true(log_allowed(&limit));
    assert_true(log_allowed(&limit));
    assert_false(log_allowed(&limit));
    assert_string_equal(logged(), "");

    limit.dropped = UINT_MAX; /* counts, but does not wrap */
    assert_false(log_allowed(&limit));
    assert_int_equal(limit.dropped, UINT_MAX);
}

static void test_limit_none(void **state)
{
    struct log_limit limit = {.burst = 0, .window_s = 1};

    limit.start_s = -100;
    assert_false(log_allowed(&limit));
    assert_false(log_allowed(&limit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_vgpu_name),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_terminal_has_no_prefix),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_limit_none),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
