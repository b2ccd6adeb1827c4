/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/encrypted-storage.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/hkdf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "common/random.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/partition-image.h"
#include "guest/payload.h"

#define MAGIC       "ENCRYPTED-STORAGE1"
#define MAGIC_SIZE  32 /* of the field */
#define DEVICE_NAME "encryptedstore"
#define FILE_SYSTEM "ext4"
#define FORMATTER   "/sbin/mke2fs"
#define FAILURE     "Unable to prepare encrypted storage: "

#define KEY_INFO   "virtualizationd encrypted storage key"
#define CHECK_INFO "virtualizationd encrypted storage check"

/* What dm-crypt maps begins where the header's block ends. */
#define DATA_OFFSET_SECTORS (DEVICE_MAPPER_BLOCK_SIZE / DEVICE_MAPPER_SECTOR)

#define EXIT_NO_PROGRAM 127

#define STRINGIFY(number) STRINGIFY_(number)
#define STRINGIFY_(text)  #text

typedef struct Storage {
    const char *path; /* of the partition */
    int fd;
    uint64_t n_data_sectors;
    EncryptedStorageHeader header;
    EncryptedStorageKeys keys;
    bool is_new;
} Storage;

static void storage_deinit(Storage *storage)
{
    storage->fd = fd_close(storage->fd);
    explicit_bzero(&storage->keys, sizeof(storage->keys));
}

/* --- the header --- */

int encrypted_storage_decode(const uint8_t bytes[static ENCRYPTED_STORAGE_HEADER_SIZE],
                             EncryptedStorageHeader *ret_header)
{
    static const uint8_t magic[MAGIC_SIZE] = MAGIC;
    ByteReader reader = byte_reader(bytes, ENCRYPTED_STORAGE_HEADER_SIZE);
    uint8_t new_header[PARTITION_IMAGE_HEADER_MAX];
    EncryptedStorageHeader header;
    const uint8_t *field;

    size_t size = partition_image_make_header(PARTITION_ENCRYPTEDSTORE, new_header);
    if (memcmp(bytes, new_header, size) == 0)
        return 0;
    if (byte_reader_get_view(&reader, sizeof(magic), &field) < 0 ||
        memcmp(field, magic, sizeof(magic)) != 0 ||
        byte_reader_get_bytes(&reader, header.salt, sizeof(header.salt)) < 0 ||
        byte_reader_get_bytes(&reader, header.check, sizeof(header.check)) < 0)
        return -EBADMSG;
    for (size_t i = 0; i < reader.size; i++) {
        if (reader.data[i] != 0)
            return -EBADMSG;
    }
    *ret_header = header;
    return 1;
}

void encrypted_storage_encode(const EncryptedStorageHeader *header,
                              uint8_t ret_bytes[static ENCRYPTED_STORAGE_HEADER_SIZE])
{
    static const uint8_t magic[MAGIC_SIZE] = MAGIC;
    ByteWriter writer = byte_writer(ret_bytes, ENCRYPTED_STORAGE_HEADER_SIZE);

    byte_writer_put_bytes(&writer, magic, sizeof(magic));
    byte_writer_put_bytes(&writer, header->salt, sizeof(header->salt));
    byte_writer_put_bytes(&writer, header->check, sizeof(header->check));
    byte_writer_put_zeros(&writer, writer.capacity - writer.size);
}

static int derive(
    const uint8_t *key, const uint8_t *salt, const char *info, uint8_t *ret_bytes, size_t size)
{
    return mbedtls_hkdf(mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), salt,
                        ENCRYPTED_STORAGE_SALT_SIZE, key, ENCRYPTED_STORAGE_KEY_SIZE,
                        (const uint8_t *)info, strlen(info), ret_bytes, size) == 0
               ? 0
               : -EIO;
}

int encrypted_storage_derive(const uint8_t key[static ENCRYPTED_STORAGE_KEY_SIZE],
                             const uint8_t salt[static ENCRYPTED_STORAGE_SALT_SIZE],
                             EncryptedStorageKeys *ret_keys)
{
    int r = derive(key, salt, KEY_INFO, ret_keys->crypt, sizeof(ret_keys->crypt));

    return r < 0 ? r : derive(key, salt, CHECK_INFO, ret_keys->check, sizeof(ret_keys->check));
}

/* --- opening --- */

static int read_header(Storage *storage, Error *error)
{
    uint8_t bytes[ENCRYPTED_STORAGE_HEADER_SIZE];
    ByteSource partition;

    int r = byte_source_open_file(AT_FDCWD, storage->path, O_RDWR, &storage->fd);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, FAILURE "cannot open '%s'",
                               storage->path);
    r = byte_source_from_fd(storage->fd, storage->path, &partition, error);
    if (r < 0)
        return r;
    if (partition.size < 2 * DEVICE_MAPPER_BLOCK_SIZE)
        return error_set(error, ERROR_IMAGE_INVALID, FAILURE "the partition is too small");
    r = byte_source_read(&partition, 0, bytes, sizeof(bytes));
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, FAILURE "cannot read '%s'", storage->path);
    /* Whole blocks, without the one of the header. */
    storage->n_data_sectors = (partition.size / DEVICE_MAPPER_BLOCK_SIZE - 1) * DATA_OFFSET_SECTORS;

    r = encrypted_storage_decode(bytes, &storage->header);
    if (r < 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         FAILURE "the partition is neither new nor one that was formatted here");
    storage->is_new = r == 0;
    return 0;
}

static int take_keys(Storage *storage, const uint8_t *key, Error *error)
{
    EncryptedStorageHeader *header = &storage->header;

    if (storage->is_new) {
        int r = random_fill(header->salt, sizeof(header->salt));
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, FAILURE "no random bytes");
    }
    int r = encrypted_storage_derive(key, header->salt, &storage->keys);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, FAILURE "cannot derive its keys");
    if (storage->is_new)
        memcpy(header->check, storage->keys.check, sizeof(header->check));
    else if (mbedtls_ct_memcmp(header->check, storage->keys.check, sizeof(header->check)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID, FAILURE "it belongs to another instance");
    return 0;
}

static int map(const Storage *storage, char path[static DEVICE_PATH_SIZE], Error *error)
{
    const CryptTable table = { .device = storage->path,
                               .offset_sectors = DATA_OFFSET_SECTORS,
                               .n_sectors = storage->n_data_sectors,
                               .key = storage->keys.crypt,
                               .key_size = sizeof(storage->keys.crypt) };

    return device_mapper_open_crypt(DEVICE_NAME, &table, path, error);
}

/* --- formatting --- */

/* The child's part. Returns only when something fails. */
static void become(char *const *arguments)
{
    char *const environment[] = { NULL };
    sigset_t no_signals;

    (void)sigemptyset(&no_signals);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        sigprocmask(SIG_SETMASK, &no_signals, NULL) < 0)
        return;
    fd_close_all_but(NULL, 0, -EBADF);
    (void)execve(arguments[0], arguments, environment);
}

static int run(char *const *arguments, Error *error)
{
    int status;

    pid_t pid = fork();
    if (pid < 0)
        return error_set_errno(error, ERROR_FAILED, errno, FAILURE "cannot fork");
    if (pid == 0) {
        become(arguments);
        _exit(EXIT_NO_PROGRAM);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_set_errno(error, ERROR_FAILED, errno, FAILURE "cannot wait");
    }
    if (WIFSIGNALED(status))
        return error_set(error, ERROR_FAILED, FAILURE "%s was killed by signal %d", arguments[0],
                         WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return error_set(error, ERROR_FAILED, FAILURE "%s ended with status %d", arguments[0],
                         WEXITSTATUS(status));
    return 0;
}

/* Without a configuration file mke2fs has defaults of its own, of which what matters is said. Its
 * -F is for a partition where by chance something is deciphered to what looks like data. Nothing is
 * reserved for root: all of it is the payload's. */
static int make_file_system(char *path, Error *error)
{
    char program[] = FORMATTER, quiet[] = "-qF", type[] = "-t" FILE_SYSTEM;
    char features[] = "-Ometadata_csum,extents,64bit", reserved[] = "-m0",
         errors[] = "-eremount-ro";
    char block_size[] = "-b" STRINGIFY(DEVICE_MAPPER_BLOCK_SIZE);
    char extended[] = "-Enodiscard,root_owner=" STRINGIFY(PAYLOAD_UID) ":" STRINGIFY(PAYLOAD_UID);
    char *const arguments[] = { program, quiet,      type,     features, reserved,
                                errors,  block_size, extended, path,     NULL };

    int r = run(arguments, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, FAILURE "cannot write it out");
    return 0;
}

/* In one sector, which a disk writes whole or not at all, after all else is on the disk. Its page
 * is the header's alone, so that writing it does not write what dm-crypt has under it. */
static int write_header(const Storage *storage, Error *error)
{
    uint8_t bytes[ENCRYPTED_STORAGE_HEADER_SIZE];

    encrypted_storage_encode(&storage->header, bytes);
    int r = fd_pwrite_all(storage->fd, bytes, sizeof(bytes), 0);
    if (r >= 0 && fsync(storage->fd) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, FAILURE "cannot write its header") : 0;
}

static int format(const Storage *storage, char *path, Error *error)
{
    int r = make_file_system(path, error);

    return r < 0 ? r : write_header(storage, error);
}

/* --- mounting --- */

static int mount_device(const char *path, Error *error)
{
    if (mount(path, ENCRYPTED_STORAGE_MOUNT_POINT, FILE_SYSTEM, MS_NOSUID | MS_NODEV | MS_NOEXEC,
              NULL) < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, errno, FAILURE "cannot mount it");
    return 0;
}

static int open_and_mount(const Storage *storage, Error *error)
{
    char path[DEVICE_PATH_SIZE];

    int r = map(storage, path, error);
    if (r < 0)
        return r;
    if (storage->is_new)
        r = format(storage, path, error);
    if (r >= 0)
        r = mount_device(path, error);
    if (r < 0)
        (void)device_mapper_remove(DEVICE_NAME, NULL); /* the first cause counts */
    return r;
}

int encrypted_storage_mount(const char *device,
                            const uint8_t key[static ENCRYPTED_STORAGE_KEY_SIZE],
                            bool *ret_formatted,
                            Error *error)
{
    _cleanup_(storage_deinit) Storage storage = { .path = device, .fd = -EBADF };

    int r = read_header(&storage, error);
    if (r >= 0)
        r = take_keys(&storage, key, error);
    if (r >= 0)
        r = open_and_mount(&storage, error);
    if (r < 0)
        return r;
    *ret_formatted = storage.is_new;
    return 0;
}

int encrypted_storage_sync(Error *error)
{
    _cleanup_close_ int fd =
        open(ENCRYPTED_STORAGE_MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot sync %s",
                               ENCRYPTED_STORAGE_MOUNT_POINT);
    return 0;
}

int encrypted_storage_unmount(Error *error)
{
    if (umount2(ENCRYPTED_STORAGE_MOUNT_POINT, UMOUNT_NOFOLLOW) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot unmount %s",
                               ENCRYPTED_STORAGE_MOUNT_POINT);
    return device_mapper_remove(DEVICE_NAME, error);
}
