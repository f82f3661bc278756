/* SPDX-License-Identifier: MIT */
/*
 * The table of keys: each with the sections it may stand in, its parser and what it allows. Used
 * by config.c (command line) and config_file.c.
 */
#ifndef ALIQUOT_DAEMON_CONFIG_KEY_H
#define ALIQUOT_DAEMON_CONFIG_KEY_H

#include "mediator/daemon/config.h"

#define CONFIG_ON_DEMAND_MAX 4096

enum config_section { /* bits */
                      CONFIG_SECTION_NONE = 0,
                      CONFIG_SECTION_ALIQUOT = 1 << 0,
                      CONFIG_SECTION_VGPU = 1 << 1,
};

/* Sets one key. v is the vGPU of the section, or the defaults for [aliquot]. seen, if not NULL,
 * has a bit for each key set before: twice is an error, but for keys that are lists. */
int config_key_set(struct config *c, struct vgpu_config *v, enum config_section section,
                   const char *name, const char *value, uint32_t *seen, const char *where,
                   char **ret_error);

#define CONFIG_PARALLELISM_MAX 64
#define CONFIG_RESET_MIN_NS UINT64_C(100000000)
#define CONFIG_RESET_MAX_NS UINT64_C(600000000000)

#endif
