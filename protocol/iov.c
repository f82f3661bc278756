/* SPDX-License-Identifier: MIT */
#include "protocol/iov.h"

#include <stdint.h>
#include <string.h>

/* What was copied out of shared memory must be used from the copy: after this the compiler can not
 * assume that the source still holds it, even where these functions are inlined. */
static inline void forget_source(void)
{
    __asm__ volatile("" ::: "memory");
}

void iov_cursor_init(struct iov_cursor *cur, const struct iovec *iov, size_t count)
{
    *cur = (struct iov_cursor){.iov = iov, .count = count};
}

size_t iov_total(const struct iovec *iov, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, iov[i].iov_len, &total))
            return SIZE_MAX;
    return total;
}

size_t iov_remaining(const struct iov_cursor *cur)
{
    size_t rest;

    if (cur->index >= cur->count)
        return 0;
    rest = cur->iov[cur->index].iov_len - cur->offset;
    if (__builtin_add_overflow(
            rest, iov_total(cur->iov + cur->index + 1, cur->count - cur->index - 1), &rest))
        return SIZE_MAX;
    return rest;
}

/* As iov_remaining(cur) >= len, without walking further than len reaches. */
static bool has_bytes(const struct iov_cursor *cur, size_t len)
{
    size_t offset = cur->offset;

    for (size_t i = cur->index; len > 0 && i < cur->count; i++) {
        size_t here = cur->iov[i].iov_len - offset;

        if (here >= len)
            return true;
        len -= here;
        offset = 0;
    }
    return len == 0;
}

/* The next contiguous piece, at most len bytes, and moves behind it. The caller knows that there
 * are len bytes. ret_base may be NULL. */
static size_t next_piece(struct iov_cursor *cur, size_t len, char **ret_base)
{
    const struct iovec *v = &cur->iov[cur->index];
    size_t here = v->iov_len - cur->offset;

    if (here > len)
        here = len;
    if (ret_base)
        *ret_base = here > 0 ? (char *)v->iov_base + cur->offset : NULL;
    cur->offset += here;
    if (cur->offset == v->iov_len) {
        cur->index++;
        cur->offset = 0;
    }
    return here;
}

bool iov_take(struct iov_cursor *cur, void *dst, size_t len)
{
    char *out = dst, *base;

    if (!has_bytes(cur, len))
        return false;
    while (len > 0) {
        size_t n = next_piece(cur, len, &base);

        if (n == 0)
            continue; /* an empty iovec */
        memcpy(out, base, n);
        out += n;
        len -= n;
    }
    forget_source();
    return true;
}

bool iov_put(struct iov_cursor *cur, const void *src, size_t len)
{
    const char *in = src;
    char *base;

    if (!has_bytes(cur, len))
        return false;
    while (len > 0) {
        size_t n = next_piece(cur, len, &base);

        if (n == 0)
            continue;
        memcpy(base, in, n);
        in += n;
        len -= n;
    }
    return true;
}

bool iov_skip(struct iov_cursor *cur, size_t len)
{
    if (!has_bytes(cur, len))
        return false;
    while (len > 0)
        len -= next_piece(cur, len, NULL);
    return true;
}

/* A cursor at byte offset of the array; false if it lies behind the end. */
static bool cursor_at(struct iov_cursor *cur, const struct iovec *iov, size_t count, size_t offset)
{
    iov_cursor_init(cur, iov, count);
    return iov_skip(cur, offset);
}

size_t iov_read_at(const struct iovec *iov, size_t count, size_t offset, void *dst, size_t len)
{
    struct iov_cursor cur;
    char *out = dst, *base;
    size_t done = 0;

    if (!cursor_at(&cur, iov, count, offset))
        return 0;
    while (done < len && cur.index < cur.count) {
        size_t n = next_piece(&cur, len - done, &base);

        if (n == 0)
            continue;
        memcpy(out + done, base, n);
        done += n;
    }
    forget_source();
    return done;
}

size_t iov_write_at(const struct iovec *iov, size_t count, size_t offset, const void *src,
                    size_t len)
{
    struct iov_cursor cur;
    const char *in = src;
    char *base;
    size_t done = 0;

    if (!cursor_at(&cur, iov, count, offset))
        return 0;
    while (done < len && cur.index < cur.count) {
        size_t n = next_piece(&cur, len - done, &base);

        if (n == 0)
            continue;
        memcpy(base, in + done, n);
        done += n;
    }
    return done;
}
