/* SPDX-License-Identifier: MIT */
/*
 * aliquotd, the broker of vGPUs.
 *
 * Who I am: the one process that owns the configuration, the sockets and the renderers. I link no
 *   GPU library and parse no byte that a guest wrote: a connection is handed, unread, to a renderer
 *   of its own.
 * Who talks to me: front-ends (QEMU, guest drivers) by connecting, and by nothing else; renderers,
 *   by the two small messages of protocol/broker.h and a page of counters; the operator and his
 *   tools, by Varlink; the service manager, by signals.
 * What I trust: my configuration, my command line and environment, the kernel's word on who a peer
 *   is. Not the peers, and not the renderers: what they say is bounded, checked and only shown to
 *   people.
 * What kills me: SIGTERM, SIGINT or SIGHUP, or the end of my owner (--owner-fd), after which I end
 *   all renderers, remove my sockets and
 *   exit with 0. Bad configuration or a taken socket directory, at the start alone: exit 1. A bad
 *   command line: exit 2. No renderer, no peer and no shortage of memory or descriptors does.
 */
#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/activation.h"
#include "mediator/daemon/config.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/mediator.h"
#include "mediator/daemon/options.h"
#include "mediator/daemon/socket_dir.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* A socket named after a vGPU asks for that vGPU, as --vgpu does. */
static int add_activated(const struct activation *a, struct config *config, char **ret_error)
{
    for (size_t i = 0; i < a->count; i++) {
        const char *name = a->sockets[i].name;
        if (!strcmp(name, ACTIVATION_ON_DEMAND) || !strcmp(name, ACTIVATION_CONTROL) ||
            config_find_vgpu(config, name))
            continue;
        int r = config_add_vgpu(config, name, "socket of the service manager", ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_config(const struct options *options, const struct activation *activation,
                       struct config *config, char **ret_error)
{
    const char *file = options->config_file ? options->config_file : CONFIG_FILE;
    int r = config_load(config, file, ret_error);
    if (r == -ENOENT && !options->config_file) {
        free(TAKE_PTR(*ret_error));
        r = 0;
    }
    if (r == 0)
        r = options_apply(options, config, ret_error);
    if (r == 0)
        r = add_activated(activation, config, ret_error);
    if (r == 0)
        r = config_finish(config, ret_error);
    return r;
}

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                          void *opaque)
{
    struct mediator *m = opaque;
    log_info("%s, stopping", strsignal((int)info->ssi_signo));
    sd_notify(0, "STOPPING=1");
    mediator_stop(m);
    return 0;
}

/* Only his end counts, whatever he writes. */
static int on_owner_gone(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    log_info("the owner is gone, stopping");
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    mediator_stop(opaque);
    return 0;
}

/* A hang-up is reported without being asked for. */
static int watch_owner(sd_event *event, int fd, struct mediator *m, char **ret_error)
{
    int r = fd < 0 ? 0 : sd_event_add_io(event, NULL, fd, 0, on_owner_gone, m);
    return r < 0 ? error_text(ret_error, r, "--owner-fd: can't watch it: %s", strerror(-r)) : 0;
}

static int watch_signals(sd_event *event, struct mediator *m)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        int r = sd_event_add_signal(event, NULL, signals[i] | SD_EVENT_SIGNAL_PROCMASK,
                                    on_stop_signal, m);
        if (r < 0)
            return r;
    }
    return 0;
}

static void say_ready(struct options *options, const struct mediator *m)
{
    log_info("ready in %s", socket_dir_path(m->dir));
    if (options->ready_fd >= 0) {
        if (write(options->ready_fd, "\n", 1) < 0)
            log_warning("--ready-fd: %s", strerror(errno));
        close(take_fd(&options->ready_fd));
    }
    sd_notifyf(0, "READY=1\nSTATUS=Serving in %s", socket_dir_path(m->dir));
}

static const char *renderer_program(void)
{
    const char *path = getenv("ALIQUOT_RENDERER");
    return path && *path ? path : ALIQUOT_LIBEXECDIR "/aliquot-renderer";
}

static int run(struct options *options, struct config *config, struct activation *activation,
               sd_event *event, char **ret_error)
{
    const struct mediator_config mediator_config = {
        .config = config,
        .event = event,
        .renderer_program = renderer_program(),
        .verbose = options->verbose,
        .remove_dir = options->owner_fd >= 0,
    };
    struct mediator *m = NULL;
    int r = mediator_create(&mediator_config, &m, ret_error);
    if (r < 0)
        return r;
    /* From here on there are things to take away: a signal waits for the event loop. */
    r = watch_signals(event, m);
    if (r >= 0)
        r = watch_owner(event, options->owner_fd, m, ret_error);
    if (r >= 0)
        r = sd_event_set_watchdog(event, true);
    if (r >= 0)
        r = mediator_open(m, activation, ret_error);
    if (r >= 0) {
        say_ready(options, m);
        r = sd_event_loop(event);
    }
    if (r < 0 && !*ret_error)
        error_text(ret_error, r, "event loop: %s", strerror(-r));
    mediator_destroy(m);
    return r;
}

int main(int argc, char **argv)
{
    struct options options;
    struct config config;
    struct activation activation = {0};
    sd_event *event = NULL;
    char *error = NULL;

    if (!options_parse(argc, argv, &options)) {
        options_finish(&options);
        return EXIT_USAGE;
    }
    if (options.action == OPTIONS_HELP || options.action == OPTIONS_VERSION) {
        printf("%s",
               options.action == OPTIONS_HELP ? options_help : "aliquotd " ALIQUOT_VERSION "\n");
        options_finish(&options);
        return fflush(stdout) == 0 ? EXIT_FINE : EXIT_FAILED;
    }

    log_init("aliquotd", NULL, options.verbose);
    signal(SIGPIPE, SIG_IGN);
    config_init(&config);

    int r = activation_init(&activation, &error);
    if (r == 0)
        r = load_config(&options, &activation, &config, &error);
    if (r == 0 && options.action == OPTIONS_RUN) {
        r = sd_event_new(&event);
        if (r >= 0)
            r = run(&options, &config, &activation, event, &error);
    }
    if (r < 0)
        log_error("%s", error ? error : strerror(-r));

    free(error);
    sd_event_unref(event);
    activation_finish(&activation);
    config_destroy(&config);
    options_finish(&options);
    return r == 0 ? EXIT_FINE : EXIT_FAILED;
}
