/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HANDLES_FIRST 64u
/* More than any program has, and no more than MAP has bits for in its offset. */
#define HANDLES_MAX (1u << 20)

int handles_add(struct handles *h, void *item, uint32_t *ret)
{
    while (h->lowest < h->count && h->items[h->lowest])
        h->lowest++;
    if (h->lowest == h->count) {
        uint32_t count = h->count ? h->count * 2 : HANDLES_FIRST;
        if (count > HANDLES_MAX)
            return -ENOMEM;
        void **items = reallocarray(h->items, count, sizeof(*items));
        if (!items)
            return -ENOMEM;
        memset(items + h->count, 0, (count - h->count) * sizeof(*items));
        h->items = items;
        h->count = count;
    }
    h->items[h->lowest] = item;
    *ret = ++h->lowest;
    return 0;
}

void *handles_get(const struct handles *h, uint32_t handle)
{
    return handle > 0 && handle <= h->count ? h->items[handle - 1] : NULL;
}

void *handles_remove(struct handles *h, uint32_t handle)
{
    void *item = handles_get(h, handle);

    if (item) {
        h->items[handle - 1] = NULL;
        if (handle - 1 < h->lowest)
            h->lowest = handle - 1;
    }
    return item;
}

uint32_t handles_find(const struct handles *h, const void *item)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->items[i] == item)
            return i + 1;
    }
    return 0;
}

void handles_finish(struct handles *h)
{
    free(h->items);
    *h = (struct handles){0};
}
