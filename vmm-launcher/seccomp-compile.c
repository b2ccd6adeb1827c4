/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp-compile: a seccomp policy as JSON in, the kernel's program for it out, when this tree is
 * built and whenever an administrator changes a policy. No other program of ours has libseccomp. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "vmm-launcher/seccomp-filter.h"
#include "vmm-launcher/seccomp-rules.h"

#define FRAGMENTS_MAX 8
#define NUMBER_END    1024 /* above every number that an architecture of today has */

typedef struct Options {
    const char *fragments[FRAGMENTS_MAX];
    size_t n_fragments;
    uint32_t flags;
    const char *policy, *output;
} Options;

static void print_help(void)
{
    puts("Usage: seccomp-compile [--listener] [--fragment=FILE]... POLICY.json OUTPUT\n"
         "       seccomp-compile --names\n"
         "\n"
         "Compiles a seccomp policy for this machine.\n"
         "\n"
         "      --listener       a supervisor listens: what the policy does not name is told to\n"
         "                       it, and so are the calls of the start-up\n"
         "      --fragment=FILE  add the system calls of this file\n"
         "      --names          print the names of the system calls as C source\n"
         "  -h, --help           show this help\n"
         "      --version        show the version");
}

/* The table that vmm-launcher/syscall-name.c includes. */
static int print_names(void)
{
    puts("/* Made by seccomp-compile --names. */\n"
         "static const char *const syscall_names[] = {");
    for (int number = 0; number < NUMBER_END; number++) {
        _cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        if (name)
            printf("    [%d] = \"%s\",\n", number, name);
    }
    puts("};");
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int read_file(const char *path, char **ret_text, size_t *ret_size, Error *error)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open");
    _cleanup_free_ char *text = malloc(SECCOMP_RULES_TEXT_MAX + 1);
    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    /* One byte too many makes the parser refuse it. */
    size_t size = fread(text, 1, SECCOMP_RULES_TEXT_MAX + 1, file);
    if (ferror(file))
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot read");
    *ret_text = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

/* Adds the rules of a file; an error is printed here, with the file's name. */
static int add_file(SeccompRules *rules, SeccompText kind, const char *path)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    size_t size;

    int r = read_file(path, &text, &size, &error);
    if (r >= 0)
        r = seccomp_rules_parse(rules, kind, text, size, &error);
    if (r < 0)
        fprintf(stderr, "seccomp-compile: %s: %s\n", path, error_get_message(&error));
    return r;
}

static int write_temporary(int fd, const char *temporary, const char *path, void *data, size_t size)
{
    int r = fd_write_all(fd, data, size);
    if (r >= 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
        r = -errno;
    return r;
}

/* A reader sees the old file or the new one, never a part. */
static int write_file(const char *path, void *data, size_t size)
{
    _cleanup_free_ char *temporary = NULL;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    _cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write_temporary(fd, temporary, path, data, size);
    if (r < 0)
        (void)unlink(temporary);
    return r;
}

static int compile(const Options *options)
{
    _cleanup_(seccomp_rules_deinit) SeccompRules rules = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ void *data = NULL;
    size_t size;

    if (add_file(&rules, SECCOMP_TEXT_POLICY, options->policy) < 0)
        return EXIT_FAILURE;
    for (size_t i = 0; i < options->n_fragments; i++) {
        if (add_file(&rules, SECCOMP_TEXT_FRAGMENT, options->fragments[i]) < 0)
            return EXIT_FAILURE;
    }
    if (seccomp_filter_compile(&rules, options->flags, &data, &size, &error) < 0) {
        fprintf(stderr, "seccomp-compile: %s: %s\n", options->policy, error_get_message(&error));
        return EXIT_FAILURE;
    }
    int r = write_file(options->output, data, size);
    if (r < 0) {
        fprintf(stderr, "seccomp-compile: cannot write %s: %s\n", options->output, strerror(-r));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    enum {
        FRAGMENT = 256,
        LISTENER,
        NAMES,
        VERSION_OPTION
    };
    static const struct option table[] = {
        { "fragment", required_argument, NULL, FRAGMENT },
        { "listener", no_argument, NULL, LISTENER },
        { "names", no_argument, NULL, NAMES },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, VERSION_OPTION },
        { NULL, 0, NULL, 0 },
    };
    Options options = { 0 };
    int option;

    while ((option = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
        switch (option) {
        case FRAGMENT:
            if (options.n_fragments == FRAGMENTS_MAX) {
                fprintf(stderr, "seccomp-compile: at most %d fragments\n", FRAGMENTS_MAX);
                return EXIT_FAILURE;
            }
            options.fragments[options.n_fragments++] = optarg;
            break;
        case LISTENER:
            options.flags |= SECCOMP_POLICY_LISTENER;
            break;
        case NAMES:
            return print_names();
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        case VERSION_OPTION:
            puts("seccomp-compile " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            return 2;
        }
    }
    if (argc - optind != 2) {
        fputs("seccomp-compile: a policy and an output are needed; see --help\n", stderr);
        return 2;
    }
    options.policy = argv[optind];
    options.output = argv[optind + 1];
    return compile(&options);
}
