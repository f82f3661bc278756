/* SPDX-License-Identifier: MIT */
#include "protocol/vhost_user.h"

#define CONFIG_MIN VHOST_USER_CONFIG_HEADER
#define CONFIG_MAX (VHOST_USER_CONFIG_HEADER + VHOST_USER_CONFIG_MAX)
#define STATE sizeof(struct vhost_user_vring_state)
#define ADDR sizeof(struct vhost_user_vring_addr)
#define TABLE_MIN offsetof(struct vhost_user_mem_table, regions)
#define TABLE_MAX sizeof(struct vhost_user_mem_table)
#define REG sizeof(struct vhost_user_mem_reg)

#define ROW(name, min, max, min_fd, max_fd, answer)                                                \
    {VHOST_USER_##name, #name, (min), (max), (min_fd), (max_fd), (answer)}

/*
 * In the order of the request numbers, found by search: the numbers have holes. SET_LOG_BASE and
 * SET_LOG_FD belong to features that no back-end of ours offers (dirty page logging), so a
 * front-end that sends them breaks the protocol.
 *
 * REM_MEM_REG needs no descriptor, but some front-ends send one; it is to be closed.
 */
static const struct vhost_user_msg_info messages[] = {
    /*  name                  payload bytes          fds  has an answer */
    ROW(GET_FEATURES, 0, 0, 0, 0, true),
    ROW(SET_FEATURES, 8, 8, 0, 0, false),
    ROW(SET_OWNER, 0, 0, 0, 0, false),
    ROW(RESET_OWNER, 0, 0, 0, 0, false),
    ROW(SET_MEM_TABLE, TABLE_MIN, TABLE_MAX, 1, VHOST_USER_MEM_TABLE_MAX, false),
    ROW(SET_VRING_NUM, STATE, STATE, 0, 0, false),
    ROW(SET_VRING_ADDR, ADDR, ADDR, 0, 0, false),
    ROW(SET_VRING_BASE, STATE, STATE, 0, 0, false),
    ROW(GET_VRING_BASE, STATE, STATE, 0, 0, true),
    ROW(SET_VRING_KICK, 8, 8, 0, 1, false),
    ROW(SET_VRING_CALL, 8, 8, 0, 1, false),
    ROW(SET_VRING_ERR, 8, 8, 0, 1, false),
    ROW(GET_PROTOCOL_FEATURES, 0, 0, 0, 0, true),
    ROW(SET_PROTOCOL_FEATURES, 8, 8, 0, 0, false),
    ROW(GET_QUEUE_NUM, 0, 0, 0, 0, true),
    ROW(SET_VRING_ENABLE, STATE, STATE, 0, 0, false),
    ROW(SET_BACKEND_REQ_FD, 0, 0, 1, 1, false),
    ROW(GET_CONFIG, CONFIG_MIN, CONFIG_MAX, 0, 0, true),
    ROW(SET_CONFIG, CONFIG_MIN, CONFIG_MAX, 0, 0, false),
    ROW(GPU_SET_SOCKET, 0, 0, 1, 1, false),
    ROW(RESET_DEVICE, 0, 0, 0, 0, false),
    ROW(GET_MAX_MEM_SLOTS, 0, 0, 0, 0, true),
    ROW(ADD_MEM_REG, REG, REG, 1, 1, false),
    ROW(REM_MEM_REG, REG, REG, 0, 1, false),
    ROW(GET_SHMEM_CONFIG, 0, 0, 0, 0, true),
};

const struct vhost_user_msg_info *vhost_user_msg_info(uint32_t request)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (messages[i].request == request)
            return &messages[i];
    return NULL;
}
