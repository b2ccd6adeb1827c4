/* SPDX-License-Identifier: Apache-2.0 */
/* libcomposite-disk: disks made of partition files, as crosvm, Cuttlefish and Android's
 * Virtualization Framework have them, without a copy of any byte.
 *
 * Every function that can fail returns 0 or a negative errno value. Where it takes @ret_message,
 * which may be NULL, that is set to a sentence for people when it fails, which the caller frees
 * with free(), and to NULL otherwise. Offsets and sizes are bytes. Nothing here is locked: a disk
 * belongs to one thread at a time. The formats are described in composite-disk(1). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* A disk that is open. */
typedef struct CompositeDisk CompositeDisk;

/* A partition that a disk is made of. What is zero or NULL has its default. */
typedef struct CompositeDiskPart {
    const char *label;   /* UTF-8, at most 36 units of UTF-16, unique on the disk */
    const char *file;    /* a regular file or block device */
    bool writable;       /* the file's size is a multiple of 4096 then */
    const char *type;    /* a name as in repart.d(5), or a GUID; "linux-generic" */
    const char *guid;    /* a random one */
    uint64_t attributes; /* bits of the GPT entry */
} CompositeDiskPart;

/* A partition of a disk that is open. */
typedef struct CompositeDiskPartition {
    const char *label; /* lent by the disk */
    uint64_t offset, size;
    uint8_t type[16], guid[16]; /* in the order of their text */
    uint64_t attributes;
} CompositeDiskPartition;

enum {
    COMPOSITE_DISK_REPLACE = 1 << 0,      /* create: a disk that is there */
    COMPOSITE_DISK_SECTORS_4096 = 1 << 1, /* create: the guest's disk has sectors of 4096 bytes */
    COMPOSITE_DISK_VMDK = 1 << 2,         /* create: a descriptor for QEMU in place of crosvm's */
    COMPOSITE_DISK_WRITABLE = 1 << 3,     /* open: for writing where the disk says so */
    COMPOSITE_DISK_NO_LOCK = 1 << 4,      /* open: whoever else uses the files */
};

/* Makes the disk @path, and its other files beside it; no half of it is ever there. */
int composite_disk_create(const char *path,
                          const CompositeDiskPart *parts,
                          size_t n_parts,
                          unsigned flags,
                          char **ret_message);

/* Adds partitions to a disk that composite_disk_create() has made for crosvm. */
int composite_disk_append(const char *path,
                          const CompositeDiskPart *parts,
                          size_t n_parts,
                          char **ret_message);

/* Opens a composite disk, or a raw image. */
int composite_disk_open(const char *path,
                        unsigned flags,
                        CompositeDisk **ret_disk,
                        char **ret_message);

/* NULL is fine. */
void composite_disk_close(CompositeDisk *disk);

uint64_t composite_disk_get_size(const CompositeDisk *disk);

/* How many partitions the disk's GPT has; 0 also for a disk without one. */
size_t composite_disk_get_n_partitions(const CompositeDisk *disk);

/* -ENOENT when there are not so many. */
int composite_disk_get_partition(const CompositeDisk *disk,
                                 size_t index,
                                 CompositeDiskPartition *ret_partition);

/* Each moves all @size bytes or fails; a part may have been written then. */
int composite_disk_read(
    CompositeDisk *disk, uint64_t offset, void *buffer, size_t size, char **ret_message);
int composite_disk_write(
    CompositeDisk *disk, uint64_t offset, const void *buffer, size_t size, char **ret_message);
int composite_disk_flush(CompositeDisk *disk, char **ret_message);

/* --- images of partitions --- */

/* Each takes descriptors, which stay the caller's; their file offsets are neither used nor moved.
 * An input is a regular file or block device open for reading, an output a regular file open for
 * reading and writing. -EBADMSG is for content that is wrong, and the sentence says in which way.
 * They hash on all the processors that the process may use, in threads that are gone when they
 * return. */

/* Makes the file behind @fd a new partition image of @size bytes, rounded up to 4096: of the type
 * "raw", "android-vm-instance" or "encryptedstore". What cannot be done is refused before the file
 * is touched; when a later step fails it is empty. */
int composite_disk_initialize_partition(int fd,
                                        uint64_t size,
                                        const char *type,
                                        char **ret_message);

/* Verifies that the APK is signed with APK Signature Scheme v3, and every byte of its contents.
 * @ret_certificate_sha256, which may be NULL, is the hash of the signer's certificate: who it is
 * trusted to be, the caller decides. */
int composite_disk_verify_apk(int apk_fd, uint8_t ret_certificate_sha256[32], char **ret_message);

/* Makes the file behind @idsig_fd the idsig of the APK, without a signature of its own, unless it
 * is that already. Takes the APK's word for its digest. When it fails the file is as it was, or
 * empty. */
int composite_disk_update_idsig(int apk_fd, int idsig_fd, char **ret_message);

/* Verifies the APK, and all of the idsig against it. */
int composite_disk_verify_idsig(int apk_fd, int idsig_fd, char **ret_message);

/* Verifies the signature of the vbmeta structure (Android Verified Boot 2.0) at the beginning of
 * the file, or behind the image in it where a footer says, with the key in @public_key_path, in PEM
 * or in AVB's form. What the structure tells of images is not looked at. */
int composite_disk_verify_vbmeta(int fd,
                                 const char *public_key_path,
                                 uint64_t *ret_rollback_index,
                                 char **ret_message);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
