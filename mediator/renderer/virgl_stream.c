/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/virgl_stream.h"

#include <errno.h>
#include <string.h>

/* Of virgl's protocol: a command's header has its number in bits 0 to 7 and its length in words,
 * the header not counted, in bits 16 to 31. */
enum {
    CREATE_SUB_CTX = 29,
    DESTROY_SUB_CTX = 30,
    PIPE_RESOURCE_CREATE = 48,
    PIPE_RESOURCE_SET_TYPE = 49,
};

static uint32_t *find(struct virgl_sub_contexts *subs, uint32_t id)
{
    for (uint32_t i = 0; i < subs->count; i++)
        if (subs->ids[i] == id)
            return &subs->ids[i];
    return NULL;
}

static int look_at(uint32_t command, uint32_t operand, struct virgl_sub_contexts *subs)
{
    uint32_t *id;

    switch (command) {
    case PIPE_RESOURCE_CREATE:
    case PIPE_RESOURCE_SET_TYPE:
        return -EOPNOTSUPP;
    case CREATE_SUB_CTX:
        if (find(subs, operand))
            return 0; /* virglrenderer makes no second one */
        if (subs->count == VIRGL_SUB_CONTEXTS_MAX)
            return -ENOMEM;
        subs->ids[subs->count++] = operand;
        return 0;
    case DESTROY_SUB_CTX:
        id = find(subs, operand);
        if (id)
            *id = subs->ids[--subs->count];
        return 0;
    default:
        return 0;
    }
}

int virgl_stream_check(const void *stream, size_t bytes, struct virgl_sub_contexts *subs)
{
    const uint32_t *words = stream;
    size_t count = bytes / 4;
    struct virgl_sub_contexts after = *subs;

    for (size_t i = 0; i < count;) {
        uint32_t command = words[i] & 0xff, length = words[i] >> 16;

        if (length >= count - i)
            break; /* cut short: virglrenderer stops here too */
        int r = look_at(command, length > 0 ? words[i + 1] : 0, &after);
        if (r < 0)
            return r;
        i += 1 + length;
    }
    *subs = after;
    return 0;
}
