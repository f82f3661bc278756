/* SPDX-License-Identifier: MIT */
#include "tests/model/explore.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 2000
#define LOCAL_MAX 1024

enum outcome { STEPPED = 1, BLOCKED, FAILED };

struct node {
    struct explore_log logs[EXPLORE_ACTORS_MAX];
    unsigned next;      /* actor to try */
    unsigned came_from; /* actor whose step led here */
    unsigned last;      /* actor that may go on for free; none = all may */
    unsigned used;      /* preemptions */
    bool moved;         /* an actor that is not optional could go on */
    void *world;        /* owned */
};

static struct {
    const struct explore_model *model;
    struct explore_log logs[EXPLORE_ACTORS_MAX];
    /* The run of one operation */
    struct explore_log *log;
    unsigned position; /* in the log */
    bool fresh;        /* the step of this run has been made */
    jmp_buf out;
    const char *failure;
    /* The search */
    uint64_t *seen; /* hash set, 0 = free; owned */
    size_t seen_size, seen_count;
    struct node *path; /* owned */
} x;

uint64_t explore_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

bool explore_replay(uint64_t *ret_value)
{
    if (x.position < x.log->count) {
        *ret_value = x.log->values[x.position++];
        return true;
    }
    if (x.fresh)
        longjmp(x.out, STEPPED);
    return false;
}

void explore_record_silently(uint64_t value)
{
    assert(x.log->count < EXPLORE_LOG_MAX);
    x.log->values[x.log->count++] = value;
    x.position++;
}

void explore_record(uint64_t value)
{
    explore_record_silently(value);
    x.fresh = true;
}

bool explore_is_first(void)
{
    return x.log->count == 0;
}

void explore_block(void)
{
    longjmp(x.out, BLOCKED);
}

unsigned explore_position(void)
{
    return x.position;
}

void explore_cut(unsigned position)
{
    assert(x.fresh && position <= x.log->count);
    x.log->count = position;
    longjmp(x.out, STEPPED);
}

bool explore_is_fresh(void)
{
    return x.fresh;
}

void explore_fail(const char *what)
{
    x.failure = what;
    longjmp(x.out, FAILED);
}

/* Returns false if the actor cannot make a step now. */
static bool step(unsigned actor)
{
    char saved[LOCAL_MAX];
    size_t bytes;
    void *local = x.model->local(actor, &bytes);

    if (!x.model->runnable(actor))
        return false;
    assert(bytes <= sizeof(saved));
    memcpy(saved, local, bytes);
    x.log = &x.logs[actor];
    x.position = 0;
    x.fresh = false;
    int outcome = setjmp(x.out);
    if (outcome == 0) {
        x.model->run(actor);
        x.logs[actor].count = 0; /* the next operation starts afresh */
        return true;
    }
    memcpy(local, saved, bytes);
    return outcome != BLOCKED;
}

static bool check_end(void)
{
    if (setjmp(x.out) != 0)
        return false;
    x.model->check_end();
    return true;
}

static void seen_insert(uint64_t hash)
{
    size_t i = hash & (x.seen_size - 1);

    while (x.seen[i] != 0)
        i = (i + 1) & (x.seen_size - 1);
    x.seen[i] = hash;
    x.seen_count++;
}

/* True if the state is new. last and used count as part of it where preemptions are bounded. */
static bool visit(unsigned last, unsigned used)
{
    uint64_t hash = x.model->hash();

    if (x.model->preemptions)
        hash = explore_mix(hash, (uint64_t)last << 32 | used);

    for (unsigned a = 0; a < x.model->actors; a++) {
        hash = explore_mix(hash, x.logs[a].count);
        for (unsigned i = 0; i < x.logs[a].count; i++)
            hash = explore_mix(hash, x.logs[a].values[i]);
    }
    hash |= hash == 0;
    for (size_t i = hash & (x.seen_size - 1); x.seen[i] != 0; i = (i + 1) & (x.seen_size - 1))
        if (x.seen[i] == hash)
            return false;
    if (x.seen_count * 2 >= x.seen_size) {
        uint64_t *old = x.seen;
        size_t size = x.seen_size;

        x.seen_size *= 2;
        x.seen_count = 0;
        x.seen = calloc(x.seen_size, sizeof(*x.seen));
        assert(x.seen);
        for (size_t i = 0; i < size; i++)
            if (old[i] != 0)
                seen_insert(old[i]);
        free(old);
    }
    seen_insert(hash);
    return true;
}

static void copy_logs(struct explore_log *to, const struct explore_log *from)
{
    for (unsigned a = 0; a < x.model->actors; a++) {
        to[a].count = from[a].count;
        memcpy(to[a].values, from[a].values, from[a].count * sizeof(from[a].values[0]));
    }
}

static void save(struct node *node, unsigned came_from)
{
    node->next = 0;
    node->moved = false;
    node->came_from = came_from;
    copy_logs(node->logs, x.logs);
    if (!node->world)
        node->world = malloc(x.model->world_bytes);
    assert(node->world);
    memcpy(node->world, x.model->world, x.model->world_bytes);
}

static void restore(const struct node *node)
{
    copy_logs(x.logs, node->logs);
    memcpy(x.model->world, node->world, x.model->world_bytes);
}

/* True if actor could make a step from here; the state is not what it was afterwards. */
static bool is_able(const struct node *node, unsigned actor)
{
    restore(node);
    bool able = actor < x.model->actors && step(actor);
    x.failure = NULL; /* it is found again when it is the actor's turn */
    return able;
}

static void search(struct explore_result *result)
{
    unsigned depth = 0; /* of the node we stand at */
    const unsigned nobody = EXPLORE_ACTORS_MAX;

    save(&x.path[0], 0);
    x.path[0].last = nobody;
    visit(nobody, 0);
    result->states = 1;
    for (;;) {
        struct node *node = &x.path[depth];
        unsigned actor = node->next++;

        if (actor == x.model->actors) {
            restore(node);
            if (!node->moved && !check_end())
                break;
            if (depth-- == 0)
                break;
            continue;
        }
        bool optional = x.model->optional >> actor & 1;
        unsigned last = optional || !x.model->preemptions ? nobody : actor, used = node->used;
        if (last != nobody && node->last != nobody && actor != node->last)
            used += is_able(node, node->last);
        restore(node);
        if (!step(actor))
            continue;
        node->moved |= !optional;
        if (x.model->preemptions && used > x.model->preemptions)
            continue;
        result->steps++;
        if (x.failure)
            break;
        if (!visit(last, used))
            continue;
        result->states++;
        depth++;
        assert(depth < DEPTH_MAX);
        save(&x.path[depth], actor);
        x.path[depth].last = last;
        x.path[depth].used = used;
        if (depth > result->depth)
            result->depth = depth;
    }
    if (x.failure) {
        size_t used = 0;

        for (unsigned i = 1; i <= depth && used + 8 < sizeof(result->trace); i++)
            used += (size_t)snprintf(result->trace + used, sizeof(result->trace) - used, "%u ",
                                     x.path[i].came_from);
        snprintf(result->trace + used, sizeof(result->trace) - used, "%u", x.path[depth].next - 1);
    }
}

struct explore_result explore(const struct explore_model *model)
{
    struct explore_result result = {0};

    memset(&x, 0, sizeof(x));
    x.model = model;
    x.seen_size = 1 << 16;
    x.seen = calloc(x.seen_size, sizeof(*x.seen));
    x.path = calloc(DEPTH_MAX, sizeof(*x.path));
    assert(x.seen && x.path && model->actors <= EXPLORE_ACTORS_MAX);
    search(&result);
    result.failure = x.failure;
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        free(x.path[i].world);
    free(x.path);
    free(x.seen);
    return result;
}
