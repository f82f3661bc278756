/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/renderer_msg.h"

#include "mediator/base/util.h"

#include <string.h>

static const struct {
    enum broker_msg_type type;
    enum renderer_msg_state from, to;
} transitions[] = {
    {BROKER_READY, RENDERER_MSG_STARTING, RENDERER_MSG_READY},
    {BROKER_DONE, RENDERER_MSG_READY, RENDERER_MSG_DONE},
};

const char *renderer_msg_parse(enum renderer_msg_state *state, const void *packet, size_t size,
                               struct renderer_msg *ret)
{
    struct broker_msg msg;
    if (size < BROKER_MSG_HEADER || size > sizeof(msg))
        return "a message of the wrong size";
    memcpy(&msg, packet, size);
    if (msg.version != BROKER_VERSION)
        return "another version of the protocol; is the renderer of another build?";
    if (msg.text_len != size - BROKER_MSG_HEADER)
        return "a text of another length than it says";

    for (size_t i = 0; i < ARRAY_SIZE(transitions); i++) {
        if (transitions[i].type != msg.type)
            continue;
        if (transitions[i].from != *state)
            return "a message out of order";
        *state = transitions[i].to;
        ret->type = transitions[i].type;
        for (uint32_t c = 0; c < msg.text_len; c++) {
            bool printable = msg.text[c] >= 0x20 && msg.text[c] <= 0x7e;
            ret->text[c] = printable ? msg.text[c] : '?';
        }
        ret->text[msg.text_len] = '\0';
        return NULL;
    }
    return "a message of an unknown type";
}
