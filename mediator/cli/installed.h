/* SPDX-License-Identifier: MIT */
/*
 * Where our other programs and libraries are: what the environment says, else those of the build
 * tree that this program lies in, else the installed ones. So that "aliquot run" works from a build
 * folder as it does from /usr.
 */
#ifndef ALIQUOT_CLI_INSTALLED_H
#define ALIQUOT_CLI_INSTALLED_H

enum installed {
    INSTALLED_DAEMON,   /* $ALIQUOTD */
    INSTALLED_RENDERER, /* $ALIQUOT_RENDERER */
    INSTALLED_SHIM,     /* $ALIQUOT_SHIM */
};

/* An absolute path, the caller's to free. -ENOENT: there is none, a message has been printed. */
int installed_find(enum installed what, char **ret);

#endif
