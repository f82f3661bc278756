/* SPDX-License-Identifier: MIT */
#include "mediator/cli/private_daemon.h"

#include "mediator/base/util.h"
#include "mediator/cli/installed.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The daemon gives its probe of the GPUs 25 s. */
#define START_US UINT64_C(60000000)
/* It gives its renderers less than a second; a busy machine may need more. */
#define STOP_US UINT64_C(15000000)
#define LOG_LINE_MAX 4096

/* Longest path of a socket, less the longest name of one in the directory. */
#define DIR_MAX (107 - (int)sizeof("/run-4096.sock"))
#define DIR_TEMPLATE "/aliquot-run-XXXXXX"

/* Where the child finds its descriptors. */
enum { CHILD_READY_FD = 3, CHILD_OWNER_FD = 4, CHILD_FDS_END = 5 };

/* Syslog's levels: what is as important as a warning is shown. */
#define LEVEL_SHOWN '4'

struct private_daemon {
    sd_event *event; /* borrowed */
    char *dir;       /* owned */
    bool verbose;
    pid_t pid;    /* 0 = none, or it has been reaped */
    int pidfd;    /* owned */
    int owner_fd; /* its end is ours; owned */
    int ready_fd; /* owned */
    int log_fd;   /* owned */
    bool ready, ended;
    int code, status;                         /* of its end, as in siginfo_t */
    sd_event_source *ready_io, *log_io, *end; /* owned */
    char line[LOG_LINE_MAX];
    size_t line_len;
};

/* ---- its log -------------------------------------------------------------------------------- */

/* "<4>aliquotd: text"; what has no level comes from a library and is chatter. */
static void show_line(const struct private_daemon *d, char *line)
{
    bool has_level = line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>';
    if (d->verbose || (has_level && line[1] <= LEVEL_SHOWN))
        fprintf(stderr, "%s\n", line + (has_level ? 3 : 0));
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    struct private_daemon *d = opaque;
    ssize_t n = read(fd, d->line + d->line_len, sizeof(d->line) - 1 - d->line_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    d->line_len += (size_t)n;
    d->line[d->line_len] = '\0';

    char *start = d->line, *end;
    while ((end = strchrnul(start, '\n')) < d->line + d->line_len) {
        *end = '\0';
        show_line(d, start);
        start = end + 1;
    }
    d->line_len -= (size_t)(start - d->line);
    if (start == d->line && d->line_len == sizeof(d->line) - 1)
        d->line_len = 0; /* no line of ours */
    memmove(d->line, start, d->line_len);
    return 0;
}

/* ---- its life ------------------------------------------------------------------------------- */

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    struct private_daemon *d = opaque;
    char byte;
    d->ready = read(fd, &byte, 1) == 1;
    return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    struct private_daemon *d = opaque;
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return 0;
    d->ended = true;
    d->code = info.si_code;
    d->status = info.si_status;
    d->pid = 0;
    return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *opaque)
{
    *(bool *)opaque = true;
    return 0;
}

/* Runs the event loop until *what, the daemon's end or the time-out. */
static void wait_for(struct private_daemon *d, const bool *what, uint64_t timeout_us)
{
    bool timed_out = false;
    sd_event_source *timer = NULL;
    int r = sd_event_add_time_relative(d->event, &timer, CLOCK_MONOTONIC, timeout_us, 0, on_timeout,
                                       &timed_out);
    while (r >= 0 && !*what && !d->ended && !timed_out)
        r = sd_event_run(d->event, UINT64_MAX);
    sd_event_source_disable_unref(timer);
}

/* In the child: the environment is the user's, but for what a vGPU of an outer "run" has set. */
static void __attribute__((noreturn)) become(char *const *argv, const char *renderer, int ready_fd,
                                             int owner_fd, int log_fd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid(); /* the terminal's signals are for the program */
    unsetenv("ALIQUOT_SOCKET");
    setenv("ALIQUOT_RENDERER", renderer, 1);

    /* Above their targets first, so that none overwrites another. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ready_fd = fcntl(ready_fd, F_DUPFD_CLOEXEC, CHILD_FDS_END);
    owner_fd = fcntl(owner_fd, F_DUPFD_CLOEXEC, CHILD_FDS_END);
    log_fd = fcntl(log_fd, F_DUPFD_CLOEXEC, CHILD_FDS_END);
    if (null < 0 || ready_fd < 0 || owner_fd < 0 || log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0 ||
        dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(ready_fd, CHILD_READY_FD) < 0 || dup2(owner_fd, CHILD_OWNER_FD) < 0)
        _exit(127);
    close_range(CHILD_FDS_END, ~0u, 0);
    execv(argv[0], argv);
    dprintf(STDERR_FILENO, "<3>aliquot: can't run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int spawn(struct private_daemon *d, const struct private_daemon_args *args)
{
    _cleanup_free_ char *program = NULL, *renderer = NULL;
    int r = installed_find(INSTALLED_DAEMON, &program);
    if (r >= 0)
        r = installed_find(INSTALLED_RENDERER, &renderer);
    if (r < 0)
        return r;

    char *argv[20];
    size_t n = 0;
    argv[n++] = program;
    argv[n++] = "--config=/dev/null"; /* that of the machine's daemon is not for us */
    argv[n++] = "--ready-fd=3";
    argv[n++] = "--owner-fd=4";
    argv[n++] = "--socket-dir";
    argv[n++] = d->dir;
    argv[n++] = "--state-dir"; /* likewise */
    argv[n++] = d->dir;
    if (args->gpu) {
        argv[n++] = "--gpu";
        argv[n++] = (char *)args->gpu;
    }
    if (args->backend) {
        argv[n++] = "--backend";
        argv[n++] = (char *)args->backend;
    }
    if (args->verbose)
        argv[n++] = "--verbose";
    argv[n] = NULL;

    int ready[2] = {-1, -1}, owner[2] = {-1, -1}, log[2] = {-1, -1};
    if (pipe2(ready, O_CLOEXEC) == 0 && pipe2(owner, O_CLOEXEC) == 0 && pipe2(log, O_CLOEXEC) == 0)
        d->pid = fork();
    else
        d->pid = -1;
    r = d->pid < 0 ? -errno : 0;
    if (d->pid == 0)
        become(argv, renderer, ready[1], owner[0], log[1]);
    d->ready_fd = ready[0];
    d->owner_fd = owner[1];
    d->log_fd = log[0];
    const int childs[] = {ready[1], owner[0], log[1]};
    for (size_t i = 0; i < ARRAY_SIZE(childs); i++) {
        if (childs[i] >= 0)
            close(childs[i]);
    }
    if (r < 0) {
        d->pid = 0;
        fprintf(stderr, "aliquot: can't start %s: %s\n", program, strerror(-r));
    }
    return r;
}

static int watch(struct private_daemon *d)
{
    if (fcntl(d->log_fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    int r = sd_event_add_io(d->event, &d->log_io, d->log_fd, EPOLLIN, on_log, d);
    if (r >= 0) /* all of its log before its end */
        r = sd_event_source_set_priority(d->log_io, SD_EVENT_PRIORITY_IMPORTANT);
    if (r >= 0)
        r = sd_event_add_io(d->event, &d->ready_io, d->ready_fd, EPOLLIN, on_ready, d);
    if (r >= 0)
        r = (d->pidfd = pidfd_open(d->pid, 0)) < 0 ? -errno : 0;
    if (r >= 0) /* not as a child source: beside another one, libsystemd 257 leaks */
        r = sd_event_add_io(d->event, &d->end, d->pidfd, EPOLLIN, on_end, d);
    if (r < 0)
        fprintf(stderr, "aliquot: can't watch the private aliquotd: %s\n", strerror(-r));
    return r;
}

static int make_dir(char **ret)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const char *const bases[] = {runtime && *runtime == '/' ? runtime : NULL, "/tmp"};
    for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
        if (!bases[i] || strlen(bases[i]) + strlen(DIR_TEMPLATE) > DIR_MAX)
            continue;
        char *dir = NULL;
        if (asprintf(&dir, "%s" DIR_TEMPLATE, bases[i]) >= 0 && mkdtemp(dir)) {
            *ret = dir;
            return 0;
        }
        free(dir);
    }
    fprintf(stderr, "aliquot: can't make a directory for a private aliquotd in /tmp: %s\n",
            strerror(errno));
    return -EACCES;
}

/* Nothing, unless the daemon was killed. */
static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    int fd = dirfd(dir);
    for (struct dirent *entry; fd >= 0 && (entry = readdir(dir));)
        (void)unlinkat(fd, entry->d_name, 0);
    closedir(dir);
    (void)rmdir(path);
}

static void explain_end(const struct private_daemon *d)
{
    if (!d->ended)
        fprintf(stderr, "aliquot: the private aliquotd does not get ready\n");
    else if (d->code == CLD_EXITED)
        fprintf(stderr, "aliquot: the private aliquotd could not start (exit status %d)\n",
                d->status);
    else
        fprintf(stderr, "aliquot: the private aliquotd was killed by signal %d (%s)\n", d->status,
                strsignal(d->status));
}

int private_daemon_start(sd_event *event, const struct private_daemon_args *args,
                         struct private_daemon **ret)
{
    struct private_daemon *d = malloc(sizeof(*d));
    if (!d) {
        fprintf(stderr, "aliquot: %s\n", strerror(ENOMEM));
        return -ENOMEM;
    }
    *d = (struct private_daemon){.event = event,
                                 .verbose = args->verbose,
                                 .pidfd = -1,
                                 .owner_fd = -1,
                                 .ready_fd = -1,
                                 .log_fd = -1};
    int r = make_dir(&d->dir);
    if (r >= 0)
        r = spawn(d, args);
    if (r >= 0)
        r = watch(d);
    if (r >= 0) {
        wait_for(d, &d->ready, START_US);
        if (!d->ready) {
            explain_end(d);
            r = -ECHILD;
        }
    }
    if (r < 0) {
        private_daemon_stop(d);
        return r;
    }
    *ret = d;
    return 0;
}

void private_daemon_stop(struct private_daemon *d)
{
    if (!d)
        return;
    const bool never = false;
    if (d->owner_fd >= 0)
        close(d->owner_fd);
    if (d->end && !d->ended)
        wait_for(d, &never, STOP_US);
    if (d->pid > 0) {
        kill(d->pid, SIGKILL);
        waitpid(d->pid, NULL, 0);
    }
    sd_event_source_disable_unref(d->ready_io);
    sd_event_source_disable_unref(d->log_io);
    sd_event_source_disable_unref(d->end);
    if (d->pidfd >= 0)
        close(d->pidfd);
    if (d->ready_fd >= 0)
        close(d->ready_fd);
    if (d->log_fd >= 0)
        close(d->log_fd);
    if (d->dir)
        remove_dir(d->dir);
    free(d->dir);
    free(d);
}

const char *private_daemon_dir(const struct private_daemon *d)
{
    return d->dir;
}
