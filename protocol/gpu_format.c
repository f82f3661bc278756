/* SPDX-License-Identifier: MIT */
#include "protocol/gpu_format.h"

#define PLAIN(bytes) {1, 1, bytes}
#define BLOCK(w, h, bytes) {w, h, bytes}
/* Four formats in a row: one, two, three and four channels of the same size. */
#define CHANNELS(first, bytes)                                                                     \
    [first] = PLAIN(bytes), [(first) + 1] = PLAIN(2 * (bytes)),                                    \
    [(first) + 2] = PLAIN(3 * (bytes)), [(first) + 3] = PLAIN(4 * (bytes))

/* What a format that is not in the table is charged with: four 32-bit channels. */
static const struct gpu_format unknown_format = PLAIN(16);

/* By format number. */
static const struct gpu_format formats[] = {
    [1 ... 4] = PLAIN(4),   /* B8G8R8A8 … X8R8G8B8 */
    [5 ... 7] = PLAIN(2),   /* B5G5R5A1, B4G4R4A4, B5G6R5 */
    [8] = PLAIN(4),         /* R10G10B10A2 */
    [9 ... 11] = PLAIN(1),  /* L8, A8, I8 */
    [12 ... 16] = PLAIN(2), /* L8A8, L16, packed 4:2:2, Z16 */
    [17 ... 22] = PLAIN(4), /* Z32, Z24S8, Z24X8 … */
    [23] = PLAIN(1),        /* S8 */
    CHANNELS(24, 8),        /* R64 float */
    CHANNELS(28, 4),        /* R32 float, unorm, uscaled, snorm, sscaled */
    CHANNELS(32, 4),
    CHANNELS(36, 4),
    CHANNELS(40, 4),
    CHANNELS(44, 4),
    CHANNELS(48, 2), /* R16 unorm, uscaled, snorm, sscaled */
    CHANNELS(52, 2),
    CHANNELS(56, 2),
    CHANNELS(60, 2),
    CHANNELS(64, 1),                 /* R8 unorm */
    [68] = PLAIN(4),                 /* X8B8G8R8 */
    CHANNELS(69, 1),                 /* R8 uscaled */
    CHANNELS(74, 1),                 /* R8 snorm */
    CHANNELS(82, 1),                 /* R8 sscaled */
    CHANNELS(87, 4),                 /* R32 fixed */
    CHANNELS(91, 2),                 /* R16 float */
    [95] = PLAIN(1),                 /* L8 srgb */
    [96] = PLAIN(2),                 /* L8A8 srgb */
    [97] = PLAIN(3),                 /* R8G8B8 srgb */
    [98 ... 104] = PLAIN(4),         /* A8B8G8R8 … R8G8B8A8 srgb */
    [105 ... 106] = BLOCK(4, 4, 8),  /* DXT1 */
    [107 ... 108] = BLOCK(4, 4, 16), /* DXT3, DXT5 */
    [109 ... 110] = BLOCK(4, 4, 8),  /* DXT1 srgb */
    [111 ... 112] = BLOCK(4, 4, 16), /* DXT3, DXT5 srgb */
    [113 ... 114] = BLOCK(4, 4, 8),  /* RGTC1 */
    [115 ... 116] = BLOCK(4, 4, 16), /* RGTC2 */
    [117 ... 118] = BLOCK(2, 1, 4),  /* R8G8_B8G8 */
    [119] = PLAIN(4),
    [120] = PLAIN(2),
    [121] = PLAIN(4),         /* A8B8G8R8 */
    [122] = PLAIN(2),         /* B5G5R5X1 */
    [123 ... 125] = PLAIN(4), /* R10G10B10A2, R11G11B10, R9G9B9E5 */
    [126] = PLAIN(8),         /* Z32_S8X24 */
    [127] = PLAIN(1),         /* R1: eight to a byte, charged with more */
    [128 ... 129] = PLAIN(4),
    [130] = PLAIN(1), /* L4A4 */
    [131 ... 132] = PLAIN(4),
    [133] = PLAIN(2),
    [134] = PLAIN(4), /* R8G8B8X8 */
    [135] = PLAIN(2),
    [136 ... 137] = PLAIN(4),
    [138] = PLAIN(8),
    [139] = PLAIN(1), /* B2G3R3 */
    [140] = PLAIN(4), /* L16A16 */
    [141 ... 142] = PLAIN(2),
    [143 ... 144] = BLOCK(4, 4, 8),  /* LATC1 */
    [145 ... 146] = BLOCK(4, 4, 16), /* LATC2 */
    [147 ... 148] = PLAIN(1),
    [149] = PLAIN(2),
    [150] = PLAIN(1),
    [151 ... 152] = PLAIN(2),
    [153] = PLAIN(4),
    [154 ... 156] = PLAIN(2),
    [157] = PLAIN(4),
    [158] = PLAIN(2),
    [159 ... 160] = PLAIN(4),
    [161] = PLAIN(8),
    [162] = PLAIN(4),
    [163 ... 167] = PLAIN(2), /* planar YUV: at most 16 bits a pixel */
    [168 ... 169] = PLAIN(1),
    [170 ... 171] = PLAIN(2),
    [172 ... 176] = PLAIN(4),
    CHANNELS(177, 1), /* R8 uint, sint */
    CHANNELS(181, 1),
    CHANNELS(185, 2), /* R16 uint, sint */
    CHANNELS(189, 2),
    CHANNELS(193, 4), /* R32 uint, sint */
    CHANNELS(197, 4),
    [201 ... 203] = PLAIN(1),
    [204] = PLAIN(2),
    [205 ... 207] = PLAIN(1),
    [208 ... 211] = PLAIN(2),
    [212] = PLAIN(4),
    [213 ... 215] = PLAIN(2),
    [216 ... 219] = PLAIN(4),
    [220] = PLAIN(8),
    [221 ... 223] = PLAIN(4),
    [224] = PLAIN(8),
    [225] = PLAIN(4),
    [226] = BLOCK(4, 4, 8), /* ETC1 */
    [227 ... 228] = BLOCK(2, 1, 4),
    [229 ... 233] = PLAIN(4),
    [234 ... 238] = PLAIN(8),  /* R16G16B16X16 */
    [239 ... 241] = PLAIN(16), /* R32G32B32X32 */
    [242] = PLAIN(2),
    [243 ... 245] = PLAIN(4),
    [246] = PLAIN(8),
    [247 ... 248] = PLAIN(2),
    [249 ... 250] = PLAIN(4),
    [251 ... 252] = PLAIN(8),
    [253] = PLAIN(4),
    [254] = PLAIN(2),
    [255 ... 258] = BLOCK(4, 4, 16), /* BPTC */
    [263 ... 264] = PLAIN(2),
    [265 ... 268] = PLAIN(4),
    [269 ... 272] = BLOCK(4, 4, 8),  /* ETC2 RGB8, RGB8A1 */
    [273 ... 274] = BLOCK(4, 4, 16), /* ETC2 RGBA8 */
    [275 ... 276] = BLOCK(4, 4, 8),  /* EAC R11 */
    [277 ... 278] = BLOCK(4, 4, 16), /* EAC RG11 */
    [279] = BLOCK(4, 4, 16),         /* ASTC, then the same for srgb */
    [280] = BLOCK(5, 4, 16),
    [281] = BLOCK(5, 5, 16),
    [282] = BLOCK(6, 5, 16),
    [283] = BLOCK(6, 6, 16),
    [284] = BLOCK(8, 5, 16),
    [285] = BLOCK(8, 6, 16),
    [286] = BLOCK(8, 8, 16),
    [287] = BLOCK(10, 5, 16),
    [288] = BLOCK(10, 6, 16),
    [289] = BLOCK(10, 8, 16),
    [290] = BLOCK(10, 10, 16),
    [291] = BLOCK(12, 10, 16),
    [292] = BLOCK(12, 12, 16),
    [293] = BLOCK(4, 4, 16),
    [294] = BLOCK(5, 4, 16),
    [295] = BLOCK(5, 5, 16),
    [296] = BLOCK(6, 5, 16),
    [297] = BLOCK(6, 6, 16),
    [298] = BLOCK(8, 5, 16),
    [299] = BLOCK(8, 6, 16),
    [300] = BLOCK(8, 8, 16),
    [301] = BLOCK(10, 5, 16),
    [302] = BLOCK(10, 6, 16),
    [303] = BLOCK(10, 8, 16),
    [304] = BLOCK(10, 10, 16),
    [305] = BLOCK(12, 10, 16),
    [306] = BLOCK(12, 12, 16),
    [308] = PLAIN(4), /* R10G10B10X2 */
    [311] = PLAIN(2), /* A4B4G4R4 */
    [312] = PLAIN(1), /* R8 srgb */
    [313] = PLAIN(2), /* R8G8 srgb */
};

struct gpu_format gpu_format_get(uint32_t format)
{
    if (format < sizeof(formats) / sizeof(formats[0]) && formats[format].block_bytes)
        return formats[format];
    return unknown_format;
}
