/* SPDX-License-Identifier: MIT */
#include "mediator/cli/program.h"

#include "mediator/base/util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

static const int forwarded[] = {SIGTERM, SIGINT,   SIGHUP,  SIGQUIT, SIGUSR1,
                                SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};

struct program {
    pid_t pid;
    bool ended;
    int status;                                      /* to exit with */
    sd_event_source *end, *changes;                  /* owned */
    sd_event_source *signals[ARRAY_SIZE(forwarded)]; /* owned */
};

/* What was there before, for the program. */
static sigset_t inherited_mask;
static bool sigchld_was_ignored;

void program_prepare(void)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, &inherited_mask);
    sigchld_was_ignored = signal(SIGCHLD, SIG_DFL) == SIG_IGN; /* ignored, no end would be seen */
}

static void block_forwarded(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
        sigaddset(&set, forwarded[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Sent by the terminal, which the program has got as well, or by the program to its whole group. */
static bool program_has_it(const struct program *p, const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL || (pid_t)info->ssi_pid == p->pid;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *opaque)
{
    const struct program *p = opaque;
    if (!program_has_it(p, info))
        kill(p->pid, (int)info->ssi_signo);
    return 0;
}

/* Job control: the shell waits for us, not for the program, so we stop with it. SIGSTOP itself is
 * that of someone who looks at the program alone, and would never continue us. */
static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *opaque)
{
    const struct program *p = opaque;
    siginfo_t change = {0};
    if (p->ended || waitid(P_PID, (id_t)p->pid, &change, WSTOPPED | WNOHANG) < 0)
        return 0;
    if (change.si_pid == p->pid &&
        (change.si_status == SIGTSTP || change.si_status == SIGTTIN || change.si_status == SIGTTOU))
        raise(SIGSTOP);
    return 0;
}

static int on_end(sd_event_source *source, const siginfo_t *info, void *opaque)
{
    struct program *p = opaque;
    p->ended = true;
    p->status =
        info->si_code == CLD_EXITED ? info->si_status : PROGRAM_SIGNAL_BASE + info->si_status;
    return 0;
}

/* In the child. */
static void __attribute__((noreturn)) become(char **argv, bool ignore_sigpipe, int error_fd)
{
    signal(SIGPIPE, ignore_sigpipe ? SIG_IGN : SIG_DFL);
    signal(SIGCHLD, sigchld_was_ignored ? SIG_IGN : SIG_DFL);
    sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
    execvp(argv[0], argv);
    int error = errno;
    if (write(error_fd, &error, sizeof(error)) < 0)
        _exit(PROGRAM_NOT_EXECUTABLE);
    _exit(PROGRAM_NOT_FOUND);
}

/* 0, or the negative errno of fork() or of the child's exec. */
static int spawn(char **argv, bool ignore_sigpipe, pid_t *ret)
{
    int error_pipe[2], error = 0;
    if (pipe2(error_pipe, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, ignore_sigpipe, error_pipe[1]);
    if (pid < 0)
        error = errno;
    close(error_pipe[1]);
    ssize_t n;
    do
        n = pid < 0 ? 0 : read(error_pipe[0], &error, sizeof(error)); /* the exec closes it */
    while (n < 0 && errno == EINTR);
    close(error_pipe[0]);
    if (error != 0 && pid > 0)
        waitpid(pid, NULL, 0);
    if (error == 0)
        *ret = pid;
    return -error;
}

static int watch(sd_event *event, struct program *p)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(forwarded) && r >= 0; i++)
        r = sd_event_add_signal(event, &p->signals[i], forwarded[i], on_signal, p);
    if (r >= 0)
        r = sd_event_add_signal(event, &p->changes, SIGCHLD, on_child, p);
    if (r >= 0)
        r = sd_event_add_child(event, &p->end, p->pid, WEXITED, on_end, p);
    return r;
}

int program_start(sd_event *event, char **argv, bool ignore_sigpipe, struct program **ret,
                  int *ret_status)
{
    block_forwarded(); /* what comes before we can pass it on, waits */
    struct program *p = calloc(1, sizeof(*p));
    int r = p ? spawn(argv, ignore_sigpipe, &p->pid) : -ENOMEM;
    if (r < 0) {
        fprintf(stderr, "aliquot: %s: %s\n", argv[0], strerror(-r));
        *ret_status = r == -ENOENT ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE;
        free(p);
        return r;
    }
    r = watch(event, p);
    if (r < 0) {
        fprintf(stderr, "aliquot: can't watch %s: %s\n", argv[0], strerror(-r));
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        program_destroy(p);
        *ret_status = PROGRAM_NOT_EXECUTABLE;
        return r;
    }
    *ret = p;
    return 0;
}

int program_wait(sd_event *event, const struct program *p)
{
    int r = 0;
    while (!p->ended && r >= 0)
        r = sd_event_run(event, UINT64_MAX);
    if (r >= 0)
        return p->status;
    fprintf(stderr, "aliquot: event loop: %s\n", strerror(-r));
    return PROGRAM_NOT_EXECUTABLE;
}

void program_destroy(struct program *p)
{
    if (!p)
        return;
    sd_event_source_disable_unref(p->end);
    sd_event_source_disable_unref(p->changes);
    for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
        sd_event_source_disable_unref(p->signals[i]);
    free(p);
}
