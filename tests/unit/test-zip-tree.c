/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/zip-tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

typedef struct Fixture {
    MadeZip zip;
    ByteSource source;
    ZipReader *reader;
    ZipTree *tree;
} Fixture;

static void fixture_init(Fixture *fixture, const MadeEntry *entries, size_t n)
{
    fixture->zip = made_zip_new(entries, n);
    fixture->source = made_zip_source(&fixture->zip);
    assert_int_equal(zip_reader_new(&fixture->source, &fixture->reader, NULL), 0);
    assert_int_equal(zip_tree_new(fixture->reader, &fixture->tree, NULL), 0);
}

static void fixture_deinit(Fixture *fixture)
{
    zip_tree_free(fixture->tree);
    zip_reader_free(fixture->reader);
    made_zip_free(&fixture->zip);
}

/* The node of a path, by one look-up a part; NULL when there is none. */
static const ZipNode *walk(const ZipTree *tree, const char *path)
{
    _cleanup_free_ char *copy = strdup(path);
    char *rest = copy, *part;
    uint64_t inode = ZIP_TREE_ROOT;

    assert_non_null(copy);
    while (inode != 0 && (part = strsep(&rest, "/")))
        inode = zip_tree_find_child(tree, zip_tree_find(tree, inode), part);
    return zip_tree_find(tree, inode);
}

/* What a directory lists, with a space behind each name. */
static void assert_lists(const ZipTree *tree, const ZipNode *directory, const char *expected)
{
    char list[200] = "";
    size_t size = 0;

    for (uint32_t i = 0; i < directory->n_children; i++) {
        const ZipNode *child = zip_tree_find(tree, tree->children[directory->children + i]);

        assert_ptr_equal(zip_tree_find(tree, child->parent), directory);
        size += (size_t)snprintf(list + size, sizeof(list) - size, "%.*s ", child->name_size,
                                 child->name);
    }
    assert_string_equal(list, expected);
}

static void the_tree_has_all_files_whatever_their_order(void **state)
{
    static const MadeEntry entries[] = {
        { { .name = "z" }, "1" },      { { .name = "a.b/c" }, "2" }, { { .name = "a/d" }, "3" },
        { { .name = "a/b/" }, NULL },  { { .name = "a/b/e" }, "4" }, { { .name = "a-b" }, "5" },
        { { .name = "a/b.c" }, "6" },  { { .name = "aa" }, "7" },    { { .name = "q/r/s/t" }, "8" },
        { { .name = "q/rr/s" }, "9" },
    };
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, entries, ELEMENTS_OF(entries));
    const ZipTree *tree = fixture.tree;
    for (size_t i = 0; i < ELEMENTS_OF(entries); i++) {
        if (!entries[i].content)
            continue;
        const ZipNode *node = walk(tree, entries[i].entry.name);
        assert_non_null(node);
        assert_false(node->is_directory);
        assert_string_equal(node->entry->name, entries[i].entry.name);
    }
    assert_lists(tree, zip_tree_find(tree, ZIP_TREE_ROOT), "a a-b a.b aa q z ");
    assert_lists(tree, walk(tree, "a"), "b b.c d ");
    assert_lists(tree, walk(tree, "q"), "r rr ");
    assert_lists(tree, walk(tree, "z"), "");
    assert_int_equal(tree->n_nodes, 1 + 10 + 5 /* a, a.b, q, q/r, q/r/s */ + 1 /* q/rr */);
    fixture_deinit(&fixture);
}

static void directories_exist_with_and_without_an_entry(void **state)
{
    static const MadeEntry entries[] = {
        { { .name = "own/", .mode = 0700 }, NULL },
        { { .name = "own/file" }, "" },
        { { .name = "implied/file" }, "" },
        { { .name = "empty/" }, NULL },
    };
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, entries, ELEMENTS_OF(entries));
    assert_non_null(walk(fixture.tree, "own")->entry);
    assert_null(walk(fixture.tree, "implied")->entry);
    assert_int_equal(walk(fixture.tree, "empty")->n_children, 0);
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = { "own", "implied", "empty" };
        assert_true(walk(fixture.tree, names[i])->is_directory);
    }
    fixture_deinit(&fixture);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const MadeEntry entries[] = { { { .name = "bb/b" }, "" }, { { .name = "bd" }, "" } };
    static const char *const missing[] = { "b", "bba", "bc", "bda", "a", "c", "", "bb/", "bb/b/x" };
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, entries, ELEMENTS_OF(entries));
    for (size_t i = 0; i < ELEMENTS_OF(missing); i++)
        assert_null(walk(fixture.tree, missing[i]));
    assert_null(zip_tree_find(fixture.tree, 0));
    assert_null(zip_tree_find(fixture.tree, fixture.tree->n_nodes + 1));
    assert_null(zip_tree_find(fixture.tree, UINT64_MAX));
    fixture_deinit(&fixture);
}

static void an_empty_zip_has_a_root(void **state)
{
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, NULL, 0);
    const ZipNode *root = zip_tree_find(fixture.tree, ZIP_TREE_ROOT);
    assert_int_equal(zip_node_get_mode(root), S_IFDIR | 0550);
    assert_int_equal(root->parent, ZIP_TREE_ROOT);
    assert_int_equal(root->n_children, 0);
    fixture_deinit(&fixture);
}

/* Modes that no ZipWriter writes, so they are put into what the reader has read. */
static void modes_are_the_entrys_or_avfs(void **state)
{
    static const MadeEntry entries[] = {
        { { .name = "bin/run" }, "" },
        { { .name = "lib/x.so" }, "" },
        { { .name = "binary/x" }, "" },
        { { .name = "dir/" }, NULL },
    };
    static const struct {
        const char *name;
        uint16_t stored;
        uint32_t mode;
    } cases[] = {
        { "bin/run", 0, S_IFREG | 0550 },
        { "bin/run", 0600, S_IFREG | 0550 },
        { "bin/run", S_IFREG | 0600, S_IFREG | 0440 },
        { "bin/run", S_IFREG | 0644, S_IFREG | 0444 },
        { "bin/run", S_IFREG | 06755, S_IFREG | 0555 },
        { "lib/x.so", 0, S_IFREG | 0440 },
        { "lib/x.so", 0600, S_IFREG | 0440 },
        { "lib/x.so", S_IFREG | 0700, S_IFREG | 0550 },
        { "lib/x.so", S_IFREG | 01777, S_IFREG | 0555 },
        { "lib/x.so", S_IFREG, S_IFREG | 0440 },
        { "lib/x.so", S_IFREG | 0010, S_IFREG | 0450 },
        { "binary/x", 0, S_IFREG | 0440 },
        { "dir", 0, S_IFDIR | 0550 },
        { "dir", S_IFDIR | 0600, S_IFDIR | 0550 },
        { "dir", S_IFDIR | 03777, S_IFDIR | 0555 },
    };
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, entries, ELEMENTS_OF(entries));
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const ZipNode *node = walk(fixture.tree, cases[i].name);
        ZipEntry *entry = &fixture.reader->entries[node->entry - fixture.reader->entries];

        entry->mode = cases[i].stored;
        if (zip_node_get_mode(node) != cases[i].mode)
            fail_msg("%s, %o: %o", cases[i].name, cases[i].stored, zip_node_get_mode(node));
    }
    fixture_deinit(&fixture);
}

/* Entries that a reader would have, without the zip: names alone make the tree. */
static int make_tree(char *const *names, size_t n, ZipTree **ret_tree, Error *error)
{
    _cleanup_free_ ZipEntry *entries = calloc(n, sizeof(*entries));
    _cleanup_free_ const ZipEntry **by_name = calloc(n, sizeof(ZipEntry *));
    const ZipReader reader = { .entries = entries, .n_entries = n, .by_name = by_name };

    assert_true(entries && by_name);
    for (size_t i = 0; i < n; i++) {
        entries[i].name = names[i];
        by_name[i] = &entries[i];
    }
    return zip_tree_new(&reader, ret_tree, error);
}

/* @n names with 2048 parts each, of which the first, of four digits, is another in each. */
static char **make_deep_names(size_t n)
{
    char **names = calloc(n, sizeof(*names));

    assert_non_null(names);
    for (size_t i = 0; i < n; i++) {
        names[i] = malloc(ZIP_NAME_MAX + 1);
        assert_non_null(names[i]);
        int size = snprintf(names[i], ZIP_NAME_MAX, "%04zu", i);
        for (; size + 2 <= ZIP_NAME_MAX - 3; size += 2)
            memcpy(names[i] + size, "/a", 2);
        names[i][size] = '\0';
    }
    return names;
}

static void directories_without_entries_are_bounded(void **state)
{
    enum {
        PARTS = 1 + (ZIP_NAME_MAX - 3 - 4) / 2,
        N = ZIP_TREE_NODES_MAX / PARTS + 1
    };
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char **names = make_deep_names(N);
    ZipTree *tree = NULL;

    (void)state;
    assert_int_equal(make_tree(names, N - 1, &tree, NULL), 0);
    assert_int_equal(tree->n_nodes, 1 + (N - 1) * PARTS);
    tree = zip_tree_free(tree);
    /* Exactly as many as are taken, and one more. */
    size_t left = ZIP_TREE_NODES_MAX - (1 + (N - 1) * PARTS);
    char *last = names[N - 1];
    assert_in_range(left, 1, PARTS - 1);
    last[4 + 2 * (left - 1)] = '\0';
    assert_int_equal(make_tree(names, N, &tree, NULL), 0);
    assert_int_equal(tree->n_nodes, ZIP_TREE_NODES_MAX);
    tree = zip_tree_free(tree);
    last[4 + 2 * (left - 1)] = '/';
    last[4 + 2 * left] = '\0';
    assert_int_equal(make_tree(names, N, &tree, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "more than 262144 files and directories"));
    for (size_t i = 0; i < N; i++)
        free(names[i]);
    free(names);
}

static void the_deepest_name_has_room(void **state)
{
    char name[ZIP_NAME_MAX + 1] = "";
    char *names[] = { name };
    ZipTree *tree = NULL;

    (void)state;
    for (size_t i = 0; i < ZIP_NAME_MAX; i++)
        name[i] = i % 2 == 0 ? 'a' : '/';
    assert_int_equal(make_tree(names, 1, &tree, NULL), 0);
    assert_int_equal(tree->n_nodes, 1 + (ZIP_NAME_MAX + 1) / 2);
    zip_tree_free(tree);
    name[ZIP_NAME_MAX - 1] = '\0'; /* the deepest directory */
    assert_int_equal(make_tree(names, 1, &tree, NULL), 0);
    assert_int_equal(tree->n_nodes, 1 + ZIP_NAME_MAX / 2);
    zip_tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_has_all_files_whatever_their_order),
        cmocka_unit_test(directories_exist_with_and_without_an_entry),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(an_empty_zip_has_a_root),
        cmocka_unit_test(modes_are_the_entrys_or_avfs),
        cmocka_unit_test(directories_without_entries_are_bounded),
        cmocka_unit_test(the_deepest_name_has_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
