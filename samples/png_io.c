/* SPDX-License-Identifier: MIT */
#include "samples/png_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libpng's simplified interface keeps the name of the error to itself; errno from stdio is all that
 * can be had, and it may be unset. */
static int errno_or(int fallback)
{
    return errno ? -errno : -fallback;
}

static int write_image(const char *path, const uint8_t *rgba, uint32_t w, uint32_t h, size_t stride)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = w,
        .height = h,
        .format = PNG_FORMAT_RGBA,
        .flags = PNG_IMAGE_FLAG_FAST,
    };
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    FILE *file = fdopen(fd, "wb");
    if (!file) {
        int error = errno;
        close(fd);
        return -error;
    }
    errno = 0;
    int result = 0;
    if (!png_image_write_to_stdio(&image, file, 0, rgba, (png_int_32)stride, NULL))
        result = errno_or(EIO);
    png_image_free(&image);
    if (fclose(file) != 0 && result == 0)
        result = errno_or(EIO);
    return result;
}

int png_write_rgba(const char *path, const uint8_t *rgba, uint32_t w, uint32_t h, size_t stride)
{
    if (w == 0 || h == 0 || w > PNG_IO_SIDE_MAX || h > PNG_IO_SIDE_MAX || stride < (size_t)w * 4 ||
        stride > INT32_MAX)
        return -EINVAL;

    /* /dev/stdout and the like cannot be renamed over. */
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return write_image(path, rgba, w, h, stride);

    char *temporary = NULL;
    if (asprintf(&temporary, "%s.part", path) < 0)
        return -ENOMEM;
    int result = write_image(temporary, rgba, w, h, stride);
    if (result == 0 && rename(temporary, path) < 0)
        result = -errno;
    if (result < 0)
        unlink(temporary);
    free(temporary);
    return result;
}

int png_read_rgba(const char *path, uint8_t **ret, uint32_t *ret_w, uint32_t *ret_h)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    uint8_t *pixels = NULL;
    int result = 0;

    FILE *file = fopen(path, "rbe");
    if (!file)
        return -errno;
    errno = 0;
    if (!png_image_begin_read_from_stdio(&image, file)) {
        result = errno_or(EBADMSG);
        goto out;
    }
    if (image.width > PNG_IO_SIDE_MAX || image.height > PNG_IO_SIDE_MAX) {
        result = -EFBIG;
        goto out;
    }
    image.format = PNG_FORMAT_RGBA;
    pixels = malloc((size_t)image.width * image.height * 4);
    if (!pixels) {
        result = -ENOMEM;
        goto out;
    }
    if (!png_image_finish_read(&image, NULL, pixels, (png_int_32)image.width * 4, NULL)) {
        result = errno_or(EBADMSG);
        goto out;
    }
    *ret = pixels;
    *ret_w = image.width;
    *ret_h = image.height;
    pixels = NULL;
out:
    free(pixels);
    png_image_free(&image);
    fclose(file);
    return result;
}
