/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/guest_mem.h"

#include "mediator/base/util.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct guest_map {
    unsigned refs;
    bool pinned;    /* is in a struct guest_pins */
    void *base;     /* of the whole mapping, which may start before the region… */
    size_t length;  /* …and end behind it: huge pages are mapped whole */
    uint8_t *start; /* of the region */
    dev_t dev;      /* what is mapped: a mapping keeps the inode, so its number stays its own */
    ino_t ino;
    uint64_t offset, size;
};

/* Larger than any huge page that a file of memory reports as its block size. */
#define BLOCK_MAX (1ull << 30)

static struct guest_map *guest_map_ref(struct guest_map *map)
{
    map->refs++;
    return map;
}

void guest_map_unref(struct guest_map *map)
{
    if (map == NULL || --map->refs > 0)
        return;
    munmap(map->base, map->length);
    free(map);
}

void guest_mem_init(struct guest_mem *mem)
{
    mem->count = 0;
    mem->last_hit = 0;
}

static void drop_regions(struct guest_region *regions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        guest_map_unref(regions[i].map);
}

void guest_mem_finish(struct guest_mem *mem)
{
    drop_regions(mem->regions, mem->count);
    guest_mem_init(mem);
}

/* The mapping of the same part of the same file, if the table has it. */
static struct guest_map *find_map(const struct guest_mem *mem, const struct stat *st,
                                  const struct vhost_user_region *region)
{
    for (size_t i = 0; i < mem->count; i++) {
        struct guest_map *map = mem->regions[i].map;
        if (map->dev == st->st_dev && map->ino == st->st_ino &&
            map->offset == region->mmap_offset && map->size == region->size)
            return map;
    }
    return NULL;
}

static int map_file(const struct vhost_user_region *region, int fd, const struct stat *st,
                    struct guest_map **ret, const char **ret_reason)
{
    /* Files of huge pages are mapped in huge pages only, and say so in st_blksize. The region was
     * checked against the file's size, so rounding up can't wrap. */
    uint64_t block = (uint64_t)sysconf(_SC_PAGESIZE);
    if (st->st_blksize > 0 && (uint64_t)st->st_blksize > block &&
        (uint64_t)st->st_blksize <= BLOCK_MAX && (st->st_blksize & (st->st_blksize - 1)) == 0)
        block = (uint64_t)st->st_blksize;
    uint64_t begin = region->mmap_offset & ~(block - 1);
    uint64_t end = (region->mmap_offset + region->size + block - 1) & ~(block - 1);

    struct guest_map *map = malloc(sizeof(*map));
    if (map == NULL) {
        *ret_reason = "out of memory";
        return -ENOMEM;
    }
    *map = (struct guest_map){
        .refs = 1,
        .length = end - begin,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .offset = region->mmap_offset,
        .size = region->size,
    };
    map->base = mmap(NULL, map->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                     (off_t)begin);
    if (map->base == MAP_FAILED) {
        int r = -errno;
        free(map);
        *ret_reason = "a memory region can't be mapped";
        return r;
    }
    map->start = (uint8_t *)map->base + (region->mmap_offset - begin);
    *ret = map;
    return 0;
}

static int check_region(const struct vhost_user_region *region, const char **ret_reason)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t last;

    if (region->size == 0) {
        *ret_reason = "an empty memory region";
        return -EINVAL;
    }
    /* The last byte's address must exist; a region that ends at 2^64 exactly is refused too, so
     * that start + size never wraps anywhere. */
    if (__builtin_add_overflow(region->gpa, region->size, &last) ||
        __builtin_add_overflow(region->uva, region->size, &last) ||
        __builtin_add_overflow(region->mmap_offset, region->size, &last)) {
        *ret_reason = "a memory region wraps around";
        return -EINVAL;
    }
    /* Pages of ours are pages of theirs: alignment in their addresses is alignment in ours. */
    if (((region->gpa | region->uva | region->mmap_offset) & (page - 1)) != 0) {
        *ret_reason = "a misaligned memory region";
        return -EINVAL;
    }
    return 0;
}

/* A reference to a mapping of the (checked) region, one that `have` holds already if it can be. */
static int get_map(const struct guest_mem *have, const struct vhost_user_region *region, int fd,
                   struct guest_map **ret, const char **ret_reason)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        *ret_reason = "a memory region's descriptor is no file of memory";
        return -EINVAL;
    }
    if (!range_inside(region->mmap_offset, region->size, (uint64_t)st.st_size)) {
        *ret_reason = "a memory region is longer than its file";
        return -EINVAL;
    }
    struct guest_map *map = find_map(have, &st, region);
    if (map != NULL) {
        *ret = guest_map_ref(map);
        return 0;
    }
    return map_file(region, fd, &st, ret, ret_reason);
}

/* Index of the first region that ends behind gpa; count if there is none. */
static size_t lower_bound(const struct guest_mem *mem, uint64_t gpa)
{
    size_t low = 0, high = mem->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mem->regions[mid].gpa + mem->regions[mid].size <= gpa)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Adds to mem, reusing a mapping that `have` holds. */
static int add_region(struct guest_mem *mem, const struct guest_mem *have,
                      const struct vhost_user_region *region, int fd, const char **ret_reason)
{
    struct guest_map *map = NULL;

    int r = check_region(region, ret_reason);
    if (r < 0)
        return r;
    if (mem->count == GUEST_MEM_REGIONS_MAX) {
        *ret_reason = "too many memory regions";
        return -ENOSPC;
    }
    size_t at = lower_bound(mem, region->gpa);
    if (at < mem->count && mem->regions[at].gpa < region->gpa + region->size) {
        *ret_reason = "memory regions overlap";
        return -EINVAL;
    }
    r = get_map(have, region, fd, &map, ret_reason);
    if (r < 0)
        return r;

    memmove(&mem->regions[at + 1], &mem->regions[at], (mem->count - at) * sizeof(mem->regions[0]));
    mem->regions[at] = (struct guest_region){
        .gpa = region->gpa,
        .uva = region->uva,
        .size = region->size,
        .map = map,
    };
    mem->count++;
    mem->last_hit = at;
    return 0;
}

int guest_mem_set(struct guest_mem *mem, const struct vhost_user_region *regions, const int *fds,
                  size_t n, const char **ret_reason)
{
    struct guest_mem fresh;

    guest_mem_init(&fresh);
    for (size_t i = 0; i < n; i++) {
        int r = add_region(&fresh, mem, &regions[i], fds[i], ret_reason);
        if (r < 0) {
            guest_mem_finish(&fresh);
            // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it loses sight of the maps in memmove
            return r;
        }
    }
    guest_mem_finish(mem);
    *mem = fresh;
    return 0;
}

int guest_mem_add(struct guest_mem *mem, const struct vhost_user_region *region, int fd,
                  const char **ret_reason)
{
    return add_region(mem, mem, region, fd, ret_reason);
}

int guest_mem_remove(struct guest_mem *mem, const struct vhost_user_region *region,
                     const char **ret_reason)
{
    size_t at = lower_bound(mem, region->gpa);
    struct guest_region *found = &mem->regions[at];
    if (at == mem->count || found->gpa != region->gpa || found->uva != region->uva ||
        found->size != region->size) {
        *ret_reason = "no such memory region";
        return -ENOENT;
    }
    guest_map_unref(found->map);
    mem->count--;
    memmove(found, found + 1, (mem->count - at) * sizeof(*found));
    mem->last_hit = 0;
    return 0;
}

bool guest_mem_pin(struct guest_mem *mem, struct guest_pins *pins)
{
    for (size_t i = 0; i < mem->count; i++) {
        struct guest_map *map = mem->regions[i].map;
        if (map->pinned)
            continue;
        if (pins->count == GUEST_PINS_MAX)
            return false;
        map->pinned = true;
        pins->maps[pins->count++] = guest_map_ref(map);
    }
    return true;
}

void guest_pins_drop(struct guest_pins *pins)
{
    for (size_t i = 0; i < pins->count; i++) {
        pins->maps[i]->pinned = false;
        guest_map_unref(pins->maps[i]);
    }
    pins->count = 0;
}

static struct guest_region *find_region(struct guest_mem *mem, uint64_t gpa)
{
    if (mem->last_hit < mem->count) {
        struct guest_region *hit = &mem->regions[mem->last_hit];
        if (gpa - hit->gpa < hit->size) /* wraps to a huge value where gpa is below */
            return hit;
    }
    size_t at = lower_bound(mem, gpa);
    if (at == mem->count || mem->regions[at].gpa > gpa)
        return NULL;
    mem->last_hit = at;
    return &mem->regions[at];
}

void *guest_mem_ref(struct guest_mem *mem, uint64_t gpa, uint64_t *len, struct guest_map **ret_map)
{
    struct guest_region *region = find_region(mem, gpa);
    if (region == NULL)
        return NULL;
    uint64_t offset = gpa - region->gpa;
    *len = MIN(*len, region->size - offset);
    if (ret_map != NULL)
        *ret_map = guest_map_ref(region->map);
    return region->map->start + offset;
}

void *guest_mem_translate(void *mem, uint64_t gpa, uint64_t *len)
{
    return guest_mem_ref(mem, gpa, len, NULL);
}

void *guest_mem_uva_ref(struct guest_mem *mem, uint64_t uva, uint64_t len, uint64_t align,
                        struct guest_map **ret_map)
{
    if ((uva & (align - 1)) != 0)
        return NULL;
    /* Ring set-up only, so a walk will do. Memory that the guest sees twice (an alias) is there
     * twice; either is right. */
    for (size_t i = 0; i < mem->count; i++) {
        struct guest_region *region = &mem->regions[i];
        if (uva >= region->uva && range_inside(uva - region->uva, len, region->size)) {
            *ret_map = guest_map_ref(region->map);
            return region->map->start + (uva - region->uva);
        }
    }
    return NULL;
}
