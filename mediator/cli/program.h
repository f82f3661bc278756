/* SPDX-License-Identifier: MIT */
/*
 * The program that "aliquot run" runs, and our standing in for it: signals that are meant for us go
 * on to it, it stops and continues with us, and its end becomes our exit status.
 *
 * It stays in our process group and on our terminal. What the terminal sends (^C, ^\, ^Z, a change
 * of size, hang-up) it gets itself, so we only pass on what others sent us alone.
 */
#ifndef ALIQUOT_CLI_PROGRAM_H
#define ALIQUOT_CLI_PROGRAM_H

#include <stdbool.h>
#include <systemd/sd-event.h>

/* As those of env(1), nohup(1) and the shell. */
enum { PROGRAM_NOT_EXECUTABLE = 126, PROGRAM_NOT_FOUND = 127, PROGRAM_SIGNAL_BASE = 128 };

struct program;

/* To be called first of all: sees to it that the end of children is seen. The program gets back
 * what it would have inherited. */
void program_prepare(void);

/* argv[0] is looked for in PATH; the environment is ours, SIGPIPE ignored or not as said. 0, or a
 * negative errno after a message, with *ret_status = what to exit with. */
int program_start(sd_event *event, char **argv, bool ignore_sigpipe, struct program **ret,
                  int *ret_status);
/* Runs the event loop until its end; the exit status that stands for that. */
int program_wait(sd_event *event, const struct program *p);
void program_destroy(struct program *p);

#endif
