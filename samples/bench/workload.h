/* SPDX-License-Identifier: MIT */
/*
 * What gl-bench and vk-bench have in common: a table of small workloads, each of which loads one
 * part of the way from the program to the GPU, the command line, the clock and the figures.
 */
#ifndef ALIQUOT_SAMPLES_WORKLOAD_H
#define ALIQUOT_SAMPLES_WORKLOAD_H

#include <stdint.h>

#define WORKLOAD_SIDE 512 /* of pictures */

struct workload {
    const char *name;
    const char *text;    /* one line */
    int (*set_up)(void); /* 0, or negative after a message; or NULL */
    /* One round, complete when it returns. 0, or negative after a message. */
    int (*frame)(uint32_t number);
    /* The figure is rounds a second times amount; with amount 0 it is just that, in fps. */
    double amount;
    const char *unit;
};

struct workload_driver {
    const char *program;
    const char *summary; /* the line after "Usage" */
    const char *where;   /* name of the option that says where it runs */
    const char *where_help;
    int (*parse_where)(const char *text); /* 0, or -1 = a bad value */
    const struct workload *workloads;
    unsigned count;
    /* A device of its own for each workload, so that they do not see each other's state. */
    int (*open)(void);             /* 0, or negative after a message */
    const char *(*renderer)(void); /* the name of the GPU */
    int (*check)(void);            /* at the end: 0, or negative after a message */
    void (*close)(void);           /* after open(), also if set_up() or a frame failed */
};

/* The program's main(). Returns the exit code: 0 fine, 1 failed, 2 usage. */
int workload_main(const struct workload_driver *driver, int argc, char **argv);

#endif
