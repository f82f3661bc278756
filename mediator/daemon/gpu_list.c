/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/gpu_list.h"

#include "mediator/base/util.h"
#include "mediator/daemon/child.h"
#include "mediator/daemon/config_value.h"
#include "mediator/daemon/error_text.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-json.h>
#include <time.h>

/* Bringing up each driver of the machine once: a second or so. The program has bounds of its own,
 * which add up to 20 s. */
#define PROBE_MS 25000
#define PROBE_BYTES_MAX (64u << 10)

void gpu_list_destroy(struct gpu_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->gpus[i].id);
        free(list->gpus[i].text);
    }
    free(list->gpus);
    free(list->auto_id);
    free(list->why);
    *list = (struct gpu_list){0};
}

/* The string of a key as printable ASCII, "" where there is none. NULL = no memory. */
static char *string_of(sd_json_variant *object, const char *key)
{
    sd_json_variant *value = sd_json_variant_by_key(object, key);
    bool is_string = value && sd_json_variant_is_string(value);
    char *text = strdup(is_string ? sd_json_variant_string(value) : "");
    for (char *p = text; p && *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    }
    return text;
}

static int take_gpus(sd_json_variant *array, struct gpu_list *list)
{
    size_t count = sd_json_variant_elements(array);
    if (count > GPU_LIST_MAX)
        return -E2BIG;
    list->gpus = calloc(count, sizeof(*list->gpus));
    if (count > 0 && !list->gpus)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        sd_json_variant *object = sd_json_variant_by_index(array, i);
        if (!sd_json_variant_is_object(object))
            return -EINVAL;
        sd_json_variant *usable = sd_json_variant_by_key(object, "usable");
        struct gpu *gpu = &list->gpus[list->count++];
        gpu->id = string_of(object, "id");
        gpu->usable = !sd_json_variant_is_boolean(usable) || sd_json_variant_boolean(usable);
        gpu->text = string_of(object, gpu->usable ? "gl_renderer" : "error");
        if (!gpu->id || !gpu->text)
            return -ENOMEM;
        if (!gpu_id_valid(gpu->id) || !strcmp(gpu->id, "auto"))
            return -EINVAL;
    }
    return 0;
}

int gpu_list_parse(const char *json, struct gpu_list *ret, char **ret_error)
{
    struct gpu_list list = {0};
    sd_json_variant *answer = NULL;
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): no flag is a flag set too
    int r = sd_json_parse(json, 0, &answer, NULL, NULL);
    sd_json_variant *gpus = r < 0 ? NULL : sd_json_variant_by_key(answer, "gpus");
    if (gpus && sd_json_variant_is_array(gpus))
        r = take_gpus(gpus, &list);
    else
        r = -EINVAL;
    if (r == 0) {
        list.auto_id = string_of(answer, "auto");
        list.why = string_of(answer, "why");
        r = list.auto_id && list.why ? 0 : -ENOMEM;
    }
    if (r == 0 && *list.auto_id == '\0')
        free(TAKE_PTR(list.auto_id));
    if (r == 0 && list.auto_id && (!gpu_id_valid(list.auto_id) || !strcmp(list.auto_id, "auto")))
        r = -EINVAL;
    sd_json_variant_unref(answer);
    if (r < 0) {
        gpu_list_destroy(&list);
        return error_text(ret_error, r, "the list of GPUs can't be understood: %s", strerror(-r));
    }
    *ret = list;
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until fd is readable; false: the time is over. */
static bool wait_readable(int fd, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - now_ms();
        int r = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (r > 0)
            return true;
        if (r == 0 || errno != EINTR)
            return false;
    }
}

/* Reads to the end of the pipe and leaves a string in buf. */
static int read_answer(int fd, char *buf, size_t size, int64_t deadline_ms)
{
    size_t len = 0;
    for (;;) {
        if (!wait_readable(fd, deadline_ms))
            return -ETIMEDOUT;
        ssize_t n = read(fd, buf + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            buf[len] = '\0';
            return 0;
        }
        len += (size_t)n;
        if (len == size - 1)
            return -EFBIG;
    }
}

int gpu_list_probe(const char *renderer_program, struct gpu_list *ret, char **ret_error)
{
    const char *const argv[] = {renderer_program, "--probe", NULL};
    int64_t deadline_ms = now_ms() + PROBE_MS;
    char answer[PROBE_BYTES_MAX];
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_text(ret_error, -errno, "can't look for GPUs: %s", strerror(errno));

    int pidfd, code = 0, status = 0;
    pid_t pid;
    const struct child_args args = {.argv = (char *const *)argv, .stdout_fd = pipe_fds[1]};
    int r = child_spawn(&args, &pidfd, &pid);
    close(pipe_fds[1]);
    if (r < 0) {
        close(pipe_fds[0]);
        return error_text(ret_error, r, "can't run the renderer %s: %s", renderer_program,
                          strerror(-r));
    }
    r = read_answer(pipe_fds[0], answer, sizeof(answer), deadline_ms);
    close(pipe_fds[0]);
    if (r == 0 && !wait_readable(pidfd, deadline_ms))
        r = -ETIMEDOUT;
    if (r < 0) {
        child_kill(pid);
        wait_readable(pidfd, now_ms() + PROBE_MS);
    }
    int reaped = child_reap(pidfd, pid, &code, &status);
    close(pidfd);
    if (r < 0)
        return error_text(ret_error, r, "%s --probe gave no answer: %s", renderer_program,
                          strerror(-r));
    if (reaped <= 0 || code != CLD_EXITED || status != 0) {
        char how[96] = "did not end";
        if (reaped > 0)
            child_describe_end(code, status, how, sizeof(how));
        return error_text(ret_error, -EIO, "%s --probe %s", renderer_program, how);
    }
    return gpu_list_parse(answer, ret, ret_error);
}

static bool is_software(const char *id)
{
    return !strcmp(id, "software");
}

static void resolve_auto(const struct gpu_list *list, struct gpu_ids *ret)
{
    *ret = (struct gpu_ids){.ids = {list->auto_id}, .count = 1};
    for (size_t i = 0; i < list->count && ret->count < GPU_LIST_MAX; i++) {
        const struct gpu *gpu = &list->gpus[i];
        if (gpu->usable && strcmp(gpu->id, list->auto_id) != 0 &&
            is_software(gpu->id) == is_software(list->auto_id))
            ret->ids[ret->count++] = gpu->id;
    }
}

int gpu_list_resolve(const struct gpu_list *list, const char *wanted, const char *where,
                     struct gpu_ids *ret, char **ret_error)
{
    if (!strcmp(wanted, "auto")) {
        if (!list->auto_id)
            return error_text(ret_error, -ENODEV,
                              "%s: no GPU can be used, not even a software one (%s); the null "
                              "backend works without",
                              where, list->why);
        resolve_auto(list, ret);
        return 0;
    }
    char known[1024] = "";
    const struct gpu *found = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct gpu *gpu = &list->gpus[i];
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s%s (%s%s)", len ? ", " : "", gpu->id,
                 gpu->usable ? "" : "unusable: ", gpu->text);
        if (!strcmp(gpu->id, wanted))
            found = gpu;
    }
    if (found && found->usable) {
        *ret = (struct gpu_ids){.ids = {found->id}, .count = 1};
        return 0;
    }
    return error_text(ret_error, -ENODEV, "%s: %s GPU '%s'; there are: %s", where,
                      found ? "can't use the" : "there is no", wanted, *known ? known : "none");
}
