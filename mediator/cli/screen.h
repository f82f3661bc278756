/* SPDX-License-Identifier: MIT */
/*
 * A terminal that is drawn on as a whole: the alternate screen, keys one by one, and all as it was
 * before at the end. Plain ANSI sequences, which every terminal of today has; a library would bring
 * a database of those that have not.
 */
#ifndef ALIQUOT_CLI_SCREEN_H
#define ALIQUOT_CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct screen {
    struct termios saved;
    bool open;
};

/* Whether standard input and output are a terminal that can be drawn on. */
bool screen_possible(void);

/* Takes the terminal, or gives it back; in between it may be given back and taken again. */
void screen_open(struct screen *s);
void screen_close(struct screen *s);

/* Columns and lines now. */
void screen_size(unsigned *ret_width, unsigned *ret_height);

/* Draws lines, which are no longer than the screen is wide nor more than it has; one of them
 * reversed. All at once, so that nothing flickers. */
void screen_draw(const char *const *lines, size_t n, size_t reversed);

/* The next key that was pressed; 0 = none. */
char screen_key(void);

#endif
