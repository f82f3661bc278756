/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/config_value.h"

#include "mediator/base/util.h"
#include "mediator/daemon/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <pwd.h>
#include <string.h>
#include <strings.h>

/* Space for one entry of the user database: a group with some thousand members. A larger one has to
 * be given by number. */
#define NSS_BUFFER (64u << 10)

/* The digits at *text; moves on to the first other character. */
static int take_digits(const char **text, unsigned base, uint64_t *ret)
{
    uint64_t value = 0;
    const char *p = *text;
    if (!isdigit((unsigned char)*p))
        return -EINVAL;
    for (; isdigit((unsigned char)*p); p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit >= base)
            return -EINVAL;
        if (value > (UINT64_MAX - digit) / base)
            return -ERANGE;
        value = value * base + digit;
    }
    *text = p;
    *ret = value;
    return 0;
}

static int in_range(uint64_t value, uint64_t min, uint64_t max, uint64_t *ret)
{
    if (value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

int value_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        bool is_yes = !strcasecmp(text, yes[i]);
        if (is_yes || !strcasecmp(text, no[i])) {
            *ret = is_yes;
            return 0;
        }
    }
    return -EINVAL;
}

int value_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    int r = take_digits(&text, 10, &value);
    if (r < 0)
        return r;
    if (*text)
        return -EINVAL;
    return in_range(value, min, max, ret);
}

int value_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    static const char suffixes[] = "KMGT";
    uint64_t value;
    int r = take_digits(&text, 10, &value);
    if (r < 0)
        return r;
    if (*text) {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*text));
        if (!suffix || text[1])
            return -EINVAL;
        unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
        if (value > UINT64_MAX >> shift)
            return -ERANGE;
        value <<= shift;
    }
    return in_range(value, min, max, ret);
}

int value_size(const char *text, uint32_t min, uint32_t max, uint32_t *ret_width,
               uint32_t *ret_height)
{
    uint64_t width, height;
    int r = take_digits(&text, 10, &width);
    if (r < 0)
        return r;
    if (*text++ != 'x')
        return -EINVAL;
    r = take_digits(&text, 10, &height);
    if (r < 0)
        return r;
    if (*text)
        return -EINVAL;
    if (width < min || width > max || height < min || height > max)
        return -ERANGE;
    *ret_width = (uint32_t)width;
    *ret_height = (uint32_t)height;
    return 0;
}

int value_mode(const char *text, mode_t *ret)
{
    uint64_t value;
    int r = take_digits(&text, 8, &value);
    if (r < 0)
        return r;
    if (*text)
        return -EINVAL;
    if (value > 0777)
        return -ERANGE;
    *ret = (mode_t)value;
    return 0;
}

/* A number that stands for itself; (uid_t)-1 means "no change" to chown(2) and is no id. */
static bool numeric_id(const char *text, uint32_t *ret)
{
    uint64_t value;
    if (value_unsigned(text, 0, UINT32_MAX - 1, &value) < 0)
        return false;
    *ret = (uint32_t)value;
    return true;
}

int value_user(const char *text, uid_t *ret)
{
    struct passwd entry, *found = NULL;
    char buf[NSS_BUFFER];
    if (numeric_id(text, ret))
        return 0;
    (void)getpwnam_r(text, &entry, buf, sizeof(buf), &found);
    if (!found)
        return -ENOENT;
    *ret = found->pw_uid;
    return 0;
}

int value_group(const char *text, gid_t *ret)
{
    struct group entry, *found = NULL;
    char buf[NSS_BUFFER];
    if (numeric_id(text, ret))
        return 0;
    (void)getgrnam_r(text, &entry, buf, sizeof(buf), &found);
    if (!found)
        return -ENOENT;
    *ret = found->gr_gid;
    return 0;
}

int value_address(const char *text, struct sockaddr_storage *ret)
{
    const char *port_text = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN] = "127.0.0.1";
    size_t len = port_text ? (size_t)(port_text - text) : 0;
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    uint64_t port;

    if (!strcmp(text, "off")) {
        *ret = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
        return 0;
    }
    int r = value_unsigned(port_text ? port_text + 1 : text, 0, UINT16_MAX, &port);
    if (r < 0)
        return r;
    bool brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (brackets) {
        text++;
        len -= 2;
    }
    if (len >= sizeof(host))
        return -EINVAL;
    if (port_text)
        snprintf(host, sizeof(host), "%.*s", (int)len, text);
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    if (!brackets && inet_pton(AF_INET, host, &in4.sin_addr) == 1) {
        in4.sin_port = htons((uint16_t)port);
        memcpy(&address, &in4, sizeof(in4));
    } else if (brackets && inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        in6.sin6_port = htons((uint16_t)port);
        memcpy(&address, &in6, sizeof(in6));
    } else {
        return -EINVAL;
    }
    *ret = address;
    return 0;
}

bool vgpu_name_valid(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len >= 1 && len <= VGPU_NAME_MAX && strchr(first, name[0]) && strspn(name, rest) == len;
}

bool vgpu_name_on_demand(const char *name)
{
    static const char prefix[] = "auto-";
    return !strncmp(name, prefix, strlen(prefix)) &&
           name[strlen(prefix) + strspn(name + strlen(prefix), "0123456789")] == '\0' &&
           name[strlen(prefix)] != '\0';
}

bool gpu_id_valid(const char *id)
{
    static const char *const numbered[] = {"/dev/dri/renderD", "egl:"};
    if (!strcmp(id, "auto") || !strcmp(id, "software"))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(numbered); i++) {
        size_t len = strlen(numbered[i]);
        uint64_t number;
        if (!strncmp(id, numbered[i], len) && !value_unsigned(id + len, 0, 9999, &number))
            return true;
    }
    return false;
}
