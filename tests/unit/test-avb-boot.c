/* SPDX-License-Identifier: Apache-2.0 */
/* A vbmeta that is made here, against images of memory of which one byte at a time is another. */
#include "composite-disk/avb-boot.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "composite-disk/avb-partition.h"
#include "composite-disk/vbmeta-make.h"
#include "tests/helpers/test.h"

#define KERNEL_SIZE 300000
#define INITRD_SIZE 1001

typedef struct Fixture {
    SigningKey *key;
    uint8_t kernel[KERNEL_SIZE + 1], initrd[INITRD_SIZE + 1];
    uint8_t descriptors[4096];
    size_t descriptors_size;
    uint32_t algorithm, flags;
    uint8_t *vbmeta;
    size_t vbmeta_size;
} Fixture;

static void add_hash(Fixture *fixture, const char *name, const void *image, size_t size)
{
    static const uint8_t salt[] = { 9, 8, 7 };
    ByteSource source = byte_source_from_memory(image, size);
    ByteWriter writer = byte_writer(fixture->descriptors + fixture->descriptors_size,
                                    sizeof(fixture->descriptors) - fixture->descriptors_size);
    uint8_t digest[AVB_DIGEST_SIZE_MAX];
    AvbDescriptor descriptor = { .tag = AVB_HASH };

    assert_int_equal(avb_partition_make_hash(&source, name, (AvbBytes){ salt, sizeof(salt) }, NULL,
                                             digest, &descriptor.hash, NULL),
                     0);
    assert_int_equal(avb_descriptor_encode(&descriptor, &writer, NULL), 0);
    fixture->descriptors_size += writer.size;
}

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));
    const char *top = getenv("top_srcdir");
    char path[256];

    assert_non_null(fixture);
    (void)snprintf(path, sizeof(path), "%s/tests/keys/rsa-2048.pem", top ? top : ".");
    assert_int_equal(signing_key_load(path, NULL, &fixture->key, NULL), 0);
    for (size_t i = 0; i < sizeof(fixture->kernel); i++)
        fixture->kernel[i] = (uint8_t)(i * 7);
    memset(fixture->initrd, 'i', sizeof(fixture->initrd));
    fixture->algorithm = 1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    signing_key_free(fixture->key);
    free(fixture->vbmeta);
    free(fixture);
    return 0;
}

static void sign(Fixture *fixture)
{
    const VbmetaContents contents = {
        .algorithm = vbmeta_algorithm_find(fixture->algorithm),
        .key = fixture->algorithm == 0 ? NULL : fixture->key,
        .descriptors = { fixture->descriptors, fixture->descriptors_size },
        .flags = fixture->flags,
        .release = "test",
    };

    free(fixture->vbmeta);
    assert_int_equal(vbmeta_make(&contents, &fixture->vbmeta, &fixture->vbmeta_size, NULL), 0);
}

static void add_all(Fixture *fixture)
{
    add_hash(fixture, "boot", fixture->kernel, KERNEL_SIZE);
    add_hash(fixture, "initrd_normal", fixture->initrd, INITRD_SIZE);
    add_hash(fixture, "initrd_debug", "debug", 5);
}

static AvbBoot boot_of(const Fixture *fixture)
{
    return (AvbBoot){
        .vbmeta = byte_source_from_memory(fixture->vbmeta, fixture->vbmeta_size),
        .kernel = byte_source_from_memory(fixture->kernel, KERNEL_SIZE),
        .initrd = byte_source_from_memory(fixture->initrd, INITRD_SIZE),
    };
}

static void assert_refused(const AvbBoot *boot, const char *beginning)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_true(avb_boot_verify(boot, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (strncmp(error_get_message(&error), beginning, strlen(beginning)) != 0)
        assert_string_equal(error_get_message(&error), beginning);
}

static void what_belongs_together_is_taken(void **state)
{
    Fixture *fixture = *state;

    add_all(fixture);
    sign(fixture);
    AvbBoot boot = boot_of(fixture);
    assert_int_equal(avb_boot_verify(&boot, NULL), 0);
    boot.initrd_kind = AVB_BOOT_INITRD_DEBUG;
    assert_refused(&boot, "initrd: 1001 bytes, and vbmeta has the hash of 5");
    boot.initrd = byte_source_from_memory("debug", 5);
    assert_int_equal(avb_boot_verify(&boot, NULL), 0);
}

static void each_altered_file_is_named(void **state)
{
    static const size_t places[] = { 0, INITRD_SIZE / 2, INITRD_SIZE - 1, KERNEL_SIZE / 2,
                                     KERNEL_SIZE - 1 };
    Fixture *fixture = *state;

    add_all(fixture);
    sign(fixture);
    AvbBoot boot = boot_of(fixture);
    for (size_t i = 0; i < ELEMENTS_OF(places); i++) {
        fixture->kernel[places[i]] ^= 1;
        assert_refused(&boot, "kernel: the image of partition 'boot' was altered");
        fixture->kernel[places[i]] ^= 1;
        if (places[i] >= INITRD_SIZE)
            continue;
        fixture->initrd[places[i]] ^= 0x80;
        assert_refused(&boot, "initrd: the image of partition 'initrd_normal' was altered");
        fixture->initrd[places[i]] ^= 0x80;
    }
    /* Every byte but the zeros that fill the authentication block, which nothing covers: magic,
     * header, hash, signature, descriptors and key. */
    size_t refused = 0;
    for (size_t i = 0; i < fixture->vbmeta_size; i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        fixture->vbmeta[i] ^= 1;
        if (avb_boot_verify(&boot, &error) < 0) {
            assert_int_equal(strncmp(error_get_message(&error), "vbmeta: ", 8), 0);
            refused++;
        }
        fixture->vbmeta[i] ^= 1;
    }
    assert_true(refused + 64 > fixture->vbmeta_size);
    assert_int_equal(avb_boot_verify(&boot, NULL), 0);
}

static void other_sizes_are_refused(void **state)
{
    Fixture *fixture = *state;

    add_all(fixture);
    sign(fixture);
    AvbBoot boot = boot_of(fixture);
    boot.kernel.size++;
    assert_refused(&boot, "kernel: 300001 bytes, and vbmeta has the hash of 300000");
    boot.kernel.size -= 2;
    assert_refused(&boot, "kernel: 299999 bytes, and vbmeta has the hash of 300000");
    boot.kernel.size++;
    boot.initrd.size = 0;
    assert_refused(&boot, "initrd: 0 bytes, and vbmeta has the hash of 1001");
    boot.vbmeta.size = 0;
    assert_refused(&boot, "vbmeta: 0 bytes are too few");
}

static void unsigned_and_switched_off_vbmeta_is_refused(void **state)
{
    Fixture *fixture = *state;

    add_all(fixture);
    fixture->algorithm = 0;
    sign(fixture);
    AvbBoot boot = boot_of(fixture);
    assert_refused(&boot, "vbmeta: the vbmeta structure is not signed");
    fixture->algorithm = 1;
    for (uint32_t flag = 1; flag <= 2; flag++) {
        fixture->flags = flag;
        sign(fixture);
        boot = boot_of(fixture);
        assert_refused(&boot, "vbmeta: its flags switch verification off");
    }
}

static void what_vbmeta_does_not_know_is_refused(void **state)
{
    Fixture *fixture = *state;

    sign(fixture);
    AvbBoot boot = boot_of(fixture);
    assert_refused(&boot, "vbmeta: there is no hash of 'boot', the kernel");
    add_hash(fixture, "boot", fixture->kernel, KERNEL_SIZE);
    sign(fixture);
    boot = boot_of(fixture);
    assert_refused(&boot, "vbmeta: there is no hash of 'initrd_normal', the initrd");
}

/* A second one of a name does not take the first one's place. */
static void all_hashes_of_a_name_count(void **state)
{
    Fixture *fixture = *state;

    add_all(fixture);
    add_hash(fixture, "boot", fixture->kernel + 1, KERNEL_SIZE);
    sign(fixture);
    AvbBoot boot = boot_of(fixture);
    assert_refused(&boot, "kernel: the image of partition 'boot' was altered");
}

int main(void)
{
#define WITH_KEY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        WITH_KEY(what_belongs_together_is_taken),
        WITH_KEY(each_altered_file_is_named),
        WITH_KEY(other_sizes_are_refused),
        WITH_KEY(unsigned_and_switched_off_vbmeta_is_refused),
        WITH_KEY(what_vbmeta_does_not_know_is_refused),
        WITH_KEY(all_hashes_of_a_name_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
