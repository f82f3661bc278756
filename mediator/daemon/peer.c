/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/peer.h"

#include "mediator/base/util.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void peer_policy_destroy(struct peer_policy *policy)
{
    free(policy->uids);
    free(policy->gids);
    *policy = (struct peer_policy){0};
}

int peer_policy_add_uid(struct peer_policy *policy, uid_t uid)
{
    uid_t *uids = reallocarray(policy->uids, policy->n_uids + 1, sizeof(*uids));
    if (!uids)
        return -ENOMEM;
    uids[policy->n_uids++] = uid;
    policy->uids = uids;
    return 0;
}

int peer_policy_add_gid(struct peer_policy *policy, gid_t gid)
{
    gid_t *gids = reallocarray(policy->gids, policy->n_gids + 1, sizeof(*gids));
    if (!gids)
        return -ENOMEM;
    gids[policy->n_gids++] = gid;
    policy->gids = gids;
    return 0;
}

static bool policy_has_gid(const struct peer_policy *policy, gid_t gid)
{
    for (size_t i = 0; i < policy->n_gids; i++) {
        if (policy->gids[i] == gid)
            return true;
    }
    return false;
}

bool peer_policy_allows(const struct peer_policy *policy, uid_t self, const struct peer *peer,
                        const gid_t *groups, size_t n_groups)
{
    if (peer->uid == 0 || peer->uid == self)
        return true;
    for (size_t i = 0; i < policy->n_uids; i++) {
        if (policy->uids[i] == peer->uid)
            return true;
    }
    if (policy_has_gid(policy, peer->gid))
        return true;
    for (size_t i = 0; i < n_groups; i++) {
        if (policy_has_gid(policy, groups[i]))
            return true;
    }
    return false;
}

static void read_comm(pid_t pid, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    _cleanup_close_ int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;
    if (n <= 0) {
        snprintf(buf, size, "?");
        return;
    }
    buf[n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    /* The peer chooses this name: keep it fit for a terminal and for JSON. */
    for (char *p = buf; *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    }
}

int peer_read(int sock, struct peer *ret)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    if (len != sizeof(cred))
        return -EINVAL;
    *ret = (struct peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
    read_comm(cred.pid, ret->comm, sizeof(ret->comm));
    return 0;
}

bool peer_allowed(const struct peer_policy *policy, int sock, const struct peer *peer)
{
    if (peer_policy_allows(policy, geteuid(), peer, NULL, 0))
        return true;
    if (policy->n_gids == 0)
        return false;

    /* Asked with no room, the kernel says how much it needs. */
    gid_t nowhere;
    socklen_t len = 0;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, &nowhere, &len) == 0 || errno != ERANGE)
        return false;
    if (len > PEER_GROUPS_MAX * sizeof(gid_t))
        return false;
    _cleanup_free_ gid_t *groups = malloc(len);
    if (!groups || getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
        return false;
    return peer_policy_allows(policy, geteuid(), peer, groups, len / sizeof(gid_t));
}
