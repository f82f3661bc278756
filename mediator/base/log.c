/* SPDX-License-Identifier: MIT */
#include "mediator/base/log.h"

#include "mediator/base/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One line, prefix included; longer text is cut. Below PIPE_BUF, so that lines of several
 * processes on one pipe do not mix. */
#define LINE_BYTES 1024
#define VGPU_BYTES 64

/* Set once by log_init, before there are threads. */
static struct {
    const char *program; /* static, borrowed */
    char vgpu[VGPU_BYTES];
    int max_level;
    bool level_prefix;
} logger = {.program = "aliquot", .max_level = LOG_INFO, .level_prefix = true};

static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            *text = '?';
}

void log_init(const char *program, const char *vgpu, bool verbose)
{
    logger.program = program;
    snprintf(logger.vgpu, sizeof(logger.vgpu), "%s", vgpu ? vgpu : "");
    make_printable(logger.vgpu);
    logger.max_level = verbose ? LOG_DEBUG : LOG_INFO;
    logger.level_prefix = !isatty(STDERR_FILENO);
}

void log_line(int level, const char *format, ...)
{
    int saved = errno; /* first of all: the format may have %m */
    char line[LINE_BYTES];
    size_t len = 0, text;
    va_list args;
    int n;

    if (level > logger.max_level)
        return;
    if (logger.level_prefix)
        len += (size_t)snprintf(line, sizeof(line), "<%d>", level);
    /* The program's name is ours and short, so that there is always room for text. */
    if (logger.vgpu[0])
        n = snprintf(line + len, sizeof(line) / 2, "%s[%s]: ", logger.program, logger.vgpu);
    else
        n = snprintf(line + len, sizeof(line) / 2, "%s: ", logger.program);
    len += MIN((size_t)n, sizeof(line) / 2 - 1);
    text = len;

    errno = saved;
    va_start(args, format);
    n = vsnprintf(line + len, sizeof(line) - len - 1, format, args); /* keep a byte for \n */
    va_end(args);
    if (n < 0) {
        errno = saved;
        return;
    }
    if ((size_t)n > sizeof(line) - len - 2) {
        len = sizeof(line) - 2;
        memcpy(line + len - 3, "...", 3);
    } else {
        len += (size_t)n;
    }
    make_printable(line + text);
    line[len++] = '\n';
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        ;
    errno = saved;
}

static long long now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

bool log_allowed(struct log_limit *limit)
{
    long long now = now_s();

    if (now - limit->start_s >= (long long)limit->window_s) {
        limit->start_s = now;
        limit->count = 0;
    }
    if (limit->count >= limit->burst) {
        if (limit->dropped < UINT32_MAX)
            limit->dropped++;
        return false;
    }
    limit->count++;
    if (limit->dropped > 0) {
        log_warning("%u messages like the next one were dropped", limit->dropped);
        limit->dropped = 0;
    }
    return true;
}
