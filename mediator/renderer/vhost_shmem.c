/* SPDX-License-Identifier: MIT */
/*
 * The host-visible region: asking the front-end to show blobs in it, and hearing what it did.
 *
 * Nothing waits here: requests go out (vhost_request.c), and the event loop brings answers, so that
 * the front-end is served meanwhile; it may need that before it can answer. A front-end that has
 * negotiated memory slots (QEMU) answers before the guest can see the blob, and lists it in its
 * memory table once it can: only then is the guest told.
 *
 * Of a front-end that is the driver itself (VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER) there is nothing
 * to hear: it has the blob's descriptor before it has the answer that speaks of it, since one goes
 * out before the other. Nothing is kept of such maps.
 */
#include "mediator/renderer/vhost_shmem_internal.h"

#include "mediator/base/util.h"
#include "protocol/eventcount.h"

#include <string.h>

/* How often what is waited for is looked at. */
#define CHECK_US UINT64_C(1000000)

uint64_t vhost_shmem_now_us(struct vhost_backend *be)
{
    uint64_t now = 0;

    (void)sd_event_now(be->config.event, CLOCK_MONOTONIC, &now);
    return now;
}

static bool has_protocol_feature(const struct vhost_backend *be, unsigned bit)
{
    return be->protocol_features >> bit & 1;
}

bool vhost_shmem_offered(const struct vhost_backend *be)
{
    return has_protocol_feature(be, VHOST_USER_PROTOCOL_F_SHMEM) &&
           has_protocol_feature(be, VHOST_USER_PROTOCOL_F_BACKEND_REQ) &&
           has_protocol_feature(be, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

static bool is_driver(const struct vhost_backend *be)
{
    return has_protocol_feature(be, VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER);
}

bool vhost_shmem_has_completions(const struct vhost_backend *be)
{
    return is_driver(be) && vhost_shmem_offered(be) && be->config.completions_fd >= 0;
}

void vhost_shmem_describe(const struct vhost_backend *be, struct vhost_user_shmem_config *ret)
{
    *ret = (struct vhost_user_shmem_config){0};
    if (vhost_shmem_offered(be)) {
        ret->nregions++;
        ret->sizes[VIRTIO_GPU_SHM_ID_HOST_VISIBLE] = be->config.hostmem_bytes;
    }
    if (vhost_shmem_has_completions(be)) {
        ret->nregions++;
        ret->sizes[VHOST_USER_SHMID_COMPLETIONS] = EVENTCOUNT_BYTES;
    }
}

void vhost_shmem_watch_time(struct vhost_backend *be)
{
    sd_event_source *source = be->shmem.check_source;
    int enabled = SD_EVENT_OFF;

    if (sd_event_source_get_enabled(source, &enabled) >= 0 && enabled != SD_EVENT_OFF)
        return;
    (void)sd_event_source_set_time(source, vhost_shmem_now_us(be) + CHECK_US);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void vhost_shmem_map_free(struct vhost_shmem *s, struct vhost_shmem_map *map)
{
    struct vhost_shmem_map **link = &s->maps;

    while (*link != map)
        link = &(*link)->next;
    *link = map->next;
    free(map);
}

void vhost_shmem_done(struct vhost_backend *be, struct gpu_cmd *cmd, int result)
{
    if (cmd != NULL)
        gpu_device_shmem_done(be->device, cmd, result);
}

/* Has a map taken back that the device knows no more; without a socket there is only to forget
 * it. */
static void abandon(struct vhost_backend *be, struct vhost_shmem_map *map)
{
    int r = vhost_request(be, VHOST_USER_BACKEND_SHMEM_UNMAP, map, -1, NULL);

    if (r == 0)
        map->leaving = true;
    else if (r == -EPIPE)
        vhost_shmem_map_free(&be->shmem, map);
}

int vhost_shmem_map(void *opaque, const struct gpu_shmem_map *args, struct gpu_cmd *cmd)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_map *map;
    struct stat st;

    if (s->fd < 0 || !vhost_shmem_offered(be))
        return -EOPNOTSUPP;
    if (is_driver(be)) {
        int sent = vhost_request_show(be, args);
        return sent < 0 ? sent : 1;
    }
    if (fstat(args->fd, &st) < 0)
        return -errno;
    map = malloc(sizeof(*map));
    if (map == NULL)
        return -ENOMEM;
    *map = (struct vhost_shmem_map){
        .next = s->maps,
        .dev = st.st_dev,
        .ino = st.st_ino,
        .fd_offset = args->fd_offset,
        .offset = args->offset,
        .bytes = args->bytes,
        .asked_for = true,
    };
    s->maps = map;
    int r = vhost_request(be, VHOST_USER_BACKEND_SHMEM_MAP, map, args->fd, cmd);
    if (r < 0)
        vhost_shmem_map_free(s, map);
    return r;
}

int vhost_shmem_unmap(void *opaque, uint64_t offset, uint64_t bytes, struct gpu_cmd *cmd)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem_map *map = be->shmem.maps;

    while (map != NULL && (map->leaving || map->offset != offset || map->bytes != bytes))
        map = map->next;
    if (map == NULL)
        return is_driver(be) ? 1 : -EPIPE; /* went with an earlier socket */
    int r = vhost_request(be, VHOST_USER_BACKEND_SHMEM_UNMAP, map, -1, cmd);
    if (r < 0)
        vhost_shmem_map_free(&be->shmem, map);
    else
        map->leaving = true;
    return r;
}

void vhost_shmem_clear(void *opaque)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem *s = &be->shmem;

    vhost_request_drop_unsent(s);
    for (struct vhost_shmem_request *req = s->requests; req != NULL; req = req->next)
        req->cmd = NULL;
    for (struct vhost_shmem_map *map = s->maps, *next; map != NULL; map = next) {
        next = map->next;
        map->cmd = NULL;
        /* A front-end that has reset its device hides all by itself, and says so in its table. */
        if (map->unlisted && !map->leaving && !map->asked_for)
            vhost_shmem_map_free(s, map);
        else if (!map->leaving && !be->ended)
            abandon(be, map);
    }
}

void vhost_shmem_cancel(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request **link = &s->requests;

    for (struct vhost_shmem_map *map = s->maps; map != NULL; map = map->next)
        vhost_shmem_done(be, TAKE_PTR(map->cmd), 0);
    while (*link != NULL) {
        struct vhost_shmem_request *req = *link;
        struct gpu_cmd *cmd = TAKE_PTR(req->cmd);
        if (cmd == NULL || req->type == VHOST_USER_BACKEND_SHMEM_UNMAP) {
            vhost_shmem_done(be, cmd, 0); /* an unmap is done before the guest needs the place */
            link = &req->next;
        } else if (req->sent) {
            vhost_shmem_done(be, cmd, -EINTR);
            abandon(be, req->map);
            link = &req->next;
        } else {
            vhost_shmem_done(be, cmd, -EINTR);
            *link = req->next;
            if (s->tail == &req->next)
                s->tail = link;
            vhost_shmem_map_free(s, req->map);
            vhost_request_free(req);
        }
    }
}

/* ---- answers -------------------------------------------------------------------------------- */

void vhost_shmem_map_shown(struct vhost_backend *be, struct vhost_shmem_map *map,
                           struct gpu_cmd *cmd)
{
    bool lists = has_protocol_feature(be, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) &&
                 !be->shmem.never_lists;

    if (cmd == NULL || !lists || map->listed || map->unlisted) {
        vhost_shmem_done(be, cmd, 0);
        return;
    }
    map->cmd = cmd;
    map->shown_us = vhost_shmem_now_us(be);
    vhost_shmem_watch_time(be);
}

/* ---- time ----------------------------------------------------------------------------------- */

/* A map was not listed in time. */
static void listing_overdue(struct vhost_backend *be, struct vhost_shmem_map *map)
{
    struct gpu_cmd *cmd = TAKE_PTR(map->cmd);

    if (!be->shmem.lists_maps) {
        /* It does not do that at all, then its word counts. */
        be->shmem.never_lists = true;
        vhost_shmem_done(be, cmd, 0);
        return;
    }
    vhost_shmem_done(be, cmd, -EIO); /* the guest may have switched the region off */
    abandon(be, map);
}

static int on_check(sd_event_source *source, uint64_t usec, void *opaque)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem *s = &be->shmem;
    uint64_t now = vhost_shmem_now_us(be);
    bool waits = false;

    vhost_batch_begin(be);
    for (struct vhost_shmem_map *map = s->maps, *next; map != NULL; map = next) {
        next = map->next;
        if (map->cmd == NULL)
            continue;
        if (now - map->shown_us >= ANSWER_US)
            listing_overdue(be, map); /* the map may be gone */
        else
            waits = true;
    }
    bool asks = vhost_request_pending(be, now);
    if (waits || asks)
        vhost_shmem_watch_time(be);
    vhost_batch_end(be);
    return 0;
}

/* ---- the memory table ----------------------------------------------------------------------- */

static bool same_region(const struct vhost_user_region *a, const struct vhost_user_region *b)
{
    return a->gpa == b->gpa && a->uva == b->uva && a->size == b->size;
}

bool vhost_shmem_region_added(struct vhost_backend *be, const struct vhost_user_region *region,
                              int fd)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_map *map = s->maps;
    struct stat st;

    if (map == NULL || s->n_regions == GUEST_MEM_REGIONS_MAX || fstat(fd, &st) < 0)
        return false;
    while (map != NULL && (map->listed || map->dev != st.st_dev || map->ino != st.st_ino ||
                           map->fd_offset != region->mmap_offset || map->bytes != region->size))
        map = map->next;
    if (map == NULL)
        return false;
    s->regions[s->n_regions++] = *region;
    s->lists_maps = true;
    map->listed = true;
    map->unlisted = false;
    map->region = *region;
    vhost_shmem_done(be, TAKE_PTR(map->cmd), 0);
    return true;
}

bool vhost_shmem_region_removed(struct vhost_backend *be, const struct vhost_user_region *region)
{
    struct vhost_shmem *s = &be->shmem;
    size_t i = 0;

    while (i < s->n_regions && !same_region(&s->regions[i], region))
        i++;
    if (i == s->n_regions)
        return false;
    s->regions[i] = s->regions[--s->n_regions];
    for (struct vhost_shmem_map *map = s->maps; map != NULL; map = map->next) {
        if (map->listed && same_region(&map->region, region)) {
            map->listed = false;
            map->unlisted = true;
        }
    }
    return true;
}

void vhost_shmem_regions_cleared(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;

    s->n_regions = 0;
    for (struct vhost_shmem_map *map = s->maps; map != NULL; map = map->next) {
        map->unlisted |= map->listed;
        map->listed = false;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

int vhost_shmem_init(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;

    s->fd = -1;
    s->tail = &s->requests;
    s->regions = calloc(GUEST_MEM_REGIONS_MAX, sizeof(*s->regions));
    if (s->regions == NULL)
        return -ENOMEM;
    int r =
        sd_event_add_time(be->config.event, &s->check_source, CLOCK_MONOTONIC, 0, 0, on_check, be);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(s->check_source, SD_EVENT_OFF);
}

void vhost_shmem_finish(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;

    vhost_request_drop_socket(be);
    while (s->maps != NULL)
        vhost_shmem_map_free(s, s->maps);
    s->check_source = sd_event_source_disable_unref(s->check_source);
    free(TAKE_PTR(s->regions));
}
