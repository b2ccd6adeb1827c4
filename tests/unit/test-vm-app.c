/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/payload-metadata.h"
#include "tests/helpers/test.h"

#define HEX_32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define APP(more)                                                                                    \
    "{\"payload\":{\"apk\":\"a\",\"idsig\":\"s\",\"instance_image\":\"i\",\"instance_id\":\"" HEX_32 \
        HEX_32 "\"," more "}}"

static const char description[] =
    "{\"kernel\":\"vmlinux\",\"params\":\"quiet\",\"memory_mib\":192,\"disks\":[{\"partitions\":["
    "{\"label\":\"vbmeta_a\",\"path\":\"v\"},{\"label\":\"super\",\"path\":\"s\"}]}]}";

static int new_memory(void)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    return fd;
}

/* As os_image_open() makes one. */
static OsImage *new_system(void)
{
    OsImage *os = calloc(1, sizeof(*os));

    assert_non_null(os);
    assert_int_equal(vm_config_parse(description, UINT64_MAX, &os->config, NULL), 0);
    os->kernel = new_memory();
    os->initrd = new_memory();
    os->n_partitions = os->config->disks[0].n_partitions;
    os->partitions = calloc(os->n_partitions, sizeof(int));
    assert_non_null(os->partitions);
    for (size_t i = 0; i < os->n_partitions; i++)
        os->partitions[i] = new_memory();
    return os;
}

static VmConfig *assemble(const char *json, const OsImage *os, bool is_slow)
{
    VmConfig *config;

    assert_int_equal(vm_config_parse(json, UINT64_MAX, &config, NULL), 0);
    assert_int_equal(vm_app_assemble(config, os, is_slow, NULL), 0);
    return config;
}

/* The disk has partitions of these labels and keys: "label=key", NULL behind the last. */
static void assert_disk(const VmConfigDisk *disk, bool writable, const char *const *partitions)
{
    size_t n_partitions = 0;

    assert_int_equal(disk->writable, writable);
    assert_null(disk->image);
    for (; partitions[n_partitions]; n_partitions++) {
        const VmConfigPartition *partition = &disk->partitions[n_partitions];
        char text[256];

        assert_true(n_partitions < disk->n_partitions);
        (void)snprintf(text, sizeof(text), "%s=%s", partition->label, partition->path);
        assert_string_equal(text, partitions[n_partitions]);
        assert_int_equal(partition->writable, writable);
    }
    assert_int_equal(disk->n_partitions, n_partitions);
}

static const char *const system_disk[] = { "vbmeta_a=host:disk:vbmeta_a", "super=host:disk:super",
                                           NULL };
static const char *const instance_disk[] = { "vm-instance=i", NULL };

static void disks_are_avfs(void **state)
{
    static const char *const writable[] = { "vm-instance=i", "encryptedstore=e", NULL };
    static const char *const payload[] = { "payload-metadata=host:payload-metadata",
                                           "microdroid-apex-0=m0",
                                           "microdroid-apex-1=m1",
                                           "microdroid-apk=a",
                                           "microdroid-apk-idsig=s",
                                           "extra-apk-0=x",
                                           "extra-idsig-0=y",
                                           NULL };
    (void)state;
    _cleanup_(os_image_freep) OsImage *os = new_system();
    _cleanup_(vm_config_freep) VmConfig *config =
        assemble(APP("\"binary\":\"b\",\"encrypted_storage\":\"e\",\"extra_apks\":[{\"apk\":\"x\","
                     "\"idsig\":\"y\"}],\"apexes\":[{\"name\":\"n0\",\"image\":\"m0\"},"
                     "{\"name\":\"n1\",\"image\":\"m1\"}]"),
                 os, false);

    assert_string_equal(config->kernel, "host:kernel");
    assert_string_equal(config->initrd, "host:initrd");
    assert_string_equal(config->params, "quiet");
    assert_true(config->memory_bytes == UINT64_C(192) << 20);
    assert_int_equal(config->n_disks, 3);
    assert_disk(&config->disks[0], false, system_disk);
    assert_disk(&config->disks[1], true, writable);
    assert_disk(&config->disks[2], false, payload);
}

static void what_the_configuration_says_stays(void **state)
{
    (void)state;
    _cleanup_(os_image_freep) OsImage *os = new_system();
    _cleanup_(vm_config_freep) VmConfig *config =
        assemble("{\"memory_mib\":77,\"payload_timeout_ms\":5,\"payload\":{\"apk\":\"a\","
                 "\"idsig\":\"s\",\"instance_image\":\"i\",\"instance_id\":\"" HEX_32 HEX_32 "\","
                 "\"config_path\":\"c\"}}",
                 os, true);

    assert_true(config->memory_bytes == UINT64_C(77) << 20);
    assert_int_equal(config->payload_timeout_ms, 5);
    assert_disk(&config->disks[1], true, instance_disk);
}

static void slow_guests_have_more_time(void **state)
{
    (void)state;
    _cleanup_(os_image_freep) OsImage *os = new_system();
    _cleanup_(vm_config_freep) VmConfig *fast = assemble(APP("\"binary\":\"b\""), os, false);
    _cleanup_(vm_config_freep) VmConfig *slow = assemble(APP("\"binary\":\"b\""), os, true);

    assert_int_equal(fast->payload_timeout_ms, 30000);
    assert_int_equal(slow->payload_timeout_ms, 300000);
}

static void a_vm_that_was_started_before_needs_no_system(void **state)
{
    (void)state;
    _cleanup_(vm_config_freep) VmConfig *config = assemble(APP("\"binary\":\"b\""), NULL, true);
    const struct stat status = { .st_mode = S_IFREG, .st_dev = 1, .st_ino = 2 };
    _cleanup_(vm_files_deinit) VmFiles files = { 0 };

    assert_null(config->kernel);
    assert_int_equal(config->n_disks, 2);
    assert_int_equal(vm_files_init(&files, config, NULL), 0);
    assert_int_equal(vm_files_note(&files, "host:disk:super", &status, NULL), 0);
    assert_int_equal(vm_files_note(&files, "host:payload-metadata", &status, NULL), 0);
    assert_int_equal(vm_files_note(&files, "a", &status, NULL), 0);
    assert_true(vm_files_note(&files, "other", &status, NULL) < 0);
    assert_true(vm_files_use_image(&files, &status));
}

static void the_hosts_files_are_not_the_clients(void **state)
{
    static const char *const keys[] = { "host:kernel", "host:initrd", "host:disk:vbmeta_a",
                                        "host:disk:super", "host:payload-metadata" };
    (void)state;
    _cleanup_(os_image_freep) OsImage *os = new_system();
    _cleanup_(vm_config_freep) VmConfig *config = assemble(APP("\"binary\":\"b\""), os, true);
    _cleanup_(vm_files_deinit) VmFiles files = { 0 };
    int kernel = os->kernel, initrd = os->initrd, vbmeta = os->partitions[0];

    assert_int_equal(vm_files_init(&files, config, NULL), 0);
    for (size_t i = 0; i < ELEMENTS_OF(keys); i++)
        assert_int_equal(vm_files_take(&files, keys[i], new_memory(), NULL), -EBADF);
    assert_int_equal(vm_app_bring_files(config, os, &files, NULL), 0);
    assert_true(os->kernel < 0 && os->initrd < 0 && os->partitions[0] < 0);
    assert_int_equal(vm_files_take(&files, keys[0], new_memory(), NULL), -EBADF);
    assert_string_equal(vm_files_find_missing(&files), "i");
    BootFiles boot = vm_app_get_boot_files(config, &files);
    assert_int_equal(boot.kernel, kernel);
    assert_int_equal(boot.initrd, initrd);
    assert_int_equal(boot.vbmeta, vbmeta);
    assert_int_equal(boot.initrd_kind, AVB_BOOT_INITRD_NORMAL);
    config->app->debug_level = DEBUG_LEVEL_FULL;
    assert_int_equal(vm_app_get_boot_files(config, &files).initrd_kind, AVB_BOOT_INITRD_DEBUG);
}

/* What the guest reads; the file is sealed, and whole blocks. */
static PayloadMetadata *read_metadata(const char *json)
{
    _cleanup_(os_image_freep) OsImage *os = new_system();
    _cleanup_(vm_config_freep) VmConfig *config = assemble(json, os, true);
    _cleanup_(vm_files_deinit) VmFiles files = { 0 };
    PayloadMetadata *metadata = NULL;

    assert_int_equal(vm_files_init(&files, config, NULL), 0);
    assert_int_equal(vm_app_bring_files(config, os, &files, NULL), 0);
    const VmFile *file = vm_files_find(&files, "host:payload-metadata");
    size_t size = (size_t)file->status.st_size;
    _cleanup_free_ uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    assert_true(memfd_is_sealed(file->fd));
    assert_int_equal(size % COMPOSITE_ALIGNMENT, 0);
    assert_true(pread(file->fd, bytes, size, 0) == (ssize_t)size);
    assert_int_equal(payload_metadata_decode(bytes, size, &metadata, NULL), 0);
    return metadata;
}

static void metadata_names_what_is_on_the_disk(void **state)
{
    (void)state;
    _cleanup_(payload_metadata_freep) PayloadMetadata *binary = read_metadata(
        APP("\"binary\":\"b\",\"extra_apks\":[{\"apk\":\"x\",\"idsig\":\"y\"}],\"apexes\":["
            "{\"name\":\"n0\",\"image\":\"m0\"}]"));
    _cleanup_(payload_metadata_freep) PayloadMetadata *config = read_metadata(
        APP("\"config_path\":\"c.json\",\"extra_apks\":[{\"apk\":\"x\",\"idsig\":\"y\"}]"));

    assert_string_equal(binary->binary, "b");
    assert_int_equal(binary->n_extra_apks, 1);
    assert_int_equal(binary->n_apexes, 1);
    assert_string_equal(binary->apexes[0].name, "n0");
    assert_string_equal(binary->apexes[0].partition, "microdroid-apex-0");
    assert_string_equal(binary->apk_partition, "microdroid-apk");
    assert_string_equal(config->config_path, "/mnt/apk/c.json");
    assert_null(config->binary);
}

/* Names as long as they may be, and as many as there may be: more than one block. */
static void the_largest_metadata_is_made(void **state)
{
    _cleanup_free_ char *json = NULL;
    char name[PAYLOAD_NAME_MAX + 1] = "";
    size_t size;

    (void)state;
    FILE *stream = open_memstream(&json, &size);
    assert_non_null(stream);
    memset(name, 'n', sizeof(name) - 4);
    fputs(
        "{\"payload\":{\"apk\":\"a\",\"idsig\":\"s\",\"instance_image\":\"i\",\"instance_id\":\"" HEX_32
            HEX_32 "\",\"binary\":\"b\",\"apexes\":[",
        stream);
    for (unsigned i = 0; i < PAYLOAD_APEXES_MAX; i++)
        fprintf(stream, "%s{\"name\":\"%s%03u\",\"image\":\"m\"}", i > 0 ? "," : "", name, i);
    fputs("]}}", stream);
    assert_int_equal(fclose(stream), 0);
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = read_metadata(json);
    assert_int_equal(metadata->n_apexes, PAYLOAD_APEXES_MAX);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_are_avfs),
        cmocka_unit_test(what_the_configuration_says_stays),
        cmocka_unit_test(slow_guests_have_more_time),
        cmocka_unit_test(a_vm_that_was_started_before_needs_no_system),
        cmocka_unit_test(the_hosts_files_are_not_the_clients),
        cmocka_unit_test(metadata_names_what_is_on_the_disk),
        cmocka_unit_test(the_largest_metadata_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
