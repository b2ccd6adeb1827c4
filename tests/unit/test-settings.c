/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

static int load(const char *text, Settings *settings, Error *error)
{
    _cleanup_close_ int fd = memfd_create("settings", MFD_CLOEXEC);
    char path[64];
    const SettingsPlaces places = { .file = path };

    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return settings_load(&places, settings, error);
}

/* Three directories as /etc, /run and /usr/lib are to each other, "a" to "c". */
typedef struct Tree {
    char root[32];
    char directories[SETTINGS_DIRECTORIES_MAX][64];
    SettingsPlaces places;
} Tree;

static int make_tree(void **state)
{
    Tree *tree = calloc(1, sizeof(*tree));
    char path[128];

    assert_non_null(tree);
    (void)snprintf(tree->root, sizeof(tree->root), "/tmp/test-settings-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
    for (size_t i = 0; i < SETTINGS_DIRECTORIES_MAX; i++) {
        char *directory = tree->directories[i];

        (void)snprintf(directory, sizeof(tree->directories[i]), "%s/%c", tree->root, 'a' + (int)i);
        assert_int_equal(mkdir(directory, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/" SETTINGS_FILE ".d", directory);
        assert_int_equal(mkdir(path, 0700), 0);
        tree->places.directories[i] = directory;
    }
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

/* @path is below the root: "a/virtualizationd.conf". */
static void put(const Tree *tree, const char *path, const char *text)
{
    char full[256];

    (void)snprintf(full, sizeof(full), "%s/%s", tree->root, path);
    _cleanup_close_ int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void put_link(const Tree *tree, const char *path, const char *target)
{
    char full[256];

    (void)snprintf(full, sizeof(full), "%s/%s", tree->root, path);
    assert_int_equal(symlink(target, full), 0);
}

static uint64_t load_vms(const Tree *tree)
{
    Settings settings;
    Error error = ERROR_INIT;

    int r = settings_load(&tree->places, &settings, &error);
    if (r < 0)
        fail_msg("%s", error_get_message(&error));
    uint64_t n_vms = settings.limits.resources[QUOTA_VMS].total;
    settings_deinit(&settings);
    return n_vms;
}

static void empty_file_leaves_the_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "\n", "[Daemon]\n", "# a comment\n; another\n" };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        Settings settings = { 0 };

        assert_int_equal(load(texts[i], &settings, NULL), 0);
        assert_string_equal(settings.user, "virtualizationd");
        assert_string_equal(settings.group, "virtualizationd");
        assert_int_equal(settings.death_record_sec, 300);
        assert_int_equal(settings.limits.resources[QUOTA_VMS].total, 256);
        settings_deinit(&settings);
        settings_deinit(&settings);
    }
}

static void settings_are_taken_up_to_their_maximum(void **state)
{
    (void)state;
    Settings settings = { 0 };

    assert_int_equal(
        load("[Daemon]\nUser=somebody\nDeathRecordSec=0\n[Limits]\nVMsMax=1\n", &settings, NULL),
        0);
    assert_string_equal(settings.user, "somebody");
    assert_int_equal(settings.death_record_sec, 0);
    assert_int_equal(settings.limits.resources[QUOTA_VMS].total, 1);
    settings_deinit(&settings);

    assert_int_equal(
        load("[Daemon]\nUser = a\nUser = b\nDeathRecordSec = 86400\n[Limits]\nVMsMax = 4096\n",
             &settings, NULL),
        0);
    assert_string_equal(settings.user, "b"); /* the last one counts */
    assert_int_equal(settings.death_record_sec, 86400);
    assert_int_equal(settings.limits.resources[QUOTA_VMS].total, 4096);
    settings_deinit(&settings);
}

static void bad_settings_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence; /* its end */
    } cases[] = {
        { "[Daemon]\nDeathRecordSec=86401\n", ": DeathRecordSec=86401 is not valid" },
        { "[Daemon]\nDeathRecordSec=-1\n", ": DeathRecordSec=-1 is not valid" },
        { "[Daemon]\nDeathRecordSec=5min\n", ": DeathRecordSec=5min is not valid" },
        { "[Limits]\nVMsMax=0\n", ": VMsMax=0 is not valid" },
        { "[Limits]\nVMsMax=4097\n", ": VMsMax=4097 is not valid" },
        { "[Limits]\nVMsMax=infinity\n", ": VMsMax=infinity is not valid" },
        { "[Limits]\nCpusMax=Infinity\n", ": CpusMax=Infinity is not valid" },
        { "[Limits]\nMemoryMaxMiB=1073741825\n", ": MemoryMaxMiB=1073741825 is not valid" },
        { "[Limits]\nCreationRate=0\n", ": CreationRate=0 is not valid" },
        { "[Daemon]\nOrphanSec=infinity\n", ": OrphanSec=infinity is not valid" },
        { "[Limits]\nVmsMax=1\n", ": there is no setting VmsMax in [Limits]" },
        { "[Daemon]\nVMsMax=1\n", ": there is no setting VMsMax in [Daemon]" },
        { "[Limits]\nUser=x\n", ": there is no setting User in [Limits]" },
        { "[Other]\nVMsMax=1\n", ": there is no setting VMsMax in [Other]" },
        { "VMsMax=1\n", ": there is no setting VMsMax in []" },
        { "[Daemon]\nOrphanSec=1\nUser=x\nnonsense\n", ": line 4 is no setting" },
        { "[Daemon\n", ": line 1 is no setting" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        Settings settings = { .death_record_sec = 42 };

        assert_int_equal(load(cases[i].text, &settings, &error), -EINVAL);
        assert_int_equal(settings.death_record_sec, 42);
        assert_int_equal(error.kind, ERROR_INVALID_ARGUMENT);
        const char *message = error_get_message(&error);
        assert_memory_equal(message, "/proc/self/fd/", 14);
        assert_non_null(strstr(message, cases[i].sentence));
        assert_string_equal(strstr(message, cases[i].sentence), cases[i].sentence);
    }
}

static void named_file_must_be_there(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    const SettingsPlaces places = { .file = "/proc/self/no-such-file" };
    Settings settings;

    assert_int_equal(settings_load(&places, &settings, &error), -ENOENT);
    assert_non_null(strstr(error_get_message(&error), "/proc/self/no-such-file: "));
}

static void limits_have_their_units_and_infinity(void **state)
{
    (void)state;
    Settings settings = { 0 };
    const QuotaLimit *memory = &settings.limits.resources[QUOTA_MEMORY];
    const QuotaLimit *cpus = &settings.limits.resources[QUOTA_CPUS];

    assert_int_equal(load("", &settings, NULL), 0);
    assert_true(memory->total == QUOTA_INFINITE && cpus->total == QUOTA_INFINITE);
    assert_true(memory->per_user == UINT64_C(16384) << 20);
    assert_int_equal(settings.limits.resources[QUOTA_DISK_JOBS].per_user, 32);
    settings_deinit(&settings);
    assert_int_equal(load("[Limits]\nMemoryMaxMiB=1073741824\nMemoryMaxPerUserMiB=infinity\n"
                          "CpusMax=7\nCpusMaxPerUser=0\nCreationBurst=infinity\n",
                          &settings, NULL),
                     0);
    assert_true(memory->total == UINT64_C(1) << 50 && memory->per_user == QUOTA_INFINITE);
    assert_true(cpus->total == 7 && cpus->per_user == 0);
    assert_true(settings.limits.creation_burst.total == QUOTA_INFINITE);
    settings_deinit(&settings);
}

static void empty_value_is_the_default_again(void **state)
{
    (void)state;
    Settings settings = { 0 };

    assert_int_equal(load("[Daemon]\nUser=x\nUser=\nOrphanSec=7\nOrphanSec=\n"
                          "[Limits]\nCpusMax=7\nCpusMax=\n",
                          &settings, NULL),
                     0);
    assert_string_equal(settings.user, "virtualizationd");
    assert_int_equal(settings.orphan_sec, 30);
    assert_true(settings.limits.resources[QUOTA_CPUS].total == QUOTA_INFINITE);
    settings_deinit(&settings);
}

static void first_main_file_that_is_there_counts(void **state)
{
    const Tree *tree = *state;

    assert_int_equal(load_vms(tree), 256);
    put(tree, "c/virtualizationd.conf", "[Limits]\nVMsMax=3\n");
    assert_int_equal(load_vms(tree), 3);
    put(tree, "b/virtualizationd.conf", "[Limits]\nVMsMax=2\n");
    assert_int_equal(load_vms(tree), 2);
    put_link(tree, "a/virtualizationd.conf", "/dev/null");
    assert_int_equal(load_vms(tree), 256);
}

static void drop_ins_are_read_by_name_after_the_main_file(void **state)
{
    const Tree *tree = *state;

    put(tree, "a/virtualizationd.conf", "[Limits]\nVMsMax=1\n");
    put(tree, "c/virtualizationd.conf.d/10-x.conf", "[Limits]\nVMsMax=10\n");
    assert_int_equal(load_vms(tree), 10);
    put(tree, "a/virtualizationd.conf.d/05-x.conf", "[Limits]\nVMsMax=5\n");
    assert_int_equal(load_vms(tree), 10); /* the name counts, not the directory */
    put(tree, "b/virtualizationd.conf.d/20-x.conf", "[Limits]\nVMsMax=20\n");
    assert_int_equal(load_vms(tree), 20);
    put(tree, "b/virtualizationd.conf.d/99-x.conf", "[Limits]\nVMsMax=\n");
    assert_int_equal(load_vms(tree), 256);
    put(tree, "b/virtualizationd.conf.d/99-x.conf", "");
    /* Not settings, by their names. */
    put(tree, "a/virtualizationd.conf.d/99-x.conf~", "nonsense");
    put(tree, "a/virtualizationd.conf.d/.99-y.conf", "nonsense");
    put(tree, "a/virtualizationd.conf.d/.conf", "nonsense");
    assert_int_equal(load_vms(tree), 20);
}

static void drop_in_masks_those_of_its_name_in_later_directories(void **state)
{
    const Tree *tree = *state;

    put(tree, "c/virtualizationd.conf.d/x.conf", "[Limits]\nVMsMax=3\n");
    put(tree, "c/virtualizationd.conf.d/y.conf", "[Limits]\nVMsMax=4\n");
    put(tree, "b/virtualizationd.conf.d/y.conf", "");
    assert_int_equal(load_vms(tree), 3);
    put(tree, "b/virtualizationd.conf.d/x.conf", "[Limits]\nVMsMax=2\n");
    assert_int_equal(load_vms(tree), 2);
    put_link(tree, "a/virtualizationd.conf.d/x.conf", "/dev/null");
    assert_int_equal(load_vms(tree), 256);
}

static void named_file_has_drop_ins_of_its_own(void **state)
{
    Tree *tree = *state;
    char path[128];

    put(tree, "a/virtualizationd.conf", "[Limits]\nVMsMax=1\n");
    put(tree, "b/virtualizationd.conf", "[Limits]\nVMsMax=2\n");
    (void)snprintf(path, sizeof(path), "%s/" SETTINGS_FILE, tree->directories[1]);
    tree->places.file = path;
    assert_int_equal(load_vms(tree), 2);
    put(tree, "a/virtualizationd.conf.d/x.conf", "[Limits]\nVMsMax=3\n");
    assert_int_equal(load_vms(tree), 2);
    put(tree, "b/virtualizationd.conf.d/x.conf", "[Limits]\nVMsMax=4\n");
    assert_int_equal(load_vms(tree), 4);
}

static void mistake_in_a_drop_in_names_it(void **state)
{
    const Tree *tree = *state;
    static const char *const targets[] = { "no-such-file", ".", "/dev/zero" };
    Settings settings;

    for (size_t i = 0; i < ELEMENTS_OF(targets) + 1; i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        char full[256];

        (void)snprintf(full, sizeof(full), "%s/b/virtualizationd.conf.d/x.conf", tree->root);
        if (i < ELEMENTS_OF(targets))
            put_link(tree, "b/virtualizationd.conf.d/x.conf", targets[i]);
        else
            put(tree, "b/virtualizationd.conf.d/x.conf", "[Limits]\nVMsMax=x\n");
        assert_true(settings_load(&tree->places, &settings, &error) < 0);
        assert_non_null(strstr(error_get_message(&error), full));
        assert_int_equal(unlink(full), 0);
    }
}

static void there_are_not_too_many_files(void **state)
{
    const Tree *tree = *state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Settings settings;
    char path[64];

    for (size_t i = 0; i < SETTINGS_FILES_MAX; i++) {
        (void)snprintf(path, sizeof(path), "b/virtualizationd.conf.d/%03zu.conf", i);
        (void)put(tree, path, "[Limits]\nVMsMax=9\n");
    }
    assert_int_equal(load_vms(tree), 9);
    put(tree, "c/virtualizationd.conf.d/000.conf", "[Limits]\nVMsMax=8\n"); /* masked */
    assert_int_equal(load_vms(tree), 9);
    put(tree, "c/virtualizationd.conf.d/x.conf", "[Limits]\nVMsMax=8\n");
    assert_true(settings_load(&tree->places, &settings, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "more than 256 files"));
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, make_tree, remove_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_leaves_the_defaults),
        cmocka_unit_test(settings_are_taken_up_to_their_maximum),
        cmocka_unit_test(bad_settings_are_refused_by_name),
        cmocka_unit_test(named_file_must_be_there),
        cmocka_unit_test(limits_have_their_units_and_infinity),
        cmocka_unit_test(empty_value_is_the_default_again),
        WITH_TREE(first_main_file_that_is_there_counts),
        WITH_TREE(drop_ins_are_read_by_name_after_the_main_file),
        WITH_TREE(drop_in_masks_those_of_its_name_in_later_directories),
        WITH_TREE(named_file_has_drop_ins_of_its_own),
        WITH_TREE(mistake_in_a_drop_in_names_it),
        WITH_TREE(there_are_not_too_many_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
