/* SPDX-License-Identifier: Apache-2.0 */
/* Runs files through a fuzz target once each, without a fuzzer, and reports in TAP: those named as
 * arguments or in directories named so, else the target's own corpus, which fuzz-<name> has in
 * $top_srcdir/tests/fuzz/corpus/<name>. A finding ends the program, and with it the test. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define TARGET_PREFIX "fuzz-"
#define INPUT_MAX     (1L << 20)

static int replay_file(const char *path, unsigned number)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ uint8_t *input = NULL;
    struct stat status;

    if (!file || fstat(fileno(file), &status) < 0)
        return -errno;
    if (status.st_size > INPUT_MAX)
        return -EFBIG;

    /* Exactly its size, so that the sanitizer sees a read beyond it. */
    input = malloc((size_t)status.st_size);
    if (!input && status.st_size > 0)
        return -ENOMEM;
    size_t size = fread(input, 1, (size_t)status.st_size, file);
    (void)LLVMFuzzerTestOneInput(input, size); /* always 0, by libFuzzer's rules */
    printf("ok %u - %s\n", number, path);
    return fflush(stdout) == 0 ? 0 : -errno;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Replays a file, or each file of a directory in the order of their names. */
static int replay(const char *path, unsigned *count)
{
    struct stat status;
    struct dirent **entries;
    int result = 0;

    if (stat(path, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return replay_file(path, ++*count);

    int n = scandir(path, &entries, is_visible, alphasort);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        char *name = NULL;

        if (result == 0)
            result = asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0 ? -ENOMEM
                                                                            : replay(name, count);
        free(name);
        free(entries[i]);
    }
    free(entries);
    return result;
}

static char *dup_corpus_path(const char *program)
{
    const char *top = getenv("top_srcdir");
    const char *base = strrchr(program, '/');
    char *path;

    base = base ? base + 1 : program;
    if (strncmp(base, TARGET_PREFIX, strlen(TARGET_PREFIX)) != 0)
        return NULL;
    base += strlen(TARGET_PREFIX);
    return asprintf(&path, "%s/tests/fuzz/corpus/%s", top ? top : ".", base) < 0 ? NULL : path;
}

int main(int argc, char **argv)
{
    _cleanup_free_ char *corpus = dup_corpus_path(argv[0]);
    char *const defaults[] = { corpus, NULL };
    char *const *paths = argc > 1 ? argv + 1 : defaults;
    unsigned count = 0;

    for (; *paths; paths++) {
        int r = replay(*paths, &count);
        if (r < 0) {
            printf("Bail out! %s: %s\n", *paths, strerror(-r));
            return EXIT_FAILURE;
        }
    }
    printf("1..%u\n", count);
    return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
