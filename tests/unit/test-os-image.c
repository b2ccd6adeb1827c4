/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/os-image.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json-fields.h"
#include "tests/helpers/test.h"

#define PARTITION(label, path) "{\"label\":\"" label "\",\"path\":\"" path "\"}"
#define GOOD_DISK                                                                     \
    "\"disks\":[{\"partitions\":[" PARTITION("super", "sub/super.img") "," PARTITION( \
        "vbmeta_a", "vbmeta.img") "]}]"
#define GOOD                                                           \
    "{\"kernel\":\"vmlinux\",\"params\":\"quiet\",\"memory_mib\":192," \
    "\"console_input_device\":\"ttyS0\",\"platform_version\":\"~1.0\"," GOOD_DISK "}"

/* Two places for systems; "b" has the good one "sys", with its name in each file. */
typedef struct Tree {
    char root[40], a[64], b[64];
    const char *dirs[3];
} Tree;

static char *path_of(const Tree *tree, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", tree->root, name) > 0);
    return path;
}

static void write_file(const Tree *tree, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_of(tree, name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0644), 0);
}

static void make_directory(const Tree *tree, const char *name)
{
    _cleanup_free_ char *path = path_of(tree, name);

    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static int make_tree(void **state)
{
    static const char *const files[] = { "vmlinux", "initrd_normal.img", "initrd_debug.img",
                                         "vbmeta.img", "sub/super.img" };
    Tree *tree = calloc(1, sizeof(*tree));
    char name[64];

    assert_non_null(tree);
    (void)snprintf(tree->root, sizeof(tree->root), "/tmp/test-os-image-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
    (void)snprintf(tree->a, sizeof(tree->a), "%s/a", tree->root);
    (void)snprintf(tree->b, sizeof(tree->b), "%s/b", tree->root);
    tree->dirs[0] = tree->a; /* not there, until a test makes it */
    tree->dirs[1] = tree->b;
    make_directory(tree, "b");
    make_directory(tree, "b/sys");
    make_directory(tree, "b/sys/sub");
    for (size_t i = 0; i < ELEMENTS_OF(files); i++) {
        (void)snprintf(name, sizeof(name), "b/sys/%s", files[i]);
        write_file(tree, name, files[i]);
    }
    write_file(tree, "b/sys/os.json", GOOD);
    *state = tree;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_tree(void **state)
{
    Tree *tree = *state;

    assert_int_equal(nftw(tree->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(tree);
    return 0;
}

static OsImage *open_good(const Tree *tree, VmDebugLevel level)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    OsImage *image = NULL;

    int r = os_image_open(tree->dirs, "sys", level, &image, &error);
    if (r < 0)
        print_message("%s\n", error_get_message(&error));
    assert_int_equal(r, 0);
    return image;
}

/* Refused with a sentence that has @words. */
static void assert_refused(const Tree *tree, const char *name, ErrorKind kind, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    OsImage *image = NULL;

    assert_true(os_image_open(tree->dirs, name, DEBUG_LEVEL_NONE, &image, &error) < 0);
    assert_null(image);
    assert_int_equal(error.kind, kind);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
}

static void assert_content(int fd, const char *content)
{
    char text[64] = "";

    assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
    assert_string_equal(text, content);
    assert_int_equal(fd_get_access_mode(fd), O_RDONLY);
}

static void system_is_opened_with_the_initrd_of_the_debug_level(void **state)
{
    const Tree *tree = *state;
    _cleanup_(os_image_freep) OsImage *image = open_good(tree, DEBUG_LEVEL_NONE);
    _cleanup_(os_image_freep) OsImage *debug = open_good(tree, DEBUG_LEVEL_FULL);

    assert_string_equal(image->config->params, "quiet");
    assert_true(image->config->memory_bytes == UINT64_C(192) << 20);
    assert_int_equal(image->n_partitions, 2);
    assert_int_equal(image->vbmeta, 1);
    assert_content(image->kernel, "vmlinux");
    assert_content(image->initrd, "initrd_normal.img");
    assert_content(image->partitions[0], "sub/super.img");
    assert_content(image->partitions[1], "vbmeta.img");
    assert_content(debug->initrd, "initrd_debug.img");
}

static void first_directory_that_has_it_counts(void **state)
{
    const Tree *tree = *state;

    assert_refused(tree, "none", ERROR_INVALID_CONFIG,
                   "/payload/os: no operating system 'none' is installed here: GetSupportedOsList");
    make_directory(tree, "a");
    assert_null(os_image_free(open_good(tree, DEBUG_LEVEL_NONE)));
    make_directory(tree, "a/sys");
    assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "/a/sys/os.json: No such file");
}

static void description_is_checked(void **state)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        { "", "os.json: the configuration is no JSON" },
        { "{\"kernel\":\"vmlinux\",\"unknown\":1}", "os.json: /unknown: unknown key" },
        { "{\"kernel\":\"vmlinux\"}", "/disks: a system has one disk" },
        { "{\"kernel\":\"vmlinux\",\"disks\":[{\"image\":\"a\"},{\"image\":\"b\"}]}",
          "/disks: a system has one disk" },
        { "{\"kernel\":\"vmlinux\",\"disks\":[{\"image\":\"vbmeta.img\"}]}",
          "/disks/0: the disk of a system has read-only partitions" },
        { "{\"kernel\":\"vmlinux\",\"disks\":[{\"writable\":true,\"partitions\":[{\"label\":"
          "\"vbmeta_a\",\"path\":\"vbmeta.img\",\"writable\":true}]}]}",
          "/disks/0: the disk of a system has read-only partitions" },
        { "{\"kernel\":\"vmlinux\",\"disks\":[{\"partitions\":[" PARTITION("super", "s") "]}]}",
          "/disks/0/partitions: a system has a partition 'vbmeta_a'" },
        { "{\"bootloader\":\"vmlinux\"," GOOD_DISK "}", "/bootloader: a system has a 'kernel'" },
        { "{\"kernel\":\"vmlinux\",\"initrd\":\"initrd_debug.img\"," GOOD_DISK "}",
          "/initrd: the debug level chooses it" },
        { "{\"payload\":{}}", "/payload: 'apk' is missing" },
        /* paths that lead out of the directory, and what is not there */
        { "{\"kernel\":\"/etc/passwd\"," GOOD_DISK "}", "b/sys//etc/passwd: Invalid cross-device" },
        { "{\"kernel\":\"../sys/vmlinux\"," GOOD_DISK "}", "b/sys/../sys/vmlinux: Invalid cross" },
        { "{\"kernel\":\"sub/../vmlinux\"," GOOD_DISK "}", "sub/../vmlinux: Invalid cross" },
        { "{\"kernel\":\"vmlinux/\"," GOOD_DISK "}", "vmlinux/: Not a directory" },
        { "{\"kernel\":\"bzImage\"," GOOD_DISK "}", "b/sys/bzImage: No such file" },
        { "{\"kernel\":\"sub\"," GOOD_DISK "}", "b/sys/sub, which is no regular file" },
        { "{\"kernel\":\"vmlinux\",\"disks\":[{\"partitions\":[" PARTITION(
              "vbmeta_a", "vbmeta.img") "," PARTITION("super", "other.img") "]}]}",
          "install it again: " },
    };
    const Tree *tree = *state;

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        write_file(tree, "b/sys/os.json", cases[i].json);
        assert_refused(tree, "sys", ERROR_IMAGE_INVALID, cases[i].words);
        assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "the operating system 'sys'");
    }
}

static void description_is_taken_up_to_64_kib(void **state)
{
    const Tree *tree = *state;
    _cleanup_free_ char *text = calloc(1, JSON_FIELDS_SIZE_MAX + 2);

    assert_non_null(text);
    memset(text, ' ', JSON_FIELDS_SIZE_MAX);
    memcpy(text, GOOD, strlen(GOOD));
    write_file(tree, "b/sys/os.json", text);
    assert_null(os_image_free(open_good(tree, DEBUG_LEVEL_NONE)));
    text[JSON_FIELDS_SIZE_MAX] = ' ';
    write_file(tree, "b/sys/os.json", text);
    assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "has more than 65536 bytes");
}

static void links_are_not_followed(void **state)
{
    const Tree *tree = *state;
    _cleanup_free_ char *kernel = path_of(tree, "b/sys/vmlinux");
    _cleanup_free_ char *sub = path_of(tree, "b/sys/sub"), *moved = path_of(tree, "b/sys/moved");
    _cleanup_free_ char *other = path_of(tree, "b/other");

    /* The system itself may be one: a version of several that are installed. */
    assert_int_equal(symlink("sys", other), 0);
    OsImage *image = NULL;
    assert_int_equal(os_image_open(tree->dirs, "other", DEBUG_LEVEL_NONE, &image, NULL), 0);
    os_image_free(image);

    assert_int_equal(rename(sub, moved), 0);
    assert_int_equal(symlink("moved", sub), 0);
    assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "sub/super.img: Not a directory");
    assert_int_equal(unlink(kernel), 0);
    assert_int_equal(symlink("initrd_normal.img", kernel), 0);
    assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "b/sys/vmlinux: Too many levels");
}

static void what_others_may_write_is_refused(void **state)
{
    static const char *const names[] = { "os.json",    "vmlinux",       "initrd_normal.img",
                                         "vbmeta.img", "sub/super.img", "" };
    static const mode_t modes[] = { 0664, 0646 };
    const Tree *tree = *state;
    char name[64];

    for (size_t i = 0; i < 2 * ELEMENTS_OF(names); i++) {
        mode_t more = names[i / 2][0] == '\0' ? 0111 : 0;

        (void)snprintf(name, sizeof(name), "b/sys/%s", names[i / 2]);
        _cleanup_free_ char *path = path_of(tree, name);
        assert_int_equal(chmod(path, modes[i % 2] | more), 0);
        assert_refused(tree, "sys", ERROR_IMAGE_INVALID, name);
        assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "chmod go-w");
        assert_int_equal(chmod(path, 0644 | more), 0);
    }
    assert_null(os_image_free(open_good(tree, DEBUG_LEVEL_NONE)));
}

static void what_belongs_to_others_is_refused(void **state)
{
    const Tree *tree = *state;
    _cleanup_free_ char *path = path_of(tree, "b/sys/vbmeta.img");

    if (geteuid() != 0)
        return; /* who cannot give a file away */
    assert_int_equal(chown(path, 1234, 0), 0);
    assert_refused(tree, "sys", ERROR_IMAGE_INVALID,
                   "b/sys/vbmeta.img belongs to uid 1234: give it to root");
}

/* A FIFO without a writer would keep who opens it waiting. */
static void nothing_is_waited_for(void **state)
{
    const Tree *tree = *state;
    _cleanup_free_ char *path = path_of(tree, "b/sys/initrd_normal.img");

    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_refused(tree, "sys", ERROR_IMAGE_INVALID, "initrd_normal.img, which is no regular file");
}

int main(void)
{
#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, make_tree, remove_tree)
    static const struct CMUnitTest tests[] = {
        IN_TREE(system_is_opened_with_the_initrd_of_the_debug_level),
        IN_TREE(first_directory_that_has_it_counts),
        IN_TREE(description_is_checked),
        IN_TREE(description_is_taken_up_to_64_kib),
        IN_TREE(links_are_not_followed),
        IN_TREE(what_others_may_write_is_refused),
        IN_TREE(what_belongs_to_others_is_refused),
        IN_TREE(nothing_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
