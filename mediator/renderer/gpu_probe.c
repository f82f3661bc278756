/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/gpu_probe.h"

#include "mediator/base/util.h"
#include "mediator/renderer/egl_context.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-json.h>
#include <time.h>
#include <unistd.h>
#include <xf86drm.h>

/* Far above any real machine. */
#define MAX_GPUS 32

/* For all children together: they run at the same time. A cold NVIDIA driver takes about 2 s. */
#define DEADLINE_MS 10000

/* One GPU as its child found it. Crosses a pipe in one piece (smaller than PIPE_BUF). */
struct gpu_report {
    bool usable;
    char driver[32];
    char platform[16];
    char gl_renderer[128];
    char error[256];
};

struct candidate {
    char id[64];
    bool hardware;
    struct gpu_report report;
    pid_t child;
    int fd; /* owned: the child's report comes here; -1 = none */
};

struct candidates {
    struct candidate list[MAX_GPUS];
    int count;
};

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* ---- children -------------------------------------------------------------------------------- */

/* Starts work(arg, fd) in a child of its own, whose end of a pipe fd is. */
static int start_child(struct candidate *c, void (*work)(const struct candidate *c, int fd))
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    fflush(NULL);
    c->child = fork();
    if (c->child < 0) {
        int r = -errno;
        close(fds[0]);
        close(fds[1]);
        return r;
    }
    if (c->child == 0) {
        /* Drivers talk on stderr, also when nothing is wrong. What matters is in the report. */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null >= 0) {
            dup2(null, STDOUT_FILENO);
            dup2(null, STDERR_FILENO);
        }
        signal(SIGPIPE, SIG_DFL);
        work(c, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    c->fd = fds[0];
    return 0;
}

/* Reads up to size bytes and reaps the child. Returns the bytes read; *ret_status is the child's.
 */
static size_t finish_child(struct candidate *c, void *buf, size_t size, long long deadline_ms,
                           int *ret_status)
{
    size_t got = 0;

    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        long long left = deadline_ms - now_ms();
        ssize_t n;

        n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        n = read(c->fd, (char *)buf + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
        if (got == size)
            break;
    }
    close_fd_p(&c->fd);
    c->fd = -1;
    /* What it had to say is said. Closing the driver is not worth waiting for. */
    kill(c->child, SIGKILL);
    while (waitpid(c->child, ret_status, 0) < 0 && errno == EINTR)
        ;
    c->child = 0;
    return got;
}

/* ---- finding --------------------------------------------------------------------------------- */

static void add(struct candidates *all, const char *id, bool hardware)
{
    struct candidate *c;

    if (all->count == MAX_GPUS)
        return;
    c = &all->list[all->count++];
    *c = (struct candidate){.hardware = hardware, .fd = -1};
    snprintf(c->id, sizeof(c->id), "%s", id);
}

static int compare_nodes(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_render_nodes(struct candidates *all)
{
    drmDevice *devices[MAX_GPUS];
    int count = drmGetDevices2(0, devices, MAX_GPUS), n_nodes = 0;
    const char *nodes[MAX_GPUS];

    if (count <= 0)
        return;
    for (int i = 0; i < MIN(count, MAX_GPUS); i++)
        if (devices[i]->available_nodes & (1 << DRM_NODE_RENDER))
            nodes[n_nodes++] = devices[i]->nodes[DRM_NODE_RENDER];
    qsort(nodes, (size_t)n_nodes, sizeof(nodes[0]), compare_nodes);
    for (int i = 0; i < n_nodes; i++)
        if (egl_gpu_id_valid(nodes[i]))
            add(all, nodes[i], true);
    drmFreeDevices(devices, MIN(count, MAX_GPUS));
}

static void list_egl_devices(const struct candidate *c, int fd)
{
    struct egl_gpu_device devices[MAX_GPUS];
    int count = egl_gpu_devices(devices, MAX_GPUS);

    for (int i = 0; i < count; i++)
        if (write(fd, &devices[i], sizeof(devices[i])) != sizeof(devices[i]))
            break;
}

/* GPUs that EGL has and that have no render node here: NVIDIA's, in a container that got only
 * /dev/nvidia*. */
static void add_egl_devices(struct candidates *all)
{
    struct egl_gpu_device devices[MAX_GPUS];
    struct candidate child = {.fd = -1};
    size_t got;
    int status;

    if (start_child(&child, list_egl_devices) < 0)
        return;
    got = finish_child(&child, devices, sizeof(devices), now_ms() + DEADLINE_MS, &status);
    for (size_t i = 0; i < got / sizeof(devices[0]); i++) {
        char id[64];
        devices[i].render_node[sizeof(devices[i].render_node) - 1] = '\0';
        if (devices[i].software ||
            (devices[i].render_node[0] && access(devices[i].render_node, F_OK) == 0))
            continue;
        snprintf(id, sizeof(id), EGL_GPU_DEVICE_PREFIX "%zu", i);
        add(all, id, true);
    }
}

/* Hardware in the order in which "auto" takes it. */
static void find_hardware(struct candidates *all)
{
    all->count = 0;
    add_render_nodes(all);
    /* Listing EGL's devices loads all drivers: only where there can be one to find. */
    if (access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0)
        add_egl_devices(all);
}

/* ---- trying ---------------------------------------------------------------------------------- */

/* The oldest OpenGL, then OpenGL ES, that virglrenderer takes. */
static void *oldest_context(struct egl_gpu *gpu)
{
    void *context = NULL;

    if (!egl_gpu_gles(gpu))
        context = egl_gpu_create_context(gpu, 3, 1, false, false);
    if (!context && egl_gpu_set_gles(gpu, true))
        context = egl_gpu_create_context(gpu, 3, 0, false, false);
    return context;
}

static void try_gpu(const struct candidate *c, int fd)
{
    struct gpu_report report = {0};
    struct egl_gpu *gpu = NULL;
    const char *error = "";
    void *context = NULL;

    if (egl_gpu_open(c->id, &gpu, &error) == 0) {
        snprintf(report.driver, sizeof(report.driver), "%s", egl_gpu_driver(gpu));
        snprintf(report.platform, sizeof(report.platform), "%s", egl_gpu_platform(gpu));
        context = oldest_context(gpu);
        if (!context || egl_gpu_make_current(gpu, context) < 0) {
            error = "no OpenGL 3.1 or OpenGL ES 3.0";
        } else {
            snprintf(report.gl_renderer, sizeof(report.gl_renderer), "%s", egl_gpu_renderer(gpu));
            report.usable = egl_gpu_renderer_fits(gpu, &error);
        }
    }
    if (!report.usable)
        snprintf(report.error, sizeof(report.error), "%s", error);
    if (write(fd, &report, sizeof(report)) != sizeof(report))
        _exit(1);
}

static void try_all(struct candidates *all)
{
    long long deadline_ms = now_ms() + DEADLINE_MS;

    for (int i = 0; i < all->count; i++) {
        struct candidate *c = &all->list[i];
        int r = start_child(c, try_gpu);
        if (r < 0)
            snprintf(c->report.error, sizeof(c->report.error), "no process to try it in: %s",
                     strerror(-r));
    }
    for (int i = 0; i < all->count; i++) {
        struct candidate *c = &all->list[i];
        struct gpu_report report;
        int status = 0;
        if (c->fd < 0)
            continue;
        if (finish_child(c, &report, sizeof(report), deadline_ms, &status) == sizeof(report))
            c->report = report;
        else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            snprintf(c->report.error, sizeof(c->report.error), "its driver crashed (signal %d, %s)",
                     WTERMSIG(status), strsignal(WTERMSIG(status)));
        else if (now_ms() >= deadline_ms)
            snprintf(c->report.error, sizeof(c->report.error), "its driver did not answer in %d s",
                     DEADLINE_MS / 1000);
        else
            snprintf(c->report.error, sizeof(c->report.error), "its driver ended the process");
    }
}

/* ---- choosing -------------------------------------------------------------------------------- */

static void choose(struct gpu_choice *ret, const char *id, bool hardware)
{
    snprintf(ret->id, sizeof(ret->id), "%s", id);
    ret->hardware = hardware;
}

static const char *say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *say(const char *format, ...)
{
    static char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return text;
}

/* What "auto" means, once the hardware in all was tried. */
static const char *choose_auto(const struct candidates *all, struct gpu_choice *ret)
{
    const struct candidate *failed = NULL;

    for (int i = 0; i < all->count; i++) {
        const struct candidate *c = &all->list[i];
        if (!c->hardware)
            continue;
        if (c->report.usable) {
            choose(ret, c->id, true);
            return say("the first hardware GPU that works (%s)", c->report.gl_renderer);
        }
        if (!failed)
            failed = c;
    }
    choose(ret, EGL_GPU_SOFTWARE, false);
    if (failed)
        return say("no hardware GPU works; %s: %s", failed->id, failed->report.error);
    return "no render node in /dev/dri and no NVIDIA device: there is no hardware GPU";
}

int gpu_choose(const char *wanted, struct gpu_choice *ret, const char **why)
{
    struct candidates all;

    if (wanted && strcmp(wanted, "auto") != 0) {
        if (!egl_gpu_id_valid(wanted)) {
            *why =
                say("\"%s\" is no GPU: it is auto, software, /dev/dri/renderDN or egl:N", wanted);
            return -EINVAL;
        }
        choose(ret, wanted, strcmp(wanted, EGL_GPU_SOFTWARE) != 0);
        *why = "as configured";
        return 0;
    }
    find_hardware(&all);
    try_all(&all);
    *why = choose_auto(&all, ret);
    return 0;
}

/* ---- printing -------------------------------------------------------------------------------- */

static int add_json(sd_json_variant **list, const struct candidate *c)
{
    const struct gpu_report *r = &c->report;
    __attribute__((cleanup(sd_json_variant_unrefp))) sd_json_variant *entry = NULL;
    int result = sd_json_buildo(
        &entry, SD_JSON_BUILD_PAIR_STRING("id", c->id),
        SD_JSON_BUILD_PAIR_STRING("kind", c->hardware ? "hardware" : "software"),
        SD_JSON_BUILD_PAIR_STRING("driver", r->driver[0] ? r->driver : NULL),
        SD_JSON_BUILD_PAIR_STRING("gl_renderer", r->gl_renderer[0] ? r->gl_renderer : NULL),
        SD_JSON_BUILD_PAIR_STRING("platform", r->platform[0] ? r->platform : NULL),
        SD_JSON_BUILD_PAIR_BOOLEAN("usable", r->usable),
        SD_JSON_BUILD_PAIR_STRING("error", r->usable ? NULL : r->error));

    return result < 0 ? result : sd_json_variant_append_array(list, entry);
}

int gpu_probe_print(FILE *out)
{
    __attribute__((cleanup(sd_json_variant_unrefp))) sd_json_variant *list = NULL, *document = NULL;
    struct gpu_choice choice;
    struct candidates all;
    const char *why;
    int r = 0;

    find_hardware(&all);
    add(&all, EGL_GPU_SOFTWARE, false);
    try_all(&all);
    why = choose_auto(&all, &choice);
    for (int i = 0; i < all.count && r >= 0; i++)
        r = add_json(&list, &all.list[i]);
    if (r >= 0)
        r = sd_json_buildo(&document, SD_JSON_BUILD_PAIR("gpus", SD_JSON_BUILD_VARIANT(list)),
                           SD_JSON_BUILD_PAIR_STRING("auto", choice.id),
                           SD_JSON_BUILD_PAIR_STRING("why", why));
    if (r >= 0)
        /* A set of flags is no member of the enumeration. NOLINTNEXTLINE(*EnumCastOutOfRange) */
        r = sd_json_variant_dump(document, SD_JSON_FORMAT_NEWLINE | SD_JSON_FORMAT_PRETTY, out,
                                 NULL);
    return r < 0 ? r : 0;
}
