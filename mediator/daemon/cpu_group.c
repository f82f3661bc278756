/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_group.h"

#include "mediator/base/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define PREFIX "aliquot-"
#define NAMES_TRIED 64
/* Of /proc/self/mountinfo: mounts are some hundred bytes each. */
#define PROC_FILE_MAX (1u << 20)

/* ---- where ---------------------------------------------------------------------------------- */

/* Whether a list like "rw,cpu,cpuacct" has the word. */
static bool has_word(const char *list, size_t len, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= len; i++) {
        if ((i == 0 || list[i - 1] == ',') && !strncmp(list + i, word, n) &&
            (i + n == len || list[i + n] == ','))
            return true;
    }
    return false;
}

/* The process' group in the hierarchy with the controller, or in version 2's ("0::/path"). */
static bool own_group(const char *cgroups, bool v2, char *ret, size_t size)
{
    for (const char *line = cgroups; *line;) {
        size_t len = strcspn(line, "\n");
        const char *names = memchr(line, ':', len);
        const char *path = names ? memchr(names + 1, ':', len - (size_t)(names + 1 - line)) : NULL;
        if (path) {
            size_t n = (size_t)(path - (names + 1)), path_len = len - (size_t)(path + 1 - line);
            if (v2 ? n == 0 : has_word(names + 1, n, "cpu")) {
                int written = snprintf(ret, size, "%.*s", (int)path_len, path + 1);
                return written >= 0 && (size_t)written < size;
            }
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

/* Where the group is below a mount that shows the hierarchy from root on. */
static bool join(const char *mount, const char *root, const char *group, char *ret, size_t size)
{
    size_t n = strcmp(root, "/") ? strlen(root) : 0;

    if (strncmp(group, root, n) != 0 || (group[n] != '/' && group[n] != '\0'))
        return false; /* it lies outside of what is mounted there */
    int written = snprintf(ret, size, "%s%s", mount, strcmp(group + n, "/") ? group + n : "");
    return written >= 0 && (size_t)written < size;
}

static bool find_version(const char *mountinfo, const char *cgroups, bool v2, char *ret_path,
                         size_t size)
{
    char group[PATH_MAX], root[PATH_MAX], mount[PATH_MAX], type[64], options[1024];

    if (!own_group(cgroups, v2, group, sizeof(group)))
        return false;
    for (const char *line = mountinfo; *line;) {
        char text[3 * PATH_MAX];
        size_t len = strcspn(line, "\n");
        snprintf(text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), line);
        line += len + (line[len] == '\n');
        const char *more = strstr(text, " - ");
        if (!more || sscanf(text, "%*s %*s %*s %4095s %4095s", root, mount) != 2 ||
            sscanf(more, " - %63s %*s %1023s", type, options) != 2)
            continue;
        bool match = v2 ? !strcmp(type, "cgroup2")
                        : !strcmp(type, "cgroup") && has_word(options, strlen(options), "cpu");
        if (match && join(mount, root, group, ret_path, size))
            return true;
    }
    return false;
}

bool cpu_group_find(const char *mountinfo, const char *cgroups, char *ret_path, size_t size,
                    bool *ret_v2)
{
    /* A controller is in one hierarchy: if one of version 1 has it, version 2 has not. */
    for (int v2 = 0; v2 < 2; v2++) {
        if (find_version(mountinfo, cgroups, v2, ret_path, size)) {
            *ret_v2 = v2;
            return true;
        }
    }
    return false;
}

/* The caller frees it; NULL: there is none. */
static char *read_proc(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 ? malloc(PROC_FILE_MAX) : NULL;
    size_t len = 0;

    if (!text)
        return NULL;
    for (ssize_t n; len < PROC_FILE_MAX - 1; len += (size_t)n) {
        n = read(fd, text + len, PROC_FILE_MAX - 1 - len);
        if (n <= 0)
            break;
    }
    text[len] = '\0';
    return text;
}

static int write_file(int dir_fd, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* With version 2 groups with a controller lie beside the one that we are in, not in it, and who may
 * arrange them is marked (systemd, "Control Group APIs and Delegation"). */
static int open_delegated(const char *own, int *ret_fd)
{
    char path[PATH_MAX], mark[8];

    if (snprintf(path, sizeof(path), "%s/..", own) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = fgetxattr(fd, "trusted.delegate", mark, sizeof(mark));
    if (n < 0)
        n = fgetxattr(fd, "user.delegate", mark, sizeof(mark));
    if (n != 1 || mark[0] != '1')
        return -EPERM;
    int r = write_file(fd, "cgroup.subtree_control", "+cpu");
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}

static int open_parent(int *ret_fd)
{
    _cleanup_free_ char *mountinfo = read_proc("/proc/self/mountinfo");
    _cleanup_free_ char *cgroups = read_proc("/proc/self/cgroup");
    char path[PATH_MAX];
    bool v2;

    if (!mountinfo || !cgroups || !cpu_group_find(mountinfo, cgroups, path, sizeof(path), &v2))
        return -EOPNOTSUPP;
    if (v2)
        return open_delegated(path, ret_fd);
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

/* ---- groups --------------------------------------------------------------------------------- */

/* Removes those whose name begins like that, but for those that have processes. */
static void sweep(int dir_fd, const char *prefix)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (!dir) {
        close_fd_p(&fd);
        return;
    }
    while ((entry = readdir(dir))) {
        if (!strncmp(entry->d_name, prefix, strlen(prefix)))
            unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

static int make(struct cpu_group_parent *parent, struct cpu_group *ret)
{
    char path[64];

    if (parent->dir_fd < 0)
        return -EOPNOTSUPP;
    *ret = CPU_GROUP_NONE;
    int r = -EEXIST; /* of a daemon that has our number in a namespace of its own */
    for (unsigned i = 0; i < NAMES_TRIED && r == -EEXIST; i++) {
        snprintf(ret->name, sizeof(ret->name), PREFIX "%d-%u", getpid(), ++parent->last);
        r = mkdirat(parent->dir_fd, ret->name, 0755) < 0 ? -errno : 0;
    }
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "%s/cpu.idle", ret->name);
    ret->idle_fd = openat(parent->dir_fd, path, O_WRONLY | O_CLOEXEC);
    if (ret->idle_fd >= 0)
        return 0;
    r = errno == ENOENT ? -EOPNOTSUPP : -errno;
    cpu_group_remove(parent, ret);
    return r;
}

int cpu_group_parent_open(struct cpu_group_parent *ret)
{
    struct cpu_group_parent parent = {.dir_fd = -1};
    struct cpu_group group;
    int r = open_parent(&parent.dir_fd);

    if (r == 0)
        sweep(parent.dir_fd, PREFIX);
    if (r == 0) /* whether it can be done is known when it has been */
        r = make(&parent, &group);
    if (r == 0)
        cpu_group_remove(&parent, &group);
    else
        cpu_group_parent_close(&parent);
    *ret = parent;
    return r;
}

void cpu_group_parent_close(struct cpu_group_parent *parent)
{
    char own[32];

    if (parent->dir_fd < 0)
        return;
    snprintf(own, sizeof(own), PREFIX "%d-", getpid());
    sweep(parent->dir_fd, own);
    close(take_fd(&parent->dir_fd));
}

int cpu_group_create(struct cpu_group_parent *parent, pid_t pid, struct cpu_group *ret)
{
    char path[64], text[16];
    int r = make(parent, ret);

    if (r < 0) {
        *ret = CPU_GROUP_NONE;
        return r;
    }
    snprintf(path, sizeof(path), "%s/cgroup.procs", ret->name);
    snprintf(text, sizeof(text), "%d", pid);
    r = write_file(parent->dir_fd, path, text);
    if (r < 0)
        cpu_group_remove(parent, ret);
    return r;
}

int cpu_group_set_idle(struct cpu_group *group, bool idle)
{
    if (group->idle_fd < 0 || group->idle == idle)
        return 0;
    if (pwrite(group->idle_fd, idle ? "1" : "0", 1, 0) < 0)
        return -errno;
    group->idle = idle;
    return 0;
}

void cpu_group_remove(struct cpu_group_parent *parent, struct cpu_group *group)
{
    char own[32];

    if (group->name[0] == '\0')
        return;
    close_fd_p(&group->idle_fd);
    *group = CPU_GROUP_NONE;
    /* This one, and those whose last process was not quite gone when their turn was. */
    snprintf(own, sizeof(own), PREFIX "%d-", getpid());
    sweep(parent->dir_fd, own);
}
