/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

/* Where things are in a manifest that was written here. */
#define POOL           8
#define POOL_STRINGS   (POOL + 28 + 4 * 11)
#define ID_VERSION     UINT32_C(0x0101021b)
#define ID_MAJOR       UINT32_C(0x01010576)
#define ATTRIBUTE_SIZE 20

typedef struct Made {
    uint8_t bytes[APK_MANIFEST_ROOM];
    size_t size, ids, root; /* where those chunks begin */
} Made;

static Made make(const char *package, uint64_t version)
{
    ApkManifest manifest = { .version = version };
    Made made = { .size = 0 };
    ByteWriter writer = byte_writer(made.bytes, sizeof(made.bytes));

    assert_true(strlen(package) <= APK_PACKAGE_MAX);
    memcpy(manifest.package, package, strlen(package));
    assert_int_equal(apk_manifest_encode(&manifest, &writer), 0);
    made.size = writer.size;
    made.ids = POOL + get_le(made.bytes + POOL + 4, 4);
    made.root = made.ids + get_le(made.bytes + made.ids + 4, 4) + 24 /* the namespace */;
    return made;
}

/* The attribute of the root at @index: version, major if there is any, package. */
static uint8_t *attribute(Made *made, size_t index)
{
    return made->bytes + made->root + 36 + index * ATTRIBUTE_SIZE;
}

static int decode(const Made *made, ApkManifest *ret_manifest, Error *error)
{
    /* Of its size exactly, so that the sanitizer sees a read beyond it. */
    _cleanup_free_ uint8_t *copy = malloc(made->size + (made->size == 0));

    assert_non_null(copy);
    memcpy(copy, made->bytes, made->size);
    return apk_manifest_decode(copy, made->size, ret_manifest, error);
}

static void assert_refused(const Made *made, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApkManifest manifest;

    assert_int_equal(decode(made, &manifest, &error), -EBADMSG);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void assert_decodes(const Made *made, const char *package, uint64_t version)
{
    ApkManifest manifest;

    assert_int_equal(decode(made, &manifest, NULL), 0);
    assert_string_equal(manifest.package, package);
    assert_int_equal(manifest.version, version);
}

/* A name of @size characters, the first part of which is "a". */
static const char *long_name(size_t size, char name[static APK_PACKAGE_MAX + 2])
{
    memset(name, 'b', size);
    memcpy(name, "a.", 2);
    name[size] = '\0';
    return name;
}

static void what_is_written_is_read(void **state)
{
    static const uint64_t versions[] = {
        0, 1, INT32_MAX, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(0x123456789abcdef0), UINT64_MAX,
    };
    static const size_t sizes[] = { 3, 4, 5, 6, 127, 128, 129, APK_PACKAGE_MAX };
    char name[APK_PACKAGE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(versions); i++) {
        for (size_t j = 0; j < ELEMENTS_OF(sizes); j++) {
            Made made = make(long_name(sizes[j], name), versions[i]);
            assert_decodes(&made, name, versions[i]);
        }
    }
}

static void a_writer_without_room_is_told(void **state)
{
    const ApkManifest manifest = { .package = "com.example", .version = 1 };
    const size_t size = make(manifest.package, 1).size;
    uint8_t bytes[APK_MANIFEST_ROOM];

    (void)state;
    for (size_t room = 0; room <= size; room++) {
        ByteWriter writer = byte_writer(bytes, room);
        assert_int_equal(apk_manifest_encode(&manifest, &writer), room < size ? -ENOBUFS : 0);
    }
}

/* Made by aapt 10.0.0 from text, with strings in UTF-16. */
static void a_manifest_of_aapt_is_read(void **state)
{
    _cleanup_free_ char *path = NULL;
    const char *top = getenv("top_srcdir");
    Made made = { .size = 0 };

    (void)state;
    assert_true(asprintf(&path, "%s/tests/fuzz/corpus/apk-manifest/aapt", top ? top : ".") > 0);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    assert_non_null(file);
    made.size = fread(made.bytes, 1, sizeof(made.bytes), file);
    assert_decodes(&made, "com.example.payload", UINT64_C(1) << 32 | 7);
    for (size_t size = made.size; size-- > 0;) {
        made.size = size;
        assert_refused(&made, "");
    }
}

static void a_manifest_that_is_cut_short_is_refused(void **state)
{
    Made made = make("com.example", 1);

    (void)state;
    for (size_t size = made.size; made.size-- > 0; size--)
        assert_refused(&made, size > 0 ? "it is cut short" : "");
    made = make("com.example", 1);
    made.size += 4;
    assert_refused(&made, "bytes behind its end");
    made = make("com.example", 1);
    put_le(made.bytes + 4, 4, (uint32_t)made.size - 4); /* the document's size */
    made.size -= 4;
    assert_refused(&made, "it is cut short");
    made = make("com.example", 1);
    made.size -= 24; /* without the end of the namespace, which nobody misses */
    put_le(made.bytes + 4, 4, (uint32_t)made.size);
    assert_decodes(&made, "com.example", 1);
    made.size -= 24; /* without the end of the root */
    put_le(made.bytes + 4, 4, (uint32_t)made.size);
    assert_refused(&made, "it has no element, or one without an end");
    made.size = 8;
    put_le(made.bytes + 4, 4, 8);
    assert_refused(&made, "it has no element");
}

typedef struct Patch {
    size_t offset; /* from where the case says on */
    unsigned width;
    uint32_t value;
    const char *words;
} Patch;

static void assert_patches_refused(size_t start, const Patch *patches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Made made = make("com.example", 1);

        put_le(made.bytes + start + patches[i].offset, patches[i].width, patches[i].value);
        assert_refused(&made, patches[i].words);
    }
}

static void bad_chunks_are_refused(void **state)
{
    static const Patch document[] = {
        { 0, 2, 1, "no binary XML" },    { 2, 2, 12, "no binary XML" },
        { 2, 2, 4, "impossible size" },  { 2, 2, 0xfffc, "impossible size" },
        { 2, 2, 10, "impossible size" }, { 4, 4, UINT32_MAX, "cut short" },
        { 4, 4, 0, "impossible size" },
    };
    static const Patch pool[] = {
        { 0, 2, 0x180, "a bad list of resource ids" },
        { 0, 2, 0x105, "unknown type 0x105" },
        { 0, 2, 0x102, "before the strings" },
        { 2, 2, 24, "a bad pool" },
        { 4, 4, 0xfffffffc, "cut short" },
        { 4, 4, 28, "does not fit" },
        { 8, 4, UINT32_MAX, "does not fit" },
        { 12, 4, UINT32_MAX, "does not fit" },
        { 12, 4, 1, "does not fit" }, /* styles that begin at 0 */
        { 20, 4, 28, "does not fit" },
        { 20, 4, UINT32_MAX, "does not fit" },
        { 8, 4, 0, "a string that is not there" },
    };
    static const Patch ids[] = {
        { 0, 2, 1, "a second one" },
        { 2, 2, 12, "a bad list of resource ids" },
    };

    (void)state;
    assert_patches_refused(0, document, ELEMENTS_OF(document));
    assert_patches_refused(POOL, pool, ELEMENTS_OF(pool));
    assert_patches_refused(make("com.example", 1).ids, ids, ELEMENTS_OF(ids));
}

static void bad_elements_are_refused(void **state)
{
    static const Patch root[] = {
        { 2, 2, 20, "a bad node" },
        { 16, 4, 0, "not <manifest>" }, /* in a namespace */
        { 20, 4, 7, "not <manifest>" }, /* <package> */
        { 20, 4, 11, "string that is not there" },
        { 20, 4, UINT32_MAX, "string that is not there" },
        { 24, 2, 24, "attributes do not fit" },
        { 26, 2, 24, "attributes do not fit" },
        { 28, 2, 1, "attributes do not fit" },
        { 28, 2, 3, "attributes do not fit" },
        { 28, 2, 0xffff, "attributes do not fit" },
        { 0, 2, 0x103, "ends that has not begun" },
        { 0, 2, 0x104, "not <manifest>" },                         /* text */
        { 36 + 2 * ATTRIBUTE_SIZE, 2, 0x104, "a second element" }, /* so that the root ends early */
    };
    static const Patch version[] = {
        { 12, 2, 4, "another size" },
        { 15, 1, 0x03, "its version is no number" },
        { 15, 1, 0x01, "its version is no number" },
        { 4, 4, 11, "string that is not there" },
    };
    static const Patch package[] = {
        { 4, 4, 6, "<manifest> has no package" },
        { 0, 4, 5, "<manifest> has no package" }, /* in a namespace */
        { 15, 1, 0x10, "no string, or two" },
        { 8, 4, 7, "no string, or two" },
        { 16, 4, 7, "no string, or two" },
        { 4, 4, 2, "its version is there twice" },
    };
    const size_t start = make("com.example", 1).root + 36;

    (void)state;
    assert_patches_refused(start - 36, root, ELEMENTS_OF(root));
    assert_patches_refused(start, version, ELEMENTS_OF(version));
    assert_patches_refused(start + ATTRIBUTE_SIZE, package, ELEMENTS_OF(package));
}

static void attributes_are_known_by_id_and_may_be_missing(void **state)
{
    Made made = make("com.example", UINT64_C(2) << 32 | 3);

    (void)state;
    put_le(attribute(&made, 0) + 15, 1, 0x11); /* hexadecimal */
    assert_decodes(&made, "com.example", UINT64_C(2) << 32 | 3);
    put_le(made.bytes + made.ids + 8 + 4 * 2, 4, 0x01010000); /* versionCode's */
    assert_decodes(&made, "com.example", UINT64_C(2) << 32);
    put_le(made.bytes + made.ids + 8 + 4 * 3, 4, ID_VERSION); /* versionCodeMajor's */
    assert_decodes(&made, "com.example", 2);
    put_le(made.bytes + made.ids + 8 + 4 * 2, 4, ID_VERSION);
    assert_refused(&made, "its version is there twice");
    put_le(made.bytes + made.ids + 8 + 4 * 2, 4, ID_MAJOR);
    put_le(made.bytes + made.ids + 8 + 4 * 3, 4, ID_MAJOR);
    assert_refused(&made, "its version is there twice");
}

/* The package once more in place of the first version. */
static void a_second_package_is_refused(void **state)
{
    Made made = make("com.example", 1);

    (void)state;
    memcpy(attribute(&made, 0), attribute(&made, 1), ATTRIBUTE_SIZE);
    assert_refused(&made, "its package is there twice");
}

/* Into the string at @index, with its length; what is behind it is not looked at. */
static void put_string(Made *made, size_t index, const char *text, size_t size)
{
    uint8_t *string = made->bytes + POOL_STRINGS + get_le(made->bytes + POOL + 28 + 4 * index, 4);

    *string++ = (uint8_t)size;
    *string++ = (uint8_t)size;
    memcpy(string, text, size);
    string[size] = '\0';
}

static void bad_packages_are_refused(void **state)
{
    static const struct {
        const char *package, *words;
    } cases[] = {
        { "", "is empty" },
        { "com.", "is empty" },
        { "com.1a", "does not begin with a letter" },
        { "com._a", "does not begin with a letter" },
        { "1.com", "does not begin with a letter" },
        { ".com", "does not begin with a letter" },
        { "com..x", "does not begin with a letter" },
        { "com/x", "other characters" },
        { "com x", "other characters" },
        { "com.\n", "not of ASCII" },
        { "c\303\274m", "not of ASCII" },
    };
    char name[APK_PACKAGE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Made made = make("com.example.room", 1);
        put_string(&made, 8, cases[i].package, strlen(cases[i].package));
        assert_refused(&made, cases[i].words);
    }
    Made made = make("com.example", 1);
    put_string(&made, 8, "com\0x", 5); /* a NUL in it */
    assert_refused(&made, "not of ASCII");
    made = make("com.example", 1);
    put_string(&made, 8, "android", 7); /* one part is enough for Android's own */
    assert_decodes(&made, "android", 1);
    made = make(long_name(APK_PACKAGE_MAX, name), 1);
    uint8_t *string = made.bytes + POOL_STRINGS + get_le(made.bytes + POOL + 28 + 4 * 8, 4);
    string[1]++; /* one character more, in both lengths; the next string begins with them */
    string[3]++;
    string[4 + APK_PACKAGE_MAX] = 'b';
    string[5 + APK_PACKAGE_MAX] = 0;
    assert_refused(&made, "too long");
}

static void bad_strings_are_refused(void **state)
{
    enum {
        VALUE = POOL + 28 + 4 * 8 /* where the package's string is */
    };
    Made made = make("com.example", 1);
    uint8_t *string = made.bytes + POOL_STRINGS + get_le(made.bytes + VALUE, 4);

    (void)state;
    const Made good = made;
    string[2 + 11] = 'x'; /* no end */
    assert_refused(&made, "or is cut short");
    made = good;
    string[0]++; /* more characters than bytes */
    assert_refused(&made, "or is cut short");
    made = good;
    string[1] = 0xff; /* a long length, far behind the end */
    assert_refused(&made, "or is cut short");
    made = good;
    put_le(made.bytes + VALUE, 4, UINT32_MAX);
    assert_refused(&made, "or is cut short");
    put_le(made.bytes + VALUE, 4, (uint32_t)(good.ids - POOL_STRINGS)); /* at the end */
    assert_refused(&made, "or is cut short");
    made = good;
    put_le(made.bytes + POOL + 16, 4, 0); /* of UTF-16, as which they make no sense */
    assert_refused(&made, "");
}

static void packages_are_checked_by_androids_rule(void **state)
{
    static const char *const good[] = { "a.b", "com.example", "com.example.a_1", "A.b.C9" };
    static const struct {
        const char *package, *words;
    } bad[] = {
        { "", "is empty" },
        { "com", "one part only" },
        { "a.", "is empty" },
        { ".a", "begin with" },
        { "a.9", "begin with" },
        { "a-b.c", "other characters" },
        { "a.\303\274", "other characters" },
    };
    char name[APK_PACKAGE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(good); i++)
        assert_int_equal(apk_package_check(good[i], NULL), 0);
    for (size_t i = 0; i < ELEMENTS_OF(bad); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        assert_int_equal(apk_package_check(bad[i].package, &error), -EINVAL);
        if (!strstr(error_get_message(&error), bad[i].words))
            fail_msg("%s: %s", bad[i].package, error_get_message(&error));
    }
    assert_int_equal(apk_package_check(long_name(APK_PACKAGE_MAX, name), NULL), 0);
    assert_int_equal(apk_package_check(long_name(APK_PACKAGE_MAX + 1, name), NULL), -EINVAL);
}

/* What apk_manifest_read() says of an archive with that content under that name. */
static int read_from_zip(const char *name,
                         const char *content,
                         ApkManifest *ret_manifest,
                         bool *ret_is_there,
                         Error *error)
{
    const MadeEntry entries[] = { { { .name = name, .method = ZIP_DEFLATED }, content } };
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(entries, 1);
    const ByteSource source = made_zip_source(&zip);
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;

    assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
    return apk_manifest_read(reader, ret_manifest, ret_is_there, error);
}

static void archives_without_a_manifest_have_no_package(void **state)
{
    static const struct {
        const char *name, *content;
    } cases[] = {
        { "other", "x" },
        { "x/AndroidManifest.xml", "x" },
        { "AndroidManifest.xml", "<manifest package=\"a.b\"/>" },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        ApkManifest manifest = { .package = "x", .version = 7 };
        bool is_there = true;

        assert_int_equal(read_from_zip(cases[i].name, cases[i].content, &manifest, &is_there, NULL),
                         0);
        assert_false(is_there);
        assert_string_equal(manifest.package, "");
        assert_int_equal(manifest.version, 0);
    }
}

static void a_manifest_that_is_none_is_an_error(void **state)
{
    static const char *const contents[] = { "", "\003", " <manifest/>", "anything" };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(contents); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        ApkManifest manifest;
        bool is_there;

        assert_int_equal(
            read_from_zip("AndroidManifest.xml", contents[i], &manifest, &is_there, &error),
            -EBADMSG);
        assert_non_null(strstr(error_get_message(&error), "AndroidManifest.xml: "));
    }
}

/* A MadeEntry's content ends at the first NUL, so the manifest takes its place in the zip. */
static void the_manifest_of_an_archive_is_read(void **state)
{
    Made made = make("com.example", 5);
    char content[APK_MANIFEST_ROOM] = "";
    const MadeEntry entries[] = { { { .name = APK_MANIFEST_NAME }, content } };
    ApkManifest manifest;
    bool is_there;

    (void)state;
    memset(content, 'x', made.size);
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(entries, 1);
    const ByteSource source = made_zip_source(&zip);
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
    memcpy(zip.data + reader->entries[0].data_offset, made.bytes, made.size);
    _cleanup_(error_clear) Error error = ERROR_INIT;
    assert_int_equal(apk_manifest_read(reader, &manifest, &is_there, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "its checksum is wrong"));
    reader->entries[0].checksum = (uint32_t)crc32(0, made.bytes, (uInt)made.size);
    assert_int_equal(apk_manifest_read(reader, &manifest, &is_there, NULL), 0);
    assert_true(is_there);
    assert_string_equal(manifest.package, "com.example");
    assert_int_equal(manifest.version, 5);
    reader->entries[0].size = APK_MANIFEST_MAX + 1;
    assert_int_equal(apk_manifest_read(reader, &manifest, &is_there, NULL), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_writer_without_room_is_told),
        cmocka_unit_test(a_manifest_of_aapt_is_read),
        cmocka_unit_test(a_manifest_that_is_cut_short_is_refused),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(bad_elements_are_refused),
        cmocka_unit_test(attributes_are_known_by_id_and_may_be_missing),
        cmocka_unit_test(a_second_package_is_refused),
        cmocka_unit_test(bad_packages_are_refused),
        cmocka_unit_test(bad_strings_are_refused),
        cmocka_unit_test(packages_are_checked_by_androids_rule),
        cmocka_unit_test(archives_without_a_manifest_have_no_package),
        cmocka_unit_test(a_manifest_that_is_none_is_an_error),
        cmocka_unit_test(the_manifest_of_an_archive_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
