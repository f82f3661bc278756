/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/device.h"
#include "guest-driver/shim/message.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Address space, not memory: textures have backing that most never touch. */
#define MEMORY_DEFAULT_BYTES (4ull << 30)
/* A capset that is larger makes no sense. */
#define CAPSET_BYTES_MAX (1u << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct device *current; /* owned; this process's */

static const char *socket_path(void)
{
    const char *path = getenv("ALIQUOT_SOCKET");
    return path && path[0] ? path : NULL;
}

bool device_wanted_quietly(void)
{
    return socket_path() != NULL;
}

bool device_wanted(void)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;

    if (socket_path())
        return true;
    if (!atomic_flag_test_and_set(&told))
        message("ALIQUOT_SOCKET is not set, so this program gets no vGPU: start it with "
                "'aliquot run -- PROGRAM', or set it to the socket of a vGPU");
    return false;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int memory_bytes(uint64_t *ret)
{
    const char *text = getenv("ALIQUOT_MEMORY");
    char *end;

    *ret = MEMORY_DEFAULT_BYTES;
    if (!text || !text[0])
        return 0;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = *end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0;
    if (errno || end == text || end[shift ? 1 : 0] || value > (ALIQUOT_MEMORY_MAX_BYTES >> shift) ||
        value << shift < ALIQUOT_MEMORY_MIN_BYTES) {
        message("ALIQUOT_MEMORY is '%s': it has to be bytes, or a number and K, M or G, "
                "between 2M and 64G",
                text);
        return -EINVAL;
    }
    *ret = value << shift;
    return 0;
}

/* Says what to do about a failed connection, and returns what open(2) shall fail with. */
static int refused(const char *path, int error, const char *text)
{
    static int last_error; /* under the lock: programs try again and again */

    if (error == last_error)
        return error == -EPROTO || error == -EPROTONOSUPPORT ? -ENODEV : error;
    last_error = error;
    switch (error) {
    case -ENOENT:
        message("there is no socket %s: start aliquotd, or correct ALIQUOT_SOCKET", path);
        return error;
    case -ECONNREFUSED:
        message("nobody serves the socket %s: start aliquotd again", path);
        return error;
    case -EACCES:
    case -EPERM:
        message("no permission for the socket %s: ask for access to it, which aliquotd's "
                "configuration gives to users and groups",
                path);
        return error;
    case -EPROTO:
    case -EPROTONOSUPPORT:
        message("what serves the socket %s is not Aliquot, or another version (%s): correct "
                "ALIQUOT_SOCKET, or bring aliquotd and this shim to the same version",
                path, text);
        return -ENODEV;
    case -ECONNRESET:
        message("the server of %s refused us a vGPU (%s): its log says why; 'aliquot list' shows "
                "which are in use",
                path, text);
        return error;
    case -ETIMEDOUT:
        message("the server of %s does not answer (%s): see whether it is busy or stopped", path,
                text);
        return error;
    default:
        message("no vGPU from %s: %s", path, text);
        return error;
    }
}

static int read_capsets(struct device *device, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct aliquot_capset_info info;
        int result = aliquot_capset_info(device->vgpu, i, &info);
        if (result < 0)
            return result;
        if (info.id == 0 || info.id >= DEVICE_CAPSETS || info.max_bytes > CAPSET_BYTES_MAX)
            continue;
        device->capset_mask |= 1ull << info.id;
        device->capsets[info.id].max_version = info.max_version;
        device->capsets[info.id].max_bytes = info.max_bytes;
    }
    return 0;
}

static int connect_device(const char *path, struct device **ret)
{
    char error[256] = "";
    struct aliquot_open_args args = {.path = path, .error = error, .error_size = sizeof(error)};

    int result = memory_bytes(&args.memory_bytes);
    if (result < 0)
        return result;
    struct device *device = calloc(1, sizeof(*device));
    if (!device)
        return -ENOMEM;
    pthread_mutex_init(&device->capset_lock, NULL);
    pthread_mutex_init(&device->submit_lock, NULL);
    result = aliquot_open(&args, &device->vgpu);
    if (result == 0) {
        struct aliquot_info info;
        result = aliquot_get_info(device->vgpu, &info);
        if (result == 0) {
            device->features = info.features;
            device->host_visible_bytes = info.host_visible_bytes;
            result = read_capsets(device, info.num_capsets);
        }
        if (result < 0) {
            aliquot_last_error(device->vgpu, error, sizeof(error));
            aliquot_close(device->vgpu);
        }
    }
    if (result < 0) {
        free(device);
        return refused(path, result, error[0] ? error : strerror(-result));
    }
    *ret = device;
    return 0;
}

int device_get(struct device **ret)
{
    const char *path = socket_path();
    int result = 0;

    if (!path)
        return -ENOENT;
    pthread_mutex_lock(&lock);
    if (!current)
        result = connect_device(path, &current);
    if (result == 0)
        *ret = current;
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- state ---------------------------------------------------------------------------------- */

bool device_has(const struct device *device, unsigned feature)
{
    return device->features & (1ull << feature);
}

bool device_is_foreign(const struct device *device)
{
    return !device->vgpu;
}

static void report_loss(bool *reported, const char *text, const char *and_then)
{
    const char *policy = getenv("ALIQUOT_ON_LOSS");
    bool go_on = policy && strcmp(policy, "error") == 0;

    if (!__atomic_test_and_set(reported, __ATOMIC_RELAXED))
        message("%s; %s", text,
                go_on ? and_then
                      : "ending the program (ALIQUOT_ON_LOSS=error lets it go on without a GPU)");
    /* Not exit(): the thread holds locks of Mesa's that its destructors want. */
    if (!go_on)
        _exit(DEVICE_LOST_STATUS);
}

int device_result(struct device *device, int result)
{
    char text[256] = "";

    if (result != -ECONNRESET && result != -EPROTO)
        return result;
    aliquot_last_error(device->vgpu, text, sizeof(text));
    report_loss(&device->lost_reported, text,
                "nothing is rendered any more, start the program again");
    return -ENODEV;
}

void device_waits_in_vain(struct device *device, const char *text)
{
    report_loss(&device->in_vain_reported, text, "what it waits for will not come");
}

int device_capset(struct device *device, uint32_t id, uint32_t version, void *buf, size_t size)
{
    if (id >= DEVICE_CAPSETS || !(device->capset_mask & (1ull << id)) ||
        version > device->capsets[id].max_version)
        return -EINVAL;
    typeof(device->capsets[0]) *capset = &device->capsets[id];
    int result = 0;

    pthread_mutex_lock(&device->capset_lock);
    if (!capset->data || capset->data_version != version) {
        uint8_t *data = calloc(1, capset->max_bytes ? capset->max_bytes : 1);
        size_t bytes = 0;
        result = data ? 0 : -ENOMEM;
        if (data && capset->max_bytes)
            result = aliquot_capset(device->vgpu, id, version, data, capset->max_bytes, &bytes);
        if (result == 0) {
            free(capset->data);
            capset->data = data;
            capset->data_bytes = bytes;
            capset->data_version = version;
        } else {
            free(data);
        }
    }
    if (result == 0)
        memcpy(buf, capset->data, size < capset->data_bytes ? size : capset->data_bytes);
    pthread_mutex_unlock(&device->capset_lock);
    return device_result(device, result);
}

/* ---- fork ----------------------------------------------------------------------------------- */

void device_lock(void)
{
    pthread_mutex_lock(&lock);
}

void device_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void device_forked(void)
{
    struct device *inherited = current;

    current = NULL;
    pthread_mutex_unlock(&lock);
    if (!inherited)
        return;
    /* The child's copies of the descriptors must not keep the connection alive when the parent has
     * ended. Nobody uses what is freed with them: they look at device_is_foreign() first. */
    struct aliquot_vgpu *vgpu = inherited->vgpu;
    inherited->vgpu = NULL;
    aliquot_close(vgpu);
}
