/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/guest-memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/ckd.h"

static void region_unmap(GuestMemoryRegion *region)
{
    if (region->mapping)
        (void)munmap(region->mapping, region->mapping_size); /* our own mapping: cannot fail */
    *region = (GuestMemoryRegion){ 0 };
}

void guest_memory_deinit(GuestMemory *memory)
{
    for (size_t i = 0; i < memory->n_regions; i++)
        region_unmap(&memory->regions[i]);
    memory->n_regions = 0;
}

/* The size of the file behind @fd, which must be a memory file that never shrinks, and the block
 * size that its mappings have to be aligned to (that of a huge page on hugetlbfs). */
static int check_file(int fd, uint64_t *ret_size, uint64_t *ret_block_size, Error *error)
{
    struct stat status;

    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return error_set(error, ERROR_INVALID_FILE,
                         "guest memory is not a memory file sealed against shrinking");
    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot stat guest memory");
    if (status.st_size < 0 || status.st_blksize <= 0 ||
        (status.st_blksize & (status.st_blksize - 1)) != 0)
        return error_set(error, ERROR_INVALID_FILE, "guest memory has an impossible size");

    *ret_size = (uint64_t)status.st_size;
    *ret_block_size = (uint64_t)status.st_blksize;
    return 0;
}

static int region_map(const GuestMemoryLayout *layout,
                      int fd,
                      GuestMemoryRegion *ret_region,
                      Error *error)
{
    uint64_t file_size = 0, block_size = 1, end;

    if (layout->size == 0 || ckd_add(&end, layout->guest_address, layout->size) ||
        ckd_add(&end, layout->user_address, layout->size))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a memory region of %" PRIu64 " bytes is empty or wraps around",
                         layout->size);

    int r = check_file(fd, &file_size, &block_size, error);
    if (r < 0)
        return r;

    if (ckd_add(&end, layout->file_offset, layout->size) || end > file_size)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a memory region ends outside its file of %" PRIu64 " bytes", file_size);

    uint64_t start = layout->file_offset & ~(block_size - 1);
    uint64_t mapping_size = end - start;
    if (ckd_add(&mapping_size, mapping_size, block_size - 1) || mapping_size > SIZE_MAX / 2)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a memory region is too large");
    mapping_size &= ~(block_size - 1);

    void *mapping =
        mmap(NULL, (size_t)mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
    if (mapping == MAP_FAILED)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot map guest memory");

    *ret_region = (GuestMemoryRegion){
        .guest_address = layout->guest_address,
        .size = layout->size,
        .user_address = layout->user_address,
        .data = (uint8_t *)mapping + (layout->file_offset - start),
        .mapping = mapping,
        .mapping_size = (size_t)mapping_size,
    };
    return 0;
}

/* Neither region wraps around: region_map() saw to it. */
static bool regions_overlap(const GuestMemoryRegion *a, const GuestMemoryRegion *b)
{
    return a->guest_address < b->guest_address + b->size &&
           b->guest_address < a->guest_address + a->size;
}

int guest_memory_set(GuestMemory *memory,
                     const GuestMemoryLayout *regions,
                     const int *fds,
                     size_t n_regions,
                     Error *error)
{
    GuestMemory fresh = { .n_regions = 0 };
    int r = 0;

    assert(n_regions <= GUEST_MEMORY_REGIONS_MAX);
    for (size_t i = 0; i < n_regions && r >= 0; i++) {
        r = region_map(&regions[i], fds[i], &fresh.regions[i], error);
        if (r < 0)
            break;

        fresh.n_regions++;
        for (size_t other = 0; other < i && r >= 0; other++) {
            if (regions_overlap(&fresh.regions[other], &fresh.regions[i]))
                r = error_set(error, ERROR_INVALID_ARGUMENT, "memory regions %zu and %zu overlap",
                              other, i);
        }
    }
    if (r < 0) {
        guest_memory_deinit(&fresh);
        return r;
    }

    guest_memory_deinit(memory);
    *memory = fresh;
    return 0;
}

uint8_t *guest_memory_find(const GuestMemory *memory, uint64_t guest_address, uint64_t size)
{
    for (size_t i = 0; i < memory->n_regions; i++) {
        const GuestMemoryRegion *region = &memory->regions[i];
        uint64_t offset;

        if (!ckd_sub(&offset, guest_address, region->guest_address) && offset <= region->size &&
            size <= region->size - offset)
            return region->data + offset;
    }
    return NULL;
}

uint8_t *guest_memory_find_user(const GuestMemory *memory, uint64_t user_address, uint64_t size)
{
    for (size_t i = 0; i < memory->n_regions; i++) {
        const GuestMemoryRegion *region = &memory->regions[i];
        uint64_t offset;

        if (!ckd_sub(&offset, user_address, region->user_address) && offset <= region->size &&
            size <= region->size - offset)
            return region->data + offset;
    }
    return NULL;
}
