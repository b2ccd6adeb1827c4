/* SPDX-License-Identifier: Apache-2.0 */
/* hash-tree THREADS SALT FILE [TREE]: the hash tree of any file, for tests and benches that compare
 * it with other people's. Prints the root, and the most memory that was used, in KiB. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/merkle-builder.h"

static int parse_salt(const char *text, uint8_t *salt, size_t *ret_size)
{
    size_t size = strlen(text) / 2;

    if (size > MERKLE_SALT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        unsigned value;

        if (sscanf(text + 2 * i, "%2x", &value) != 1)
            return -EINVAL;
        salt[i] = (uint8_t)value;
    }
    *ret_size = size;
    return 0;
}

/* The most memory, in KiB, since this program was started; getrusage() counts its parent's too. */
static long get_peak_kib(void)
{
    _cleanup_fclose_ FILE *status = fopen("/proc/self/status", "re");
    char line[128];
    long peak = -1;

    while (status && fgets(line, sizeof(line), status)) {
        if (sscanf(line, "VmHWM: %ld kB", &peak) == 1)
            break;
    }
    return peak;
}

int main(int argc, char **argv)
{
    uint8_t salt[MERKLE_SALT_MAX], root[MERKLE_HASH_SIZE];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    MerkleOptions options = { .salt = salt };
    MerkleFile tree = { .fd = -EBADF };
    ByteSource source;

    if (argc < 4 || argc > 5 || parse_salt(argv[2], salt, &options.salt_size) < 0) {
        (void)fprintf(stderr, "Usage: hash-tree THREADS SALT FILE [TREE]\n");
        return 2;
    }
    options.n_threads = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 4) {
        tree.fd = open(argv[4], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (tree.fd < 0) {
            perror(argv[4]);
            return 1;
        }
        options.write = merkle_file_write;
        options.userdata = &tree;
    }
    if (byte_source_open(argv[3], &source, &error) < 0 ||
        merkle_tree_build(&source, &options, root, &error) < 0) {
        (void)fprintf(stderr, "%s\n", error_get_message(&error));
        return 1;
    }
    for (size_t i = 0; i < sizeof(root); i++)
        (void)printf("%02x", root[i]);
    (void)printf(" %ld\n", get_peak_kib());
    (void)fd_close(source.fd);
    (void)fd_close(tree.fd);
    return 0;
}
