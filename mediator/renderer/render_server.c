/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/render_server.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "protocol/layer.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The server's descriptors, besides the standard ones. */
#define CHILD_SOCKET_FD 3
#define CHILD_LAYER_FD 4

/* It has to kill and reap its workers, which is quick unless one is stuck in the kernel. */
#define END_MS 2000

#define LINE_MAX_BYTES 512

/* Of its threads; 0 would mean the default. */
#define SERVER_TIMER_SLACK_NS 1ul

/* Our layer; no other one is in its folder. */
#define LAYER_NAME "VK_LAYER_ALIQUOT_gate"
#define LAYER_MANIFESTS "VkLayer_*.json"

struct render_server {
    bool software;
    enum backend_priority priority;
    char gpu[256];            /* LAYER_GPU_ENV */
    int layer_fd;             /* borrowed; -1 = none */
    char program[PATH_MAX];   /* of the server */
    char icd[PATH_MAX];       /* manifest of the software driver; "" = any but software */
    char layer_dir[PATH_MAX]; /* where the layer's manifest is; "" = there is none */
    int remote_fd;            /* owned; the server's end, until it is started */
    int pidfd;                /* owned; -1 = not started */
    int log_fd, log_write_fd; /* owned; the server's output */
    char line[LINE_MAX_BYTES];
    size_t line_len;
};

extern char **environ;

__attribute__((format(printf, 2, 3))) static int fail(const char **ret_error, const char *format,
                                                      ...)
{
    static char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    *ret_error = text;
    return -ENOENT;
}

/* ---- what is needed ---------------------------------------------------------------------------
 */

static int find_program(struct render_server *s, const char **ret_error)
{
    const char *given = getenv("ALIQUOT_RENDER_SERVER");
    const char *const places[] = {
        given && *given ? given : ALIQUOT_RENDER_SERVER, "/usr/libexec/virgl_render_server",
        "/usr/lib/virgl_render_server", "/usr/local/libexec/virgl_render_server"};
    size_t n = given && *given ? 1 : ARRAY_SIZE(places);

    for (size_t i = 0; i < n; i++) {
        if (access(places[i], X_OK) == 0) {
            snprintf(s->program, sizeof(s->program), "%s", places[i]);
            return 0;
        }
    }
    return fail(ret_error,
                "there is no virgl_render_server at %s; it comes with virglrenderer (Debian: "
                "package virgl-server)",
                places[0]);
}

/* The software driver is named, so that no other one is even loaded. */
static int find_software_driver(struct render_server *s, const char **ret_error)
{
    static const char *const patterns[] = {"/etc/vulkan/icd.d/lvp_icd*.json",
                                           "/usr/local/share/vulkan/icd.d/lvp_icd*.json",
                                           "/usr/share/vulkan/icd.d/lvp_icd*.json"};

    for (size_t i = 0; i < ARRAY_SIZE(patterns) && !s->icd[0]; i++) {
        glob_t found = {0};
        if (glob(patterns[i], 0, NULL, &found) == 0)
            snprintf(s->icd, sizeof(s->icd), "%s", found.gl_pathv[0]);
        globfree(&found);
    }
    return s->icd[0] ? 0
                     : fail(ret_error, "there is no Vulkan driver for the CPU, Mesa's lavapipe "
                                       "(Debian: package mesa-vulkan-drivers)");
}

/* In the build tree the layer lies beside us. */
static void find_layer(struct render_server *s)
{
    static const char self_in_build[] = "/mediator/renderer/aliquot-renderer";
    const char *given = getenv("ALIQUOT_LAYER_DIR");
    char dir[PATH_MAX], pattern[PATH_MAX + sizeof("/" LAYER_MANIFESTS)];
    glob_t found = {0};
    ssize_t len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
    size_t tail = strlen(self_in_build);

    if (given && *given)
        snprintf(dir, sizeof(dir), "%s", given);
    else if (len > (ssize_t)tail && memcmp(dir + len - tail, self_in_build, tail) == 0)
        memcpy(dir + len - tail, "/mediator/layer", sizeof("/mediator/layer"));
    else
        snprintf(dir, sizeof(dir), "%s", ALIQUOT_LAYER_DIR);
    snprintf(pattern, sizeof(pattern), "%s/" LAYER_MANIFESTS, dir);
    if (glob(pattern, 0, NULL, &found) == 0)
        snprintf(s->layer_dir, sizeof(s->layer_dir), "%s", dir);
    globfree(&found);
}

static int find_all(struct render_server *s, const struct render_server_config *config,
                    const char **ret_error)
{
    int r = find_program(s, ret_error);

    if (r == 0 && config->software)
        r = find_software_driver(s, ret_error);
    if (r == 0 && config->layer_fd >= 0)
        find_layer(s);
    if (r == 0 && config->must_gate && !s->layer_dir[0])
        r = fail(ret_error,
                 "the layer that keeps Vulkan within its share is not installed "
                 "(" LAYER_MANIFESTS " in %s)",
                 ALIQUOT_LAYER_DIR);
    return r;
}

/* ---- starting ---------------------------------------------------------------------------------
 */

#define ENV_MAX 12

struct environment {
    char text[ENV_MAX][PATH_MAX + 64];
    char *list[ENV_MAX + 1];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct environment *e, const char *format,
                                                      ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(e->text[e->n], sizeof(e->text[e->n]), format, args);
    va_end(args);
    e->list[e->n] = e->text[e->n];
    e->list[++e->n] = NULL;
}

/* Nothing of ours, but what is said here: what the server is told by its environment, it is told by
 * us. */
static void fill_environment(const struct render_server *s, struct environment *e)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (s->icd[0])
        put(e, "VK_DRIVER_FILES=%s", s->icd);
    else /* and those that are no GPU of this machine */
        put(e, "VK_LOADER_DRIVERS_DISABLE=lvp_icd*,virtio_icd*,gfxstream_vk_icd*");
    put(e, "VK_LOADER_LAYERS_DISABLE=~implicit~");
    if (s->layer_dir[0]) {
        put(e, "VK_ADD_LAYER_PATH=%s", s->layer_dir);
        put(e, "VK_INSTANCE_LAYERS=" LAYER_NAME);
        put(e, LAYER_ENV "=%d", CHILD_LAYER_FD);
        put(e, LAYER_GPU_ENV "=%s", s->gpu);
        put(e, LAYER_PRIORITY_ENV "=%s", backend_priority_name(s->priority));
    }
    /* Mesa looks for compiled shaders where our own GL driver does. */
    if (cache && *cache == '/')
        put(e, "MESA_SHADER_CACHE_DIR=%s", cache);
    else if (home && *home == '/')
        put(e, "MESA_SHADER_CACHE_DIR=%s/.cache", home);
}

/* high: copies above the target numbers, so that putting one into place overwrites no other one. */
static int prepare(const struct render_server *s, int high[static 3], posix_spawnattr_t *attr,
                   posix_spawn_file_actions_t *actions)
{
    const int fds[3] = {s->remote_fd, s->layer_dir[0] ? s->layer_fd : -1, s->log_write_fd};
    const int targets[3] = {CHILD_SOCKET_FD, CHILD_LAYER_FD, STDERR_FILENO};
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    /* It stays in our process group: aliquotd ends all of it at once. */
    r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (r == 0)
        r = posix_spawnattr_setsigmask(attr, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attr, &all);
    if (r == 0)
        r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < 3 && r == 0; i++) {
        if (fds[i] < 0)
            continue;
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, CHILD_LAYER_FD + 1);
        if (high[i] < 0)
            return -errno;
        r = posix_spawn_file_actions_adddup2(actions, high[i], targets[i]);
    }
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, fds[1] >= 0 ? CHILD_LAYER_FD + 1
                                                                          : CHILD_SOCKET_FD + 1);
    return -r;
}

/*
 * Venus's ring threads look for commands in naps of 10 µs and more. The kernel makes 60 µs of
 * those, to collect timers, and the guest waits for the rest. The slack is a thread's, and what it
 * starts inherits it.
 */
static int spawn_punctual(struct render_server *s, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    int r;

    (void)prctl(PR_SET_TIMERSLACK, SERVER_TIMER_SLACK_NS);
    r = -pidfd_spawn(&s->pidfd, s->program, actions, attr, argv, env);
    if (slack_ns > 0)
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns);
    return r;
}

static int spawn(struct render_server *s)
{
    char socket_fd[16];
    char *const argv[] = {s->program, "--socket-fd", socket_fd, NULL};
    struct environment *env = calloc(1, sizeof(*env));
    int high[3] = {-1, -1, -1}, r;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;

    if (!env)
        return -ENOMEM;
    snprintf(socket_fd, sizeof(socket_fd), "%d", CHILD_SOCKET_FD);
    fill_environment(s, env);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_init(&actions);
    r = prepare(s, high, &attr, &actions);
    if (r == 0)
        r = spawn_punctual(s, &actions, &attr, argv, env->list);
    for (size_t i = 0; i < ARRAY_SIZE(high); i++)
        close_fd_p(&high[i]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    free(env);
    return r;
}

void render_server_start(struct render_server *s)
{
    int r;

    if (s->remote_fd < 0)
        return;
    r = spawn(s);
    if (r < 0) {
        s->pidfd = -1;
        log_error("%s can't be started, there is no Vulkan: %s", s->program, strerror(-r));
    }
    /* The last copy of ours: the connection's end is the server's. */
    close(take_fd(&s->remote_fd));
}

/* ---- its life ---------------------------------------------------------------------------------
 */

static bool wait_for_end(const struct render_server *s, int timeout_ms)
{
    struct pollfd p = {.fd = s->pidfd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) > 0;
}

pid_t render_server_pid(const struct render_server *s)
{
    return s->pidfd < 0 ? 0 : pidfd_getpid(s->pidfd);
}

bool render_server_ended(const struct render_server *s)
{
    return s->remote_fd < 0 && (s->pidfd < 0 || wait_for_end(s, 0));
}

/* Its socket is closed already. */
static void end(struct render_server *s)
{
    siginfo_t info;

    close_fd_p(&s->remote_fd);
    s->remote_fd = -1;
    if (s->pidfd < 0)
        return;
    if (!wait_for_end(s, END_MS)) {
        log_warning("the render server does not end, killing it");
        pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
    }
    (void)waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED);
    close(take_fd(&s->pidfd));
}

int render_server_connect(struct render_server *s, int *ret_fd)
{
    int pair[2];

    end(s);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    s->remote_fd = pair[1];
    *ret_fd = pair[0];
    return 0;
}

/* A guest can cause lines without end. */
static void log_line_of_server(const char *line)
{
    static struct log_limit limit = {.burst = 10, .window_s = 10};

    if (*line && log_allowed(&limit))
        log_info("render server: %s", line);
}

void render_server_dispatch(struct render_server *s)
{
    ssize_t n = read(s->log_fd, s->line + s->line_len, sizeof(s->line) - 1 - s->line_len);
    char *start = s->line, *newline;

    if (n <= 0)
        return;
    s->line_len += (size_t)n;
    s->line[s->line_len] = '\0';
    while ((newline = memchr(start, '\n', s->line_len - (size_t)(start - s->line)))) {
        *newline = '\0';
        log_line_of_server(start);
        start = newline + 1;
    }
    s->line_len -= (size_t)(start - s->line);
    memmove(s->line, start, s->line_len);
    if (s->line_len == sizeof(s->line) - 1)
        s->line_len = 0; /* no line of people's */
}

int render_server_event_fd(const struct render_server *s)
{
    return s->log_fd;
}

int render_server_create(const struct render_server_config *config, struct render_server **ret,
                         const char **ret_error)
{
    struct render_server *s = calloc(1, sizeof(*s));
    int log[2] = {-1, -1}, r;

    if (!s)
        return fail(ret_error, "out of memory");
    s->software = config->software;
    s->priority = config->priority;
    snprintf(s->gpu, sizeof(s->gpu), "%s", config->gpu);
    s->layer_fd = config->layer_fd;
    s->remote_fd = s->pidfd = s->log_fd = s->log_write_fd = -1;
    r = find_all(s, config, ret_error);
    /* Neither end blocks: who writes more than is read loses it, and is not held up. */
    if (r == 0 && pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
        r = fail(ret_error, "no pipe: %s", strerror(errno));
    if (r < 0) {
        free(s);
        return r;
    }
    s->log_fd = log[0];
    s->log_write_fd = log[1];
    *ret = s;
    return 0;
}

void render_server_destroy(struct render_server *s)
{
    if (!s)
        return;
    end(s);
    close_fd_p(&s->log_fd);
    close_fd_p(&s->log_write_fd);
    free(s);
}
