/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/sigbus.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Written once before the handler is there; the handler only reads. */
static char line[512];
static size_t line_len;
static struct broker_stats *counters; /* borrowed */

static void on_sigbus(int signal_number)
{
    atomic_fetch_add_explicit(&counters->rejected, 1, memory_order_relaxed);
    if (write(STDERR_FILENO, line, line_len) < 0)
        _exit(1); /* same end, unsaid */
    _exit(1);
}

void sigbus_install(const char *program, const char *vgpu, struct broker_stats *stats)
{
    counters = stats;
    int n = snprintf(line, sizeof(line),
                     "%s%s[%s]: guest memory is gone: the front-end cut its file short; ending\n",
                     isatty(STDERR_FILENO) ? "" : "<3>", program, vgpu);
    line_len = n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1;

    struct sigaction action = {.sa_handler = on_sigbus};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
