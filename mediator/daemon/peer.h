/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end of a connection, and whether he may be there. The kernel vouches for the
 * ids (SO_PEERCRED, SO_PEERGROUPS: those of the moment of connect(2)); the name of the program is
 * only for people to read. Used for each connection to any socket of the daemon.
 */
#ifndef ALIQUOT_DAEMON_PEER_H
#define ALIQUOT_DAEMON_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The kernel's own bound for the groups of a process. */
#define PEER_GROUPS_MAX 65536

/* Root and the daemon's own user are always let in. */
struct peer_policy {
    uid_t *uids; /* owned */
    size_t n_uids;
    gid_t *gids; /* owned */
    size_t n_gids;
};

struct peer {
    pid_t pid; /* 0 = in a pid namespace that we don't see */
    uid_t uid;
    gid_t gid;
    char comm[16]; /* printable; "?" if it is gone or hidden */
};

void peer_policy_destroy(struct peer_policy *policy);
/* -ENOMEM or 0. */
int peer_policy_add_uid(struct peer_policy *policy, uid_t uid);
int peer_policy_add_gid(struct peer_policy *policy, gid_t gid);

/* The decision, given all that it depends on: self is the daemon's own uid, groups the
 * supplementary groups of the peer. */
bool peer_policy_allows(const struct peer_policy *policy, uid_t self, const struct peer *peer,
                        const gid_t *groups, size_t n_groups);

/* Reads who is connected to sock. Negative errno where the socket doesn't say. */
int peer_read(int sock, struct peer *ret);

/* peer_policy_allows() for a connected socket. What can't be read counts as refused. */
bool peer_allowed(const struct peer_policy *policy, int sock, const struct peer *peer);

#endif
