/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/guest-memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#include "common/fd.h"

#define FILE_SIZE   16384
#define GUEST_BASE  UINT64_C(0x100000)
#define USER_BASE   UINT64_C(0x7f0000000000)
#define REGION_SIZE 8192

static int make_file(int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static const GuestMemoryLayout good = {
    .guest_address = GUEST_BASE,
    .size = REGION_SIZE,
    .user_address = USER_BASE,
    .file_offset = FILE_SIZE - REGION_SIZE,
};

static void addresses_are_found_inside_a_region_only(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_file(F_SEAL_SHRINK);
    GuestMemory memory = { .n_regions = 0 };

    assert_int_equal(pwrite(fd, "first", 5, FILE_SIZE - REGION_SIZE), 5);
    assert_int_equal(guest_memory_set(&memory, &good, &fd, 1, NULL), 0);
    assert_memory_equal(guest_memory_find(&memory, GUEST_BASE, 5), "first", 5);
    assert_memory_equal(guest_memory_find_user(&memory, USER_BASE, 5), "first", 5);
    assert_non_null(guest_memory_find(&memory, GUEST_BASE, REGION_SIZE));
    assert_non_null(guest_memory_find(&memory, GUEST_BASE + REGION_SIZE - 1, 1));
    assert_null(guest_memory_find(&memory, GUEST_BASE, REGION_SIZE + 1));
    assert_null(guest_memory_find(&memory, GUEST_BASE + REGION_SIZE - 1, 2));
    assert_null(guest_memory_find(&memory, GUEST_BASE - 1, 2));
    assert_null(guest_memory_find(&memory, GUEST_BASE + 1, UINT64_MAX));
    assert_null(guest_memory_find(&memory, UINT64_MAX, 2));
    assert_null(guest_memory_find_user(&memory, GUEST_BASE, 1));
    guest_memory_deinit(&memory);
    assert_null(guest_memory_find(&memory, GUEST_BASE, 1));
}

static void range_across_two_regions_is_not_found(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_file(F_SEAL_SHRINK);
    GuestMemoryLayout regions[2] = { good, good };
    const int fds[2] = { fd, fd };
    GuestMemory memory = { .n_regions = 0 };

    regions[1].guest_address += REGION_SIZE;
    regions[1].user_address += REGION_SIZE;
    assert_int_equal(guest_memory_set(&memory, regions, fds, 2, NULL), 0);
    assert_non_null(guest_memory_find(&memory, GUEST_BASE + REGION_SIZE, 1));
    assert_null(guest_memory_find(&memory, GUEST_BASE + REGION_SIZE - 1, 2));
    guest_memory_deinit(&memory);
}

static void region_may_start_anywhere_in_its_file(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_file(F_SEAL_SHRINK);
    GuestMemoryLayout layout = good;
    GuestMemory memory = { .n_regions = 0 };

    layout.file_offset = 1000;
    assert_int_equal(pwrite(fd, "here", 4, 1000), 4);
    assert_int_equal(guest_memory_set(&memory, &layout, &fd, 1, NULL), 0);
    assert_memory_equal(guest_memory_find(&memory, GUEST_BASE, 4), "here", 4);
    guest_memory_deinit(&memory);
}

static void assert_refused(const GuestMemoryLayout *regions, const int *fds, size_t n_regions)
{
    GuestMemory memory = { .n_regions = 0 };
    Error error = ERROR_INIT;

    assert_true(guest_memory_set(&memory, regions, fds, n_regions, &error) < 0);
    assert_int_not_equal(error.kind, ERROR_NONE);
    assert_int_equal(memory.n_regions, 0);
    error_clear(&error);
}

static void files_that_can_shrink_are_refused(void **state)
{
    (void)state;
    _cleanup_close_ int unsealed = make_file(F_SEAL_GROW);
    _cleanup_close_ int no_memfd = open("/dev/null", O_RDWR | O_CLOEXEC);

    assert_refused(&good, &unsealed, 1);
    assert_refused(&good, &no_memfd, 1);
}

static void regions_outside_their_file_are_refused(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_file(F_SEAL_SHRINK);
    GuestMemoryLayout layout = good;

    layout.file_offset++;
    assert_refused(&layout, &fd, 1);
    layout.file_offset = UINT64_MAX - 4095;
    assert_refused(&layout, &fd, 1);
    layout = good;
    layout.size = UINT64_MAX;
    assert_refused(&layout, &fd, 1);
    layout.size = 0;
    assert_refused(&layout, &fd, 1);
}

static void regions_that_wrap_around_or_overlap_are_refused(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_file(F_SEAL_SHRINK);
    GuestMemoryLayout regions[2] = { good, good };
    const int fds[2] = { fd, fd };

    assert_refused(regions, fds, 2);
    regions[0].guest_address = UINT64_MAX - 1;
    assert_refused(regions, fds, 1);
    regions[0] = good;
    regions[0].user_address = UINT64_MAX - 1;
    assert_refused(regions, fds, 1);
}

static void refused_table_leaves_the_old_one(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_file(F_SEAL_SHRINK);
    GuestMemoryLayout regions[2] = { good, good };
    const int fds[2] = { fd, fd };
    GuestMemory memory = { .n_regions = 0 };

    assert_int_equal(guest_memory_set(&memory, regions, fds, 1, NULL), 0);
    assert_true(guest_memory_set(&memory, regions, fds, 2, NULL) < 0);
    assert_non_null(guest_memory_find(&memory, GUEST_BASE, REGION_SIZE));
    guest_memory_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_found_inside_a_region_only),
        cmocka_unit_test(range_across_two_regions_is_not_found),
        cmocka_unit_test(region_may_start_anywhere_in_its_file),
        cmocka_unit_test(files_that_can_shrink_are_refused),
        cmocka_unit_test(regions_outside_their_file_are_refused),
        cmocka_unit_test(regions_that_wrap_around_or_overlap_are_refused),
        cmocka_unit_test(refused_table_leaves_the_old_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
