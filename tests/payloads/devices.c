/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of test-guest-devices.py: makes devices of partitions with the guest's modules, as
 * devices=MODE on the guest's kernel command line asks for, and prints what it sees. It runs as
 * root, from a file system that has the kernel modules beside it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <mbedtls/sha256.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/text.h"
#include "guest/apk-verifier.h"
#include "guest/apk-verity.h"
#include "guest/encrypted-storage.h"
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

static void print_verdict(const char *what, const Verdict *verdict)
{
    char hex[2 * IDENTITY_HASH_SIZE + 1];

    if (verdict->kind == VERDICT_REFUSAL) {
        printf("%s: %s\n", what, verdict->reason);
        return;
    }
    text_hex(verdict->apk.certificate_hash, IDENTITY_HASH_SIZE, hex);
    printf("%s: %s\n", what, hex);
}

/* The APKs "apk" and "bad-apk" by the verifier, and by programs that take its place. */
static void show_verifier(void)
{
    static const char *const labels[] = { "apk", "bad-apk" };
    static const char *const programs[] = { "apk-verify",     "liar-silent", "liar-short",
                                            "liar-talker",    "liar-killed", "liar-apex",
                                            "no-such-program" };
    VerifierRequest requests[ELEMENTS_OF(labels)];
    ApkVerity verities[ELEMENTS_OF(labels)];
    Verdict verdicts[ELEMENTS_OF(labels)];
    Error error = ERROR_INIT;

    for (size_t i = 0; i < ELEMENTS_OF(labels); i++) {
        if (apk_verity_open(labels[i], find(labels[i]), find("idsig"), &verities[i], &error) < 0)
            fail("open", &error);
        requests[i] = (VerifierRequest){ .kind = VERDICT_APK,
                                         .fd = open(verities[i].path, O_RDONLY | O_CLOEXEC),
                                         .idsig_header = verities[i].idsig_header,
                                         .idsig_header_size = verities[i].idsig_header_size };
    }
    for (size_t i = 0; i < ELEMENTS_OF(programs); i++) {
        char path[64];
        const VerifierOptions options = { .program = path, .id = VERIFIER_UID };

        (void)snprintf(path, sizeof(path), "/run/payload/%s", programs[i]);
        if (apk_verifier_run(&options, requests, ELEMENTS_OF(labels), verdicts, &error) < 0) {
            printf("%s: %s\n", programs[i], error_get_message(&error));
            error_clear(&error);
            continue;
        }
        print_verdict("first", &verdicts[0]);
        print_verdict("second", &verdicts[1]);
    }
}

/* --- encrypted storage --- */

#define STORAGE_FILE  ENCRYPTED_STORAGE_MOUNT_POINT "/file"
#define STORAGE_TEXT  "not for the host\n"
#define STORAGE_LINES 65536

/* The test knows it, too. */
static int mount_storage(uint8_t first, const char *what)
{
    uint8_t key[ENCRYPTED_STORAGE_KEY_SIZE];
    Error error = ERROR_INIT;
    bool formatted;

    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(first + i);
    int r = encrypted_storage_mount(find("encryptedstore"), key, &formatted, &error);
    if (r < 0)
        printf("%s: %s\n", what, error_get_message(&error));
    else
        printf("%s: %s\n", what, formatted ? "formatted" : "mounted");
    error_clear(&error);
    return r;
}

static void unmount_storage(void)
{
    Error error = ERROR_INIT;

    if (encrypted_storage_unmount(&error) < 0)
        fail("unmount", &error);
}

/* mke2fs, or what takes its place. */
static void set_formatter(const char *program)
{
    (void)mkdir("/sbin", 0755);
    (void)mkdir("/mnt", 0755);
    (void)mkdir(ENCRYPTED_STORAGE_MOUNT_POINT, 0755);
    (void)unlink("/sbin/mke2fs");
    if (symlink(program, "/sbin/mke2fs") < 0)
        printf("mke2fs: %s\n", strerror(errno));
}

/* Formats after the formatter has failed in two ways, and writes a file. */
static void show_new_storage(void)
{
    Error error = ERROR_INIT;
    struct stat status;
    struct statvfs flags;

    set_formatter("/run/payload/liar-killed");
    mount_storage(0, "killed");
    set_formatter("/run/payload/none");
    mount_storage(0, "no program");
    set_formatter("/run/payload/mke2fs");
    if (mount_storage(0, "first") < 0)
        return;
    if (stat(ENCRYPTED_STORAGE_MOUNT_POINT, &status) < 0 ||
        statvfs(ENCRYPTED_STORAGE_MOUNT_POINT, &flags) < 0)
        return;
    printf("owner: %u:%u\n", status.st_uid, status.st_gid);
    printf("nosuid, nodev, noexec: %d%d%d\n", (flags.f_flag & ST_NOSUID) != 0,
           (flags.f_flag & ST_NODEV) != 0, (flags.f_flag & ST_NOEXEC) != 0);

    FILE *file = fopen(STORAGE_FILE, "we");
    if (!file)
        return;
    for (int i = 0; i < STORAGE_LINES; i++)
        (void)fputs(STORAGE_TEXT, file);
    printf("unmount in use: %s\n", encrypted_storage_unmount(NULL) == -EBUSY ? "busy" : "taken");
    (void)fclose(file);
    if (encrypted_storage_sync(&error) < 0)
        fail("sync", &error);
    unmount_storage();
    mount_storage(1, "other key");
    if (mount_storage(0, "again") >= 0)
        unmount_storage();
}

/* What an earlier machine has left. The machine ends without unmounting, as after a crash. */
static void show_old_storage(void)
{
    Error error = ERROR_INIT;

    set_formatter("/run/payload/liar-killed"); /* nobody asks it */
    mount_storage(1, "other key");
    if (mount_storage(0, "again") < 0)
        return;
    print_contents("file", STORAGE_FILE);
    FILE *file = fopen(ENCRYPTED_STORAGE_MOUNT_POINT "/second", "we");
    if (!file || fputs("second\n", file) < 0 || fclose(file) != 0)
        return;
    if (encrypted_storage_sync(&error) < 0)
        fail("sync", &error);
    puts("devices end");
    (void)fflush(stdout);
    sleep(1); /* until the host has it */
    (void)syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF,
                  NULL);
}

/* In the place of apk-verify: says of what it is, and something that is none or not enough. */
static int lie(int argc, char **argv, const char *how)
{
    uint8_t bytes[2 * VERDICT_SIZE_MAX];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    const Verdict refusal = { .kind = VERDICT_REFUSAL, .reason = "no" };
    const Verdict apex = {
        .kind = VERDICT_APEX,
        .apex = { .name = "a", .image_size = BLOCK_SIZE, .n_data_blocks = 1, .tree_block = 1 }
    };
    const char *number = strchr(argv[1], '=');
    int n_open = 0, fd = number ? atoi(number + 1) : -EBADF;
    struct stat status;

    for (int i = 0; i < 1024; i++)
        n_open += fstat(i, &status) == 0;
    fprintf(stderr, "uid %u gid %u, %d arguments, %d open\n", getuid(), getgid(), argc, n_open);
    if (strcmp(how, "silent") == 0)
        return 0;
    if (strcmp(how, "killed") == 0)
        raise(SIGKILL);
    verdict_encode(&refusal, &writer);
    if (strcmp(how, "apex") == 0)
        verdict_encode(&apex, &writer);
    do {
        if (fd_write_all(fd, bytes, writer.size) < 0)
            return 1;
    } while (strcmp(how, "talker") == 0);
    return 0;
}

/* Where the guest's root has them, programs look for their interpreter and libraries. */
static void link_libraries(void)
{
    if (symlink("/run/payload/lib64", "/lib64") < 0 ||
        symlink("/run/payload/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu") < 0)
        printf("libraries: %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *mode;
        void (*run)(void);
    } modes[] = {
        { "devices=apk", show_apk },
        { "devices=altered", show_altered },
        { "devices=verifier", show_verifier },
        { "devices=new-storage", show_new_storage },
        { "devices=old-storage", show_old_storage },
    };
    char line[4096] = "", program[256] = "";

    if (readlink("/proc/self/exe", program, sizeof(program) - 1) > 0 && strstr(program, "liar-"))
        return lie(argc, argv, strstr(program, "liar-") + strlen("liar-"));
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    _cleanup_close_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (read(fd, line, sizeof(line) - 1) < 0)
        return 2;
    link_libraries();
    load_modules();
    for (size_t i = 0; i < ELEMENTS_OF(modes); i++) {
        if (strstr(line, modes[i].mode))
            modes[i].run();
    }
    puts("devices end");
    return 0;
}
