/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/payload-disk.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define DIGITS_MAX 3 /* more than a GUID partition table has partitions */

static const struct {
    const char *label;
    bool is_numbered;
} roles[] = {
    [PAYLOAD_METADATA] = { "payload-metadata", false },
    [PAYLOAD_APEX] = { "microdroid-apex-", true },
    [PAYLOAD_APK] = { "microdroid-apk", false },
    [PAYLOAD_APK_IDSIG] = { "microdroid-apk-idsig", false },
    [PAYLOAD_EXTRA_APK] = { "extra-apk-", true },
    [PAYLOAD_EXTRA_IDSIG] = { "extra-idsig-", true },
};

static_assert(ELEMENTS_OF(roles) == PAYLOAD_PARTITION_ROLE_MAX, "each role has a label");

size_t payload_disk_count(size_t n_apexes, size_t n_extra_apks)
{
    return 1 + n_apexes + 2 + 2 * n_extra_apks;
}

PayloadPartition payload_disk_get_partition(size_t n_apexes, size_t n_extra_apks, size_t position)
{
    assert(position < payload_disk_count(n_apexes, n_extra_apks));
    if (position == 0)
        return (PayloadPartition){ PAYLOAD_METADATA, 0 };
    position--;
    if (position < n_apexes)
        return (PayloadPartition){ PAYLOAD_APEX, position };
    position -= n_apexes;
    if (position < 2)
        return (PayloadPartition){ position == 0 ? PAYLOAD_APK : PAYLOAD_APK_IDSIG, 0 };
    position -= 2;
    return (PayloadPartition){ position % 2 == 0 ? PAYLOAD_EXTRA_APK : PAYLOAD_EXTRA_IDSIG,
                               position / 2 };
}

void payload_partition_make_label(PayloadPartition partition, char label[static PAYLOAD_LABEL_SIZE])
{
    int n = roles[partition.role].is_numbered
                ? snprintf(label, PAYLOAD_LABEL_SIZE, "%s%zu", roles[partition.role].label,
                           partition.index)
                : snprintf(label, PAYLOAD_LABEL_SIZE, "%s", roles[partition.role].label);

    assert(n > 0 && n < PAYLOAD_LABEL_SIZE);
}

/* Without a sign, a space or a zero in front, so that each partition has one label. */
static int parse_index(const char *text, size_t *ret_index)
{
    size_t length = strlen(text), index = 0;

    if (length == 0 || length > DIGITS_MAX || (length > 1 && *text == '0'))
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        index = index * 10 + (size_t)(*text - '0');
    }
    *ret_index = index;
    return 0;
}

int payload_partition_from_label(const char *label, PayloadPartition *ret_partition)
{
    for (size_t i = 0; i < ELEMENTS_OF(roles); i++) {
        PayloadPartition partition = { .role = (PayloadPartitionRole)i };
        size_t length = strlen(roles[i].label);

        if (!roles[i].is_numbered ? strcmp(label, roles[i].label) != 0
                                  : strncmp(label, roles[i].label, length) != 0 ||
                                        parse_index(label + length, &partition.index) < 0)
            continue;
        *ret_partition = partition;
        return 0;
    }
    return -EINVAL;
}
