/* SPDX-License-Identifier: MIT */
/*
 * What the files of the control interface share: control.c (connections, claims), control_vgpu.c
 * (what there is, and changes of it), control_events.c (the trace). Nobody else includes this.
 */
#ifndef ALIQUOT_DAEMON_CONTROL_INTERNAL_H
#define ALIQUOT_DAEMON_CONTROL_INTERNAL_H

#include "mediator/daemon/control.h"

#include "mediator/daemon/config.h"
#include "mediator/daemon/peer.h"

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-json.h>

struct control {
    struct mediator *mediator; /* borrowed */
    sd_varlink_server *server; /* owned */
    struct client *clients;    /* owned list */
};

/* One connection. Its claim lives as long. */
struct client {
    struct control *control; /* borrowed */
    sd_varlink *link;        /* borrowed: the server has it until on_disconnect() */
    struct peer peer;
    struct claim *claim; /* owned; NULL = none */
    struct client *next; /* owned by the control's list */
};

/* For methods without parameters: what comes nevertheless is an error for the caller. */
extern const sd_json_dispatch_field control_no_parameters[];

/* Takes a method's parameters, as sd_varlink_dispatch() does. Not 0: there is an answer, return
 * this. A client that asks more and more without reading the answers is cut off here, before they
 * pile up in our memory. */
int control_dispatch(sd_varlink *link, sd_json_variant *parameters,
                     const sd_json_dispatch_field *fields, void *ret);

/* Varlink's integers are signed; counters may come from a renderer and be anything. */
int64_t control_int(uint64_t value);

/* Answers with the error of the interface that stands for a negative errno. */
int control_error(sd_varlink *link, int error, const char *text);

/* Knobs among a method's parameters, in the notation of aliquot.conf(5); the weight may be a number
 * too. */
struct control_knobs {
    sd_json_variant *weight;               /* borrowed from the message; NULL = not given */
    const char *reservation, *cap, *slice; /* likewise */
};
#define CONTROL_KNOB_FIELDS(type, member)                                                          \
    {"weight", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_variant_noref,                      \
     offsetof(type, member.weight), 0},                                                            \
        {"reservation", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,                     \
         offsetof(type, member.reservation), SD_JSON_NULLABLE},                                    \
        {"cap", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, offsetof(type, member.cap), \
         SD_JSON_NULLABLE},                                                                        \
    {                                                                                              \
        "slice", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,                            \
            offsetof(type, member.slice), SD_JSON_NULLABLE                                         \
    }
/* Sets them in v, as the table of the configuration's keys says. */
int control_read_knobs(const struct control_knobs *k, struct vgpu_config *v, char **ret_error);

int control_on_list(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                    void *opaque);
int control_on_list_gpus(sd_varlink *link, sd_json_variant *parameters,
                         sd_varlink_method_flags_t flags, void *opaque);
int control_on_set(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *opaque);
int control_on_events(sd_varlink *link, sd_json_variant *parameters,
                      sd_varlink_method_flags_t flags, void *opaque);
int control_on_work(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                    void *opaque);

#endif
