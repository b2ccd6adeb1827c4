/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-descriptor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "composite-disk/composite-descriptor.pb-c.h"
#include "tests/helpers/test.h"

/* "a" at 0, "b" read-write at 4096 from its byte 512 on; 8192 bytes in all. By hand, after the
 * encoding rules of protocol buffers. */
static const uint8_t golden[] = "composite_disk\x1d"
                                "\x08\x02"
                                "\x12\x03\x0a\x01"
                                "a"
                                "\x12\x0b\x0a\x01"
                                "b\x10\x80\x20\x18\x01\x20\x80\x04"
                                "\x18\x80\x40";

static int decode(const void *bytes, size_t size, CompositeDescriptor **ret, Error *error)
{
    /* Exactly as large, so that the sanitizer sees a read behind it. */
    _cleanup_free_ uint8_t *copy = malloc(size + 1);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    return composite_descriptor_decode(copy, size, ret, error);
}

static void writing_gives_the_expected_bytes(void **state)
{
    (void)state;
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor =
        calloc(1, sizeof(*descriptor));
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size = 0;

    descriptor->version = COMPOSITE_VERSION;
    assert_int_equal(composite_descriptor_add(descriptor, "a", 0, 4096, false), 0);
    assert_int_equal(composite_descriptor_add(descriptor, "b", 512, 4096, true), 0);
    assert_int_equal(composite_descriptor_encode(descriptor, &bytes, &size, NULL), 0);
    assert_int_equal(size, sizeof(golden) - 1);
    assert_memory_equal(bytes, golden, size);
}

static void pieces_of_a_disk_become_its_descriptor(void **state)
{
    (void)state;
    const Region regions[] = {
        { .file = "a", .size = 4096, .writable = true }, /* has no label: is no partition */
        { .label = "b", .file = "b", .file_offset = 512, .size = 4096, .writable = true },
    };
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size = 0;

    assert_int_equal(composite_descriptor_new(regions, 2, &descriptor), 0);
    assert_int_equal(composite_descriptor_encode(descriptor, &bytes, &size, NULL), 0);
    assert_int_equal(size, sizeof(golden) - 1);
    assert_memory_equal(bytes, golden, size);
}

static void reading_gives_the_components_sorted(void **state)
{
    (void)state;
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor = NULL;

    assert_int_equal(decode(golden, sizeof(golden) - 1, &descriptor, NULL), 0);
    assert_true(descriptor->version == 2 && descriptor->disk_size == 8192);
    assert_int_equal(descriptor->n_components, 2);
    assert_string_equal(descriptor->components[0].path, "a");
    assert_false(descriptor->components[0].writable);
    assert_true(descriptor->components[0].size == 4096);
    assert_string_equal(descriptor->components[1].path, "b");
    assert_true(descriptor->components[1].writable);
    assert_true(descriptor->components[1].offset == 4096 && descriptor->components[1].size == 4096);
    assert_true(descriptor->components[1].file_offset == 512);
}

static void every_shorter_file_is_refused_or_another_disk(void **state)
{
    (void)state;

    for (size_t size = 0; size < sizeof(golden) - 1; size++) {
        _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor = NULL;

        /* The length comes last, so that without it there is no disk. */
        assert_int_equal(decode(golden, size, &descriptor, NULL), -EBADMSG);
        assert_null(descriptor);
    }
}

typedef struct Wire {
    const char *path;
    size_t path_size; /* 0: strlen() */
    uint64_t offset, file_offset;
    int access;
} Wire;

static int decode_wires(
    uint64_t version, uint64_t length, const Wire *wires, size_t n_wires, Error *error)
{
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor = NULL;
    CompositeDescriptor__Descriptor message = COMPOSITE_DESCRIPTOR__DESCRIPTOR__INIT;
    _cleanup_free_ CompositeDescriptor__Component *components =
        calloc(n_wires + 1, sizeof(*components));
    _cleanup_free_ CompositeDescriptor__Component **pointers =
        calloc(n_wires + 1, sizeof(*pointers));

    for (size_t i = 0; i < n_wires; i++) {
        composite_descriptor__component__init(&components[i]);
        components[i].path.data = (uint8_t *)(uintptr_t)wires[i].path;
        components[i].path.len = wires[i].path_size ? wires[i].path_size : strlen(wires[i].path);
        components[i].offset = wires[i].offset;
        components[i].file_offset = wires[i].file_offset;
        components[i].access = (CompositeDescriptor__Access)wires[i].access;
        pointers[i] = &components[i];
    }
    message.version = version;
    message.length = length;
    message.components = pointers;
    message.n_components = n_wires;
    size_t size =
        COMPOSITE_MAGIC_SIZE + composite_descriptor__descriptor__get_packed_size(&message);
    _cleanup_free_ uint8_t *bytes = malloc(size);
    memcpy(bytes, COMPOSITE_MAGIC, COMPOSITE_MAGIC_SIZE);
    (void)composite_descriptor__descriptor__pack(&message, bytes + COMPOSITE_MAGIC_SIZE);
    return decode(bytes, size, &descriptor, error);
}

static void each_rule_of_the_reader_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        uint64_t version, length;
        Wire wires[3];
        size_t n_wires;
        const char *reason;
    } cases[] = {
        { 3, 10, { { .path = "a" } }, 1, "has version 3; up to 2 is known" },
        { UINT64_MAX, 10, { { .path = "a" } }, 1, "has version 18446744073709551615" },
        { 2, 10, { { .path = "a" } }, 0, "has 0 components; 1 to 1024 are taken" },
        { 2, 10, { { .path = "a", .offset = 1 } }, 1, "first component 'a' is at 1" },
        { 2, 0, { { .path = "a" } }, 1, "component 'a' at 0 is behind the disk's end at 0" },
        { 2, 10, { { .path = "a" }, { .path = "b" } }, 2, "are both at 0" },
        { 2,
          10,
          { { .path = "a" }, { .path = "b", .offset = 5 }, { .path = "c", .offset = 5 } },
          3,
          "are both at 5" },
        { 2,
          10,
          { { .path = "a" }, { .path = "b", .offset = 10 } },
          2,
          "component 'b' at 10 is behind" },
        { 2,
          10,
          { { .path = "a" }, { .path = "b", .offset = INT64_MAX } },
          2,
          "component 'b' at 9223372036854775807 is behind" },
        { 2,
          10,
          { { .path = "a" }, { .path = "b", .offset = UINT64_C(1) << 63 } },
          2,
          "'b' has an offset too large" },
        { 2, 10, { { .path = "a", .file_offset = UINT64_MAX } }, 1, "'a' has an offset too large" },
        { 2,
          10,
          { { .path = "a", .file_offset = INT64_MAX - 9 } },
          1,
          "'a' ends beyond what a file can have" },
        { 2, UINT64_C(1) << 63, { { .path = "a" } }, 1, "length 9223372036854775808 is too large" },
        { 2, 10, { { .path = "" } }, 1, "is empty, too long or no text" },
        { 2, 10, { { .path = "a\0b", .path_size = 3 } }, 1, "the path 'a\\x00b'" },
        { 2, 10, { { .path = "a", .access = 2 } }, 1, "has the unknown access 2" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        assert_int_equal(decode_wires(cases[i].version, cases[i].length, cases[i].wires,
                                      cases[i].n_wires, &error),
                         -EBADMSG);
        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
        if (!strstr(error_get_message(&error), cases[i].reason))
            fail_msg("'%s' is not in '%s'", cases[i].reason, error_get_message(&error));
    }
    assert_int_equal(decode_wires(1, INT64_MAX, &(Wire){ .path = "a" }, 1, NULL), 0);
    assert_int_equal(
        decode_wires(0, 10, &(Wire){ .path = "a", .file_offset = INT64_MAX - 10 }, 1, NULL), 0);
}

static void limits_are_taken_and_one_more_is_not(void **state)
{
    (void)state;
    static Wire wires[COMPOSITE_COMPONENTS_MAX + 1];
    static char path[COMPOSITE_COMPONENT_PATH_MAX + 2];

    for (size_t i = 0; i < ELEMENTS_OF(wires); i++)
        wires[i] = (Wire){ .path = "p", .offset = i };
    assert_int_equal(decode_wires(2, 5000, wires, COMPOSITE_COMPONENTS_MAX, NULL), 0);
    assert_int_equal(decode_wires(2, 5000, wires, COMPOSITE_COMPONENTS_MAX + 1, NULL), -EBADMSG);
    memset(path, 'x', COMPOSITE_COMPONENT_PATH_MAX + 1);
    assert_int_equal(
        decode_wires(2, 10, &(Wire){ .path = path, .path_size = COMPOSITE_COMPONENT_PATH_MAX }, 1,
                     NULL),
        0);
    assert_int_equal(
        decode_wires(2, 10, &(Wire){ .path = path, .path_size = COMPOSITE_COMPONENT_PATH_MAX + 1 },
                     1, NULL),
        -EBADMSG);
}

static void what_cannot_be_read_again_is_not_written(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor =
        calloc(1, sizeof(*descriptor));
    uint8_t *bytes = NULL;
    size_t size;

    assert_int_equal(composite_descriptor_encode(descriptor, &bytes, &size, &error), -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "1 to 1024 components, not 0"));
    error_clear(&error);
    assert_int_equal(composite_descriptor_add(descriptor, "", 0, 1, false), 0);
    assert_int_equal(composite_descriptor_encode(descriptor, &bytes, &size, &error), -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "path of component 0 has 0 bytes"));
    assert_null(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing_gives_the_expected_bytes),
        cmocka_unit_test(pieces_of_a_disk_become_its_descriptor),
        cmocka_unit_test(reading_gives_the_components_sorted),
        cmocka_unit_test(every_shorter_file_is_refused_or_another_disk),
        cmocka_unit_test(each_rule_of_the_reader_has_its_reason),
        cmocka_unit_test(limits_are_taken_and_one_more_is_not),
        cmocka_unit_test(what_cannot_be_read_again_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
