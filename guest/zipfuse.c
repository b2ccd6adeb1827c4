/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes are the tree's numbers and live as long as it: there is nothing to count or to forget.
 * Files and directories have no state while they are open: their contents are found by inode, so
 * the kernel is asked not to tell about opening them at all. */
#define FUSE_USE_VERSION 314

#include "guest/zipfuse.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/zip-files.h"
#include "guest/zip-tree.h"

#define FOREVER_SEC   ((double)INT32_MAX)
#define BLOCK_SIZE    512 /* of st_blocks */
#define N_DOTS        2   /* "." and ".." before what is in a directory */
#define COMPLAINT_MAX 16  /* lines about damaged files: whoever reads them can do so forever */

typedef struct Zipfuse {
    const ZipfuseOptions *options;
    int ready_fd;
    ZipTree *tree;
    ZipFiles *files;
    unsigned n_complaints;
} Zipfuse;

static void zipfuse_deinit(Zipfuse *zipfuse)
{
    (void)fd_close(zipfuse->ready_fd);
    zip_tree_free(zipfuse->tree);
    zip_files_free(zipfuse->files);
}

static struct stat get_attributes(const Zipfuse *zipfuse, uint64_t inode, const ZipNode *node)
{
    uint64_t size = node->entry ? node->entry->size : 0;

    return (struct stat){
        .st_ino = inode,
        .st_mode = zip_node_get_mode(node),
        .st_nlink = 1, /* of a directory: not counted, as find(1) knows */
        .st_uid = zipfuse->options->uid,
        .st_gid = zipfuse->options->gid,
        .st_size = (off_t)size,
        .st_blocks = (blkcnt_t)((size + BLOCK_SIZE - 1) / BLOCK_SIZE),
    };
}

/* The kernel asks for what it was told of only; another inode is answered all the same. */
static const ZipNode *find_node(fuse_req_t request, fuse_ino_t inode)
{
    const Zipfuse *zipfuse = fuse_req_userdata(request);
    const ZipNode *node = zip_tree_find(zipfuse->tree, inode);

    if (!node)
        (void)fuse_reply_err(request, ESTALE);
    return node;
}

static void on_init(void *userdata, struct fuse_conn_info *connection)
{
    Zipfuse *zipfuse = userdata;
    int fd = take_fd(&zipfuse->ready_fd);

    (void)connection;
    if (fd < 0)
        return;
    (void)fd_write_all(fd, "", 1); /* who does not wait for it any more does not miss it */
    (void)fd_close(fd);
}

/* A name that is not there is an answer to keep, too: that is what inode 0 means. */
static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    const Zipfuse *zipfuse = fuse_req_userdata(request);
    const ZipNode *directory = find_node(request, parent);

    if (!directory)
        return;
    uint64_t inode = zip_tree_find_child(zipfuse->tree, directory, name);
    struct fuse_entry_param answer = { .ino = inode,
                                       .attr_timeout = FOREVER_SEC,
                                       .entry_timeout = FOREVER_SEC };
    if (inode != 0)
        answer.attr = get_attributes(zipfuse, inode, zip_tree_find(zipfuse->tree, inode));
    (void)fuse_reply_entry(request, &answer);
}

static void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *unused)
{
    const ZipNode *node = find_node(request, inode);

    (void)unused;
    if (!node)
        return;
    struct stat attributes = get_attributes(fuse_req_userdata(request), inode, node);
    (void)fuse_reply_attr(request, &attributes, FOREVER_SEC);
}

/* To the kernel that means: every open succeeds, what is cached stays valid, do not ask again. */
static void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *unused)
{
    (void)inode;
    (void)unused;
    (void)fuse_reply_err(request, ENOSYS);
}

static void complain(Zipfuse *zipfuse, const Error *error)
{
    if (zipfuse->n_complaints >= COMPLAINT_MAX)
        return;
    zipfuse->n_complaints++;
    (void)fprintf(stderr, "zipfuse: %s\n", error_get_message(error));
}

static void on_read(
    fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *unused)
{
    Zipfuse *zipfuse = fuse_req_userdata(request);
    const ZipNode *node = find_node(request, inode);
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)unused;
    if (!node)
        return;
    if (node->is_directory || offset < 0) {
        (void)fuse_reply_err(request, node->is_directory ? EISDIR : EINVAL);
        return;
    }
    _cleanup_free_ char *buffer = malloc(size); /* the kernel asks for 1 MiB at most */
    int r = buffer ? zip_files_read(zipfuse->files, node->entry, (uint64_t)offset, buffer, size,
                                    &size, &error)
                   : error_set(&error, ERROR_NO_MEMORY, "out of memory");
    if (r < 0) {
        complain(zipfuse, &error);
        (void)fuse_reply_err(request, r == -ENOMEM ? ENOMEM : EIO);
        return;
    }
    (void)fuse_reply_buf(request, buffer, size);
}

/* The entry at @position of what a directory lists; false behind the last. */
static bool get_listed(const ZipTree *tree,
                       uint64_t inode,
                       const ZipNode *directory,
                       uint64_t position,
                       char name[static NAME_MAX + 1],
                       struct stat *ret_attributes)
{
    const char *text = position == 0 ? "." : "..";
    size_t size = position + 1;

    if (position == 1) {
        inode = directory->parent;
    } else if (position >= N_DOTS) {
        if (position - N_DOTS >= directory->n_children)
            return false;
        inode = tree->children[directory->children + position - N_DOTS];
        text = zip_tree_find(tree, inode)->name;
        size = zip_tree_find(tree, inode)->name_size;
    }
    memcpy(name, text, size);
    name[size] = '\0';
    *ret_attributes =
        (struct stat){ .st_ino = inode, .st_mode = zip_node_get_mode(zip_tree_find(tree, inode)) };
    return true;
}

static void on_readdir(
    fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *unused)
{
    const Zipfuse *zipfuse = fuse_req_userdata(request);
    const ZipNode *directory = find_node(request, inode);
    char name[NAME_MAX + 1];
    struct stat attributes;
    size_t used = 0;

    (void)unused;
    if (!directory)
        return;
    _cleanup_free_ char *buffer = malloc(size);
    if (!buffer) {
        (void)fuse_reply_err(request, ENOMEM);
        return;
    }
    /* An offset that no entry has given, a negative one too, is behind the last. */
    while (get_listed(zipfuse->tree, inode, directory, (uint64_t)offset, name, &attributes)) {
        size_t needed =
            fuse_add_direntry(request, buffer + used, size - used, name, &attributes, ++offset);
        if (needed > size - used)
            break;
        used += needed;
    }
    (void)fuse_reply_buf(request, buffer, used);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
    .opendir = on_open,
    .readdir = on_readdir,
};

static int serve(Zipfuse *zipfuse, Error *error)
{
    char program[] = "zipfuse", path[sizeof("/dev/fd/") + 10];
    char *argv[] = { program, NULL };
    struct fuse_args arguments = FUSE_ARGS_INIT(1, argv);

    struct fuse_session *session =
        fuse_session_new(&arguments, &operations, sizeof(operations), zipfuse);
    fuse_opt_free_args(&arguments);
    if (!session)
        return error_set(error, ERROR_FAILED, "libfuse makes no session");
    (void)snprintf(path, sizeof(path), "/dev/fd/%d", zipfuse->options->fuse_fd);
    int r = fuse_session_mount(session, path);
    if (r == 0)
        r = fuse_session_loop(session);
    fuse_session_destroy(session);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "the kernel's side of the file system");
    return r == 0 ? 0 : error_set(error, ERROR_FAILED, "a signal has ended the file system");
}

int zipfuse_serve(const ZipReader *reader, const ZipfuseOptions *options, Error *error)
{
    _cleanup_(zipfuse_deinit)
        Zipfuse zipfuse = { .options = options, .ready_fd = options->ready_fd };

    int r = zip_tree_new(reader, &zipfuse.tree, error);
    if (r >= 0)
        r = zip_files_new(reader, &zipfuse.files, error);
    return r < 0 ? r : serve(&zipfuse, error);
}
