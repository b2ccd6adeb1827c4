/* SPDX-License-Identifier: Apache-2.0 */
/* An instance image of the host's making: its list, and the journal at its end. The input is the
 * size of the list's bytes (16 bits, little-endian), these, and the journal's. Whatever is opened
 * is a list outside of the journal, the same list when it is opened again, and has a boot record
 * that was sealed with the instance's key, or gets one. */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/boot-record.h"
#include "tests/fuzz/fuzz.h"

#define IMAGE_SIZE     (INSTANCE_IMAGE_HEADER_SIZE + 2 * (size_t)INSTANCE_JOURNAL_SIZE)
#define JOURNAL_OFFSET (IMAGE_SIZE - (size_t)INSTANCE_JOURNAL_SIZE)

static int make_image(const uint8_t *data, size_t size)
{
    static uint8_t image[IMAGE_SIZE];
    size_t list_size = size < 2 ? 0 : (size_t)(data[0] | data[1] << 8);

    memset(image, 0, sizeof(image));
    if (size >= 2) {
        data += 2;
        size -= 2;
    }
    if (list_size > size)
        list_size = size;
    size -= list_size;
    memcpy(image, data, list_size);
    memcpy(image + JOURNAL_OFFSET, data + list_size,
           size < INSTANCE_JOURNAL_SIZE ? size : INSTANCE_JOURNAL_SIZE);

    int fd = memfd_create("instance", MFD_CLOEXEC);
    assert(fd >= 0 && fd_pwrite_all(fd, image, sizeof(image), 0) == 0);
    return fd;
}

/* The seeds are sealed with the key of zeros. */
static void check_boot(InstanceStore *store)
{
    static const uint8_t key[CRYPTO_KEY_SIZE];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VerifiedBoot boot = { .rollback_index = 5 };
    bool had_record = instance_store_has(store, instance_uuid_pvmfw);
    BootIdentity first, again;

    if (boot_record_check(store, key, &boot, DICE_MODE_NORMAL, &first, &error) < 0) {
        assert(error.kind == ERROR_IMAGE_INVALID);
        return;
    }
    assert(first.is_new == !had_record);
    assert(boot_record_check(store, key, &boot, DICE_MODE_NORMAL, &again, NULL) == 0);
    assert(!again.is_new && memcmp(again.salt, first.salt, sizeof(first.salt)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(instance_store_freep) InstanceStore *store = NULL, *again = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    _cleanup_close_ int fd = make_image(data, size);
    if (instance_store_open(dup(fd), &store, &error) < 0) {
        assert(!store && error.kind == ERROR_IMAGE_INVALID);
        return 0;
    }
    assert(store->image->end_offset + INSTANCE_RECORD_HEADER_SIZE <= JOURNAL_OFFSET);
    assert(instance_store_open(dup(fd), &again, NULL) == 0);
    assert(again->image->n_records == store->image->n_records);
    check_boot(store);
    return 0;
}
