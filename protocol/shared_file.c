/* SPDX-License-Identifier: MIT */
#include "protocol/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(int fd, size_t bytes, int prot, void **ret)
{
    void *pages = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);

    if (pages == MAP_FAILED)
        return -errno;
    *ret = pages;
    return 0;
}

int shared_file_create(const char *name, size_t bytes, int prot, int seals, int *ret_fd, void **ret)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    void *pages = NULL;

    if (fd < 0)
        return -errno;
    int result = ftruncate(fd, (off_t)bytes) < 0 ? -errno : map(fd, bytes, prot, &pages);
    /* The last seal: nobody adds one that we did not mean. */
    if (result == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | seals) < 0) {
        result = -errno;
        munmap(pages, bytes);
    }
    if (result < 0) {
        close(fd);
        return result;
    }
    *ret_fd = fd;
    *ret = pages;
    return 0;
}

int shared_file_map(int fd, size_t bytes, int prot, void **ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < (off_t)bytes)
        return -EINVAL;
    return map(fd, bytes, prot, ret);
}
