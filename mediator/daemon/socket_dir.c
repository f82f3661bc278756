/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/socket_dir.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/error_text.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LOCK_FILE "aliquotd.lock"
/* Tries for a lock file that its owner removes while we wait for it. */
#define LOCK_TRIES 16

/* A socket that we made. Its identity is kept, so that we never remove someone else's. */
struct made {
    char *file; /* owned */
    dev_t dev;
    ino_t ino;
};

struct socket_dir {
    char *path;  /* owned */
    int fd;      /* of the directory, owned */
    int lock_fd; /* owned */
    bool was_made;
    struct socket_dir_config config; /* path is not used */
    struct made *made;               /* owned array, owner of its names */
    size_t n_made;
};

const char *socket_dir_path(const struct socket_dir *dir)
{
    return dir->path;
}

/* Everybody who can pass the sockets' own mode may look the names up; where they are for one group
 * alone, so is the directory. */
static mode_t directory_mode(const struct socket_dir_config *config)
{
    bool for_group = config->socket_group != (gid_t)-1 && !(config->socket_mode & 0007);
    return for_group ? 0750 : 0755;
}

static int make_directory(struct socket_dir *dir, const char *path, char **ret_error)
{
    mode_t mode = directory_mode(&dir->config);
    if (mkdir(path, 0700) == 0)
        dir->was_made = true;
    else if (errno != EEXIST)
        return error_text(ret_error, -errno, "socket directory %s: can't make it: %s", path,
                          strerror(errno));

    dir->path = realpath(path, NULL);
    if (dir->path)
        dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (dir->fd < 0 || fstat(dir->fd, &st) < 0)
        return error_text(ret_error, -errno, "socket directory %s: %s", path, strerror(errno));
    if (!dir->was_made) {
        if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
            return error_text(ret_error, -EPERM,
                              "socket directory %s: everybody may write in it (mode %04o); "
                              "anyone could put his socket in place of ours",
                              path, st.st_mode & 07777);
        return 0;
    }
    if ((mode == 0750 && fchown(dir->fd, (uid_t)-1, dir->config.socket_group) < 0) ||
        fchmod(dir->fd, mode) < 0)
        return error_text(ret_error, -errno, "socket directory %s: can't set its mode: %s", path,
                          strerror(errno));
    return 0;
}

/* What the holder of the lock wrote into it; 0 = nothing sensible. */
static long lock_holder(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return strtol(text, NULL, 10);
}

static int take_lock(struct socket_dir *dir, char **ret_error)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        _cleanup_close_ int fd =
            openat(dir->fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return error_text(ret_error, -errno, "%s/%s: %s", dir->path, LOCK_FILE,
                              strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno != EWOULDBLOCK)
                return error_text(ret_error, -errno, "%s/%s: can't lock it: %s", dir->path,
                                  LOCK_FILE, strerror(errno));
            return error_text(ret_error, -EBUSY,
                              "%s: another aliquotd (pid %ld) serves this directory; stop it, or "
                              "give this one a directory of its own with --socket-dir",
                              dir->path, lock_holder(fd));
        }
        /* Between open and lock the former holder may have removed the file: a lock on a file that
         * nobody else can find is none. */
        struct stat ours, found;
        if (fstat(fd, &ours) < 0 || fstatat(dir->fd, LOCK_FILE, &found, AT_SYMLINK_NOFOLLOW) < 0 ||
            ours.st_ino != found.st_ino || ours.st_dev != found.st_dev)
            continue;

        char text[32];
        int len = snprintf(text, sizeof(text), "%d\n", getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len)
            return error_text(ret_error, -EIO, "%s/%s: can't write it", dir->path, LOCK_FILE);
        dir->lock_fd = take_fd(&fd);
        return 0;
    }
    return error_text(ret_error, -EBUSY, "%s/%s: comes and goes", dir->path, LOCK_FILE);
}

int socket_dir_open(const struct socket_dir_config *config, struct socket_dir **ret,
                    char **ret_error)
{
    struct socket_dir *dir = malloc(sizeof(*dir));
    if (!dir)
        return error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    *dir = (struct socket_dir){.fd = -1, .lock_fd = -1, .config = *config};

    int r = make_directory(dir, config->path, ret_error);
    if (r == 0)
        r = take_lock(dir, ret_error);
    if (r < 0) {
        socket_dir_close(dir);
        return r;
    }
    *ret = dir;
    return 0;
}

static void remove_made(struct socket_dir *dir, size_t index)
{
    struct made *made = &dir->made[index];
    struct stat st;
    if (fstatat(dir->fd, made->file, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == made->ino &&
        st.st_dev == made->dev)
        unlinkat(dir->fd, made->file, 0);
    free(made->file);
    *made = dir->made[--dir->n_made];
}

void socket_dir_unlink(struct socket_dir *dir, const char *file)
{
    for (size_t i = 0; i < dir->n_made; i++) {
        if (!strcmp(dir->made[i].file, file)) {
            remove_made(dir, i);
            return;
        }
    }
}

void socket_dir_close(struct socket_dir *dir)
{
    if (!dir)
        return;
    while (dir->n_made > 0)
        remove_made(dir, dir->n_made - 1);
    free(dir->made);
    if (dir->lock_fd >= 0) {
        unlinkat(dir->fd, LOCK_FILE, 0); /* while it is locked: see take_lock() */
        close(dir->lock_fd);
    }
    if (dir->fd >= 0)
        close(dir->fd);
    if ((dir->was_made || dir->config.remove) && dir->path)
        rmdir(dir->path); /* fails, as it should, if someone else put something there */
    free(dir->path);
    free(dir);
}

/* Removes what stands at the address if it is the socket of a process that is gone. */
static int remove_stale(struct socket_dir *dir, const char *file, const struct sockaddr_un *addr,
                        char **ret_error)
{
    struct stat st;
    if (fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT
                   ? 0
                   : error_text(ret_error, -errno, "%s: %s", addr->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return error_text(ret_error, -EEXIST,
                          "%s: there is something that is no socket; it is left alone, remove it "
                          "by hand or use another name",
                          addr->sun_path);

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_text(ret_error, -errno, "%s: %s", addr->sun_path, strerror(errno));
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0) {
        struct ucred cred = {0};
        socklen_t len = sizeof(cred);
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
        return error_text(ret_error, -EADDRINUSE,
                          "%s: a live process (pid %d) listens there; stop it or use another name",
                          addr->sun_path, cred.pid);
    }
    /* Everything but a clear "nobody listens" may be a live one: a full backlog says EAGAIN, a
     * packet socket EPROTOTYPE. */
    if (errno != ECONNREFUSED)
        return error_text(ret_error, -EADDRINUSE,
                          "%s: can't tell whether a live process has it (%s); not replaced",
                          addr->sun_path, strerror(errno));
    if (unlinkat(dir->fd, file, 0) < 0 && errno != ENOENT)
        return error_text(ret_error, -errno, "%s: can't remove the stale socket: %s",
                          addr->sun_path, strerror(errno));
    log_info("%s: replaced the stale socket of a dead process", addr->sun_path);
    return 0;
}

static int remember_made(struct socket_dir *dir, const char *file)
{
    struct stat st;
    if (fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    struct made *made = reallocarray(dir->made, dir->n_made + 1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    dir->made = made;
    made[dir->n_made] = (struct made){.file = strdup(file), .dev = st.st_dev, .ino = st.st_ino};
    if (!made[dir->n_made].file)
        return -ENOMEM;
    dir->n_made++;
    return 0;
}

int socket_dir_listen(struct socket_dir *dir, const char *file, int *ret_fd, char **ret_error)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int len = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir->path, file);
    if (len < 0 || (size_t)len >= sizeof(addr.sun_path))
        return error_text(ret_error, -ENAMETOOLONG,
                          "%s/%s: too long for the path of a socket (at most %zu bytes)", dir->path,
                          file, sizeof(addr.sun_path) - 1);
    int r = remove_stale(dir, file, &addr, ret_error);
    if (r < 0)
        return r;

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return error_text(ret_error, -errno, "%s: %s", addr.sun_path, strerror(errno));
    r = remember_made(dir, file);
    if (r < 0) {
        unlinkat(dir->fd, file, 0);
        return error_text(ret_error, r, "%s: %s", addr.sun_path, strerror(-r));
    }
    /* Nobody can connect before listen(), so there is no moment with a wrong mode. */
    gid_t group = dir->config.socket_group;
    if ((group != (gid_t)-1 && fchownat(dir->fd, file, (uid_t)-1, group, 0) < 0) ||
        fchmodat(dir->fd, file, dir->config.socket_mode, 0) < 0)
        return error_text(ret_error, -errno, "%s: can't set group and mode: %s", addr.sun_path,
                          strerror(errno));
    if (listen(fd, SOMAXCONN) < 0)
        return error_text(ret_error, -errno, "%s: %s", addr.sun_path, strerror(errno));
    *ret_fd = take_fd(&fd);
    return 0;
}
