/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/first-stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/byte-source.h"
#include "guest/boot-handover.h"
#include "guest/boot-record.h"
#include "guest/boot-times.h"
#include "guest/crypto.h"
#include "guest/device-mapper.h"
#include "guest/dice.h"
#include "guest/guest-link.h"
#include "guest/instance-store.h"
#include "guest/modules.h"
#include "guest/mounts.h"
#include "guest/payload-partition.h"
#include "guest/verified-boot.h"

/* Made by the image builder, part of what the host has verified. */
#define MODULE_LIST       "/etc/modules"
#define TRUST_ANCHOR_PATH "/etc/trust-anchor.avbpubkey"
#define DEBUGGABLE_PATH   "/etc/debuggable"
/* Put there by the host, in memory, for this boot. */
#define SECRET_PATH "/instance-secret"
#define SECRET_SIZE 64

#define ROOT_PATH "/root"
/* The programs that every boot needs are in the initramfs: read from the system, each would have to
 * be hashed and unpacked by the guest. In the system there is a directory to show them in. */
#define PROGRAMS_PATH        "/programs"
#define SYSTEM_PROGRAMS_PATH "/usr/lib/microguest/boot"
#define MANAGER_PATH         SYSTEM_PROGRAMS_PATH "/microguest-init"

#define PARTITION_TIMEOUT_MSEC 5000

/* Of the first secrets, which have no stage before them. */
static const char attest_info[] = "virtualizationd attest", seal_info[] = "virtualizationd seal";
static const char record_info[] = "vm-instance"; /* pvmfw's */
static const char configuration[] = "vm_entry";  /* the name of the stage in AVF's chain */

typedef struct FirstStage {
    int console_fd;
    bool is_debuggable;
    DiceSecrets secrets; /* of this stage, then of the next */
    VerifiedBoot boot;
    BootIdentity identity;
    BootTimes times;
    GuestErrorCode failure; /* what the host is told when the step under way fails */
} FirstStage;

static void say(const FirstStage *stage, const char *text)
{
    char line[GUEST_ERROR_MESSAGE_MAX + 32];
    int size = snprintf(line, sizeof(line), "first-stage: %s\n", text);

    /* A console that takes nothing is no reason to stop. */
    if (stage->console_fd >= 0 && size > 0 && (size_t)size < sizeof(line))
        (void)fd_write_all(stage->console_fd, line, (size_t)size);
}

/* Reads the secret and takes it out of the file system, where its memory is overwritten first. */
static int take_secret(uint8_t secret[static SECRET_SIZE], Error *error)
{
    static const uint8_t zeros[SECRET_SIZE];

    _cleanup_close_ int fd = open(SECRET_PATH, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "the host has given no instance secret");
    ssize_t n = read(fd, secret, SECRET_SIZE);
    if (n != SECRET_SIZE)
        return error_set(error, ERROR_FAILED, "an instance secret of %zd bytes", n);
    int r = fd_pwrite_all(fd, zeros, sizeof(zeros), 0);
    if (r >= 0 && unlink(SECRET_PATH) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot wipe the instance secret") : 0;
}

static int derive(CryptoBytes key, const char *info, uint8_t *ret_bytes, size_t size)
{
    return crypto_derive(CRYPTO_SHA512, key, (CryptoBytes){ NULL, 0 },
                         (CryptoBytes){ info, strlen(info) }, ret_bytes, size);
}

static int derive_first_secrets(DiceSecrets *secrets, Error *error)
{
    uint8_t secret[SECRET_SIZE];
    const CryptoBytes key = { secret, sizeof(secret) };

    int r = take_secret(secret, error);
    if (r >= 0 && (derive(key, attest_info, secrets->attest, sizeof(secrets->attest)) < 0 ||
                   derive(key, seal_info, secrets->seal, sizeof(secrets->seal)) < 0))
        r = error_set(error, ERROR_NO_MEMORY, "out of memory");
    explicit_bzero(secret, sizeof(secret));
    return r;
}

static int find_partition(const char *label, char *path, size_t capacity, Error *error)
{
    return payload_partition_find(label, deadline_in_msec(PARTITION_TIMEOUT_MSEC), path, capacity,
                                  error);
}

static int open_partition(const char *label, int mode, int *ret_fd, Error *error)
{
    char path[UEVENT_VALUE_MAX + sizeof("/dev/")];

    int r = find_partition(label, path, sizeof(path), error);
    if (r < 0)
        return r;
    int fd = open(path, mode | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open partition '%s'",
                               label);
    *ret_fd = fd;
    return 0;
}

static int verify_vbmeta(FirstStage *stage, Error *error)
{
    uint8_t trusted[AVB_PUBLIC_KEY_SIZE_MAX];
    _cleanup_close_ int vbmeta_fd = -EBADF;
    ByteSource vbmeta;

    _cleanup_close_ int key_fd = open(TRUST_ANCHOR_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t size = key_fd < 0 ? -1 : read(key_fd, trusted, sizeof(trusted));
    if (size < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot read %s", TRUST_ANCHOR_PATH);
    int r = open_partition("vbmeta_a", O_RDONLY, &vbmeta_fd, error);
    if (r >= 0)
        r = byte_source_from_fd(vbmeta_fd, "vbmeta_a", &vbmeta, error);
    if (r < 0)
        return r;
    r = verified_boot_read(&vbmeta, (CryptoBytes){ trusted, (size_t)size }, stage->is_debuggable,
                           &stage->boot, error);
    if (r == -EKEYREJECTED)
        stage->failure = GUEST_ERROR_FIRMWARE_PUBLIC_KEY_MISMATCH;
    return r;
}

static DiceMode get_mode(const FirstStage *stage)
{
    return stage->is_debuggable ? DICE_MODE_DEBUG : DICE_MODE_NORMAL;
}

static int identify_instance(FirstStage *stage, Error *error)
{
    _cleanup_(instance_store_freep) InstanceStore *store = NULL;
    uint8_t key[CRYPTO_KEY_SIZE];
    int fd;

    stage->failure = GUEST_ERROR_FIRMWARE_INSTANCE_IMAGE_CHANGED;
    int r = open_partition("vm-instance", O_RDWR, &fd, error);
    if (r >= 0)
        r = instance_store_open(fd, &store, error);
    if (r < 0)
        return r;
    if (derive((CryptoBytes){ stage->secrets.seal, sizeof(stage->secrets.seal) }, record_info, key,
               sizeof(key)) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = boot_record_check(store, key, &stage->boot, get_mode(stage), &stage->identity, error);
    explicit_bzero(key, sizeof(key));
    return r;
}

static int derive_next_secrets(FirstStage *stage, Error *error)
{
    const CryptoBytes descriptor = { configuration, sizeof(configuration) - 1 };
    const CryptoBytes salt = { stage->identity.salt, sizeof(stage->identity.salt) };
    DiceInputs inputs = { .mode = get_mode(stage) };

    memcpy(inputs.code, stage->boot.code, sizeof(inputs.code));
    memcpy(inputs.authority, stage->boot.authority, sizeof(inputs.authority));
    if (crypto_hash(CRYPTO_SHA512, &descriptor, 1, inputs.configuration) < 0 ||
        crypto_hash(CRYPTO_SHA512, &salt, 1, inputs.hidden) < 0 ||
        dice_derive(&stage->secrets, &inputs, &stage->secrets) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    explicit_bzero(&inputs, sizeof(inputs));
    return 0;
}

/* A block of the root that was altered is a panic: nobody could tell what depends on it. */
static int mount_system(const FirstStage *stage, Error *error)
{
    const VerifiedSystem *system = &stage->boot.system;
    char partition[UEVENT_VALUE_MAX + sizeof("/dev/")], device[DEVICE_PATH_SIZE];

    int r = find_partition("super", partition, sizeof(partition), error);
    if (r < 0)
        return r;
    VerityTable table = { .data_device = partition,
                          .hash_device = partition,
                          .n_data_blocks = system->n_data_blocks,
                          .hash_start_block = system->tree_block,
                          .salt = system->salt,
                          .salt_size = system->salt_size,
                          .panic_on_corruption = true };
    memcpy(table.root, system->root, sizeof(table.root));
    r = device_mapper_open_verity("super", &table, device, error);
    if (r < 0)
        return r;
    /* The kernel's own initramfs has that directory. */
    if ((mkdir(ROOT_PATH, 0700) < 0 && errno != EEXIST) ||
        mount(device, ROOT_PATH, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, errno, "cannot mount the system");
    return 0;
}

static int show_programs(Error *error)
{
    static const char place[] = ROOT_PATH SYSTEM_PROGRAMS_PATH;

    if (mount(PROGRAMS_PATH, place, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, place, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot mount the programs");
    return 0;
}

/* Everything else there was in the initramfs would take memory until the guest ends. The list is
 * the builder's; what cannot be removed stays. */
static void empty_initramfs(void)
{
    char path[sizeof("/lib/modules/") + MODULE_NAME_MAX], list[4096];
    const char *cursor = list;
    Module module;

    _cleanup_close_ int fd = open(MODULE_LIST, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, list, sizeof(list) - 1);
    list[size > 0 ? size : 0] = '\0';
    while (modules_next(&cursor, &module) > 0) {
        (void)snprintf(path, sizeof(path), "/lib/modules/%s", module.name);
        (void)unlink(path);
    }
    (void)unlink("/init");
}

static int switch_root(Error *error)
{
    static const char *const moved[] = { "/proc", "/sys", "/dev", "/run", "/tmp" };
    char target[sizeof(ROOT_PATH) + 8];

    for (size_t i = 0; i < ELEMENTS_OF(moved); i++) {
        (void)snprintf(target, sizeof(target), ROOT_PATH "%s", moved[i]);
        if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot move %s", moved[i]);
    }
    empty_initramfs();
    if (chdir(ROOT_PATH) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot switch to the system's root");
    return 0;
}

static int set_up(FirstStage *stage, Error *error)
{
    int r = mounts_set_up(error);

    stage->console_fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (r < 0)
        return r;
    stage->is_debuggable = access(DEBUGGABLE_PATH, F_OK) == 0;
    return modules_load(MODULE_LIST, error);
}

static int execute_manager(FirstStage *stage, Error *error)
{
    char name[] = GUEST_MANAGER_NAME;
    char *const arguments[] = { name, NULL }, *const environment[] = { NULL };
    BootHandover handover = { .secrets = stage->secrets,
                              .mode = get_mode(stage),
                              .is_new_instance = stage->identity.is_new };

    boot_times_mark(&stage->times, BOOT_STEP_ROOT);
    handover.times = stage->times;
    int r = boot_handover_send(&handover, error);
    explicit_bzero(&handover, sizeof(handover));
    explicit_bzero(&stage->secrets, sizeof(stage->secrets));
    if (r < 0)
        return r;
    (void)execve(MANAGER_PATH, arguments, environment);
    return error_set_errno(error, ERROR_FAILED, errno, "cannot execute " MANAGER_PATH);
}

static int boot(FirstStage *stage, Error *error)
{
    stage->failure = GUEST_ERROR_UNKNOWN;
    boot_times_mark(&stage->times, BOOT_STEP_KERNEL);
    int r = set_up(stage, error);
    boot_times_mark(&stage->times, BOOT_STEP_MODULES);
    if (r >= 0)
        r = derive_first_secrets(&stage->secrets, error);
    if (r < 0)
        return r;
    stage->failure = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED;
    r = verify_vbmeta(stage, error);
    boot_times_mark(&stage->times, BOOT_STEP_VBMETA);
    if (r >= 0)
        r = identify_instance(stage, error);
    if (r < 0)
        return r;
    stage->failure = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED;
    boot_times_mark(&stage->times, BOOT_STEP_RECORD);
    r = derive_next_secrets(stage, error);
    boot_times_mark(&stage->times, BOOT_STEP_SECRETS);
    if (r >= 0)
        r = mount_system(stage, error);
    if (r >= 0)
        r = show_programs(error);
    if (r < 0)
        return r;
    boot_times_mark(&stage->times, BOOT_STEP_SYSTEM);
    stage->failure = GUEST_ERROR_UNKNOWN;
    r = switch_root(error);
    return r < 0 ? r : execute_manager(stage, error);
}

/* The host not hearing it cannot be helped: it sees the machine end. */
static void report(const FirstStage *stage, const char *message)
{
    GuestCall call = { .type = GUEST_CALL_ERROR, .error_code = stage->failure };
    Error error = ERROR_INIT;
    GuestLink link;

    (void)snprintf(call.message, sizeof(call.message), "%s", message);
    int r = guest_link_init(&link, &error);
    if (r >= 0)
        r = guest_link_call(&link, &call, &error);
    if (r < 0)
        say(stage, error_get_message(&error));
    error_clear(&error);
}

void first_stage_run(void)
{
    FirstStage stage = { .console_fd = -EBADF };
    Error error = ERROR_INIT;

    (void)boot(&stage, &error); /* comes back only when it has failed */
    explicit_bzero(&stage.secrets, sizeof(stage.secrets));
    say(&stage, error_get_message(&error));
    report(&stage, error_get_message(&error));
    error_clear(&error);
    (void)fd_close(stage.console_fd);
}
