/* SPDX-License-Identifier: MIT */
/*
 * A table from 32-bit ids, chosen by the guest, to pointers: resources and contexts live in one.
 *
 * Open addressing with a random multiplier for each table, so that a guest cannot choose ids that
 * collide. Used by the device model (gpu_resource.c, gpu_3d.c) and by the null backend. No locks:
 * one thread a table.
 */
#ifndef ALIQUOT_RENDERER_ID_TABLE_H
#define ALIQUOT_RENDERER_ID_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct id_table_slot {
    uint32_t id;
    void *value; /* borrowed; NULL = the slot is free */
};

struct id_table {
    struct id_table_slot *slots; /* owned; capacity of them */
    uint32_t capacity;           /* 0 or a power of two */
    uint32_t count;
    uint64_t multiplier;
};

void id_table_init(struct id_table *t);

/* Frees the table, not the values. The table is empty and usable afterwards. */
void id_table_finish(struct id_table *t);

/* NULL: no such id. */
void *id_table_get(const struct id_table *t, uint32_t id);

/* value is not NULL. Returns 0, -EEXIST or -ENOMEM (nothing changed). */
int id_table_put(struct id_table *t, uint32_t id, void *value);

/* Returns what was there, or NULL. */
void *id_table_remove(struct id_table *t, uint32_t id);

/* All values in no order: start with *pos = 0, ends with NULL. The table must not change
 * meanwhile. */
void *id_table_next(const struct id_table *t, uint32_t *pos);

#endif
