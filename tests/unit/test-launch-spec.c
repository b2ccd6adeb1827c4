/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/launch-spec.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

#define MIB   (UINT64_C(1) << 20)
#define N_FDS 12

/* Where fields stand in the encoding of a spec. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_ID = 6,
    AT_CID = 38,
    AT_MEMORY = 42,
    AT_CPUS = 50,
    AT_ACCELERATOR = 54,
    AT_SECCOMP_ACTION = 55,
    AT_PAUSED = 56,
    AT_BALLOON = 57,
    AT_HAS_INSTANCE = 58,
    AT_INSTANCE_ID = 59,
    AT_TIMEOUT = AT_INSTANCE_ID + LAUNCH_SPEC_INSTANCE_ID_SIZE,
    AT_ORPHAN_TIMEOUT = AT_TIMEOUT + 4,
    AT_RECORD_TIMEOUT = AT_ORPHAN_TIMEOUT + 4,
    AT_PARAMS_LENGTH = AT_RECORD_TIMEOUT + 4,
    AT_PARAMS = AT_PARAMS_LENGTH + 2,
    PARAMS_LENGTH = 13,
    AT_FILES = AT_PARAMS + PARAMS_LENGTH,
    N_FILES = 9,
    AT_N_DISKS = AT_FILES + 2 * N_FILES,
    AT_WRITABLE = AT_N_DISKS + 2,
    AT_N_REGIONS = AT_WRITABLE + 1,
    AT_REGION_FD = AT_N_REGIONS + 2,
    AT_REGION_OFFSET = AT_REGION_FD + 2,
    AT_REGION_SIZE = AT_REGION_OFFSET + 8,
};

typedef struct Fixture {
    LaunchSpec spec;
    LaunchDisk disks[LAUNCH_SPEC_DISKS_MAX + 1];
    LaunchRegion regions[LAUNCH_SPEC_REGIONS_MAX + 1];
    char params[UINT16_MAX + 2];
    uint8_t *bytes;
    size_t size;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    (void)snprintf(fixture->params, sizeof(fixture->params), "console=ttyS0");
    for (size_t i = 0; i < LAUNCH_SPEC_DISKS_MAX + 1; i++)
        fixture->disks[i] = (LaunchDisk){ .n_regions = 1, .regions = fixture->regions };
    for (size_t i = 0; i < LAUNCH_SPEC_REGIONS_MAX + 1; i++)
        fixture->regions[i] = (LaunchRegion){ .fd_index = N_FDS - 1, .size = 512 };
    fixture->disks[0] =
        (LaunchDisk){ .writable = true, .n_regions = 2, .regions = fixture->regions };
    fixture->regions[0] = (LaunchRegion){ .fd_index = 9, .file_offset = 1024, .size = 4096 };
    fixture->spec = (LaunchSpec){
        .id = "0123456789abcdef0123456789abcdef",
        .cid = LAUNCH_SPEC_CID_MIN,
        .memory_bytes = 256 * MIB,
        .cpus = 4,
        .accelerator = ACCELERATOR_TCG,
        .seccomp_action = SECCOMP_LOG,
        .paused = true,
        .balloon = true,
        .has_instance = true,
        .instance_id = { 0xaa, [LAUNCH_SPEC_INSTANCE_ID_SIZE - 1] = 0x55 },
        .payload_timeout_ms = 60000,
        .orphan_timeout_ms = 30000,
        .record_timeout_ms = 300000,
        .params = fixture->params,
        .kernel = 0,
        .initrd = 1,
        .bootloader = LAUNCH_SPEC_NO_FD,
        .console_out = 2,
        .console_in = 3,
        .log = LAUNCH_SPEC_NO_FD,
        .payload_out = 4,
        .stub_socket = 5,
        .supervisor_socket = 6,
        .n_disks = 2,
        .disks = fixture->disks,
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    free(fixture->bytes);
    free(fixture);
    return 0;
}

static void encode(Fixture *fixture)
{
    free(fixture->bytes);
    fixture->bytes = NULL;
    assert_int_equal(launch_spec_encode(&fixture->spec, &fixture->bytes, &fixture->size), 0);
}

/* From a buffer of exactly its size, so that a sanitizer sees what is read behind it. */
static int decode_bytes(const uint8_t *bytes, size_t size)
{
    _cleanup_free_ uint8_t *copy = malloc(size > 0 ? size : 1);
    LaunchSpec decoded = { 0 };

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    int r = launch_spec_decode(copy, size, N_FDS, &decoded);
    if (r < 0)
        assert_null(decoded.params); /* untouched */
    launch_spec_deinit(&decoded);
    return r;
}

static int round_trip(Fixture *fixture)
{
    encode(fixture);
    return decode_bytes(fixture->bytes, fixture->size);
}

static void spec_comes_back_from_its_encoding(void **state)
{
    Fixture *fixture = *state;
    const LaunchSpec *spec = &fixture->spec;
    LaunchSpec decoded;

    encode(fixture);
    assert_int_equal(launch_spec_decode(fixture->bytes, fixture->size, N_FDS, &decoded), 0);
    assert_string_equal(decoded.id, spec->id);
    assert_int_equal(decoded.cid, spec->cid);
    assert_true(decoded.memory_bytes == spec->memory_bytes);
    assert_int_equal(decoded.cpus, spec->cpus);
    assert_int_equal(decoded.accelerator, spec->accelerator);
    assert_int_equal(decoded.seccomp_action, spec->seccomp_action);
    assert_int_equal(decoded.paused, spec->paused);
    assert_int_equal(decoded.payload_timeout_ms, spec->payload_timeout_ms);
    assert_string_equal(decoded.params, spec->params);
    assert_int_equal(decoded.kernel, spec->kernel);
    assert_int_equal(decoded.initrd, spec->initrd);
    assert_int_equal(decoded.bootloader, spec->bootloader);
    assert_int_equal(decoded.console_out, spec->console_out);
    assert_int_equal(decoded.console_in, spec->console_in);
    assert_int_equal(decoded.log, spec->log);
    assert_int_equal(decoded.payload_out, spec->payload_out);
    assert_int_equal(decoded.stub_socket, spec->stub_socket);
    assert_int_equal(decoded.balloon, spec->balloon);
    assert_int_equal(decoded.has_instance, spec->has_instance);
    assert_memory_equal(decoded.instance_id, spec->instance_id, LAUNCH_SPEC_INSTANCE_ID_SIZE);
    assert_int_equal(decoded.supervisor_socket, spec->supervisor_socket);
    assert_int_equal(decoded.orphan_timeout_ms, spec->orphan_timeout_ms);
    assert_int_equal(decoded.record_timeout_ms, spec->record_timeout_ms);
    assert_int_equal(decoded.n_disks, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(decoded.disks[i].writable, spec->disks[i].writable);
        assert_int_equal(decoded.disks[i].n_regions, spec->disks[i].n_regions);
        for (size_t j = 0; j < spec->disks[i].n_regions; j++) {
            const LaunchRegion *region = &spec->disks[i].regions[j];
            const LaunchRegion *decoded_region = &decoded.disks[i].regions[j];

            assert_int_equal(decoded_region->fd_index, region->fd_index);
            assert_true(decoded_region->file_offset == region->file_offset);
            assert_true(decoded_region->size == region->size);
        }
    }
    launch_spec_deinit(&decoded);
    launch_spec_deinit(&decoded);
}

static void every_truncation_and_a_byte_too_many_are_refused(void **state)
{
    Fixture *fixture = *state;

    encode(fixture);
    for (size_t size = 0; size < fixture->size; size++)
        assert_int_equal(decode_bytes(fixture->bytes, size), -EBADMSG);

    uint8_t longer[1024] = { 0 };
    assert_true(fixture->size < sizeof(longer));
    memcpy(longer, fixture->bytes, fixture->size);
    assert_int_equal(decode_bytes(longer, fixture->size), 0);
    assert_int_equal(decode_bytes(longer, fixture->size + 1), -EBADMSG);
}

/* Replaces @width bytes at @offset of a good encoding by @value. */
static int decode_with(Fixture *fixture, size_t offset, unsigned width, uint64_t value)
{
    encode(fixture);
    for (unsigned i = 0; i < width; i++)
        fixture->bytes[offset + i] = (uint8_t)(value >> 8 * i);
    return decode_bytes(fixture->bytes, fixture->size);
}

static void every_field_is_taken_in_its_range_only(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        size_t offset;
        unsigned width;
        uint64_t value;
        int result;
    } cases[] = {
        { AT_MAGIC, 4, LAUNCH_SPEC_MAGIC, 0 },
        { AT_MAGIC, 4, LAUNCH_SPEC_MAGIC + 1, -EBADMSG },
        { AT_VERSION, 2, LAUNCH_SPEC_VERSION, 0 },
        { AT_VERSION, 2, LAUNCH_SPEC_VERSION - 1, -EBADMSG },
        { AT_VERSION, 2, LAUNCH_SPEC_VERSION + 1, -EBADMSG },
        { AT_ID, 1, 'f', 0 },
        { AT_ID, 1, 'g', -EBADMSG },
        { AT_ID, 1, 'A', -EBADMSG },
        { AT_ID, 1, '/', -EBADMSG },
        { AT_ID + LAUNCH_SPEC_ID_SIZE - 1, 1, 0, -EBADMSG },
        { AT_CID, 4, LAUNCH_SPEC_CID_MIN - 1, -EBADMSG },
        { AT_CID, 4, LAUNCH_SPEC_CID_MIN, 0 },
        { AT_CID, 4, LAUNCH_SPEC_CID_MAX, 0 },
        { AT_CID, 4, LAUNCH_SPEC_CID_MAX + 1, -EBADMSG },
        { AT_MEMORY, 8, 0, -EBADMSG },
        { AT_MEMORY, 8, MIB, 0 },
        { AT_MEMORY, 8, MIB - 4096, -EBADMSG },
        { AT_MEMORY, 8, MIB + 4096, -EBADMSG },
        { AT_MEMORY, 8, INT64_MAX / MIB * MIB, 0 },
        { AT_MEMORY, 8, UINT64_C(1) << 63, -EBADMSG },
        { AT_CPUS, 4, 0, -EBADMSG },
        { AT_CPUS, 4, 1, 0 },
        { AT_CPUS, 4, LAUNCH_SPEC_CPUS_MAX, 0 },
        { AT_CPUS, 4, LAUNCH_SPEC_CPUS_MAX + 1, -EBADMSG },
        { AT_ACCELERATOR, 1, ACCELERATOR_AUTO, 0 },
        { AT_ACCELERATOR, 1, ACCELERATOR_MAX - 1, 0 },
        { AT_ACCELERATOR, 1, ACCELERATOR_MAX, -EBADMSG },
        { AT_SECCOMP_ACTION, 1, SECCOMP_KILL, 0 },
        { AT_SECCOMP_ACTION, 1, SECCOMP_ACTION_MAX - 1, 0 },
        { AT_SECCOMP_ACTION, 1, SECCOMP_ACTION_MAX, -EBADMSG },
        { AT_PAUSED, 1, 0, 0 },
        { AT_PAUSED, 1, 2, -EBADMSG },
        { AT_BALLOON, 1, 0, 0 },
        { AT_BALLOON, 1, 2, -EBADMSG },
        { AT_HAS_INSTANCE, 1, 0, -EBADMSG }, /* the id is left over */
        { AT_HAS_INSTANCE, 1, 2, -EBADMSG },
        { AT_INSTANCE_ID, 8, UINT64_MAX, 0 },
        { AT_TIMEOUT, 4, 0, 0 },
        { AT_TIMEOUT, 4, LAUNCH_SPEC_TIMEOUT_MS_MAX, 0 },
        { AT_TIMEOUT, 4, LAUNCH_SPEC_TIMEOUT_MS_MAX + 1, -EBADMSG },
        { AT_ORPHAN_TIMEOUT, 4, 0, 0 },
        { AT_ORPHAN_TIMEOUT, 4, LAUNCH_SPEC_TIMEOUT_MS_MAX, 0 },
        { AT_ORPHAN_TIMEOUT, 4, LAUNCH_SPEC_TIMEOUT_MS_MAX + 1, -EBADMSG },
        { AT_RECORD_TIMEOUT, 4, LAUNCH_SPEC_TIMEOUT_MS_MAX, 0 },
        { AT_RECORD_TIMEOUT, 4, LAUNCH_SPEC_TIMEOUT_MS_MAX + 1, -EBADMSG },
        { AT_PARAMS_LENGTH, 2, PARAMS_LENGTH - 1, -EBADMSG },
        { AT_PARAMS_LENGTH, 2, PARAMS_LENGTH + 1, -EBADMSG },
        { AT_PARAMS_LENGTH, 2, UINT16_MAX, -EBADMSG },
        { AT_PARAMS, 1, 0, -EBADMSG },
        { AT_PARAMS, 1, '\n', -EBADMSG },
        { AT_PARAMS, 1, 0x1f, -EBADMSG },
        { AT_PARAMS, 1, ' ', 0 },
        { AT_PARAMS, 1, 0x7f, -EBADMSG },
        { AT_PARAMS + PARAMS_LENGTH - 1, 1, 0, -EBADMSG },
        { AT_N_DISKS, 2, 1, -EBADMSG }, /* the other one is left over */
        { AT_N_DISKS, 2, 3, -EBADMSG },
        { AT_N_DISKS, 2, UINT16_MAX, -EBADMSG },
        { AT_WRITABLE, 1, 0, 0 },
        { AT_WRITABLE, 1, 2, -EBADMSG },
        { AT_N_REGIONS, 2, 0, -EBADMSG },
        { AT_N_REGIONS, 2, 1, -EBADMSG },
        { AT_N_REGIONS, 2, UINT16_MAX, -EBADMSG },
        { AT_REGION_FD, 2, N_FDS - 1, 0 },
        { AT_REGION_FD, 2, N_FDS, -EBADMSG },
        { AT_REGION_FD, 2, LAUNCH_SPEC_NO_FD, -EBADMSG },
        { AT_REGION_OFFSET, 8, 1023, -EBADMSG },
        { AT_REGION_OFFSET, 8, 1536, 0 },
        { AT_REGION_SIZE, 8, 0, -EBADMSG },
        { AT_REGION_SIZE, 8, 511, -EBADMSG },
        { AT_REGION_SIZE, 8, 512, 0 },
        { AT_REGION_SIZE, 8, 513, -EBADMSG },
        /* The file of the region, which begins at 1024, ends at the largest offset, or behind it.
         */
        { AT_REGION_SIZE, 8, (INT64_MAX - 1024) / 512 * UINT64_C(512), 0 },
        { AT_REGION_SIZE, 8, (INT64_MAX - 1024) / 512 * UINT64_C(512) + 512, -EBADMSG },
        { AT_REGION_SIZE, 8, UINT64_MAX - 511, -EBADMSG },
        { AT_REGION_OFFSET, 8, INT64_MAX / 512 * UINT64_C(512) - 4096, 0 },
        { AT_REGION_OFFSET, 8, INT64_MAX / 512 * UINT64_C(512) - 3584, -EBADMSG },
        { AT_REGION_OFFSET, 8, UINT64_MAX - 511, -EBADMSG },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        int r = decode_with(fixture, cases[i].offset, cases[i].width, cases[i].value);

        if (r != cases[i].result)
            print_message("case %zu: offset %zu, value %ju\n", i, cases[i].offset,
                          (uintmax_t)cases[i].value);
        assert_int_equal(r, cases[i].result);
    }
}

static void every_index_is_below_the_number_of_descriptors(void **state)
{
    Fixture *fixture = *state;

    for (size_t i = 0; i < N_FILES; i++) {
        bool bootloader = i == 2; /* beside the kernel it may not stand */
        bool needed = i < 2;      /* the kernel; and the initrd, which has the instance's secret */
        size_t offset = AT_FILES + 2 * i;

        assert_int_equal(decode_with(fixture, offset, 2, N_FDS - 1), bootloader ? -EBADMSG : 0);
        assert_int_equal(decode_with(fixture, offset, 2, N_FDS), -EBADMSG);
        assert_int_equal(decode_with(fixture, offset, 2, LAUNCH_SPEC_NO_FD - 1), -EBADMSG);
        assert_int_equal(decode_with(fixture, offset, 2, LAUNCH_SPEC_NO_FD), needed ? -EBADMSG : 0);
    }
}

static void guest_boots_from_a_kernel_or_a_bootloader(void **state)
{
    Fixture *fixture = *state;

    fixture->spec.has_instance = false;
    fixture->spec.kernel = LAUNCH_SPEC_NO_FD;
    fixture->spec.initrd = LAUNCH_SPEC_NO_FD;
    assert_int_equal(round_trip(fixture), -EBADMSG);
    fixture->spec.bootloader = 0;
    assert_int_equal(round_trip(fixture), 0);
    fixture->spec.initrd = 1; /* nobody would load it */
    assert_int_equal(round_trip(fixture), -EBADMSG);
}

static void instance_is_there_or_not_and_needs_an_initrd(void **state)
{
    Fixture *fixture = *state;
    static const uint8_t no_id[LAUNCH_SPEC_INSTANCE_ID_SIZE];
    LaunchSpec decoded;

    encode(fixture);
    size_t size_with_instance = fixture->size;
    fixture->spec.initrd = LAUNCH_SPEC_NO_FD;
    assert_int_equal(round_trip(fixture), -EBADMSG);

    fixture->spec.has_instance = false; /* then what the id is does not matter */
    assert_int_equal(round_trip(fixture), 0);
    assert_int_equal(fixture->size, size_with_instance - LAUNCH_SPEC_INSTANCE_ID_SIZE);
    assert_int_equal(launch_spec_decode(fixture->bytes, fixture->size, N_FDS, &decoded), 0);
    assert_false(decoded.has_instance);
    assert_memory_equal(decoded.instance_id, no_id, LAUNCH_SPEC_INSTANCE_ID_SIZE);
    launch_spec_deinit(&decoded);
}

static void descriptors_are_taken_up_to_the_maximum(void **state)
{
    Fixture *fixture = *state;
    LaunchSpec decoded;

    fixture->regions[0].fd_index = LAUNCH_SPEC_FDS_MAX - 1;
    encode(fixture);
    assert_int_equal(
        launch_spec_decode(fixture->bytes, fixture->size, LAUNCH_SPEC_FDS_MAX, &decoded), 0);
    launch_spec_deinit(&decoded);
    assert_int_equal(
        launch_spec_decode(fixture->bytes, fixture->size, LAUNCH_SPEC_FDS_MAX + 1, &decoded),
        -EBADMSG);
    assert_int_equal(launch_spec_decode(fixture->bytes, fixture->size, 0, &decoded), -EBADMSG);
}

static void params_disks_and_regions_are_taken_up_to_their_maximum(void **state)
{
    Fixture *fixture = *state;

    memset(fixture->params, 'x', LAUNCH_SPEC_PARAMS_MAX);
    assert_int_equal(round_trip(fixture), 0);
    fixture->params[LAUNCH_SPEC_PARAMS_MAX] = 'x';
    assert_int_equal(round_trip(fixture), -EBADMSG);
    fixture->params[0] = '\0';
    assert_int_equal(round_trip(fixture), 0);

    fixture->spec.n_disks = LAUNCH_SPEC_DISKS_MAX;
    assert_int_equal(round_trip(fixture), 0);
    fixture->spec.n_disks = LAUNCH_SPEC_DISKS_MAX + 1;
    assert_int_equal(round_trip(fixture), -EBADMSG);

    fixture->spec.n_disks = 1;
    fixture->disks[0].n_regions = LAUNCH_SPEC_REGIONS_MAX;
    assert_int_equal(round_trip(fixture), 0);
    fixture->disks[0].n_regions = LAUNCH_SPEC_REGIONS_MAX + 1;
    assert_int_equal(round_trip(fixture), -EBADMSG);

    fixture->spec.n_disks = 0;
    assert_int_equal(round_trip(fixture), 0);
}

static void disk_ends_below_the_largest_offset(void **state)
{
    Fixture *fixture = *state;

    /* Two regions, each of which would pass alone. */
    fixture->regions[0] = (LaunchRegion){ .fd_index = 0, .size = UINT64_C(1) << 62 };
    fixture->regions[1] = (LaunchRegion){ .fd_index = 0, .size = (UINT64_C(1) << 62) - 512 };
    assert_int_equal(round_trip(fixture), 0);
    fixture->regions[1].size += 512;
    assert_int_equal(round_trip(fixture), -EBADMSG);
}

static void spec_that_is_too_large_is_not_encoded(void **state)
{
    Fixture *fixture = *state;
    uint8_t *untouched = NULL;
    size_t size;

    fixture->spec.n_disks = LAUNCH_SPEC_DISKS_MAX;
    for (size_t i = 0; i < LAUNCH_SPEC_DISKS_MAX; i++)
        fixture->disks[i].n_regions = LAUNCH_SPEC_REGIONS_MAX;
    assert_int_equal(launch_spec_encode(&fixture->spec, &untouched, &size), -ENOBUFS);
    fixture->spec.n_disks = 0;
    memset(fixture->params, 'x', UINT16_MAX + 1); /* whose length is 0 in 16 bits */
    assert_int_equal(launch_spec_encode(&fixture->spec, &untouched, &size), -ENOBUFS);
    assert_null(untouched);

    _cleanup_free_ uint8_t *large = calloc(1, LAUNCH_SPEC_SIZE_MAX + 1);
    assert_non_null(large);
    assert_int_equal(decode_bytes(large, LAUNCH_SPEC_SIZE_MAX + 1), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spec_comes_back_from_its_encoding, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_and_a_byte_too_many_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_field_is_taken_in_its_range_only, setup, teardown),
        cmocka_unit_test_setup_teardown(every_index_is_below_the_number_of_descriptors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(guest_boots_from_a_kernel_or_a_bootloader, setup, teardown),
        cmocka_unit_test_setup_teardown(instance_is_there_or_not_and_needs_an_initrd, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(descriptors_are_taken_up_to_the_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(params_disks_and_regions_are_taken_up_to_their_maximum,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(disk_ends_below_the_largest_offset, setup, teardown),
        cmocka_unit_test_setup_teardown(spec_that_is_too_large_is_not_encoded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
