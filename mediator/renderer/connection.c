/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/connection.h"

#include "mediator/base/util.h"
#include "mediator/renderer/vhost_backend.h"
#include "mediator/renderer/vtest_session.h"
#include "mediator/renderer/vtest_sniff.h"

#include <string.h>

/* For the first eight bytes, once there is one. */
#define FIRST_WORDS_US UINT64_C(10000000)

struct connection {
    struct connection_config config;
    int fd; /* owned until one of the servers has it; -1 */
    struct vtest_sniff *sniff;
    struct vhost_backend *vhost; /* one of the two, once it is known which */
    struct vtest_session *vtest;
};

static void on_first_words(void *opaque, enum vtest_sniff_result result)
{
    struct connection *c = opaque;
    int r;

    vtest_sniff_destroy(TAKE_PTR(c->sniff));
    if (result == VTEST_SNIFF_STALLED) {
        atomic_fetch_add_explicit(&c->config.stats->rejected, 1, memory_order_relaxed);
        c->config.ended(c->config.opaque, true, "the client stalled in the middle of a message");
        return;
    }
    r = result == VTEST_SNIFF_VTEST ? vtest_session_create(&c->config, c->fd, &c->vtest)
                                    : vhost_backend_create(&c->config, c->fd, &c->vhost);
    if (r < 0)
        c->config.ended(c->config.opaque, true, strerror(-r));
    else
        c->fd = -1;
}

int connection_create(const struct connection_config *config, int fd, struct connection **ret)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->config = *config;
    c->fd = fd;
    int r = vtest_sniff_create(config->event, fd, FIRST_WORDS_US, on_first_words, c, &c->sniff);
    if (r < 0) {
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void connection_destroy(struct connection *c)
{
    if (!c)
        return;
    vtest_sniff_destroy(c->sniff);
    vhost_backend_destroy(c->vhost);
    vtest_session_destroy(c->vtest);
    close_fd_p(&c->fd);
    free(c);
}
