/* SPDX-License-Identifier: MIT */
/*
 * The renderer's end of what protocol/broker.h describes: the socket to aliquotd and the page of
 * counters. Used by main.c. The broker is trusted; a packet that breaks the rules is a bug and
 * treated like the broker's end.
 */
#ifndef ALIQUOT_RENDERER_BROKER_LINK_H
#define ALIQUOT_RENDERER_BROKER_LINK_H

#include "protocol/broker.h"

#include <systemd/sd-event.h>

struct broker_link;

struct broker_link_ops {
    /* A connection to serve; fd passes to the callee. */
    void (*serve)(void *opaque, int fd);
    /* The broker is gone, or what it says makes no sense. reason: static. Called once. */
    void (*gone)(void *opaque, const char *reason);
};

/* fd is consumed on success only; ops is borrowed. */
int broker_link_create(sd_event *event, int fd, const struct broker_link_ops *ops, void *opaque,
                       struct broker_link **ret);
void broker_link_destroy(struct broker_link *link);

/* Sends BROKER_READY or BROKER_DONE; text is cut at BROKER_TEXT_MAX. Does not block. */
int broker_link_send(struct broker_link *link, enum broker_msg_type type, const char *text);

/* Maps the page behind fd, which stays the caller's, or a private one for fd -1. The page is for
 * the life of the process. */
int broker_stats_map(int fd, struct broker_stats **ret);

#endif
