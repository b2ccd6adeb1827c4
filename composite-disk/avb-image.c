/* SPDX-License-Identifier: Apache-2.0 */
/* All is worked out, and a structure of the final size made and signed, before the file is touched:
 * what a key or a name is refused for does not depend on the data. */
#include "composite-disk/avb-image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/merkle-builder.h"

typedef struct Work {
    int fd;
    const AvbImageOptions *options;
    uint64_t file_size; /* before */
    AvbImage image;
} Work;

static bool round_up(uint64_t size, uint64_t *ret_size)
{
    uint64_t rounded;

    if (ckd_add(&rounded, size, AVB_IMAGE_ALIGNMENT - 1))
        return true;
    *ret_size = rounded - rounded % AVB_IMAGE_ALIGNMENT;
    return false;
}

/* --- before the file is touched --- */

static int check_file(Work *work, const char *name, Error *error)
{
    AvbFooter footer;
    ByteSource source;
    struct stat status;

    int r = byte_source_from_fd(work->fd, name, &source, error);
    if (r < 0)
        return r;
    if (fd_get_access_mode(work->fd) != O_RDWR || fstat(work->fd, &status) < 0 ||
        !S_ISREG(status.st_mode))
        return error_set(error, ERROR_INVALID_FILE,
                         "'%s' is no regular file that is open for reading and writing", name);
    if (source.size == 0)
        return error_set(error, ERROR_INVALID_FILE, "'%s' is empty", name);
    r = avb_footer_read(&source, &footer, error);
    if (r > 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "'%s' has an AVB footer already, behind an image of %" PRIu64 " bytes",
                         name, footer.image_size);
    work->file_size = source.size;
    return r;
}

static int place_tree(Work *work, Error *error)
{
    AvbHashtree *tree = &work->image.tree;
    MerkleGeometry geometry = { 0 };

    *tree = (AvbHashtree){
        .dm_verity_version = 1,
        .data_block_size = MERKLE_BLOCK_SIZE,
        .hash_block_size = MERKLE_BLOCK_SIZE,
        .algorithm = "sha256",
        .name = avb_bytes_from_string(work->options->name),
        .salt = work->options->salt,
        .digest = { work->image.root, MERKLE_HASH_SIZE },
    };
    if (round_up(work->file_size, &tree->image_size) ||
        merkle_geometry_init(&geometry, tree->image_size) < 0)
        return error_set(error, ERROR_INVALID_FILE, "an image of %" PRIu64 " bytes is too large",
                         work->file_size);
    tree->tree_offset = tree->image_size;
    tree->tree_size = geometry.tree_size;
    return 0;
}

/* The structure with what the tree's descriptor says now. */
static int make_vbmeta(const Work *work, uint8_t **ret_data, size_t *ret_size, Error *error)
{
    VbmetaContents contents = *work->options->contents;
    const AvbDescriptor descriptor = { .tag = AVB_HASHTREE, .hashtree = work->image.tree };
    _cleanup_free_ uint8_t *bytes = malloc(VBMETA_SIZE_MAX);

    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    ByteWriter writer = byte_writer(bytes, VBMETA_SIZE_MAX);
    int r = avb_descriptor_encode(&descriptor, &writer, error);
    if (r < 0)
        return r;
    byte_writer_put_bytes(&writer, contents.descriptors.data, contents.descriptors.size);
    if (byte_writer_finish(&writer) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a vbmeta structure has at most %d bytes; %zu of other descriptors do not "
                         "fit",
                         VBMETA_SIZE_MAX, contents.descriptors.size);
    contents.descriptors = (AvbBytes){ bytes, writer.size };
    return vbmeta_make(&contents, ret_data, ret_size, error);
}

static int place_rest(Work *work, size_t vbmeta_size, Error *error)
{
    const AvbHashtree *tree = &work->image.tree;
    uint64_t wanted = work->options->partition_size, smallest = 0, end;
    AvbFooter *footer = &work->image.footer;

    *footer = (AvbFooter){
        .image_size = work->file_size,
        .vbmeta_offset = tree->tree_offset + tree->tree_size, /* the descriptor was checked */
        .vbmeta_size = vbmeta_size,
    };
    if (ckd_add(&end, footer->vbmeta_offset, vbmeta_size) || round_up(end, &end) ||
        ckd_add(&smallest, end, AVB_IMAGE_ALIGNMENT) || smallest > INT64_MAX)
        return error_set(error, ERROR_INVALID_FILE, "an image of %" PRIu64 " bytes is too large",
                         work->file_size);
    if (wanted > INT64_MAX || wanted % AVB_IMAGE_ALIGNMENT != 0 ||
        (wanted > 0 && wanted < smallest))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a partition cannot have %" PRIu64
                         " bytes: for this image they are at least %" PRIu64
                         ", and a multiple of %d",
                         wanted, smallest, AVB_IMAGE_ALIGNMENT);
    work->image.partition_size = wanted > 0 ? wanted : smallest;
    return 0;
}

/* --- the file --- */

static int write_tree(Work *work, Error *error)
{
    const AvbHashtree *tree = &work->image.tree;
    MerkleFile place = { .fd = work->fd, .offset = tree->tree_offset };
    const MerkleOptions options = {
        .salt = tree->salt.data,
        .salt_size = tree->salt.size,
        .progress = work->options->progress,
        .write = merkle_file_write,
        .userdata = &place,
    };
    const ByteSource data = { .fd = work->fd, .size = tree->image_size };

    /* What fills the image up is a hole. */
    if (ftruncate(work->fd, (off_t)work->image.footer.vbmeta_offset) < 0)
        return -errno;
    int r = merkle_tree_build(&data, &options, work->image.root, error);
    if (r < 0)
        return r;
    return fsync(work->fd) < 0 ? -errno : 0;
}

static int write_vbmeta(Work *work, size_t expected_size, Error *error)
{
    _cleanup_free_ uint8_t *data = NULL;
    size_t size = 0;

    int r = make_vbmeta(work, &data, &size, error);
    if (r < 0)
        return r;
    if (size != expected_size)
        return error_set(error, ERROR_FAILED, "the vbmeta structure changed its size");
    r = fd_pwrite_all(work->fd, data, size, work->image.footer.vbmeta_offset);
    if (r >= 0 && ftruncate(work->fd, (off_t)work->image.partition_size) < 0)
        r = -errno;
    return r < 0 || fsync(work->fd) >= 0 ? r : -errno;
}

static int write_footer(const Work *work)
{
    uint8_t footer[AVB_FOOTER_SIZE];

    avb_footer_encode(&work->image.footer, footer);
    int r = fd_pwrite_all(work->fd, footer, sizeof(footer),
                          work->image.partition_size - AVB_FOOTER_SIZE);
    return r < 0 || fsync(work->fd) >= 0 ? r : -errno;
}

int avb_image_add_hashtree(int fd,
                           const char *file_name,
                           const AvbImageOptions *options,
                           AvbImage *ret_image,
                           Error *error)
{
    _cleanup_free_ uint8_t *draft = NULL;
    _cleanup_free_ Work *work = calloc(1, sizeof(*work));
    size_t vbmeta_size = 0;

    if (!work)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    work->fd = fd;
    work->options = options;
    int r = check_file(work, file_name, error);
    if (r >= 0)
        r = place_tree(work, error);
    if (r >= 0)
        r = make_vbmeta(work, &draft, &vbmeta_size, error);
    if (r >= 0)
        r = place_rest(work, vbmeta_size, error);
    if (r < 0)
        return r;

    r = write_tree(work, error);
    if (r >= 0)
        r = write_vbmeta(work, vbmeta_size, error);
    if (r >= 0)
        r = write_footer(work);
    if (r < 0) {
        if (ftruncate(fd, (off_t)work->file_size) < 0) /* what is left over leads nowhere */
            return error_set_errno(error, ERROR_FAILED, r,
                                   "cannot write '%s', nor cut it to the %" PRIu64
                                   " bytes that it had",
                                   file_name, work->file_size);
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", file_name);
    }
    *ret_image = work->image;
    ret_image->tree.digest.data = ret_image->root;
    return 0;
}
