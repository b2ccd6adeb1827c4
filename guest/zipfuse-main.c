/* SPDX-License-Identifier: Apache-2.0 */
/* The archive of a payload as a file system. guest-manager mounts it, gives the descriptors and
 * takes every privilege away before this program starts. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "common/fd.h"
#include "common/text.h"
#include "composite-disk/zip-reader.h"
#include "composite-disk/zip-sections.h"
#include "guest/zipfuse.h"

#define ID_MAX (UINT32_MAX - 1) /* the last one means none */

typedef struct Arguments {
    uint64_t archive_fd, fuse_fd, ready_fd, uid, gid;
} Arguments;

/* What every option but those without a value begins as: no number that one may have. */
#define MISSING UINT64_MAX

static int usage(void)
{
    (void)fprintf(stderr, "Usage: zipfuse --archive-fd=FD --fuse-fd=FD [--ready-fd=FD] [--uid=UID] "
                          "[--gid=GID]\n");
    return -EINVAL;
}

static int parse(int argc, char **argv, Arguments *ret_arguments)
{
    static const struct option options[] = {
        { "archive-fd", required_argument, NULL, 'a' }, { "fuse-fd", required_argument, NULL, 'f' },
        { "ready-fd", required_argument, NULL, 'r' },   { "uid", required_argument, NULL, 'u' },
        { "gid", required_argument, NULL, 'g' },        { NULL, 0, NULL, 0 },
    };
    Arguments arguments = { .archive_fd = MISSING, .fuse_fd = MISSING, .ready_fd = MISSING };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        uint64_t *value = option == 'a'   ? &arguments.archive_fd
                          : option == 'f' ? &arguments.fuse_fd
                          : option == 'r' ? &arguments.ready_fd
                          : option == 'u' ? &arguments.uid
                          : option == 'g' ? &arguments.gid
                                          : NULL;
        uint64_t max = option == 'u' || option == 'g' ? ID_MAX : INT32_MAX;

        if (!value || text_parse_u64(optarg, max, value) < 0)
            return usage();
    }
    if (optind < argc || arguments.archive_fd == MISSING || arguments.fuse_fd == MISSING)
        return usage();
    *ret_arguments = arguments;
    return 0;
}

static int run(const Arguments *arguments, Error *error)
{
    const ZipfuseOptions options = {
        .fuse_fd = (int)arguments->fuse_fd,
        .ready_fd = arguments->ready_fd == MISSING ? -EBADF : (int)arguments->ready_fd,
        .uid = (uint32_t)arguments->uid,
        .gid = (uint32_t)arguments->gid,
    };
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ByteSource partition, zip;

    int r = byte_source_from_fd((int)arguments->archive_fd, "archive", &partition, error);
    if (r >= 0)
        r = zip_cut_tail(&partition, &zip, error);
    if (r >= 0)
        r = zip_reader_new(&zip, &reader, error);
    return r < 0 ? r : zipfuse_serve(reader, &options, error);
}

int main(int argc, char **argv)
{
    Arguments arguments;
    Error error = ERROR_INIT;

    fd_occupy_standard();
    if (parse(argc, argv, &arguments) < 0)
        return 2;
    (void)signal(SIGPIPE, SIG_IGN); /* of the descriptor that says it is ready */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        perror("zipfuse: cannot give up new privileges");
        return 1;
    }
    if (run(&arguments, &error) < 0) {
        (void)fprintf(stderr, "zipfuse: %s\n", error_get_message(&error));
        error_clear(&error);
        return 1;
    }
    return 0;
}
