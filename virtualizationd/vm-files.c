/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/fd.h"
#include "common/random.h"

VmFile *vm_files_find(const VmFiles *files, const char *key)
{
    for (size_t i = 0; i < files->n_files; i++) {
        if (strcmp(files->files[i].key, key) == 0)
            return &files->files[i];
    }
    return NULL;
}

/* Whether the key is one of the host's own files, in the VM of an app. */
static bool is_hosts_key(const char *key)
{
    return strncmp(key, VM_APP_HOST_PREFIX, strlen(VM_APP_HOST_PREFIX)) == 0;
}

static int add(
    VmFiles *files, const char *key, VmFileUse use, bool writable, bool optional, Error *error)
{
    const VmFile *same = key ? vm_files_find(files, key) : NULL;

    if (same && same->optional)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the file name '%s' is reserved: call it './%s', for example", key, key);

    if (!key)
        return 0;
    if (same && (same->use != use || same->writable || writable))
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the file '%s' is used twice, and not for reading only", key);
    if (same)
        return 0;

    VmFile *grown = reallocarray(files->files, files->n_files + 1, sizeof(VmFile));
    if (!grown)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    files->files = grown;
    VmFile *file = &files->files[files->n_files];
    *file = (VmFile){ .use = use, .writable = writable, .optional = optional, .fd = -EBADF };
    file->key = strdup(key);
    if (!file->key)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    files->n_files++;
    return 0;
}

static int add_disk(VmFiles *files, const VmConfigDisk *disk, Error *error)
{
    int r = add(files, disk->image, VM_FILE_DISK, disk->writable, false, error);

    for (size_t i = 0; r >= 0 && i < disk->n_partitions; i++)
        r = add(files, disk->partitions[i].path, VM_FILE_DISK, disk->writable, false, error);
    return r;
}

int vm_files_init(VmFiles *files, const VmConfig *config, Error *error)
{
    static const struct {
        const char *key;
        VmFileUse use;
    } reserved[] = {
        { VM_FILE_CONSOLE_OUT, VM_FILE_OUTPUT },
        { VM_FILE_CONSOLE_IN, VM_FILE_INPUT },
        { VM_FILE_LOG, VM_FILE_OUTPUT },
        { VM_FILE_PAYLOAD_OUT, VM_FILE_OUTPUT },
    };
    int r = 0;

    *files = (VmFiles){ 0 };
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(reserved); i++)
        r = add(files, reserved[i].key, reserved[i].use, false, true, error);
    if (r >= 0)
        r = add(files, config->kernel, VM_FILE_BOOT, false, false, error);
    if (r >= 0)
        r = add(files, config->initrd, VM_FILE_BOOT, false, false, error);
    if (r >= 0)
        r = add(files, config->bootloader, VM_FILE_BOOT, false, false, error);
    for (size_t i = 0; r >= 0 && i < config->n_disks; i++)
        r = add_disk(files, &config->disks[i], error);
    if (r < 0) {
        vm_files_deinit(files);
        return r;
    }
    for (size_t i = 0; config->app && i < files->n_files; i++)
        files->files[i].is_hosts = is_hosts_key(files->files[i].key);
    return 0;
}

void vm_files_deinit(VmFiles *files)
{
    for (size_t i = 0; i < files->n_files; i++) {
        (void)fd_close(files->files[i].fd);
        free(files->files[i].key);
    }
    free(files->files);
    *files = (VmFiles){ 0 };
}

static const char *kind_to_string(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a regular file";
    case S_IFDIR:
        return "a directory";
    case S_IFBLK:
        return "a block device";
    case S_IFCHR:
        return "a character device";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "of an unknown kind";
    }
}

static bool kind_fits(VmFileUse use, mode_t mode)
{
    switch (use) {
    case VM_FILE_BOOT:
        return S_ISREG(mode);
    case VM_FILE_DISK:
        return S_ISREG(mode) || S_ISBLK(mode);
    case VM_FILE_OUTPUT:
        return S_ISREG(mode) || S_ISCHR(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
    case VM_FILE_INPUT:
        return S_ISCHR(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
    }
    return false;
}

static bool access_fits(const VmFile *file, int access)
{
    if (file->use == VM_FILE_DISK && file->writable)
        return access == O_RDWR;
    if (file->use == VM_FILE_OUTPUT)
        return access == O_WRONLY || access == O_RDWR;
    return access == O_RDONLY || access == O_RDWR;
}

static int check_file(const VmFile *file, int fd, struct stat *ret_status, Error *error)
{
    static const char *const wanted_kinds[] = {
        [VM_FILE_BOOT] = "a regular file",
        [VM_FILE_DISK] = "a regular file or a block device",
        [VM_FILE_OUTPUT] = "a file, pipe, socket or terminal",
        [VM_FILE_INPUT] = "a pipe, socket or terminal",
    };

    if (fstat(fd, ret_status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "the file '%s'", file->key);
    if (!kind_fits(file->use, ret_status->st_mode))
        return error_set(error, ERROR_INVALID_FILE, "the file '%s' is %s, not %s", file->key,
                         kind_to_string(ret_status->st_mode), wanted_kinds[file->use]);
    if (!access_fits(file, fd_get_access_mode(fd)))
        return error_set(error, ERROR_INVALID_FILE, "the file '%s' is not open for %s", file->key,
                         file->use == VM_FILE_OUTPUT ? "writing"
                         : file->writable            ? "reading and writing"
                                                     : "reading");
    if (file->use == VM_FILE_DISK && file->writable && (fcntl(fd, F_GETFL) & O_APPEND))
        return error_set(error, ERROR_INVALID_FILE,
                         "the file '%s' is open for appending: all that the guest writes would go "
                         "to its end",
                         file->key);
    return 0;
}

static int take(VmFile *file, int fd, Error *error)
{
    _cleanup_close_ int owned = fd;

    int r = check_file(file, owned, &file->status, error);
    if (r < 0)
        return r;

    file->fd = take_fd(&owned);
    file->is_there = true;
    return 0;
}

int vm_files_take(VmFiles *files, const char *key, int fd, Error *error)
{
    _cleanup_close_ int owned = fd;
    VmFile *file = vm_files_find(files, key);

    if (!file || file->is_hosts)
        return error_set(error, ERROR_INVALID_FILE,
                         "the configuration names no file '%s': leave it out", key);
    if (file->is_there)
        return error_set(error, ERROR_INVALID_FILE, "the file '%s' is there already", key);
    return take(file, take_fd(&owned), error);
}

int vm_files_bring(VmFiles *files, const char *key, int fd, Error *error)
{
    VmFile *file = vm_files_find(files, key);

    assert(file && file->is_hosts && !file->is_there);
    return take(file, fd, error);
}

int vm_files_note(VmFiles *files, const char *key, const struct stat *status, Error *error)
{
    VmFile *file = vm_files_find(files, key);

    /* The system of an app is not looked at again: its disk is known by the record only. */
    if (!file && is_hosts_key(key)) {
        int r = add(files, key, VM_FILE_DISK, false, false, error);
        if (r < 0)
            return r;
        file = vm_files_find(files, key);
        file->is_hosts = true;
    }
    if (!file || file->use != VM_FILE_DISK)
        return error_set(error, ERROR_INVALID_FILE, "the configuration names no image '%s'", key);
    file->status = *status;
    file->is_there = true;
    return 0;
}

void vm_files_close(VmFiles *files)
{
    for (size_t i = 0; i < files->n_files; i++)
        files->files[i].fd = fd_close(files->files[i].fd);
}

void vm_files_drop(VmFiles *files, const char *key)
{
    VmFile *file = vm_files_find(files, key);

    if (!file)
        return;
    file->fd = fd_close(file->fd);
    file->is_there = false;
}

const char *vm_files_find_missing(const VmFiles *files)
{
    for (size_t i = 0; i < files->n_files; i++) {
        if (!files->files[i].is_there && !files->files[i].optional)
            return files->files[i].key;
    }
    return NULL;
}

static bool is_same_image(const VmFile *a, const VmFile *b)
{
    if (S_ISBLK(a->status.st_mode) && S_ISBLK(b->status.st_mode))
        return a->status.st_rdev == b->status.st_rdev;
    return a->status.st_dev == b->status.st_dev && a->status.st_ino == b->status.st_ino;
}

bool vm_files_use_image(const VmFiles *files, const struct stat *status)
{
    for (size_t i = 0; i < files->n_files; i++) {
        const VmFile *file = &files->files[i];

        if (file->use == VM_FILE_DISK && file->is_there && file->status.st_dev == status->st_dev &&
            file->status.st_ino == status->st_ino)
            return true;
    }
    return false;
}

const VmFile *vm_files_find_conflict(const VmFiles *files, const VmFiles *other)
{
    for (size_t i = 0; i < files->n_files; i++) {
        const VmFile *file = &files->files[i];

        if (!file->is_there || file->use != VM_FILE_DISK)
            continue;
        for (size_t j = 0; j < other->n_files; j++) {
            const VmFile *holder = &other->files[j];

            if (holder != file && holder->is_there && holder->use == VM_FILE_DISK &&
                (file->writable || holder->writable) && is_same_image(file, holder))
                return file;
        }
    }
    return NULL;
}

static int get_image_size(const VmFile *file, uint64_t *ret_size, Error *error)
{
    *ret_size = (uint64_t)file->status.st_size;
    if (S_ISBLK(file->status.st_mode) && ioctl(file->fd, BLKGETSIZE64, ret_size) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno,
                               "cannot tell the size of the block device '%s'", file->key);
    return 0;
}

int vm_files_lay_out(const VmFiles *files,
                     const VmConfigDisk *disk,
                     CompositeLayout **ret_layout,
                     Error *error)
{
    CompositePartition partitions[GPT_PARTITIONS_MAX] = { 0 };
    uint8_t random[(GPT_PARTITIONS_MAX + 1) * GUID_SIZE];

    for (size_t i = 0; i < disk->n_partitions; i++) {
        const VmConfigPartition *partition = &disk->partitions[i];

        partitions[i].label = partition->label;
        partitions[i].writable = disk->writable;
        int r = get_image_size(vm_files_find(files, partition->path), &partitions[i].size, error);
        if (r < 0)
            return r;
    }
    int r = random_fill(random, (disk->n_partitions + 1) * GUID_SIZE);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "no random numbers");
    r = composite_layout_new(partitions, disk->n_partitions, GPT_SECTOR_SIZE, random, ret_layout,
                             error);
    if (r >= 0)
        composite_layout_round_to_sectors(*ret_layout); /* VMMs take whole sectors */
    return r;
}

static int check_image(const VmFiles *files, const VmConfigDisk *disk, Error *error)
{
    const VmFile *file = vm_files_find(files, disk->image);
    uint64_t size;

    int r = get_image_size(file, &size, error);
    if (r < 0)
        return r;
    if (size == 0)
        return error_set(error, ERROR_INVALID_FILE, "the disk image '%s' is empty", file->key);
    if (disk->writable && size % GPT_SECTOR_SIZE != 0)
        return error_set(error, ERROR_INVALID_FILE,
                         "the writable disk image '%s' is not made of whole sectors of %d bytes",
                         file->key, GPT_SECTOR_SIZE);
    return 0;
}

int vm_files_check_disks(const VmFiles *files, const VmConfig *config, Error *error)
{
    for (size_t i = 0; i < config->n_disks; i++) {
        const VmConfigDisk *disk = &config->disks[i];
        _cleanup_(composite_layout_freep) CompositeLayout *layout = NULL;

        int r = disk->image ? check_image(files, disk, error)
                            : vm_files_lay_out(files, disk, &layout, error);
        if (r < 0)
            return r;
    }
    return 0;
}
