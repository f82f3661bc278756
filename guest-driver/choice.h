/* SPDX-License-Identifier: MIT */
/* Which way leads to the vGPU that a program asks for. Used by vgpu.c. */
#ifndef ALIQUOT_GUEST_CHOICE_H
#define ALIQUOT_GUEST_CHOICE_H

#include "guest-driver/transport.h"

/* Finds the transport and the path, for free(3), for aliquot_open_args.path. Returns 0, -ENOMEM, or
 * -ENOENT where none was named and none is there; error, of ERROR_TEXT_BYTES, says so then. */
int vgpu_choose(const char *wanted, const struct transport **ret_transport, char **ret_path,
                char *error);

#endif
