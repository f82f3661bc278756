/* SPDX-License-Identifier: MIT */
#include "protocol/lease_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES 4096

static int map(int fd, int prot, void **ret_page)
{
    void *page = mmap(NULL, PAGE_BYTES, prot, MAP_SHARED, fd, 0);

    if (page == MAP_FAILED)
        return -errno;
    *ret_page = page;
    return 0;
}

static int create(const char *name, int prot, int seals, int *ret_fd, void **ret_page)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    void *page = NULL;

    if (fd < 0)
        return -errno;
    int result = ftruncate(fd, PAGE_BYTES) < 0 ? -errno : map(fd, prot, &page);
    /* The last seal: nobody adds one that we did not mean. */
    if (result == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | seals) < 0) {
        result = -errno;
        munmap(page, PAGE_BYTES);
    }
    if (result < 0) {
        close(fd);
        return result;
    }
    *ret_fd = fd;
    *ret_page = page;
    return 0;
}

int lease_grant_page_create(int *ret_fd, struct lease_grant_page **ret_page)
{
    /* Sealed after our own mapping, which stays writable and is the only one that ever is. */
    return create("aliquot-grant", PROT_READ | PROT_WRITE, F_SEAL_FUTURE_WRITE, ret_fd,
                  (void **)ret_page);
}

int lease_ack_page_create(int *ret_fd, const struct lease_ack_page **ret_page)
{
    return create("aliquot-ack", PROT_READ, 0, ret_fd, (void **)ret_page);
}

static int map_made(int fd, int prot, void **ret_page)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < PAGE_BYTES)
        return -EINVAL;
    return map(fd, prot, ret_page);
}

int lease_grant_page_map(int fd, const struct lease_grant_page **ret_page)
{
    return map_made(fd, PROT_READ, (void **)ret_page);
}

int lease_ack_page_map(int fd, struct lease_ack_page **ret_page)
{
    return map_made(fd, PROT_READ | PROT_WRITE, (void **)ret_page);
}

void lease_page_unmap(const void *page)
{
    if (page)
        munmap((void *)page, PAGE_BYTES);
}
