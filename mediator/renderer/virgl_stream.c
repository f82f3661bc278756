/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/virgl_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Of virgl's protocol: a command's header has its number in bits 0 to 7 and its length in words,
 * the header not counted, in bits 16 to 31. */
enum {
    CLEAR = 7,
    DRAW_VBO = 8,
    BLIT = 16,
    RESOURCE_COPY_REGION = 17,
    GET_QUERY_RESULT = 21,
    CREATE_SUB_CTX = 29,
    DESTROY_SUB_CTX = 30,
    LAUNCH_GRID = 37,
    TRANSFER3D = 43,
    COPY_TRANSFER3D = 45,
    CLEAR_TEXTURE = 47,
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

static int look_at(uint32_t command, uint32_t operand, struct virgl_stream_notes *notes)
{
    struct virgl_sub_contexts *subs = &notes->subs;
    uint32_t *id;

    switch (command) {
    case PIPE_RESOURCE_CREATE:
    case PIPE_RESOURCE_SET_TYPE:
        return -EOPNOTSUPP;
    case GET_QUERY_RESULT:
        notes->asks_query = true;
        return 0;
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

int virgl_stream_check(const void *stream, size_t bytes, struct virgl_stream_notes *notes)
{
    const uint32_t *words = stream;
    size_t count = bytes / 4;
    struct virgl_stream_notes after = *notes;

    for (size_t i = 0; i < count;) {
        uint32_t command = words[i] & 0xff, length = words[i] >> 16;

        if (length >= count - i)
            break; /* cut short: virglrenderer stops here too */
        int r = look_at(command, length > 0 ? words[i + 1] : 0, &after);
        if (r < 0)
            return r;
        i += 1 + length;
    }
    *notes = after;
    return 0;
}

static bool is_draw(uint32_t command)
{
    switch (command) {
    case CLEAR:
    case DRAW_VBO:
    case BLIT:
    case RESOURCE_COPY_REGION:
    case LAUNCH_GRID:
    case TRANSFER3D:
    case COPY_TRANSFER3D:
    case CLEAR_TEXTURE:
        return true;
    default:
        return false;
    }
}

size_t virgl_stream_piece(const void *stream, size_t bytes, uint32_t draws)
{
    const uint32_t *words = stream;
    size_t count = bytes / 4;

    for (size_t i = 0; i < count;) {
        uint32_t command = words[i] & 0xff, length = words[i] >> 16;

        if (length >= count - i)
            break;
        i += 1 + length;
        if (is_draw(command) && --draws == 0)
            return i * 4;
    }
    return bytes;
}
