/* SPDX-License-Identifier: MIT */
/* The tree against a list that is searched from end to end. */
#include "mediator/sched/deadline_tree.h"
#include "mediator/sched/sim/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NODES 300
#define STEPS 60000

struct model {
    struct deadline_tree tree;
    struct deadline_node nodes[NODES];
    uint64_t sequence[NODES], next_sequence; /* when it went in */
    uint64_t random;
};

static bool before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static struct deadline_node *naive_pick(struct model *m, uint64_t now)
{
    size_t best = NODES;
    for (size_t i = 0; i < NODES; i++) {
        const struct deadline_node *node = &m->nodes[i];
        if (!node->in_tree || before(now, node->start))
            continue;
        if (best == NODES || before(node->deadline, m->nodes[best].deadline) ||
            (node->deadline == m->nodes[best].deadline && m->sequence[i] < m->sequence[best]))
            best = i;
    }
    return best < NODES ? &m->nodes[best] : NULL;
}

/* Checks everything that must hold below node; returns the number of nodes. */
static unsigned check_below(const struct deadline_node *node, const struct deadline_node *parent)
{
    if (!node)
        return 0;
    int left = node->left ? node->left->height : 0, right = node->right ? node->right->height : 0;
    uint64_t min = node->start;
    assert_ptr_equal(node->parent, parent);
    assert_true(node->in_tree);
    assert_in_range(left - right + 1, 0, 2);
    assert_int_equal(node->height, 1 + (left > right ? left : right));
    if (node->left) {
        assert_false(before(node->deadline, node->left->deadline));
        min = before(node->left->min_start, min) ? node->left->min_start : min;
    }
    if (node->right) {
        assert_false(before(node->right->deadline, node->deadline));
        min = before(node->right->min_start, min) ? node->right->min_start : min;
    }
    assert_int_equal(node->min_start, min);
    return 1 + check_below(node->left, node) + check_below(node->right, node);
}

/* base: where times lie; range: how far apart; small ranges make many equal ones. */
static void run_model(uint64_t base, uint64_t range)
{
    static struct model m;
    m = (struct model){.random = base ^ range};
    unsigned n = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = sim_random(&m.random) % NODES;
        struct deadline_node *node = &m.nodes[i];
        if (node->in_tree) {
            deadline_tree_erase(&m.tree, node);
            n--;
        } else {
            node->start = base + sim_random(&m.random) % range;
            node->deadline = node->start + sim_random(&m.random) % range;
            m.sequence[i] = m.next_sequence++;
            deadline_tree_insert(&m.tree, node);
            n++;
        }
        uint64_t now = base + sim_random(&m.random) % range;
        assert_ptr_equal(deadline_tree_pick(&m.tree, now), naive_pick(&m, now));
        struct deadline_node *first = deadline_tree_first_start(&m.tree);
        assert_int_equal(first != NULL, n > 0);
        if (first)
            assert_int_equal(first->start, m.tree.root->min_start);
        if (step % 64 == 0)
            assert_int_equal(check_below(m.tree.root, NULL), n);
    }
    for (size_t i = 0; i < NODES; i++)
        deadline_tree_erase(&m.tree, &m.nodes[i]); /* in it or not */
    assert_null(m.tree.root);
}

static void test_wide(void **state)
{
    run_model(1000, UINT64_C(1) << 40);
}

static void test_many_equal(void **state)
{
    run_model(1000, 16);
}

static void test_wraps_around(void **state)
{
    run_model(UINT64_MAX - 500, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_many_equal),
        cmocka_unit_test(test_wraps_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
