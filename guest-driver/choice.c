/* SPDX-License-Identifier: MIT */
#include "guest-driver/choice.h"
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not there in the shim, which is a render node itself. */
extern const struct transport transport_virtgpu __attribute__((weak, visibility("hidden")));

static const struct transport *transport_of(const char *path)
{
    struct stat st;

    if (&transport_virtgpu && stat(path, &st) == 0 && S_ISCHR(st.st_mode))
        return &transport_virtgpu;
    return &transport_vhost_user;
}

/* The socket at which aliquotd makes vGPUs on demand, cut to size. */
static void on_demand_socket(char *path, size_t size)
{
    const char *runtime = geteuid() == 0 ? NULL : secure_getenv("XDG_RUNTIME_DIR");

    snprintf(path, size, "%s/aliquot/aliquot.sock", runtime && *runtime ? runtime : "/run");
}

/* What a program gets that names nothing. */
static int find(char **ret_path, char *error)
{
    const char *named = secure_getenv("ALIQUOT_SOCKET");
    char reason[ERROR_TEXT_BYTES] = "";
    char socket[ERROR_TEXT_BYTES];

    on_demand_socket(socket, sizeof(socket));
    if (!named || !*named) {
        if (&transport_virtgpu) {
            int result = transport_virtgpu.find(ret_path, reason);
            if (result != -ENOENT)
                return result;
        }
        named = socket;
    }
    if (named == socket && access(socket, F_OK) < 0) {
        snprintf(
            error, ERROR_TEXT_BYTES,
            "no vGPU: ALIQUOT_SOCKET is not set, %.60s, there is no %.50s: start aliquotd, use "
            "'aliquot run', or give the virtual machine a virtio-gpu device",
            reason, socket);
        return -ENOENT;
    }
    *ret_path = strdup(named);
    return *ret_path ? 0 : -ENOMEM;
}

int vgpu_choose(const char *wanted, const struct transport **ret_transport, char **ret_path,
                char *error)
{
    char *path = NULL;
    int result = 0;

    if (*wanted)
        path = strdup(wanted);
    else
        result = find(&path, error);
    if (result == 0 && !path)
        result = -ENOMEM;
    if (result < 0)
        return result;
    *ret_transport = transport_of(path);
    *ret_path = path;
    return 0;
}
