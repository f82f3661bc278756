/* SPDX-License-Identifier: MIT */
#include "mediator/cli/client.h"

#include "mediator/base/util.h"

#include <stdio.h>
#include <string.h>

/* The daemon answers from memory: longer means that it hangs. */
#define TIMEOUT_US UINT64_C(10000000)

/* Where aliquotd puts its sockets unless told otherwise. -ENOENT: no place is known. */
static int control_path(const struct cli_options *options, char **ret)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int r;
    if (options->socket_dir)
        r = asprintf(ret, "%s/" CLIENT_INTERFACE, options->socket_dir);
    else if (geteuid() == 0)
        r = asprintf(ret, "/run/aliquot/" CLIENT_INTERFACE);
    else if (runtime && *runtime == '/')
        r = asprintf(ret, "%s/aliquot/" CLIENT_INTERFACE, runtime);
    else
        return -ENOENT;
    return r < 0 ? -ENOMEM : 0;
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

int client_connect(const struct cli_options *options, bool quiet_if_absent, sd_varlink **ret,
                   char **ret_path)
{
    _cleanup_free_ char *path = NULL;
    sd_varlink *link = NULL;
    int r = control_path(options, &path);
    if (r == -ENOENT && !quiet_if_absent)
        fprintf(stderr, "aliquot: XDG_RUNTIME_DIR is not set; where are aliquotd's sockets? Say it "
                        "with --socket-dir DIR\n");
    else if (r < 0 && r != -ENOENT)
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    if (r < 0)
        return r;

    r = sd_varlink_connect_address(&link, path);
    if (quiet_if_absent && (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR))
        return -ENOENT;
    if (r >= 0)
        r = sd_varlink_set_relative_timeout(link, TIMEOUT_US);
    if (r < 0) {
        explain_no_connection(options, path, -r);
        sd_varlink_unref(link);
        return r;
    }
    *ret = link;
    *ret_path = TAKE_PTR(path);
    return 0;
}

void client_explain(const char *path, int r, const char *error, sd_json_variant *parameters)
{
    const char *message = client_string(parameters, "message");
    if (r == -ECONNRESET || r == -EPIPE || (error && !strcmp(error, SD_VARLINK_ERROR_DISCONNECTED)))
        fprintf(stderr,
                "aliquot: aliquotd at %s closed the connection: it is stopping, or this user may "
                "not talk to it (see allow-users in aliquot.conf(5))\n",
                path);
    else if (r < 0)
        fprintf(stderr, "aliquot: aliquotd at %s: %s\n", path, strerror(-r));
    else if (message)
        fprintf(stderr, "aliquot: aliquotd: %s\n", message);
    else
        fprintf(stderr, "aliquot: aliquotd at %s answered with the error %s\n", path, error);
}

int client_call_on(sd_varlink *link, const char *path, const char *method,
                   sd_json_variant *parameters, sd_json_variant **ret)
{
    char name[96];
    snprintf(name, sizeof(name), CLIENT_INTERFACE ".%s", method);
    sd_json_variant *answer = NULL; /* borrowed from link */
    const char *error = NULL;
    int r = sd_varlink_call(link, name, parameters, &answer, &error);
    if (r < 0 || error) {
        client_explain(path, r, error, answer);
        return r < 0 ? r : -EPROTO;
    }
    *ret = sd_json_variant_ref(answer);
    return 0;
}

int client_call(const struct cli_options *options, const char *method, sd_json_variant **ret)
{
    sd_varlink *link;
    _cleanup_free_ char *path = NULL;
    int r = client_connect(options, false, &link, &path);
    if (r < 0)
        return r;
    r = client_call_on(link, path, method, NULL, ret);
    sd_varlink_unref(link);
    return r;
}

static sd_json_variant *member(sd_json_variant *object, const char *key)
{
    return object && sd_json_variant_is_object(object) ? sd_json_variant_by_key(object, key) : NULL;
}

const char *client_string(sd_json_variant *object, const char *key)
{
    sd_json_variant *v = member(object, key);
    return v && sd_json_variant_is_string(v) ? sd_json_variant_string(v) : NULL;
}

int64_t client_integer(sd_json_variant *object, const char *key)
{
    sd_json_variant *v = member(object, key);
    return v && sd_json_variant_is_integer(v) ? sd_json_variant_integer(v) : 0;
}

int64_t client_memory_bytes(sd_json_variant *vgpu)
{
    int64_t sum;

    return __builtin_add_overflow(client_integer(vgpu, "resourceBytes"),
                                  client_integer(vgpu, "vulkanBytes"), &sum)
               ? INT64_MAX
               : sum;
}

sd_json_variant *client_array(sd_json_variant *object, const char *key, size_t *ret_count)
{
    sd_json_variant *v = member(object, key);
    if (!v || !sd_json_variant_is_array(v))
        v = NULL;
    *ret_count = v ? sd_json_variant_elements(v) : 0;
    return v;
}

int client_print_json(sd_json_variant *v)
{
    int r = sd_json_variant_dump(v, SD_JSON_FORMAT_PRETTY_AUTO, stdout, NULL);
    if (r < 0 || fflush(stdout) != 0) {
        fprintf(stderr, "aliquot: can't write: %s\n", strerror(r < 0 ? -r : errno));
        return EXIT_FAILED;
    }
    return EXIT_FINE;
}
