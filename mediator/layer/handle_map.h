/* SPDX-License-Identifier: MIT */
/*
 * Vulkan handles and what the layer knows about them: a hash map of 64-bit keys, which are never 0,
 * to 64-bit values. Lookups take no lock and may run beside everything else; the map is looked up
 * at each submission.
 */
#ifndef ALIQUOT_LAYER_HANDLE_MAP_H
#define ALIQUOT_LAYER_HANDLE_MAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct handle_table;

struct handle_map {
    pthread_mutex_t lock;       /* of all that inserts and removes */
    struct handle_table *table; /* owned, with the smaller ones before it; NULL = empty */
};

#define HANDLE_MAP_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* The lock is ready without this in a map that was set to HANDLE_MAP_INIT. */
void handle_map_init(struct handle_map *map);
/* Nobody uses the map any more. */
void handle_map_finish(struct handle_map *map);

/* Inserts, or sets the value of a key that is there. 0 or -ENOMEM. */
int handle_map_put(struct handle_map *map, uint64_t key, uint64_t value);
/* False if it is not there; then *ret_value is untouched. */
bool handle_map_get(const struct handle_map *map, uint64_t key, uint64_t *ret_value);
/* Raises the value of a key that is there to at least this. */
void handle_map_raise(struct handle_map *map, uint64_t key, uint64_t value);
/* Removes it: true if it was there, with its last value. */
bool handle_map_take(struct handle_map *map, uint64_t key, uint64_t *ret_value);
/* Removes it if that is its value. */
void handle_map_take_exactly(struct handle_map *map, uint64_t key, uint64_t value);

/* Calls for each entry; the map is locked meanwhile. */
void handle_map_each(struct handle_map *map,
                     void (*each)(uint64_t key, uint64_t value, void *opaque), void *opaque);

#endif
