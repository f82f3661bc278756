/* SPDX-License-Identifier: MIT */
#include "mediator/cli/run.h"

#include "mediator/base/util.h"
#include "mediator/cli/claim.h"
#include "mediator/cli/client.h"
#include "mediator/cli/gpu_env.h"
#include "mediator/cli/installed.h"
#include "mediator/cli/private_daemon.h"
#include "mediator/cli/program.h"
#include "mediator/cli/run_options.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct run {
    const struct run_options *options; /* borrowed */
    sd_event *event;                   /* owned */
    struct private_daemon *daemon;     /* owned; NULL = none of our own */
    struct claim *claim;               /* owned */
};

static int make_env(const struct run_options *o, const char *socket, struct gpu_env *ret)
{
    _cleanup_free_ char *shim = NULL;
    int r = o->via == GPU_VIA_SHIM ? installed_find(INSTALLED_SHIM, &shim) : 0;
    if (r < 0)
        return r;
    r = gpu_env_init(ret, o->via, socket, shim, getenv("LD_PRELOAD"));
    if (r == -ENOMEM)
        fprintf(stderr, "aliquot: %s\n", strerror(ENOMEM));
    return r;
}

/* ---- --print-env ---------------------------------------------------------------------------- */

/* The socket of a vGPU that exists, from the list of them. */
static const char *socket_of(sd_json_variant *vgpus, const char *name)
{
    size_t count = vgpus && sd_json_variant_is_array(vgpus) ? sd_json_variant_elements(vgpus) : 0;
    for (size_t i = 0; i < count; i++) {
        sd_json_variant *v = sd_json_variant_by_index(vgpus, i);
        const char *found = client_string(v, "name");
        if (found && !strcmp(found, name))
            return client_string(v, "socket");
    }
    return NULL;
}

static int print_env(const struct run_options *o)
{
    const char *name = o->vgpu.name;
    sd_json_variant *answer = NULL;
    if (client_call(&o->common, name ? "ListVGPUs" : "GetInfo", &answer) < 0)
        return RUN_FAILED;
    const char *socket = name ? socket_of(sd_json_variant_by_key(answer, "vgpus"), name)
                              : client_string(answer, "onDemandSocket");
    int status = RUN_FAILED;
    struct gpu_env env;
    if (!socket && name)
        fprintf(stderr, "aliquot: there is no vGPU '%s'; 'aliquot list' names those there are\n",
                name);
    else if (!socket)
        fprintf(stderr, "aliquot: this aliquotd makes no vGPUs on demand; say which one with "
                        "--name\n");
    else if (make_env(o, socket, &env) == 0) {
        gpu_env_print(&env, stdout);
        gpu_env_finish(&env);
        status = fflush(stdout) == 0 ? EXIT_FINE : RUN_FAILED;
    }
    sd_json_variant_unref(answer);
    return status;
}

/* ---- a program ------------------------------------------------------------------------------ */

static int claim_from_private(struct run *run)
{
    const struct run_options *o = run->options;
    const struct private_daemon_args args = {
        .gpu = o->vgpu.gpu, .backend = o->vgpu.backend, .verbose = o->verbose};
    int r = private_daemon_start(run->event, &args, &run->daemon);
    if (r < 0)
        return r;
    const struct cli_options options = {.socket_dir = private_daemon_dir(run->daemon)};
    return claim_open(&options, &o->vgpu, false, &run->claim);
}

static int claim_vgpu(struct run *run)
{
    const struct run_options *o = run->options;
    int r = -ENOENT;
    /* Who names a directory means the daemon there. */
    if (!o->private_daemon)
        r = claim_open(&o->common, &o->vgpu, !o->common.socket_dir, &run->claim);
    if (r == -ENOENT && !o->common.socket_dir)
        r = claim_from_private(run);
    return r;
}

static void on_lost(void *opaque)
{
    const struct run *run = opaque;
    fprintf(stderr,
            "aliquot: aliquotd is gone (stopped, or crashed), and the vGPU '%s' with it; %s has "
            "lost its GPU. Its exit status will be ours as before.\n",
            claim_name(run->claim), run->options->program[0]);
}

static int run_program(struct run *run)
{
    const struct run_options *o = run->options;
    struct gpu_env env;
    int r = make_env(o, claim_socket(run->claim), &env);
    if (r < 0)
        return RUN_FAILED;
    r = gpu_env_apply(&env);
    gpu_env_finish(&env);
    if (r < 0) {
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
        return RUN_FAILED;
    }
    struct program *program;
    int status;
    if (program_start(run->event, o->program, o->common.sigpipe_ignored, &program, &status) < 0)
        return status;
    /* Without it only the message is missing. */
    (void)claim_watch(run->claim, run->event, on_lost, run);
    status = program_wait(run->event, program);
    program_destroy(program);
    return status;
}

int run_run(const struct cli_options *common, int argc, char **argv)
{
    struct run_options options;
    if (!run_options_parse(common, argc, argv, &options))
        return EXIT_USAGE;
    if (options.help) {
        command_print_help(command_find("run"));
        return EXIT_FINE;
    }
    if (options.print_env)
        return print_env(&options);

    program_prepare();
    struct run run = {.options = &options};
    int status = RUN_FAILED;
    int r = sd_event_new(&run.event);
    if (r < 0)
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    else if (claim_vgpu(&run) == 0)
        status = run_program(&run);
    claim_close(run.claim);
    private_daemon_stop(run.daemon);
    sd_event_unref(run.event);
    return status;
}
