/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helpers/made-instance.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/partition-image.h"
#include "tests/helpers/test.h"

void made_instance_blank(uint8_t image[static MADE_INSTANCE_SIZE])
{
    uint8_t header[PARTITION_IMAGE_HEADER_MAX];

    memset(image, 0, MADE_INSTANCE_SIZE);
    size_t size = partition_image_make_header(PARTITION_ANDROID_VM_INSTANCE, header);
    memcpy(image, header, size);
}

int made_instance_file(const uint8_t image[static MADE_INSTANCE_SIZE])
{
    int fd = memfd_create("instance", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, image, MADE_INSTANCE_SIZE), 0);
    return fd;
}

InstanceStore *made_instance_open_file(int fd)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    InstanceStore *store;

    if (instance_store_open(fd, &store, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return store;
}

InstanceStore *made_instance_open(const uint8_t image[static MADE_INSTANCE_SIZE])
{
    return made_instance_open_file(made_instance_file(image));
}

void made_instance_read(const InstanceStore *store, uint8_t image[static MADE_INSTANCE_SIZE])
{
    assert_int_equal(pread(store->fd, image, MADE_INSTANCE_SIZE, 0), MADE_INSTANCE_SIZE);
}
