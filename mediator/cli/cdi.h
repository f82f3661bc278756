/* SPDX-License-Identifier: MIT */
/*
 * aliquot cdi: describes the vGPUs of the running daemon in the form of the Container Device
 * Interface, by which podman, docker and Kubernetes put them into containers. A row of the table in
 * commands.c.
 */
#ifndef ALIQUOT_CLI_CDI_H
#define ALIQUOT_CLI_CDI_H

#include "mediator/cli/commands.h"

int cdi_run(const struct cli_options *options, int argc, char **argv);

extern const char cdi_help[];

#endif
