/* SPDX-License-Identifier: MIT */
#include "protocol/lease_wait.h"
#include "protocol/shared_file.h"

#include <fcntl.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096

int lease_grant_page_create(int *ret_fd, struct lease_grant_page **ret_page)
{
    /* Sealed after our own mapping, which stays writable and is the only one that ever is. */
    return shared_file_create("aliquot-grant", PAGE_BYTES, PROT_READ | PROT_WRITE,
                              F_SEAL_FUTURE_WRITE, ret_fd, (void **)ret_page);
}

int lease_ack_page_create(int *ret_fd, const struct lease_ack_page **ret_page)
{
    return shared_file_create("aliquot-ack", PAGE_BYTES, PROT_READ, 0, ret_fd, (void **)ret_page);
}

int lease_grant_page_map(int fd, const struct lease_grant_page **ret_page)
{
    return shared_file_map(fd, PAGE_BYTES, PROT_READ, (void **)ret_page);
}

int lease_ack_page_map(int fd, struct lease_ack_page **ret_page)
{
    return shared_file_map(fd, PAGE_BYTES, PROT_READ | PROT_WRITE, (void **)ret_page);
}

void lease_page_unmap(const void *page)
{
    if (page)
        munmap((void *)page, PAGE_BYTES);
}
