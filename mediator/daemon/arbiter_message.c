/* SPDX-License-Identifier: MIT */
/*
 * What the arbiter has to tell people. Its thread has real-time priority and the lock, and who
 * reads the log may be slow or stuck: so messages are kept, and written by the main thread.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

void arbiter_say(struct arbiter *a, int level, const char *format, ...)
{
    va_list args;

    if (a->n_messages == ARRAY_SIZE(a->messages)) {
        a->lost_messages++;
        return;
    }
    struct arbiter_message *message = &a->messages[a->n_messages++];
    message->level = level;
    va_start(args, format);
    vsnprintf(message->text, sizeof(message->text), format, args);
    va_end(args);
    eventfd_write(a->message_fd, 1);
}

int arbiter_message_fd(const struct arbiter *a)
{
    return a->message_fd;
}

void arbiter_write_messages(struct arbiter *a)
{
    struct arbiter_message messages[ARRAY_SIZE(a->messages)];
    eventfd_t count;

    (void)eventfd_read(a->message_fd, &count);
    pthread_mutex_lock(&a->lock);
    size_t n = a->n_messages;
    uint64_t lost = a->lost_messages;
    memcpy(messages, a->messages, n * sizeof(messages[0]));
    a->n_messages = 0;
    a->lost_messages = 0;
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < n; i++)
        log_line(messages[i].level, "%s", messages[i].text);
    if (lost > 0)
        log_warning("GPU %s: %llu more messages of its vGPUs were lost", a->gpu,
                    (unsigned long long)lost);
}
