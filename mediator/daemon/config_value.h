/* SPDX-License-Identifier: MIT */
/*
 * Parsers of single values, as they stand in the configuration file and on the command line: pure
 * functions, but for the look-up of users and groups. Each takes the whole text (no blanks around)
 * and returns 0, -EINVAL for what is no such value, -ERANGE for one out of bounds, -ENOENT for an
 * unknown user or group; *ret_ is untouched on failure. Used by config.c.
 */
#ifndef ALIQUOT_DAEMON_CONFIG_VALUE_H
#define ALIQUOT_DAEMON_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

int value_bool(const char *text, bool *ret);
/* Decimal, no sign, no blanks. */
int value_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* Bytes with an optional K, M, G or T (powers of 1024). */
int value_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* "1280x800" */
int value_size(const char *text, uint32_t min, uint32_t max, uint32_t *ret_width,
               uint32_t *ret_height);
/* Octal permission bits of a socket. */
int value_mode(const char *text, mode_t *ret);
/* Name or number. */
int value_user(const char *text, uid_t *ret);
int value_group(const char *text, gid_t *ret);

/* Where a TCP server listens: "9477" (of 127.0.0.1), "192.0.2.1:9477", "[::1]:9477"; "off" is
 * AF_UNSPEC. Port 0 is any free one. */
int value_address(const char *text, struct sockaddr_storage *ret);

/* [a-zA-Z0-9][a-zA-Z0-9._-]{0,62} */
bool vgpu_name_valid(const char *name);
/* "auto-" and a number: kept for vGPUs made on demand. */
bool vgpu_name_on_demand(const char *name);
/* auto, software, /dev/dri/renderDN, egl:N */
bool gpu_id_valid(const char *id);

#endif
