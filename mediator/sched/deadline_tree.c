/* SPDX-License-Identifier: MIT */
/* An AVL tree with parent pointers: no recursion, and every way up refreshes min_start. */
#include "mediator/sched/deadline_tree.h"

#include <assert.h>
#include <stddef.h>

static bool before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static int height(const struct deadline_node *node)
{
    return node ? node->height : 0;
}

/* Height and earliest start from the children. */
static void refresh(struct deadline_node *node)
{
    int left = height(node->left), right = height(node->right);
    uint64_t min = node->start;

    if (node->left && before(node->left->min_start, min))
        min = node->left->min_start;
    if (node->right && before(node->right->min_start, min))
        min = node->right->min_start;
    node->min_start = min;
    node->height = (uint8_t)(1 + (left > right ? left : right));
}

/* Puts node (or nothing) where old was. */
static void replace(struct deadline_tree *t, struct deadline_node *old, struct deadline_node *node)
{
    struct deadline_node *parent = old->parent;

    if (!parent)
        t->root = node;
    else if (parent->left == old)
        parent->left = node;
    else
        parent->right = node;
    if (node)
        node->parent = parent;
}

static struct deadline_node *rotate_left(struct deadline_tree *t, struct deadline_node *node)
{
    struct deadline_node *up = node->right;

    replace(t, node, up);
    node->right = up->left;
    if (node->right)
        node->right->parent = node;
    up->left = node;
    node->parent = up;
    refresh(node);
    refresh(up);
    return up;
}

static struct deadline_node *rotate_right(struct deadline_tree *t, struct deadline_node *node)
{
    struct deadline_node *up = node->left;

    replace(t, node, up);
    node->left = up->right;
    if (node->left)
        node->left->parent = node;
    up->right = node;
    node->parent = up;
    refresh(node);
    refresh(up);
    return up;
}

/* Refreshes and balances from node up to the root. */
static void rebalance(struct deadline_tree *t, struct deadline_node *node)
{
    for (; node; node = node->parent) {
        int balance = height(node->left) - height(node->right);

        if (balance > 1) {
            if (height(node->left->left) < height(node->left->right))
                rotate_left(t, node->left);
            node = rotate_right(t, node);
        } else if (balance < -1) {
            if (height(node->right->right) < height(node->right->left))
                rotate_right(t, node->right);
            node = rotate_left(t, node);
        } else {
            refresh(node);
        }
    }
}

void deadline_tree_insert(struct deadline_tree *t, struct deadline_node *node)
{
    struct deadline_node *parent = NULL, **link = &t->root;

    assert(!node->in_tree);
    while (*link) {
        parent = *link;
        link = before(node->deadline, parent->deadline) ? &parent->left : &parent->right;
    }
    node->parent = parent;
    node->left = NULL;
    node->right = NULL;
    node->in_tree = true;
    *link = node;
    rebalance(t, node);
}

void deadline_tree_erase(struct deadline_tree *t, struct deadline_node *node)
{
    struct deadline_node *changed = node->parent; /* the lowest node whose children change */

    if (!node->in_tree)
        return;
    if (!node->left) {
        replace(t, node, node->right);
    } else if (!node->right) {
        replace(t, node, node->left);
    } else {
        struct deadline_node *next = node->right;

        while (next->left)
            next = next->left;
        changed = next;
        if (next != node->right) {
            changed = next->parent;
            replace(t, next, next->right);
            next->right = node->right;
            next->right->parent = next;
        }
        replace(t, node, next);
        next->left = node->left;
        next->left->parent = next;
    }
    node->in_tree = false;
    rebalance(t, changed);
}

struct deadline_node *deadline_tree_pick(const struct deadline_tree *t, uint64_t now)
{
    struct deadline_node *node = t->root;

    if (!node || before(now, node->min_start))
        return NULL;
    /* Some node at or below this one has started: the left ones have the earlier deadlines. */
    for (;;) {
        if (node->left && !before(now, node->left->min_start))
            node = node->left;
        else if (!before(now, node->start))
            return node;
        else
            node = node->right;
    }
}

struct deadline_node *deadline_tree_first_start(const struct deadline_tree *t)
{
    return t->root ? deadline_tree_pick(t, t->root->min_start) : NULL;
}
