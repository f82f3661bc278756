/* SPDX-License-Identifier: MIT */
#include "mediator/layer/handle_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64u

struct entry {
    uint64_t key; /* 0 = free */
    uint64_t value;
};

/* Open addressing. A removed key's slot keeps the chain together (REMOVED) and is used again. When
 * a table is outgrown, a copy twice the size takes its place; who is still reading the old one
 * finds there what was true when he began, so it stays until the map goes: all old ones together
 * are smaller than the new one. */
struct handle_table {
    struct handle_table *smaller; /* owned */
    size_t slots;                 /* a power of two */
    size_t live;
    struct entry entries[];
};
#define REMOVED UINT64_MAX

void handle_map_init(struct handle_map *map)
{
    pthread_mutex_init(&map->lock, NULL);
    map->table = NULL;
}

void handle_map_finish(struct handle_map *map)
{
    struct handle_table *table = map->table;

    while (table) {
        struct handle_table *smaller = table->smaller;

        free(table);
        table = smaller;
    }
    map->table = NULL;
    pthread_mutex_destroy(&map->lock);
}

static size_t first_slot(const struct handle_table *table, uint64_t key)
{
    return (size_t)(key * 0x9e3779b97f4a7c15ull >> 32) & (table->slots - 1);
}

static struct entry *find(struct handle_table *table, uint64_t key)
{
    if (!table)
        return NULL;
    size_t slot = first_slot(table, key);
    for (size_t i = 0; i < table->slots; i++) {
        struct entry *entry = &table->entries[(slot + i) & (table->slots - 1)];
        uint64_t there = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);

        if (there == key)
            return entry;
        if (there == 0)
            return NULL;
    }
    return NULL;
}

static void insert(struct handle_table *table, uint64_t key, uint64_t value)
{
    size_t slot = first_slot(table, key);
    struct entry *entry;

    do
        entry = &table->entries[slot++ & (table->slots - 1)];
    while (entry->key != 0 && entry->key != REMOVED);
    /* The value first: whoever finds the key finds it too. */
    __atomic_store_n(&entry->value, value, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->key, key, __ATOMIC_RELEASE);
    table->live++;
}

static int grow(struct handle_map *map)
{
    struct handle_table *old = map->table;
    size_t slots = old ? old->slots * 2 : SLOTS_MIN;
    struct handle_table *table = calloc(1, sizeof(*table) + slots * sizeof(struct entry));

    if (!table)
        return -ENOMEM;
    table->slots = slots;
    table->smaller = old;
    for (size_t i = 0; old && i < old->slots; i++)
        if (old->entries[i].key != 0 && old->entries[i].key != REMOVED)
            insert(table, old->entries[i].key,
                   __atomic_load_n(&old->entries[i].value, __ATOMIC_RELAXED));
    __atomic_store_n(&map->table, table, __ATOMIC_RELEASE);
    return 0;
}

int handle_map_put(struct handle_map *map, uint64_t key, uint64_t value)
{
    int result = 0;

    pthread_mutex_lock(&map->lock);
    struct entry *entry = find(map->table, key);
    if (entry)
        __atomic_store_n(&entry->value, value, __ATOMIC_RELAXED);
    else if (!map->table || map->table->live >= map->table->slots / 2)
        result = grow(map);
    if (!entry && result == 0)
        insert(map->table, key, value);
    pthread_mutex_unlock(&map->lock);
    return result;
}

bool handle_map_get(const struct handle_map *map, uint64_t key, uint64_t *ret_value)
{
    const struct entry *entry = find(__atomic_load_n(&map->table, __ATOMIC_ACQUIRE), key);

    if (!entry)
        return false;
    *ret_value = __atomic_load_n(&entry->value, __ATOMIC_RELAXED);
    return true;
}

void handle_map_raise(struct handle_map *map, uint64_t key, uint64_t value)
{
    struct entry *entry = find(__atomic_load_n(&map->table, __ATOMIC_ACQUIRE), key);

    if (!entry)
        return;
    uint64_t was = __atomic_load_n(&entry->value, __ATOMIC_RELAXED);
    while (was < value && !__atomic_compare_exchange_n(&entry->value, &was, value, false,
                                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

static void remove_entry(struct handle_table *table, struct entry *entry)
{
    __atomic_store_n(&entry->key, REMOVED, __ATOMIC_RELEASE);
    table->live--;
}

bool handle_map_take(struct handle_map *map, uint64_t key, uint64_t *ret_value)
{
    pthread_mutex_lock(&map->lock);
    struct entry *entry = find(map->table, key);
    if (entry) {
        *ret_value = __atomic_load_n(&entry->value, __ATOMIC_RELAXED);
        remove_entry(map->table, entry);
    }
    pthread_mutex_unlock(&map->lock);
    return entry != NULL;
}

void handle_map_take_exactly(struct handle_map *map, uint64_t key, uint64_t value)
{
    pthread_mutex_lock(&map->lock);
    struct entry *entry = find(map->table, key);
    if (entry && entry->value == value)
        remove_entry(map->table, entry);
    pthread_mutex_unlock(&map->lock);
}

void handle_map_each(struct handle_map *map,
                     void (*each)(uint64_t key, uint64_t value, void *opaque), void *opaque)
{
    pthread_mutex_lock(&map->lock);
    for (size_t i = 0; map->table && i < map->table->slots; i++) {
        const struct entry *entry = &map->table->entries[i];

        if (entry->key != 0 && entry->key != REMOVED)
            each(entry->key, entry->value, opaque);
    }
    pthread_mutex_unlock(&map->lock);
}
