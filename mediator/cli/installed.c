/* SPDX-License-Identifier: MIT */
#include "mediator/cli/installed.h"

#include "mediator/base/util.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char self_in_build[] = "/mediator/cli/aliquot";

static const struct {
    const char *what, *variable, *in_build, *path;
} files[] = {
    [INSTALLED_DAEMON] = {"aliquotd", "ALIQUOTD", "/mediator/daemon/aliquotd",
                          ALIQUOT_SBINDIR "/aliquotd"},
    [INSTALLED_RENDERER] = {"aliquot-renderer", "ALIQUOT_RENDERER",
                            "/mediator/renderer/aliquot-renderer",
                            ALIQUOT_LIBEXECDIR "/aliquot-renderer"},
    [INSTALLED_SHIM] = {"libaliquot-shim.so", "ALIQUOT_SHIM",
                        "/guest-driver/shim/libaliquot-shim.so",
                        ALIQUOT_SHIMDIR "/libaliquot-shim.so"},
};

/* The same file in the build tree that we run from; NULL if we don't. */
static char *find_in_build(enum installed what)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    size_t tail = strlen(self_in_build);
    if (len < (ssize_t)tail)
        return NULL;
    self[len] = '\0';
    if (strcmp(self + len - tail, self_in_build) != 0)
        return NULL;
    char *path = NULL;
    if (asprintf(&path, "%.*s%s", (int)(len - (ssize_t)tail), self, files[what].in_build) < 0)
        return NULL;
    if (access(path, R_OK) < 0)
        free(TAKE_PTR(path));
    return path;
}

int installed_find(enum installed what, char **ret)
{
    const char *variable = getenv(files[what].variable);
    bool is_set = variable && *variable;
    const char *given = is_set ? variable : files[what].path;
    char *path = is_set ? NULL : find_in_build(what);
    if (!path)
        path = realpath(given, NULL);
    if (!path) {
        fprintf(stderr, "aliquot: %s: %s: %s; give its path in $%s\n", files[what].what, given,
                strerror(errno), files[what].variable);
        return -ENOENT;
    }
    *ret = path;
    return 0;
}
