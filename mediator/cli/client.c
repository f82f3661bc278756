/* SPDX-License-Identifier: MIT */
#include "mediator/cli/client.h"

#include "mediator/base/util.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-varlink.h>

#define INTERFACE "io.aliquot.Mediator"
/* The daemon answers from memory: longer means that it hangs. */
#define TIMEOUT_US UINT64_C(10000000)

/* Where aliquotd puts its sockets unless told otherwise. NULL = a message has been printed. */
static char *control_path(const struct cli_options *options)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *path = NULL;
    int r;
    if (options->socket_dir) {
        r = asprintf(&path, "%s/" INTERFACE, options->socket_dir);
    } else if (geteuid() == 0) {
        r = asprintf(&path, "/run/aliquot/" INTERFACE);
    } else if (runtime && *runtime == '/') {
        r = asprintf(&path, "%s/aliquot/" INTERFACE, runtime);
    } else {
        fprintf(stderr, "aliquot: XDG_RUNTIME_DIR is not set; where are aliquotd's sockets? Say it "
                        "with --socket-dir DIR\n");
        return NULL;
    }
    if (r < 0)
        fprintf(stderr, "aliquot: %s\n", strerror(ENOMEM));
    return r < 0 ? NULL : path;
}

static void explain_no_connection(const struct cli_options *options, const char *path, int error)
{
    fprintf(stderr, "aliquot: can't reach aliquotd at %s: %s\n", path, strerror(error));
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
        fprintf(stderr,
                "It does not seem to run there. Start it with 'aliquotd%s%s', or with\n"
                "'systemctl start aliquotd'; or name its directory with --socket-dir DIR.\n",
                options->socket_dir ? " --socket-dir " : "",
                options->socket_dir ? options->socket_dir : "");
    else if (error == EACCES || error == EPERM)
        fprintf(stderr, "This user may not talk to it: see allow-users in aliquot.conf(5).\n");
}

int client_call(const struct cli_options *options, const char *method, sd_json_variant **ret)
{
    _cleanup_free_ char *path = control_path(options);
    if (!path)
        return -ENOENT;
    char name[96];
    snprintf(name, sizeof(name), INTERFACE ".%s", method);

    sd_varlink *link = NULL;
    int r = sd_varlink_connect_address(&link, path);
    if (r < 0) {
        explain_no_connection(options, path, -r);
        return r;
    }
    sd_json_variant *answer = NULL; /* borrowed from link */
    const char *error = NULL;
    r = sd_varlink_set_relative_timeout(link, TIMEOUT_US);
    if (r >= 0)
        r = sd_varlink_call(link, name, NULL, &answer, &error);
    if (r == -ECONNRESET || r == -EPIPE || (error && !strcmp(error, SD_VARLINK_ERROR_DISCONNECTED)))
        fprintf(stderr,
                "aliquot: aliquotd at %s closed the connection: it is stopping, or this user may "
                "not talk to it (see allow-users in aliquot.conf(5))\n",
                path);
    else if (r < 0)
        fprintf(stderr, "aliquot: aliquotd at %s: %s\n", path, strerror(-r));
    else if (error)
        fprintf(stderr, "aliquot: aliquotd at %s answered with the error %s\n", path, error);
    if (r >= 0 && error)
        r = -EPROTO;
    if (r >= 0)
        *ret = sd_json_variant_ref(answer);
    sd_varlink_unref(link);
    return r < 0 ? r : 0;
}
