/* SPDX-License-Identifier: MIT */
/* What the vhost-user back-end shows a front-end that is the driver itself, besides blobs. */
#include "vhost_fixture.h"

#include "protocol/eventcount.h"
#include "protocol/msg_socket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#define DRIVER_FEATURES                                                                            \
    (FE_PROTOCOL_FEATURES | 1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ |                            \
     1ull << VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD | 1ull << VHOST_USER_PROTOCOL_F_SHMEM |         \
     1ull << VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER)

/* A front-end with such features; returns its end of the channel for requests, and in *config what
 * there is to map. */
static int make_channel(struct front_end *fe, uint64_t features,
                        struct vhost_user_shmem_config *config)
{
    int pair[2];

    close(fe->sock);
    fe_turn(fe);
    fe_connect_back_end(fe);
    fe_send_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, features, -1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fe_ask_ack(fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1]), 0);
    close(pair[1]);
    fe_send_msg(fe, VHOST_USER_GET_SHMEM_CONFIG, NULL, 0, -1);
    assert_int_equal(fe_get_answer(fe, VHOST_USER_GET_SHMEM_CONFIG, config, sizeof(*config)),
                     sizeof(*config));
    return pair[0];
}

static void shows_a_driver_what_ends(void **state)
{
    struct front_end *fe = *state;
    struct vhost_user_shmem_config config;
    struct eventcount *mine, *shown;
    struct {
        struct vhost_user_header header;
        struct vhost_user_mmap map;
    } __attribute__((packed)) message;
    size_t n_fds = 0;
    int fd = -1;

    assert_int_equal(eventcount_create(&fe->completions_fd, &mine), 0);
    fe->hostmem_bytes = 1 << 20;
    int channel = make_channel(fe, DRIVER_FEATURES, &config);
    assert_int_equal(config.nregions, 2);
    assert_int_equal(config.sizes[VHOST_USER_SHMID_COMPLETIONS], EVENTCOUNT_BYTES);
    assert_int_equal(stream_read(channel, &message, sizeof(message), &fd, 1, &n_fds, 1000), 0);
    assert_int_equal(n_fds, 1);
    assert_int_equal(message.header.request, VHOST_USER_BACKEND_SHMEM_MAP);
    assert_int_equal(message.header.flags, VHOST_USER_VERSION); /* waits for no answer */
    assert_int_equal(message.header.size, sizeof(message.map));
    assert_int_equal(message.map.shmid, VHOST_USER_SHMID_COMPLETIONS);
    assert_int_equal(message.map.fd_offset, 0);
    assert_int_equal(message.map.shm_offset, 0);
    assert_int_equal(message.map.len, EVENTCOUNT_BYTES);
    assert_int_equal(eventcount_map(fd, &shown), 0);
    eventcount_signal(mine);
    assert_int_equal(eventcount_read(shown), 1);
    eventcount_unmap(shown);
    eventcount_unmap(mine);
    close(fd);
    close(channel);
    close(fe->completions_fd);
}

/* A virtual machine has no such region, nor has a driver where nothing ends; and QEMU would be
 * astonished at the message. */
static void shows_it_to_nobody_else(void **state)
{
    struct front_end *fe = *state;
    const uint64_t as_vm = DRIVER_FEATURES & ~(1ull << VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER);
    struct vhost_user_shmem_config config;
    struct eventcount *mine;
    char byte;

    assert_int_equal(eventcount_create(&fe->completions_fd, &mine), 0);
    int fd = fe->completions_fd;
    fe->hostmem_bytes = 1 << 20;
    for (int i = 0; i < 2; i++) {
        int channel = make_channel(fe, i == 0 ? as_vm : DRIVER_FEATURES, &config);
        assert_int_equal(config.nregions, 1);
        assert_int_equal(config.sizes[VHOST_USER_SHMID_COMPLETIONS], 0);
        assert_int_equal(recv(channel, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        close(channel);
        fe->completions_fd = -1;
    }
    eventcount_unmap(mine);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fe_set_up, fe_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shows_a_driver_what_ends),
        TEST(shows_it_to_nobody_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
