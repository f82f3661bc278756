/* SPDX-License-Identifier: MIT */
#include "mediator/cli/gpu_env.h"

#include "mediator/base/util.h"

#include <string.h>

/* Vulkan's loader takes no other driver than this, the one of virtio-gpu: a program shall not end
 * on one that draws beside the vGPU without saying so. By the name of the driver's manifest. */
#define VULKAN_DRIVERS "virtio_icd*"

bool gpu_via_parse(const char *text, enum gpu_via *ret)
{
    static const char *const names[] = {[GPU_VIA_SHIM] = "shim", [GPU_VIA_VTEST] = "vtest"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(text, names[i])) {
            *ret = (enum gpu_via)i;
            return true;
        }
    }
    return false;
}

/* value: consumed; NULL = unset. */
static void add(struct gpu_env *env, const char *name, char *value)
{
    env->variables[env->count++] = (struct gpu_variable){name, value};
}

/* The shim first, and once. */
static char *preload_with(const char *shim, const char *preload)
{
    size_t len = strlen(shim);
    char *value = NULL;
    if (!preload || !*preload || !strcmp(preload, shim))
        return strdup(shim);
    if (!strncmp(preload, shim, len) && strchr(": ", preload[len]))
        return strdup(preload);
    return asprintf(&value, "%s:%s", shim, preload) < 0 ? NULL : value;
}

int gpu_env_init(struct gpu_env *env, enum gpu_via via, const char *socket, const char *shim,
                 const char *preload)
{
    *env = (struct gpu_env){0};
    /* What sends Mesa to another driver than the one of the render node. */
    add(env, "MESA_LOADER_DRIVER_OVERRIDE", NULL);
    add(env, "VK_LOADER_DRIVERS_SELECT", strdup(VULKAN_DRIVERS));
    add(env, "VN_DEBUG", via == GPU_VIA_VTEST ? strdup("vtest") : NULL);
    if (via == GPU_VIA_SHIM) {
        if (strpbrk(shim, ": ")) {
            fprintf(stderr,
                    "aliquot: %s: LD_PRELOAD takes no path with a blank or colon in it; give "
                    "another one in $ALIQUOT_SHIM\n",
                    shim);
            gpu_env_finish(env);
            return -EINVAL;
        }
        add(env, "LIBGL_ALWAYS_SOFTWARE", NULL);
        add(env, "GALLIUM_DRIVER", NULL);
        add(env, "ALIQUOT_SOCKET", strdup(socket));
        add(env, "LD_PRELOAD", preload_with(shim, preload));
    } else {
        add(env, "ALIQUOT_SOCKET", NULL); /* a shim that is loaded nevertheless keeps still */
        add(env, "LIBGL_ALWAYS_SOFTWARE", strdup("1"));
        add(env, "GALLIUM_DRIVER", strdup("virpipe"));
        add(env, "VTEST_SOCKET_NAME", strdup(socket));
    }
    size_t values = 0, wanted = via == GPU_VIA_SHIM ? 3 : 5;
    for (size_t i = 0; i < env->count; i++)
        values += env->variables[i].value != NULL;
    if (values == wanted)
        return 0;
    gpu_env_finish(env);
    return -ENOMEM;
}

void gpu_env_finish(struct gpu_env *env)
{
    for (size_t i = 0; i < env->count; i++)
        free(env->variables[i].value);
    env->count = 0;
}

int gpu_env_apply(const struct gpu_env *env)
{
    for (size_t i = 0; i < env->count; i++) {
        const struct gpu_variable *v = &env->variables[i];
        if ((v->value ? setenv(v->name, v->value, 1) : unsetenv(v->name)) < 0)
            return -ENOMEM;
    }
    return 0;
}

void gpu_env_print(const struct gpu_env *env, FILE *out)
{
    for (size_t i = 0; i < env->count; i++) {
        const struct gpu_variable *v = &env->variables[i];
        if (!v->value) {
            fprintf(out, "unset %s\n", v->name);
            continue;
        }
        fprintf(out, "export %s='", v->name);
        for (const char *p = v->value; *p; p++) {
            if (*p == '\'')
                fputs("'\\''", out);
            else
                fputc(*p, out);
        }
        fputs("'\n", out);
    }
}
