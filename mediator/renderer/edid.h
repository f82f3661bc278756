/* SPDX-License-Identifier: MIT */
/*
 * Makes an EDID (VESA E-EDID 1.4, one block) for a virtual monitor, so that a guest whose display
 * nobody describes finds a mode of the wanted size. Used by the device model.
 */
#ifndef ALIQUOT_RENDERER_EDID_H
#define ALIQUOT_RENDERER_EDID_H

#include <stdint.h>

#define EDID_BLOCK_BYTES 128

/* The largest side that a detailed timing can say (12 bits). */
#define EDID_SIDE_MAX 4095

/*
 * Preferred mode width × height at 60 Hz, or slower where the pixel clock would not fit its field;
 * sides are clamped to 1 … EDID_SIDE_MAX. serial tells several monitors apart.
 */
void edid_generate(uint8_t edid[EDID_BLOCK_BYTES], uint32_t width, uint32_t height,
                   uint32_t serial);

#endif
