/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/id_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define MIN_CAPACITY 16

void id_table_init(struct id_table *t)
{
    *t = (struct id_table){0};
    if (getrandom(&t->multiplier, sizeof(t->multiplier), GRND_NONBLOCK) !=
        (ssize_t)sizeof(t->multiplier)) {
        /* Early in boot; still nothing that a guest knows. */
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        t->multiplier = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uintptr_t)t;
    }
    t->multiplier |= 1;
}

void id_table_finish(struct id_table *t)
{
    free(t->slots);
    t->slots = NULL;
    t->capacity = 0;
    t->count = 0;
}

/* Where an id would like to be: multiply-shift hashing, the upper bits are the good ones. */
static uint32_t home(const struct id_table *t, uint32_t id)
{
    return (uint32_t)((id * t->multiplier) >> 32) & (t->capacity - 1);
}

/* The slot with the id, or the free one where it belongs. There is always a free one. */
static struct id_table_slot *find(const struct id_table *t, uint32_t id)
{
    uint32_t i = home(t, id);

    while (t->slots[i].value && t->slots[i].id != id)
        i = (i + 1) & (t->capacity - 1);
    return &t->slots[i];
}

void *id_table_get(const struct id_table *t, uint32_t id)
{
    return t->capacity ? find(t, id)->value : NULL;
}

static int grow(struct id_table *t)
{
    struct id_table bigger = *t;

    bigger.capacity = t->capacity ? t->capacity * 2 : MIN_CAPACITY;
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    if (!bigger.slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < t->capacity; i++) {
        if (t->slots[i].value)
            *find(&bigger, t->slots[i].id) = t->slots[i];
    }
    free(t->slots);
    *t = bigger;
    return 0;
}

int id_table_put(struct id_table *t, uint32_t id, void *value)
{
    struct id_table_slot *slot;

    /* At most three quarters full: probe chains stay short. */
    if (t->count >= t->capacity / 4 * 3) {
        int r = grow(t);
        if (r < 0)
            return r;
    }
    slot = find(t, id);
    if (slot->value)
        return -EEXIST;
    *slot = (struct id_table_slot){.id = id, .value = value};
    t->count++;
    return 0;
}

void *id_table_remove(struct id_table *t, uint32_t id)
{
    uint32_t mask = t->capacity - 1, hole;
    void *value;

    if (!t->capacity)
        return NULL;
    hole = (uint32_t)(find(t, id) - t->slots);
    value = t->slots[hole].value;
    if (!value)
        return NULL;

    /* Close the gap: an entry further on moves into the hole unless that is before its home. */
    for (uint32_t i = (hole + 1) & mask; t->slots[i].value; i = (i + 1) & mask) {
        uint32_t from_home = (i - home(t, t->slots[i].id)) & mask;
        if (from_home >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole].value = NULL;
    t->count--;
    return value;
}

void *id_table_next(const struct id_table *t, uint32_t *pos)
{
    while (*pos < t->capacity) {
        void *value = t->slots[(*pos)++].value;
        if (value)
            return value;
    }
    return NULL;
}
