/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/edid.h"

#include "mediator/base/util.h"

#include <string.h>

#define REFRESH_HZ 60
#define DPI 96
#define PIXEL_CLOCK_MAX 0xffffu /* units of 10 kHz: 655.35 MHz */

/* Blanking as in CVT with reduced blanking: for digital links that need little. */
#define H_BLANK 160
#define H_FRONT 48
#define H_SYNC 32
#define V_FRONT 3
#define V_SYNC 6
#define V_BLANK_US 460

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

/* Three upper-case letters packed into two bytes, big-endian. */
static void put_vendor(uint8_t *p, const char name[3])
{
    uint32_t v = (uint32_t)(name[0] - '@') << 10 | (uint32_t)(name[1] - '@') << 5 |
                 (uint32_t)(name[2] - '@');

    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t millimetres(uint32_t pixels)
{
    return pixels * 254 / (DPI * 10);
}

/* Lines of vertical blanking: at least 460 µs of them, at least the sync and its porches. */
static uint32_t vertical_blank(uint32_t height)
{
    uint32_t frame_us = 1000000 / REFRESH_HZ;
    uint32_t lines = height * V_BLANK_US / (frame_us - V_BLANK_US) + 1;

    return MAX(lines, (uint32_t)(V_FRONT + V_SYNC + 6));
}

static void put_timing(uint8_t *p, uint32_t w, uint32_t h)
{
    uint32_t v_blank = vertical_blank(h);
    uint64_t clock = (uint64_t)(w + H_BLANK) * (h + v_blank) * REFRESH_HZ / 10000;
    uint32_t w_mm = millimetres(w), h_mm = millimetres(h);

    put16(p, (uint32_t)MIN(MAX(clock, 1u), PIXEL_CLOCK_MAX));
    p[2] = (uint8_t)w;
    p[3] = H_BLANK & 0xff;
    p[4] = (uint8_t)((w >> 8) << 4 | H_BLANK >> 8);
    p[5] = (uint8_t)h;
    p[6] = (uint8_t)v_blank;
    p[7] = (uint8_t)((h >> 8) << 4 | v_blank >> 8);
    p[8] = H_FRONT;
    p[9] = H_SYNC;
    p[10] = V_FRONT << 4 | V_SYNC;
    p[11] = 0; /* upper bits of the four */
    p[12] = (uint8_t)w_mm;
    p[13] = (uint8_t)h_mm;
    p[14] = (uint8_t)((w_mm >> 8) << 4 | h_mm >> 8);
    p[17] = 0x1a; /* digital separate sync, horizontal positive, vertical negative */
}

static void put_text(uint8_t *p, uint8_t tag, const char *text)
{
    size_t len = strlen(text);

    p[3] = tag;
    memset(p + 5, ' ', 13);
    memcpy(p + 5, text, MIN(len, 13u));
    if (len < 13)
        p[5 + len] = '\n';
}

void edid_generate(uint8_t edid[EDID_BLOCK_BYTES], uint32_t width, uint32_t height, uint32_t serial)
{
    static const uint8_t magic[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
    /* The chromaticity of sRGB. */
    static const uint8_t srgb[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    uint32_t w = MIN(MAX(width, 1u), (uint32_t)EDID_SIDE_MAX);
    uint32_t h = MIN(MAX(height, 1u), (uint32_t)EDID_SIDE_MAX);
    uint8_t sum = 0;

    memset(edid, 0, EDID_BLOCK_BYTES);
    memcpy(edid, magic, sizeof(magic));
    put_vendor(edid + 8, "ALQ");
    put16(edid + 10, 1); /* product */
    put16(edid + 12, serial);
    put16(edid + 14, serial >> 16);
    edid[16] = 0;  /* week: none */
    edid[17] = 36; /* year of the model: 1990 + 36 */
    edid[18] = 1;  /* EDID 1.4 */
    edid[19] = 4;
    edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (uint8_t)MIN((millimetres(w) + 5) / 10, 255u);
    edid[22] = (uint8_t)MIN((millimetres(h) + 5) / 10, 255u);
    edid[23] = 120;  /* gamma 2.2 */
    edid[24] = 0x06; /* sRGB; the first timing is the native one */
    memcpy(edid + 25, srgb, sizeof(srgb));
    memset(edid + 38, 0x01, 16); /* no standard timings */
    put_timing(edid + 54, w, h);
    put_text(edid + 72, 0xfc, "Aliquot");
    edid[90 + 3] = 0x10; /* two dummy descriptors */
    edid[108 + 3] = 0x10;
    edid[126] = 0; /* extension blocks */
    for (size_t i = 0; i < EDID_BLOCK_BYTES - 1; i++)
        sum = (uint8_t)(sum + edid[i]);
    edid[127] = (uint8_t)(0x100 - sum);
}
