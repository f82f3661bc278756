/* SPDX-License-Identifier: MIT */
/*
 * Checks what a renderer says (protocol/broker.h). A renderer draws for a guest that may have taken
 * it over: its packets are looked at here, once, against one table, before anything acts on them.
 */
#ifndef ALIQUOT_DAEMON_RENDERER_MSG_H
#define ALIQUOT_DAEMON_RENDERER_MSG_H

#include "protocol/broker.h"

#include <stddef.h>
#include <sys/types.h>

/* The order that a renderer has to keep. */
enum renderer_msg_state {
    RENDERER_MSG_STARTING, /* → READY */
    RENDERER_MSG_READY,    /* → DONE; SLOT_… */
    RENDERER_MSG_DONE,     /* → nothing more but SLOT_… */
};

struct renderer_msg {
    enum broker_msg_type type;
    uint32_t slot;                  /* SLOT_…: 1 … LEASE_SLOTS_MAX - 1 */
    pid_t pid;                      /* likewise; above 0. Any process, if the renderer lies */
    char text[BROKER_TEXT_MAX + 1]; /* printable ASCII, terminated; other bytes have become '?' */
};

/* Takes the packet of size bytes apart; on success the state moves on and NULL is returned, else a
 * sentence that says which rule is broken, and nothing is changed. */
const char *renderer_msg_parse(enum renderer_msg_state *state, const void *packet, size_t size,
                               struct renderer_msg *ret);

#endif
