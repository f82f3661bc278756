/* SPDX-License-Identifier: MIT */
/*
 * One line a message on stderr, with the syslog level prefix "<N>" that journald understands when
 * stderr goes to it (left out on a terminal). Every line of a renderer names its vGPU. Used by the
 * programs (daemon, renderer, command line); libraries return errors instead.
 */
#ifndef ALIQUOT_BASE_LOG_H
#define ALIQUOT_BASE_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* program: static; vgpu: copied, NULL = none. Lines are "program[vgpu]: text". Least important
 * level that is printed: LOG_INFO, or LOG_DEBUG with verbose. */
void log_init(const char *program, const char *vgpu, bool verbose);

/* Non-printable bytes of the formatted text come out as '?': text may come from a guest. */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)

/* Drops messages that a guest can cause without end: true at most burst times in a window of
 * window_s seconds; the first true after drops logs how many there were. One struct a call site. */
struct log_limit {
    unsigned burst, window_s; /* set by the caller */
    long long start_s;
    unsigned count, dropped;
};
bool log_allowed(struct log_limit *limit);

#endif
