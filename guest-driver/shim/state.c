/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/state.h"
#include "guest-driver/shim/device.h"
#include "guest-driver/shim/fd_table.h"
#include "guest-driver/shim/sync_file.h"
#include "guest-driver/shim/venus.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void state_lock(void)
{
    pthread_mutex_lock(&lock);
}

void state_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* The child gets all locks free, and what they guard in one piece. */
static void before_fork(void)
{
    sync_file_arm_all();
    device_lock();
    state_lock();
    fd_table_lock();
    venus_lock();
}

static void after_fork_in_parent(void)
{
    venus_unlock();
    fd_table_unlock();
    state_unlock();
    device_unlock();
}

static void after_fork_in_child(void)
{
    venus_forked();
    fd_table_unlock();
    state_unlock();
    device_forked();
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
