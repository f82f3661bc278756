/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/renderer_msg.h"

#include "mediator/base/util.h"
#include "protocol/lease.h"

#include <limits.h>
#include <string.h>

static const struct {
    enum broker_msg_type type;
    enum renderer_msg_state from, to;
} transitions[] = {
    {BROKER_READY, RENDERER_MSG_STARTING, RENDERER_MSG_READY},
    {BROKER_DONE, RENDERER_MSG_READY, RENDERER_MSG_DONE},
    {BROKER_SLOT_TAKEN, RENDERER_MSG_READY, RENDERER_MSG_READY},
    {BROKER_SLOT_GONE, RENDERER_MSG_READY, RENDERER_MSG_READY},
    {BROKER_SLOT_TAKEN, RENDERER_MSG_DONE, RENDERER_MSG_DONE},
    {BROKER_SLOT_GONE, RENDERER_MSG_DONE, RENDERER_MSG_DONE},
};

/* NULL, or what is wrong. */
static const char *check_slot(const struct broker_msg *msg)
{
    if (msg->type != BROKER_SLOT_TAKEN && msg->type != BROKER_SLOT_GONE)
        return msg->slot != 0 || msg->pid != 0 ? "a slot in a message that has none" : NULL;
    if (msg->text_len != 0 || msg->slot == LEASE_SLOT_GL || msg->slot >= LEASE_SLOTS_MAX)
        return "no slot that there is";
    return msg->pid == 0 || msg->pid > INT_MAX ? "no process" : NULL;
}

const char *renderer_msg_parse(enum renderer_msg_state *state, const void *packet, size_t size,
                               struct renderer_msg *ret)
{
    struct broker_msg msg;
    const char *error;
    if (size < BROKER_MSG_HEADER || size > sizeof(msg))
        return "a message of the wrong size";
    memcpy(&msg, packet, size);
    if (msg.version != BROKER_VERSION)
        return "another version of the protocol; is the renderer of another build?";
    if (msg.text_len != size - BROKER_MSG_HEADER)
        return "a text of another length than it says";

    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(transitions); i++) {
        known |= transitions[i].type == msg.type;
        if (transitions[i].type != msg.type || transitions[i].from != *state)
            continue;
        error = check_slot(&msg);
        if (error)
            return error;
        *state = transitions[i].to;
        ret->type = transitions[i].type;
        ret->slot = msg.slot;
        ret->pid = (pid_t)msg.pid;
        for (uint32_t c = 0; c < msg.text_len; c++) {
            bool printable = msg.text[c] >= 0x20 && msg.text[c] <= 0x7e;
            ret->text[c] = printable ? msg.text[c] : '?';
        }
        ret->text[msg.text_len] = '\0';
        return NULL;
    }
    return known ? "a message out of order" : "a message of an unknown type";
}
