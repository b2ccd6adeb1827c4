/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of test-guest-devices.py: makes devices of partitions with the guest's modules, as
 * devices=MODE on the guest's kernel command line asks for, and prints what it sees. It runs as
 * root, from a file system that has the kernel modules beside it. */
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/sha256.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/text.h"
#include "guest/apk-verity.h"
#include "guest/loop-device.h"
#include "guest/payload-partition.h"

#define MODULES_LIST   "/run/payload/modules/list"
#define MODULES_PREFIX "/run/payload/modules/"
#define BLOCK_SIZE     4096
#define DEVICE_NAME    "test-apk"

static void fail(const char *what, const Error *error)
{
    printf("%s: %s\n", what, error_get_message(error));
    exit(1);
}

static void load_modules(void)
{
    char name[200];
    FILE *list = fopen(MODULES_LIST, "re");

    if (!list)
        exit(2);
    while (fscanf(list, "%99s", name) == 1) {
        char path[sizeof(MODULES_PREFIX) + sizeof(name)];

        (void)snprintf(path, sizeof(path), MODULES_PREFIX "%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            printf("module %s: %s\n", name, strerror(errno));
        (void)fd_close(fd);
    }
    (void)fclose(list);
}

static const char *find(const char *label)
{
    static char paths[2][UEVENT_VALUE_MAX + sizeof("/dev/")];
    static unsigned n;
    char *path = paths[n++ % 2];
    Error error = ERROR_INIT;

    if (payload_partition_find(label, deadline_in_msec(10000), path, sizeof(paths[0]), &error) < 0)
        fail("partition", &error);
    return path;
}

/* Reads all of @path, a block at a time, and prints its size and hash, or where it ends otherwise.
 */
static void print_contents(const char *what, const char *path)
{
    uint8_t block[BLOCK_SIZE], hash[32];
    char text[2 * sizeof(hash) + 1];
    mbedtls_sha256_context context;
    size_t size = 0;
    ssize_t n;

    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    mbedtls_sha256_init(&context);
    (void)mbedtls_sha256_starts_ret(&context, 0);
    while ((n = read(fd, block, sizeof(block))) > 0) {
        (void)mbedtls_sha256_update_ret(&context, block, (size_t)n);
        size += (size_t)n;
    }
    if (n < 0) {
        printf("%s: %s at %zu\n", what, strerror(errno), size);
        return;
    }
    (void)mbedtls_sha256_finish_ret(&context, hash);
    text_hex(hash, sizeof(hash), text);
    printf("%s: %zu %s\n", what, size, text);
}

static void print_corruption(void)
{
    Error error = ERROR_INIT;
    bool is_corrupted;

    if (device_mapper_is_corrupted(DEVICE_NAME, &is_corrupted, &error) < 0)
        fail("status", &error);
    printf("corrupted: %s\n", is_corrupted ? "yes" : "no");
}

static void print_loop_devices(void)
{
    printf("loop0: %s\n", access("/sys/block/loop0/loop", F_OK) == 0 ? "used" : "free");
}

/* A real APK through the device, which goes and leaves nothing. */
static void show_apk(void)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    char hex[2 * IDSIG_HEADER_HASH_SIZE + 1];
    Error error = ERROR_INIT;

    if (apk_verity_open(DEVICE_NAME, find("apk"), find("idsig"), &verity, &error) < 0)
        fail("open", &error);
    text_hex(verity.root, sizeof(verity.root), hex);
    printf("root: %s\n", hex);
    text_hex(verity.idsig_header_hash, sizeof(verity.idsig_header_hash), hex);
    printf("header: %s\n", hex);
    printf("path: %s\n", verity.path);
    print_corruption();
    print_contents("contents", verity.path);
    print_corruption();

    int fd = open(verity.path, O_RDWR | O_CLOEXEC);
    printf("write: %s\n", write(fd, "x", 1) < 0 ? strerror(errno) : "taken");
    (void)fd_close(fd);
    fd = open(verity.path, O_RDONLY | O_CLOEXEC);
    printf("remove in use: %s\n",
           device_mapper_remove(DEVICE_NAME, NULL) == -EBUSY ? "busy" : "something else");
    (void)fd_close(fd);
    print_loop_devices();
    if (device_mapper_remove(DEVICE_NAME, &error) < 0)
        fail("remove", &error);
    print_loop_devices();
    printf("gone: %s\n", access(verity.path, F_OK) < 0 ? "yes" : "no");
    printf("status of none: %d\n", device_mapper_is_corrupted(DEVICE_NAME, &(bool){ false }, NULL));
}

/* Devices of the partition @apk with the tree in @idsig, both or one of them altered. */
static void show_altered(void)
{
    static const struct {
        const char *what, *apk, *idsig;
    } cases[] = {
        { "apk altered", "bad-apk", "idsig" },
        { "tree altered", "apk", "bad-tree" },
        { "root altered", "apk", "bad-root" },
        { "idsig of another size", "apk", "short-idsig" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
        Error error = ERROR_INIT;

        if (apk_verity_open(DEVICE_NAME, find(cases[i].apk), find(cases[i].idsig), &verity,
                            &error) < 0) {
            printf("%s: %s\n", cases[i].what, error_get_message(&error));
            error_clear(&error);
            continue;
        }
        print_contents(cases[i].what, verity.path);
        print_corruption();
        if (device_mapper_remove(DEVICE_NAME, &error) < 0)
            fail("remove", &error);
    }
}

int main(void)
{
    static const struct {
        const char *mode;
        void (*run)(void);
    } modes[] = {
        { "devices=apk", show_apk },
        { "devices=altered", show_altered },
    };
    char line[4096] = "";

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    _cleanup_close_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (read(fd, line, sizeof(line) - 1) < 0)
        return 2;
    load_modules();
    for (size_t i = 0; i < ELEMENTS_OF(modes); i++) {
        if (strstr(line, modes[i].mode))
            modes[i].run();
    }
    puts("devices end");
    return 0;
}
