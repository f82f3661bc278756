/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/metrics.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/mediator.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>

/* A collector or two, and some that ask nothing or do not read. One more waits until one has gone.
 */
#define CONNECTIONS_MAX 32u
/* Of a connection on which nothing moves: less than a collector waits. */
#define TIMEOUT_S 3u
/* For the head of a request. */
#define REQUEST_BYTES_MAX ((size_t)16 << 10)
#define BACKLOG 16
#define ACCURACY_US UINT64_C(50000)
#define PATH "/metrics"
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics {
    struct mediator *mediator;   /* borrowed */
    struct MHD_Daemon *http;     /* owned */
    sd_event_source *io, *timer; /* owned */
    char url[sizeof("http://[]:65535" PATH) + INET6_ADDRSTRLEN];
};

/* ---- requests ------------------------------------------------------------------------------- */

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, char *body, size_t size,
                             enum MHD_ResponseMemoryMode mode, const char *header,
                             const char *value)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, body, mode);

    if (!response) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(body);
        return MHD_NO; /* closes the connection */
    }
    (void)MHD_add_response_header(response, header, value);
    /* One request a connection, so that who has his answer does not take up room. */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *text)
{
    bool method = status == MHD_HTTP_METHOD_NOT_ALLOWED;

    return reply(c, status, (char *)text, strlen(text), MHD_RESPMEM_PERSISTENT,
                 method ? MHD_HTTP_HEADER_ALLOW : MHD_HTTP_HEADER_CONTENT_TYPE,
                 method ? "GET" : "text/plain; charset=utf-8");
}

static enum MHD_Result on_request(void *opaque, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    const struct metrics *x = opaque;
    char *body = NULL;
    size_t size = 0;

    if (strcmp(url, PATH) != 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, "The metrics are at " PATH ".\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "There is nothing but GET.\n");
    FILE *out = open_memstream(&body, &size);
    int r = out ? metrics_write(x->mediator, out) : -ENOMEM;
    if (out && (ferror(out) | fclose(out)) != 0)
        r = -ENOMEM;
    if (r < 0) {
        free(body);
        return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory.\n");
    }
    return reply(c, MHD_HTTP_OK, body, size, MHD_RESPMEM_MUST_FREE, MHD_HTTP_HEADER_CONTENT_TYPE,
                 CONTENT_TYPE);
}

/* ---- the event loop ------------------------------------------------------------------------- */

static unsigned connections(const struct metrics *x)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(x->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

static void work(struct metrics *x)
{
    unsigned before;
    uint64_t ms;

    /* Where there was no room for more, libmicrohttpd listens again in the run after the one that
     * made room, which nothing else would bring about. */
    do {
        before = connections(x);
        MHD_run(x->http);
    } while (connections(x) < before);
    if (MHD_get_timeout64(x->http, &ms) != MHD_YES) {
        sd_event_source_set_enabled(x->timer, SD_EVENT_OFF);
        return;
    }
    sd_event_source_set_time_relative(x->timer, ms * 1000);
    sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    work(opaque);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *opaque)
{
    work(opaque);
    return 0;
}

static int watch(struct metrics *x, sd_event *event)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(x->http, MHD_DAEMON_INFO_EPOLL_FD);

    if (!info)
        return -EIO;
    int r = sd_event_add_io(event, &x->io, info->epoll_fd, EPOLLIN, on_io, x);
    if (r >= 0) /* guests come first */
        r = sd_event_source_set_priority(x->io, SD_EVENT_PRIORITY_IDLE);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &x->timer, CLOCK_MONOTONIC, 0, ACCURACY_US, on_timer,
                                       x);
    if (r >= 0)
        r = sd_event_source_set_priority(x->timer, SD_EVENT_PRIORITY_IDLE);
    return r;
}

/* ---- begin and end -------------------------------------------------------------------------- */

static void print_url(struct metrics *x, const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "";

    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(x->url, sizeof(x->url), "http://%s:%u" PATH, host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
        snprintf(x->url, sizeof(x->url), "http://[%s]:%u" PATH, host, ntohs(in->sin6_port));
    }
}

static int listen_at(const struct sockaddr_storage *address, struct metrics *x, int *ret)
{
    const int on = 1;
    struct sockaddr_storage bound = *address;
    socklen_t len = sizeof(bound);
    socklen_t size =
        address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    print_url(x, address);
    _cleanup_close_ int fd =
        socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)address, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
        return -errno;
    print_url(x, &bound); /* the port was chosen now if it was 0 */
    *ret = take_fd(&fd);
    return 0;
}

int metrics_create(struct mediator *m, const struct sockaddr_storage *address, struct metrics **ret,
                   char **ret_error)
{
    struct metrics *x = calloc(1, sizeof(*x));
    int fd = -1;

    if (!x)
        return error_text(ret_error, -ENOMEM, "metrics: %s", strerror(ENOMEM));
    x->mediator = m;
    int r = listen_at(address, x, &fd);
    if (r == 0) {
        x->http =
            MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_THREAD_SAFETY, 0, NULL, NULL, on_request, x,
                             MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                             CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_BYTES_MAX, MHD_OPTION_END);
        if (!x->http) {
            r = -EIO;
            close(fd);
        }
    }
    if (r == 0)
        r = watch(x, m->event);
    if (r < 0) {
        error_text(ret_error, r, "metrics: can't listen at %s: %s", x->url, strerror(-r));
        metrics_destroy(x);
        return r;
    }
    log_info("metrics at %s", x->url);
    *ret = x;
    return 0;
}

void metrics_destroy(struct metrics *x)
{
    if (!x)
        return;
    sd_event_source_disable_unref(x->io);
    sd_event_source_disable_unref(x->timer);
    if (x->http)
        MHD_stop_daemon(x->http); /* closes the listening socket too */
    free(x);
}

const char *metrics_url(const struct metrics *x)
{
    return x->url;
}
