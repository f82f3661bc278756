/* SPDX-License-Identifier: MIT */
/* Pictures survive the way through a file; what is no picture is refused, and leaves nothing. */
#include "samples/png_io.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[32];
static char path[64];

static unsigned files_in_dir(void)
{
    DIR *d = opendir(dir);
    unsigned count = 0;

    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void test_round_trip(void **state)
{
    enum { W = 7, H = 5, STRIDE = 64 };
    uint8_t picture[H * STRIDE], *copy = NULL;
    uint32_t w, h;

    for (unsigned i = 0; i < sizeof(picture); i++)
        picture[i] = (uint8_t)(i * 37);
    for (unsigned round = 0; round < 2; round++) { /* the second replaces the first */
        assert_int_equal(png_write_rgba(path, picture, W, H, STRIDE), 0);
        assert_int_equal(files_in_dir(), 1);
        assert_int_equal(png_read_rgba(path, &copy, &w, &h), 0);
        assert_int_equal(w, W);
        assert_int_equal(h, H);
        for (unsigned y = 0; y < H; y++)
            assert_memory_equal(copy + 4 * W * y, picture + STRIDE * y, 4 * W);
        free(copy);
    }
}

static void test_refuses_what_is_no_picture(void **state)
{
    uint8_t pixel[4] = {0};

    assert_int_equal(png_write_rgba(path, pixel, 0, 1, 4), -EINVAL);
    assert_int_equal(png_write_rgba(path, pixel, 1, 0, 4), -EINVAL);
    assert_int_equal(png_write_rgba(path, pixel, 2, 1, 4), -EINVAL);
    assert_int_equal(png_write_rgba(path, pixel, PNG_IO_SIDE_MAX + 1, 1, SIZE_MAX), -EINVAL);
    assert_int_equal(png_write_rgba("/nonexistent/x.png", pixel, 1, 1, 4), -ENOENT);
    assert_int_equal(files_in_dir(), 0);
}

static void test_refuses_damaged_files(void **state)
{
    uint8_t picture[16 * 16 * 4] = {1, 2, 3}, file[4096], *copy = NULL;
    uint32_t w = 77, h = 77;

    assert_int_equal(png_read_rgba(path, &copy, &w, &h), -ENOENT);
    write_file("not a picture", 13);
    assert_int_equal(png_read_rgba(path, &copy, &w, &h), -EBADMSG);
    assert_int_equal(png_write_rgba(path, picture, 16, 16, 64), 0);
    FILE *f = fopen(path, "rb");
    size_t size = fread(file, 1, sizeof(file), f);
    fclose(f);
    for (size_t cut = 0; cut < size - 12; cut++) { /* the last 12 are the end mark */
        write_file(file, cut);
        assert_int_equal(png_read_rgba(path, &copy, &w, &h), -EBADMSG);
    }
    /* Its header claims 65 536 × 65 536. */
    static const uint8_t huge[8] = {0, 1, 0, 0, 0, 1, 0, 0};
    memcpy(file + 16, huge, sizeof(huge));
    write_file(file, size);
    assert_true(png_read_rgba(path, &copy, &w, &h) < 0);
    assert_null(copy);
    assert_int_equal(w, 77);
    assert_int_equal(h, 77);
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/aliquot-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/picture.png", dir);
    return 0;
}

static int remove_dir(void **state)
{
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_no_picture, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_refuses_damaged_files, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
