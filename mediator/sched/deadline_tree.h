/* SPDX-License-Identifier: MIT */
/*
 * A balanced tree of requests that answers "which of those that have started has the earliest
 * deadline" in O(log n): sorted by deadline, each node knows the earliest start below it. Nodes lie
 * in the caller's objects. Times are compared by their signed difference, so that a clock may wrap
 * around as long as no two times in a tree are 2^63 apart. Used by the scheduler.
 */
#ifndef ALIQUOT_SCHED_DEADLINE_TREE_H
#define ALIQUOT_SCHED_DEADLINE_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct deadline_node {
    uint64_t start,
        deadline; /* set by the caller before the node goes in, constant while it is in */
    /* The tree's own. */
    struct deadline_node *parent, *left, *right; /* borrowed */
    uint64_t min_start;                          /* of this node and all below */
    uint8_t height;
    bool in_tree;
};

/* {0} is an empty tree. */
struct deadline_tree {
    struct deadline_node *root; /* borrowed */
};

/* Among equal deadlines the node that went in first comes first. */
void deadline_tree_insert(struct deadline_tree *t, struct deadline_node *node);
/* A node that is in no tree is fine. */
void deadline_tree_erase(struct deadline_tree *t, struct deadline_node *node);
/* The earliest deadline among nodes with start <= now; NULL if there is none. */
struct deadline_node *deadline_tree_pick(const struct deadline_tree *t, uint64_t now);
/* The earliest start, of several the earliest deadline; NULL in an empty tree. */
struct deadline_node *deadline_tree_first_start(const struct deadline_tree *t);

#endif
