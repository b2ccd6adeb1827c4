/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/device-mapper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/ckd.h"
#include "common/fd.h"
#include "common/text.h"

#define CONTROL_PATH      "/dev/" DM_DIR "/" DM_CONTROL_NODE
#define SECTORS_PER_BLOCK (DEVICE_MAPPER_BLOCK_SIZE / DEVICE_MAPPER_SECTOR)

/* The oldest minor version that will do: the kernel refuses callers newer than itself. */
#define INTERFACE_MINOR 0

/* What goes to the kernel and comes back: the header, one target, its table or status. */
typedef struct Request {
    struct dm_ioctl header;
    struct dm_target_spec target;
    char text[DEVICE_MAPPER_TABLE_SIZE];
} Request;

_Static_assert(offsetof(Request, target) == sizeof(struct dm_ioctl) &&
                   offsetof(Request, text) ==
                       sizeof(struct dm_ioctl) + sizeof(struct dm_target_spec),
               "the kernel wants no gaps");

/* One of the calls that only name a device. */
typedef struct Call {
    unsigned long number;
    const char *verb;
} Call;

static const Call CREATE = { DM_DEV_CREATE, "make" };
static const Call REMOVE = { DM_DEV_REMOVE, "remove" };
static const Call RESUME = { DM_DEV_SUSPEND, "resume" }; /* as it is without DM_SUSPEND_FLAG */
static const Call STATUS = { DM_TABLE_STATUS, "ask about" };

typedef struct Target {
    const char *type;
    uint64_t n_sectors;
    uint32_t flags;
    char text[DEVICE_MAPPER_TABLE_SIZE];
} Target;

/* The kernel splits a table at spaces and takes a backslash for an escape. */
static bool is_one_word(const char *path)
{
    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == '\\' || *c == 0x7f)
            return false;
    }
    return *path;
}

/* The sectors of @n_blocks, of which there is at least one. */
static int blocks_to_sectors(uint64_t n_blocks, uint64_t *ret_n_sectors)
{
    uint64_t n_bytes;

    /* The kernel has sizes in bytes of signed 64 bits. */
    if (n_blocks == 0 || ckd_mul(&n_bytes, n_blocks, (uint64_t)DEVICE_MAPPER_BLOCK_SIZE) ||
        n_bytes > INT64_MAX)
        return -EINVAL;
    *ret_n_sectors = n_bytes / DEVICE_MAPPER_SECTOR;
    return 0;
}

int device_mapper_format_verity(const VerityTable *table,
                                char text[static DEVICE_MAPPER_TABLE_SIZE])
{
    char salt[2 * VERITY_SALT_MAX + 1] = "-", root[2 * VERITY_HASH_SIZE + 1];
    uint64_t n_sectors;

    int r = blocks_to_sectors(table->n_data_blocks, &n_sectors);
    if (r < 0)
        return r;
    if (table->salt_size > VERITY_SALT_MAX || !is_one_word(table->data_device) ||
        !is_one_word(table->hash_device))
        return -EINVAL;

    text_hex(table->root, sizeof(table->root), root);
    if (table->salt_size > 0)
        text_hex(table->salt, table->salt_size, salt);
    int size = snprintf(text, DEVICE_MAPPER_TABLE_SIZE,
                        "1 %s %s %d %d %" PRIu64 " %" PRIu64 " sha256 %s %s%s", table->data_device,
                        table->hash_device, DEVICE_MAPPER_BLOCK_SIZE, DEVICE_MAPPER_BLOCK_SIZE,
                        table->n_data_blocks, table->hash_start_block, root, salt,
                        table->panic_on_corruption ? " 1 panic_on_corruption" : "");
    return size < 0 || size >= DEVICE_MAPPER_TABLE_SIZE ? -ENAMETOOLONG : 0;
}

int device_mapper_format_crypt(const CryptTable *table, char text[static DEVICE_MAPPER_TABLE_SIZE])
{
    char key[2 * CRYPT_KEY_MAX + 1];
    uint64_t end;

    if ((table->key_size != CRYPT_KEY_MAX / 2 && table->key_size != CRYPT_KEY_MAX) ||
        table->n_sectors == 0 || table->n_sectors % SECTORS_PER_BLOCK != 0 ||
        table->offset_sectors % SECTORS_PER_BLOCK != 0 ||
        ckd_add(&end, table->offset_sectors, table->n_sectors) ||
        end > INT64_MAX / DEVICE_MAPPER_SECTOR || !is_one_word(table->device))
        return -EINVAL;

    text_hex(table->key, table->key_size, key);
    int size = snprintf(text, DEVICE_MAPPER_TABLE_SIZE,
                        "aes-xts-plain64 %s 0 %s %" PRIu64 " 2 sector_size:%d iv_large_sectors",
                        key, table->device, table->offset_sectors, DEVICE_MAPPER_BLOCK_SIZE);
    explicit_bzero(key, sizeof(key));
    if (size >= 0 && size < DEVICE_MAPPER_TABLE_SIZE)
        return 0;
    explicit_bzero(text, DEVICE_MAPPER_TABLE_SIZE);
    return -ENAMETOOLONG;
}

/* For calls about @name. */
static int control_open(const char *name, int *ret_fd, Error *error)
{
    size_t size = strlen(name);

    if (size == 0 || size > DEVICE_MAPPER_NAME_MAX || strchr(name, '/'))
        return error_set(error, ERROR_INVALID_ARGUMENT, "no device can be named '%.*s'",
                         DEVICE_MAPPER_NAME_MAX, name);
    int fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", CONTROL_PATH);
    *ret_fd = fd;
    return 0;
}

static void request_init(Request *request, const char *name, uint32_t flags)
{
    *request = (Request){ .header = { .version = { DM_VERSION_MAJOR, INTERFACE_MINOR, 0 },
                                      .data_size = sizeof(*request),
                                      .data_start = sizeof(request->header),
                                      .flags = flags } };
    (void)snprintf(request->header.name, sizeof(request->header.name), "%s", name);
}

/* @ret_request, unless NULL, is what came back. */
static int device_call(
    int control_fd, const Call *call, const char *name, Request *ret_request, Error *error)
{
    Request request;

    request_init(&request, name, 0);
    if (ioctl(control_fd, call->number, &request) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "device mapper: cannot %s '%s'",
                               call->verb, name);
    if (ret_request)
        *ret_request = request;
    return 0;
}

static int table_load(int control_fd, const char *name, const Target *target, Error *error)
{
    Request request;
    int r = 0;

    request_init(&request, name, target->flags);
    request.header.target_count = 1;
    request.target = (struct dm_target_spec){ .sector_start = 0, .length = target->n_sectors };
    (void)snprintf(request.target.target_type, sizeof(request.target.target_type), "%s",
                   target->type);
    memcpy(request.text, target->text, sizeof(request.text));

    if (ioctl(control_fd, DM_TABLE_LOAD, &request) < 0)
        r = error_set_errno(error, ERROR_FAILED, errno,
                            "device mapper: the %s table of '%s' is refused", target->type, name);
    explicit_bzero(&request, sizeof(request));
    return r;
}

static int target_open(const char *name,
                       const Target *target,
                       char path[static DEVICE_PATH_SIZE],
                       Error *error)
{
    _cleanup_close_ int control_fd = -EBADF;
    Request created;

    int r = control_open(name, &control_fd, error);
    if (r < 0)
        return r;
    r = device_call(control_fd, &CREATE, name, &created, error);
    if (r < 0)
        return r;

    r = table_load(control_fd, name, target, error);
    if (r >= 0) /* which makes the table live */
        r = device_call(control_fd, &RESUME, name, NULL, error);
    if (r < 0) {
        (void)device_call(control_fd, &REMOVE, name, NULL, NULL); /* the first cause counts */
        return r;
    }

    /* The number is in the kernel's form for 32 bits: minor 19-8, major 11-0, minor 7-0. */
    uint64_t device = created.header.dev;
    (void)snprintf(path, DEVICE_PATH_SIZE, "/dev/dm-%" PRIu64,
                   (device & 0xff) | ((device >> 12) & 0xfff00));
    return 0;
}

int device_mapper_open_verity(const char *name,
                              const VerityTable *table,
                              char path[static DEVICE_PATH_SIZE],
                              Error *error)
{
    Target target = { .type = "verity", .flags = DM_READONLY_FLAG };

    int r = device_mapper_format_verity(table, target.text);
    if (r >= 0)
        r = blocks_to_sectors(table->n_data_blocks, &target.n_sectors);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_ARGUMENT, r, "no verity table for '%s'", name);
    return target_open(name, &target, path, error);
}

int device_mapper_open_crypt(const char *name,
                             const CryptTable *table,
                             char path[static DEVICE_PATH_SIZE],
                             Error *error)
{
    /* With that flag the kernel wipes its copy of the request, too. */
    Target target = { .type = "crypt",
                      .n_sectors = table->n_sectors,
                      .flags = DM_SECURE_DATA_FLAG };

    int r = device_mapper_format_crypt(table, target.text);
    if (r < 0)
        r = error_set_errno(error, ERROR_INVALID_ARGUMENT, r, "no crypt table for '%s'", name);
    else
        r = target_open(name, &target, path, error);
    explicit_bzero(&target, sizeof(target));
    return r;
}

int device_mapper_remove(const char *name, Error *error)
{
    _cleanup_close_ int control_fd = -EBADF;

    int r = control_open(name, &control_fd, error);
    return r < 0 ? r : device_call(control_fd, &REMOVE, name, NULL, error);
}

int device_mapper_is_corrupted(const char *name, bool *ret_is_corrupted, Error *error)
{
    _cleanup_close_ int control_fd = -EBADF;
    Request status;

    int r = control_open(name, &control_fd, error);
    if (r < 0)
        return r;
    r = device_call(control_fd, &STATUS, name, &status, error);
    if (r < 0)
        return r;
    if (status.header.target_count != 1 ||
        strncmp(status.target.target_type, "verity", sizeof(status.target.target_type)) != 0 ||
        (status.text[0] != 'V' && status.text[0] != 'C'))
        return error_set(error, ERROR_FAILED, "'%s' is no verity device", name);

    *ret_is_corrupted = status.text[0] == 'C';
    return 0;
}
