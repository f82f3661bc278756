/* SPDX-License-Identifier: MIT */
#include "mediator/cli/screen.h"

#include "mediator/base/util.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define WIDTH_DEFAULT 80
#define HEIGHT_DEFAULT 24

/* Alternate screen, no cursor, no wrapping: a line that is too long for a moment, after the window
 * has become narrower, is cut and does not push others down. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"
#define REVERSED "\033[7m"
#define NORMAL "\033[0m"

bool screen_possible(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
           strcmp(term, "dumb") != 0;
}

void screen_open(struct screen *s)
{
    struct termios raw;

    if (s->open || tcgetattr(STDIN_FILENO, &s->saved) < 0)
        return;
    raw = s->saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* but ^C and ^Z are signals */
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    s->open = true;
    fputs(ENTER, stdout);
    (void)fflush(stdout);
}

void screen_close(struct screen *s)
{
    if (!s->open)
        return;
    s->open = false;
    fputs(LEAVE, stdout);
    (void)fflush(stdout);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->saved);
}

void screen_size(unsigned *ret_width, unsigned *ret_height)
{
    struct winsize size = {0};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_width = size.ws_col ? size.ws_col : WIDTH_DEFAULT;
    *ret_height = size.ws_row ? size.ws_row : HEIGHT_DEFAULT;
}

void screen_draw(const char *const *lines, size_t n, size_t reversed)
{
    fputs(HOME, stdout);
    for (size_t i = 0; i < n; i++)
        fprintf(stdout, "%s%s%s%s" CLEAR_LINE, i > 0 ? "\r\n" : "", i == reversed ? REVERSED : "",
                lines[i], i == reversed ? NORMAL : "");
    fputs(CLEAR_BELOW, stdout);
    (void)fflush(stdout);
}

char screen_key(void)
{
    char key;
    return read(STDIN_FILENO, &key, 1) == 1 ? key : 0;
}
