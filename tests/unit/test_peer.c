/* SPDX-License-Identifier: MIT */
/* Who may connect: the decision for all kinds of peers, and what a real socket says. */
#include "mediator/daemon/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SELF 500

static bool allows(const struct peer_policy *policy, uid_t uid, gid_t gid, gid_t group)
{
    const struct peer peer = {.pid = 1, .uid = uid, .gid = gid};
    return peer_policy_allows(policy, SELF, &peer, &group, 1);
}

static void test_policy(void **state)
{
    struct peer_policy policy = {0};
    assert_true(allows(&policy, 0, 9, 9));
    assert_true(allows(&policy, SELF, 9, 9));
    assert_false(allows(&policy, 7, 0, 0)); /* group root alone is nobody */
    assert_false(allows(&policy, 7, 9, 9));

    assert_int_equal(peer_policy_add_uid(&policy, 7), 0);
    assert_int_equal(peer_policy_add_uid(&policy, 8), 0);
    assert_true(allows(&policy, 8, 9, 9));
    assert_false(allows(&policy, 10, 9, 9));

    assert_int_equal(peer_policy_add_gid(&policy, 40), 0);
    assert_int_equal(peer_policy_add_gid(&policy, 41), 0);
    assert_true(allows(&policy, 10, 41, 9));
    assert_true(allows(&policy, 10, 9, 40));
    assert_false(allows(&policy, 10, 9, 7)); /* an allowed user's number is no group */
    peer_policy_destroy(&policy);
    assert_false(allows(&policy, 8, 9, 9));
}

static void test_socket(void **state)
{
    int pair[2];
    struct peer peer;
    const struct peer_policy policy = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(peer_read(pair[0], &peer), 0);
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.gid, getegid());
    assert_true(strlen(peer.comm) > 0 && strcmp(peer.comm, "?") != 0);
    assert_true(peer_allowed(&policy, pair[0], &peer)); /* this process's own user */
    close(pair[0]);
    close(pair[1]);
    assert_true(peer_read(pair[0], &peer) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
