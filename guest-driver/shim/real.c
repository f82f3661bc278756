/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/real.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static struct real functions;
static pthread_once_t libc_once = PTHREAD_ONCE_INIT;

/* A data pointer is no function pointer to ISO C, but it is to POSIX. */
static void look_up(void *library, void *function, const char *name)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof(address));
}

static void look_up_libc(void)
{
    look_up(RTLD_NEXT, &functions.open, "open");
    look_up(RTLD_NEXT, &functions.openat, "openat");
    look_up(RTLD_NEXT, &functions.close, "close");
    look_up(RTLD_NEXT, &functions.close_range, "close_range");
    look_up(RTLD_NEXT, &functions.dup, "dup");
    look_up(RTLD_NEXT, &functions.dup2, "dup2");
    look_up(RTLD_NEXT, &functions.dup3, "dup3");
    look_up(RTLD_NEXT, &functions.fcntl, "fcntl");
    look_up(RTLD_NEXT, &functions.ioctl, "ioctl");
    look_up(RTLD_NEXT, &functions.mmap, "mmap");
    look_up(RTLD_NEXT, &functions.stat, "stat");
    look_up(RTLD_NEXT, &functions.lstat, "lstat");
    look_up(RTLD_NEXT, &functions.fstat, "fstat");
    look_up(RTLD_NEXT, &functions.fstatat, "fstatat");
    look_up(RTLD_NEXT, &functions.statx, "statx");
    look_up(RTLD_NEXT, &functions.access, "access");
    look_up(RTLD_NEXT, &functions.faccessat, "faccessat");
    look_up(RTLD_NEXT, &functions.poll, "poll");
    look_up(RTLD_NEXT, &functions.ppoll, "ppoll");
    look_up(RTLD_NEXT, &functions.select, "select");
    look_up(RTLD_NEXT, &functions.pselect, "pselect");
    look_up(RTLD_NEXT, &functions.epoll_ctl, "epoll_ctl");
    look_up(RTLD_NEXT, &functions.sendmsg, "sendmsg");
    look_up(RTLD_NEXT, &functions.clock_nanosleep, "clock_nanosleep");
    look_up(RTLD_NEXT, &functions.sched_yield, "sched_yield");
}

const struct real *real(void)
{
    pthread_once(&libc_once, look_up_libc);
    return &functions;
}

/* The copy of libdrm in use is asked itself: most programs have it in a scope that RTLD_NEXT does
 * not search, since the loader of EGL opens Mesa privately. */
const struct real *real_drm(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    real();
    pthread_mutex_lock(&lock);
    void *libdrm = NULL;
    if (!functions.drmGetDevices2)
        libdrm = dlopen("libdrm.so.2", RTLD_LAZY | RTLD_NOLOAD);
    if (libdrm) {
        look_up(libdrm, &functions.drmGetDevice2, "drmGetDevice2");
        look_up(libdrm, &functions.drmGetDeviceFromDevId, "drmGetDeviceFromDevId");
        look_up(libdrm, &functions.drmGetNodeTypeFromFd, "drmGetNodeTypeFromFd");
        look_up(libdrm, &functions.drmGetDeviceNameFromFd2, "drmGetDeviceNameFromFd2");
        look_up(libdrm, &functions.drmGetRenderDeviceNameFromFd, "drmGetRenderDeviceNameFromFd");
        look_up(libdrm, &functions.drmGetPrimaryDeviceNameFromFd, "drmGetPrimaryDeviceNameFromFd");
        look_up(libdrm, &functions.drmGetDevices2, "drmGetDevices2");
    }
    pthread_mutex_unlock(&lock);
    return &functions;
}
