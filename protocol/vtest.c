/* SPDX-License-Identifier: MIT */
#include "protocol/vtest.h"

#define ANY UINT32_MAX
#define WORDS(type) (sizeof(struct type) / 4)
#define EXACTLY(n) (n), (n), VTEST_LENGTH_WORDS

/* A name and no more than this is all that CREATE_RENDERER carries. */
#define NAME_BYTES_MAX 4096

#define ROW(command, ...) [VTEST_##command] = {#command, __VA_ARGS__}

static const struct vtest_command_info commands[VTEST_COMMANDS] = {
    ROW(GET_CAPS, EXACTLY(0)),
    ROW(RESOURCE_CREATE, EXACTLY(WORDS(vtest_resource_create))),
    ROW(RESOURCE_UNREF, EXACTLY(1)),
    ROW(TRANSFER_GET, EXACTLY(WORDS(vtest_transfer))),
    ROW(TRANSFER_PUT, WORDS(vtest_transfer), ANY, VTEST_LENGTH_INLINE),
    ROW(SUBMIT_CMD, 0, ANY, VTEST_LENGTH_WORDS),
    ROW(RESOURCE_BUSY_WAIT, EXACTLY(WORDS(vtest_busy_wait))),
    ROW(CREATE_RENDERER, 0, NAME_BYTES_MAX, VTEST_LENGTH_BYTES),
    ROW(GET_CAPS2, EXACTLY(0)),
    ROW(PING_PROTOCOL_VERSION, EXACTLY(0)),
    ROW(PROTOCOL_VERSION, EXACTLY(1)),
    ROW(RESOURCE_CREATE2, EXACTLY(WORDS(vtest_resource_create2))),
    ROW(TRANSFER_GET2, EXACTLY(WORDS(vtest_transfer2))),
    ROW(TRANSFER_PUT2, WORDS(vtest_transfer2), ANY, VTEST_LENGTH_FIXED),
    ROW(GET_PARAM, EXACTLY(1)),
    ROW(GET_CAPSET, EXACTLY(WORDS(vtest_get_capset))),
    ROW(CONTEXT_INIT, EXACTLY(1)),
    ROW(RESOURCE_CREATE_BLOB, EXACTLY(WORDS(vtest_create_blob))),
    ROW(SYNC_CREATE, EXACTLY(WORDS(vtest_sync_value))),
    ROW(SYNC_UNREF, EXACTLY(1)),
    ROW(SYNC_READ, EXACTLY(1)),
    ROW(SYNC_WRITE, EXACTLY(WORDS(vtest_sync_point))),
    ROW(SYNC_WAIT, WORDS(vtest_sync_wait), ANY, VTEST_LENGTH_WORDS),
    ROW(SUBMIT_CMD2, 1, ANY, VTEST_LENGTH_WORDS),
    /* What follows their headers is not described: nobody may send them to a server that says it
     * has no DRM sync objects. */
    [VTEST_DRM_SYNC_CREATE... VTEST_DRM_SYNC_TRANSFER] = {"DRM_SYNC", 0, ANY, VTEST_LENGTH_WORDS},
    ROW(RESOURCE_EXPORT_FD, EXACTLY(1)),
};

const struct vtest_command_info *vtest_command_info(uint32_t command)
{
    return command < VTEST_COMMANDS && commands[command].name ? &commands[command] : NULL;
}
