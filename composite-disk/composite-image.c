/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ckd.h"
#include "common/fd.h"
#include "common/text.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/image-format.h"

#define INHERITED_PREFIX "/proc/self/fd/"

/* What a disk has taken so far, with those in it. */
typedef struct Expense {
    size_t n_files;
    uint64_t descriptor_bytes;
} Expense;

/* A file that is being opened, and the composites around it. */
typedef struct Opening {
    const struct Opening *outer; /* NULL for the outermost */
    unsigned depth;
    unsigned flags;
    Expense *expense;
    int directory_fd; /* where relative paths begin */
    dev_t device;
    ino_t inode;
} Opening;

CompositeImage *composite_image_free(CompositeImage *image)
{
    if (!image)
        return NULL;
    for (size_t i = 0; i < image->n_pieces; i++) {
        (void)fd_close(image->pieces[i].fd);
        free(image->pieces[i].path);
    }
    free(image->pieces);
    composite_descriptor_free(image->descriptor);
    free(image);
    return NULL;
}

/* Takes @fd, whether it succeeds or not. */
static int add_piece(CompositeImage *image, const CompositePiece *piece, const char *path, int fd)
{
    _cleanup_close_ int owned = fd;
    char *copy = strdup(path);
    CompositePiece *pieces =
        copy ? reallocarray(image->pieces, image->n_pieces + 1, sizeof(*pieces)) : NULL;

    if (!pieces) {
        free(copy);
        return -ENOMEM;
    }
    image->pieces = pieces;
    pieces[image->n_pieces] = *piece;
    pieces[image->n_pieces].path = copy;
    pieces[image->n_pieces++].fd = take_fd(&owned);
    image->size += piece->size;
    return 0;
}

static int add_raw(CompositeImage *image,
                   const CompositeComponent *component,
                   uint64_t file_size,
                   bool written,
                   int fd,
                   Error *error)
{
    const CompositePiece piece = { .offset = image->size,
                                   .size = component->size,
                                   .file_offset = component->file_offset,
                                   .file_size = file_size,
                                   .writable = component->writable,
                                   .written = written && component->writable };

    return add_piece(image, &piece, component->path, fd) < 0
               ? error_set(error, ERROR_NO_MEMORY, "out of memory")
               : 0;
}

/* --- opening --- */

static int open_inherited(const char *path, bool writable, int *ret_fd)
{
    uint64_t number;

    if (text_parse_u64(path + strlen(INHERITED_PREFIX), INT32_MAX, &number) < 0)
        return -ENOENT;
    /* Our own files are close-on-exec, and no descriptor may name one of them. */
    int flags = fcntl((int)number, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC))
        return -EBADF;
    int mode = fd_get_access_mode((int)number);
    if (mode != O_RDWR && (writable || mode != O_RDONLY))
        return -EACCES;
    *ret_fd = fcntl((int)number, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? -errno : 0;
}

static int lock_file(int fd, bool exclusive, const char *path, Error *error)
{
    if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set(error, ERROR_IMAGE_BUSY, "'%s' is in use by another process", path);
    return errno == ENOLCK || errno == EOPNOTSUPP
               ? 0 /* a file system without locks */
               : error_set_errno(error, ERROR_FAILED, errno, "cannot lock '%s'", path);
}

static int open_file(const Opening *opening,
                     const CompositeComponent *component,
                     ByteSource *ret_source,
                     Error *error)
{
    bool writable = component->writable && (opening->flags & COMPOSITE_IMAGE_WRITABLE);
    const char *path = component->path;
    _cleanup_close_ int fd = -EBADF;
    int r = 0;

    if (strncmp(path, INHERITED_PREFIX, strlen(INHERITED_PREFIX)) == 0) {
        r = open_inherited(path, writable, &fd);
    } else {
        r = byte_source_open_file(opening->directory_fd, path, writable ? O_RDWR : O_RDONLY, &fd);
    }
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot open component '%s'%s", path,
                               writable ? " for writing" : "");
    r = byte_source_from_fd(fd, path, ret_source, error);
    if (r >= 0 && !(opening->flags & COMPOSITE_IMAGE_NO_LOCK))
        r = lock_file(fd, writable, path, error);
    if (r < 0)
        return r;
    (void)take_fd(&fd); /* the source has it */
    return 0;
}

static int check_not_in_itself(const Opening *opening, const char *path, Error *error)
{
    if (opening->depth > COMPOSITE_DEPTH_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "'%s' is a composite disk in more than %d others", path,
                         COMPOSITE_DEPTH_MAX);
    for (const Opening *outer = opening->outer; outer; outer = outer->outer) {
        if (outer->device == opening->device && outer->inode == opening->inode)
            return error_set(error, ERROR_IMAGE_INVALID, "the composite disk '%s' is in itself",
                             path);
    }
    return 0;
}

/* Each is read as often as it is named. */
static int read_descriptor(const Opening *opening,
                           const ByteSource *source,
                           const char *path,
                           CompositeDescriptor **ret_descriptor,
                           Error *error)
{
    uint64_t *bytes = &opening->expense->descriptor_bytes;

    if (source->size > COMPOSITE_DESCRIPTORS_MAX - *bytes)
        return error_set(
            error, ERROR_IMAGE_INVALID,
            "the descriptors of the disk and those in it have more than %d bytes, with "
            "'%s'",
            COMPOSITE_DESCRIPTORS_MAX, path);
    *bytes += source->size;
    return composite_descriptor_read(source, path, ret_descriptor, error);
}

/* Since version 2 relative paths begin at the descriptor's directory. */
static int open_directory(const Opening *outer,
                          const CompositeDescriptor *descriptor,
                          const char *path,
                          int *ret_fd)
{
    const char *slash = strrchr(path, '/');

    if (descriptor->version < COMPOSITE_VERSION) {
        *ret_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return *ret_fd < 0 ? -errno : 0;
    }
    _cleanup_free_ char *directory =
        slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!directory)
        return -ENOMEM;
    *ret_fd = openat(outer->directory_fd, directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

static int add_component(CompositeImage *image,
                         const Opening *opening,
                         const CompositeComponent *component,
                         Error *error);

/* Takes over the pieces of @inner that cover @component; @inner keeps the others. */
static int add_inner(CompositeImage *image,
                     CompositeImage *inner,
                     const CompositeComponent *component,
                     Error *error)
{
    uint64_t begin = component->file_offset, end = begin + component->size;

    if (end > inner->size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the composite disk '%s' has %" PRIu64
                         " bytes, and its place needs %" PRIu64,
                         component->path, inner->size, end);
    for (size_t i = 0; i < inner->n_pieces; i++) {
        CompositePiece *piece = &inner->pieces[i];
        uint64_t piece_end = piece->offset + piece->size;

        if (piece_end <= begin || piece->offset >= end)
            continue;
        uint64_t from = piece->offset > begin ? piece->offset : begin;
        CompositeComponent part = { .path = piece->path,
                                    .file_offset = piece->file_offset + (from - piece->offset),
                                    .size = (piece_end < end ? piece_end : end) - from,
                                    .writable = piece->writable && component->writable };
        int r = add_raw(image, &part, piece->file_size, piece->written, take_fd(&piece->fd), error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Opens the composite that @source is. @whole: the component is all of it, whatever its size. */
static int add_composite(CompositeImage *image,
                         const Opening *outer,
                         const ByteSource *source,
                         const CompositeComponent *component,
                         bool whole,
                         Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *inner = calloc(1, sizeof(*inner));
    _cleanup_close_ int directory_fd = -EBADF;
    Opening opening = {
        .outer = outer, .depth = outer->depth + 1, .flags = outer->flags, .expense = outer->expense
    };
    struct stat status;

    if (!inner)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (fstat(source->fd, &status) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot look at '%s'", component->path);
    if (!whole)
        opening.flags &= ~(unsigned)COMPOSITE_IMAGE_WRITABLE; /* only raw components are written */
    opening.device = status.st_dev;
    opening.inode = status.st_ino;
    int r = check_not_in_itself(&opening, component->path, error);
    if (r >= 0)
        r = read_descriptor(&opening, source, component->path, &inner->descriptor, error);
    if (r < 0)
        return r;
    r = open_directory(outer, inner->descriptor, component->path, &directory_fd);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot open the directory of '%s'",
                               component->path);
    opening.directory_fd = directory_fd;

    for (size_t i = 0; r >= 0 && i < inner->descriptor->n_components; i++)
        r = add_component(inner, &opening, &inner->descriptor->components[i], error);
    if (r < 0)
        return r;
    const CompositeComponent all = { .path = component->path,
                                     .size = inner->size,
                                     .writable = true };
    if (whole)
        image->descriptor = TAKE_PTR(inner->descriptor);
    return add_inner(image, inner, whole ? &all : component, error);
}

static int refuse_format(const CompositeComponent *component, ImageFormat format, Error *error)
{
    if (component->writable)
        return error_set(
            error, ERROR_IMAGE_INVALID,
            "component '%s' is writable and begins like %s: its guest may have written "
            "that, so it is not opened as one",
            component->path, image_format_describe(format));
    return error_set(error, ERROR_IMAGE_INVALID,
                     "component '%s' is %s, which is not read here: make a raw image of it first",
                     component->path, image_format_describe(format));
}

static int add_component(CompositeImage *image,
                         const Opening *opening,
                         const CompositeComponent *component,
                         Error *error)
{
    ByteSource source = { .fd = -EBADF };
    ImageFormat format;

    /* All are counted, shown by the disk or not: each of a thousand components may show one byte of
     * a nested disk that has a thousand of its own, ten deep. */
    if (opening->expense->n_files++ == COMPOSITE_FILES_MAX)
        return error_set(error, ERROR_IMAGE_INVALID, "the disk is made of more than %d files",
                         COMPOSITE_FILES_MAX);
    int r = open_file(opening, component, &source, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = source.fd;
    r = image_format_probe(&source, &format);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read '%s'", component->path);
    if (format == IMAGE_RAW)
        return add_raw(image, component, source.size, opening->flags & COMPOSITE_IMAGE_WRITABLE,
                       take_fd(&fd), error);
    if (format != IMAGE_COMPOSITE || component->writable)
        return refuse_format(component, format, error);
    return add_composite(image, opening, &source, component, false, error);
}

int composite_image_open(const char *path, unsigned flags, CompositeImage **ret_image, Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *image = calloc(1, sizeof(*image));
    Expense expense = { 0 };
    const Opening opening = { .flags = flags, .expense = &expense, .directory_fd = AT_FDCWD };
    ByteSource source = { .fd = -EBADF };
    ImageFormat format;

    if (!image)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = byte_source_open(path, &source, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = source.fd;
    r = image_format_probe(&source, &format);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read '%s'", path);

    CompositeComponent whole = { .path = (char *)(uintptr_t)path, .size = source.size };
    if (format == IMAGE_COMPOSITE) {
        r = add_composite(image, &opening, &source, &whole, true, error);
    } else if (format != IMAGE_RAW) {
        r = refuse_format(&whole, format, error);
    } else {
        /* A raw image is written only where that is what it was opened for. */
        whole.writable = flags & COMPOSITE_IMAGE_WRITABLE;
        fd = fd_close(fd);
        r = open_file(&opening, &whole, &source, error);
        if (r >= 0)
            r = add_raw(image, &whole, source.size, whole.writable, source.fd, error);
    }
    if (r < 0)
        return r;
    *ret_image = TAKE_PTR(image);
    return 0;
}

/* --- reading and writing --- */

const CompositePiece *composite_image_find_piece(const CompositeImage *image, uint64_t offset)
{
    size_t low = 0, high = image->n_pieces;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (image->pieces[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return &image->pieces[low];
}

/* Like composite_image_find_data(), as far as the piece goes. */
static uint64_t find_data_of_piece(const CompositePiece *piece, uint64_t offset)
{
    uint64_t end = piece->offset + piece->size;
    uint64_t file_offset = piece->file_offset + (offset - piece->offset);

    /* The offset of an inherited description is somebody else's, and a file that is too short is
     * for the reader to tell. */
    if (strncmp(piece->path, INHERITED_PREFIX, strlen(INHERITED_PREFIX)) == 0 ||
        piece->file_size < piece->file_offset + piece->size)
        return offset;
    off_t data = lseek(piece->fd, (off_t)file_offset, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? end : offset; /* nothing but holes; or nobody knows */
    uint64_t skipped = (uint64_t)data - file_offset;
    return skipped < end - offset ? offset + skipped : end;
}

uint64_t composite_image_find_data(const CompositeImage *image, uint64_t offset)
{
    while (offset < image->size) {
        const CompositePiece *piece = composite_image_find_piece(image, offset);
        uint64_t data = find_data_of_piece(piece, offset);

        if (data < piece->offset + piece->size)
            return data;
        offset = data;
    }
    return image->size;
}

static int check_range(const CompositeImage *image, uint64_t offset, size_t size, Error *error)
{
    if (offset > image->size || size > image->size - offset)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%zu bytes at %" PRIu64 " are not all on the disk, which has %" PRIu64,
                         size, offset, image->size);
    return 0;
}

/* How much of the range lies in @piece, and where in its file it begins. */
static size_t clip(const CompositePiece *piece, uint64_t offset, size_t size, uint64_t *ret_offset)
{
    uint64_t left = piece->offset + piece->size - offset;

    *ret_offset = piece->file_offset + (offset - piece->offset);
    return size < left ? size : (size_t)left;
}

int composite_image_read(
    const CompositeImage *image, uint64_t offset, void *buffer, size_t size, Error *error)
{
    uint8_t *bytes = buffer;

    int r = check_range(image, offset, size, error);
    while (r >= 0 && size > 0) {
        const CompositePiece *piece = composite_image_find_piece(image, offset);
        const ByteSource source = { .fd = piece->fd, .size = piece->file_size };
        uint64_t file_offset;
        size_t n = clip(piece, offset, size, &file_offset);

        r = byte_source_read(&source, file_offset, bytes, n);
        if (r == -EBADMSG)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "component '%s' ends before its place on the disk does", piece->path);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot read component '%s'",
                                   piece->path);
        bytes += n;
        offset += n;
        size -= n;
    }
    return r;
}

static int write_file(int fd, uint64_t offset, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int composite_image_write(
    const CompositeImage *image, uint64_t offset, const void *buffer, size_t size, Error *error)
{
    const uint8_t *bytes = buffer;

    int r = check_range(image, offset, size, error);
    while (r >= 0 && size > 0) {
        const CompositePiece *piece = composite_image_find_piece(image, offset);
        uint64_t file_offset;
        size_t n = clip(piece, offset, size, &file_offset);

        if (!piece->written)
            return error_set(error, ERROR_ACCESS_DENIED, "component '%s' is not writable",
                             piece->path);
        if (file_offset > piece->file_size || n > piece->file_size - file_offset)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "component '%s' ends before its place on the disk does", piece->path);
        r = write_file(piece->fd, file_offset, bytes, n);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot write component '%s'",
                                   piece->path);
        bytes += n;
        offset += n;
        size -= n;
    }
    return r;
}

int composite_image_flush(const CompositeImage *image, Error *error)
{
    for (size_t i = 0; i < image->n_pieces; i++) {
        const CompositePiece *piece = &image->pieces[i];

        if (piece->written && fdatasync(piece->fd) < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot flush component '%s'",
                                   piece->path);
    }
    return 0;
}

/* --- partitions --- */

int composite_image_read_table(const CompositeImage *image, GptTable *ret_table, Error *error)
{
    uint8_t head[GPT_HEAD_SIZE_MAX];
    size_t size = image->size < sizeof(head) ? (size_t)image->size : sizeof(head);

    int r = composite_image_read(image, 0, head, size, error);
    return r < 0 ? r : gpt_decode(head, size, image->size, ret_table, error);
}

int composite_image_check_backup(const CompositeImage *image, const GptTable *table, Error *error)
{
    uint8_t tail[GPT_TAIL_SIZE];
    size_t size = image->size < sizeof(tail) ? (size_t)image->size : sizeof(tail);

    int r = composite_image_read(image, image->size - size, tail, size, error);
    return r < 0 ? r : gpt_check_backup(table, tail, size, error);
}
