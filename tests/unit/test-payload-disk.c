/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/payload-disk.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

static void assert_order(size_t n_apexes,
                         size_t n_extra_apks,
                         const char *const *labels,
                         size_t n_labels)
{
    char label[PAYLOAD_LABEL_SIZE];

    assert_int_equal(payload_disk_count(n_apexes, n_extra_apks), n_labels);
    for (size_t i = 0; i < n_labels; i++) {
        payload_partition_make_label(payload_disk_get_partition(n_apexes, n_extra_apks, i), label);
        assert_string_equal(label, labels[i]);
    }
}

static void partitions_are_in_avfs_order(void **state)
{
    static const char *const least[] = { "payload-metadata", "microdroid-apk",
                                         "microdroid-apk-idsig" };
    static const char *const more[] = {
        "payload-metadata", "microdroid-apex-0",    "microdroid-apex-1",
        "microdroid-apk",   "microdroid-apk-idsig", "extra-apk-0",
        "extra-idsig-0",    "extra-apk-1",          "extra-idsig-1",
    };

    (void)state;
    assert_order(0, 0, least, ELEMENTS_OF(least));
    assert_order(2, 2, more, ELEMENTS_OF(more));
}

static void each_label_is_read_as_the_partition_it_was_made_for(void **state)
{
    char label[PAYLOAD_LABEL_SIZE];

    (void)state;
    for (size_t i = 0; i < payload_disk_count(64, 30); i++) {
        PayloadPartition partition = payload_disk_get_partition(64, 30, i), found;

        payload_partition_make_label(partition, label);
        assert_int_equal(payload_partition_from_label(label, &found), 0);
        assert_int_equal(found.role, partition.role);
        assert_int_equal(found.index, partition.index);
    }
}

static void other_labels_are_none(void **state)
{
    static const char *const labels[] = {
        "",
        "payload-metadata2",
        "microdroid-apex",
        "microdroid-apex-",
        "microdroid-apex-01",
        "microdroid-apex- 1",
        "microdroid-apex-+1",
        "microdroid-apex-1a",
        "microdroid-apex-1000",
        "microdroid-apk-1",
        "extra-apk--1",
        "extra-idsig",
        "Extra-apk-1",
    };
    PayloadPartition partition = { .index = 77 };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(labels); i++)
        assert_int_equal(payload_partition_from_label(labels[i], &partition), -EINVAL);
    assert_int_equal(partition.index, 77);
    assert_int_equal(payload_partition_from_label("microdroid-apex-999", &partition), 0);
    assert_int_equal(partition.index, 999);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitions_are_in_avfs_order),
        cmocka_unit_test(each_label_is_read_as_the_partition_it_was_made_for),
        cmocka_unit_test(other_labels_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
