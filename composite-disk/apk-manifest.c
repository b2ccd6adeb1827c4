/* SPDX-License-Identifier: Apache-2.0 */
/* The file is one chunk of chunks: a pool of strings, which all else has numbers of; a list of
 * resource ids, of which the first is that of the attribute named by the first string, and so on;
 * and the nodes of the document, in its order:
 *
 *     8 header   type, size of the header, size of the chunk
 *       pool     28 bytes of header, 4 for each string: where it is, the strings
 *       ids      8 bytes of header, 4 for each
 *       node     16 bytes of header; of an element 20 more, and 20 for each attribute
 */
#include "composite-disk/apk-manifest.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "composite-disk/zip-stream.h"

#define TYPE_STRINGS         0x0001
#define TYPE_DOCUMENT        0x0003
#define TYPE_START_NAMESPACE 0x0100
#define TYPE_END_NAMESPACE   0x0101
#define TYPE_START_ELEMENT   0x0102
#define TYPE_END_ELEMENT     0x0103
#define TYPE_TEXT            0x0104
#define TYPE_IDS             0x0180

#define CHUNK_HEADER_SIZE 8
#define POOL_HEADER_SIZE  28
#define NODE_HEADER_SIZE  16
#define ELEMENT_SIZE      20
#define ATTRIBUTE_SIZE    20
#define VALUE_SIZE        8

#define POOL_UTF8      (1U << 8) /* a flag; else UTF-16 */
#define LONG_UTF8      0x80      /* a length has twice the bytes */
#define LONG_UTF16     0x8000
#define NONE           UINT32_MAX /* in place of a string's number */
#define VALUE_STRING   0x03
#define VALUE_DECIMAL  0x10
#define VALUE_HEX      0x11
#define VALUE_BOOLEAN  0x12
#define ID_HAS_CODE    UINT32_C(0x0101000c)
#define ID_SDK         UINT32_C(0x0101020c) /* minSdkVersion */
#define ID_VERSION     UINT32_C(0x0101021b) /* versionCode */
#define ID_MAJOR       UINT32_C(0x01010576) /* versionCodeMajor */
#define ANDROID_PREFIX "android"
#define ANDROID_URI    "http://schemas.android.com/apk/res/android"
#define ELEMENT_ROOT   "manifest"
#define ATTRIBUTE_NAME "package"

static int bad(const char *what, Error *error)
{
    return error_set(error, ERROR_IMAGE_INVALID, APK_MANIFEST_NAME ": %s", what);
}

/* --- names of packages --- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Android's rule: parts of letters, digits and underscores, each beginning with a letter. */
static const char *find_package_fault(const char *package)
{
    size_t size = strlen(package);
    bool is_start = true;

    if (size > APK_PACKAGE_MAX)
        return "it has more than 223 characters";
    for (size_t i = 0; i < size; i++) {
        char c = package[i];
        bool is_other = (c >= '0' && c <= '9') || c == '_';

        if (!is_letter(c) && !is_other && c != '.')
            return "it has other characters than letters, digits, '_' and '.'";
        if (is_start && !is_letter(c))
            return "a part of it does not begin with a letter";
        is_start = c == '.';
    }
    return is_start ? "it, or its last part, is empty" : NULL;
}

int apk_package_check(const char *package, Error *error)
{
    const char *reason = find_package_fault(package);

    if (!reason && !strchr(package, '.'))
        reason = "it has one part only; Android wants two, as in 'com.example'";
    return reason ? error_set(error, ERROR_INVALID_ARGUMENT, "'%s' is no name of a package: %s",
                              package, reason)
                  : 0;
}

/* --- reading: chunks and strings --- */

typedef struct Chunk {
    uint16_t type, header_size;
    ByteReader all;  /* from its first byte on */
    ByteReader rest; /* behind the eight bytes that every chunk begins with */
} Chunk;

static int get_chunk(ByteReader *reader, Chunk *ret_chunk, Error *error)
{
    ByteReader rest = *reader;
    Chunk chunk = { 0 };
    const uint8_t *view;
    uint32_t size;

    if (byte_reader_get_le16(&rest, &chunk.type) < 0 ||
        byte_reader_get_le16(&rest, &chunk.header_size) < 0 ||
        byte_reader_get_le32(&rest, &size) < 0 || byte_reader_get_view(reader, size, &view) < 0)
        return bad("it is cut short", error);
    if (chunk.header_size < CHUNK_HEADER_SIZE || chunk.header_size > size ||
        chunk.header_size % 4 != 0 || size % 4 != 0)
        return bad("a chunk with an impossible size", error);
    chunk.all = byte_reader(view, size);
    chunk.rest = byte_reader(view + CHUNK_HEADER_SIZE, size - CHUNK_HEADER_SIZE);
    *ret_chunk = chunk;
    return 0;
}

typedef struct Manifest {
    uint32_t n_strings, n_ids;
    ByteReader string_offsets, strings, ids; /* of as many as those numbers */
    bool is_utf8;
    bool has_pool, has_ids, has_root;
    size_t depth; /* of the elements that are open */
    bool has_package, has_version, has_major;
    char package[APK_PACKAGE_MAX + 1];
    uint32_t version, major;
} Manifest;

/* The number at @index of a list, which has it. */
static uint32_t get_number(ByteReader list, uint32_t index)
{
    uint32_t number = 0;
    const uint8_t *unused;

    int r = byte_reader_get_view(&list, 4 * (size_t)index, &unused);
    if (r == 0)
        r = byte_reader_get_le32(&list, &number);
    assert(r == 0);
    return number;
}

static int decode_pool(Manifest *manifest, const Chunk *chunk, Error *error)
{
    ByteReader rest = chunk->rest, all = chunk->all;
    uint32_t n_styles, flags, strings_start, styles_start;
    const uint8_t *view;

    if (manifest->has_pool || chunk->header_size != POOL_HEADER_SIZE ||
        byte_reader_get_le32(&rest, &manifest->n_strings) < 0 ||
        byte_reader_get_le32(&rest, &n_styles) < 0 || byte_reader_get_le32(&rest, &flags) < 0 ||
        byte_reader_get_le32(&rest, &strings_start) < 0 ||
        byte_reader_get_le32(&rest, &styles_start) < 0)
        return bad("a bad pool of strings, or a second one", error);
    uint64_t lists_size = 4 * (uint64_t)manifest->n_strings + 4 * (uint64_t)n_styles;
    uint64_t end = n_styles > 0 ? styles_start : all.size;
    if (lists_size > rest.size || strings_start < POOL_HEADER_SIZE + lists_size ||
        strings_start > end || end > all.size)
        return bad("a pool of strings that does not fit where it is", error);
    manifest->string_offsets = byte_reader(rest.data, 4 * (size_t)manifest->n_strings);
    (void)byte_reader_get_view(&all, strings_start, &view); /* it is inside, as was just seen */
    manifest->strings = byte_reader(all.data, (size_t)end - strings_start);
    manifest->is_utf8 = flags & POOL_UTF8;
    manifest->has_pool = true;
    return 0;
}

/* One unit of a string: a byte, or a number of 16 bits. */
static int get_unit(const Manifest *manifest, ByteReader *reader, uint16_t *ret_unit)
{
    uint8_t byte;

    if (!manifest->is_utf8)
        return byte_reader_get_le16(reader, ret_unit);
    int r = byte_reader_get_u8(reader, &byte);
    if (r == 0)
        *ret_unit = byte;
    return r;
}

static int get_length(const Manifest *manifest, ByteReader *reader, uint32_t *ret_length)
{
    uint16_t mark = manifest->is_utf8 ? LONG_UTF8 : LONG_UTF16, high, low;

    int r = get_unit(manifest, reader, &high);
    if (r < 0)
        return r;
    if (!(high & mark)) {
        *ret_length = high;
        return 0;
    }
    r = get_unit(manifest, reader, &low);
    if (r == 0)
        *ret_length = (high & (mark - 1U)) << (manifest->is_utf8 ? 8 : 16) | low;
    return r;
}

/* Lends a string's units, which a zero follows, and their number. */
static int find_string(const Manifest *manifest,
                       uint32_t index,
                       ByteReader *ret_units,
                       uint32_t *ret_length)
{
    ByteReader reader = manifest->strings;
    const uint8_t *view;
    uint32_t n_characters, length;
    uint16_t end;

    if (index >= manifest->n_strings)
        return -EBADMSG;
    uint32_t offset = get_number(manifest->string_offsets, index);
    if ((!manifest->is_utf8 && offset % 2 != 0) ||
        byte_reader_get_view(&reader, offset, &view) < 0 ||
        get_length(manifest, &reader, &n_characters) < 0)
        return -EBADMSG;
    /* In UTF-8, the number of bytes stands behind that of UTF-16's units. */
    length = n_characters;
    if (manifest->is_utf8 && get_length(manifest, &reader, &length) < 0)
        return -EBADMSG;
    ByteReader units = reader;
    if (byte_reader_get_view(&reader, (manifest->is_utf8 ? 1U : 2U) * (size_t)length, &view) < 0 ||
        get_unit(manifest, &reader, &end) < 0 || end != 0 || length < n_characters)
        return -EBADMSG;
    *ret_units = units;
    *ret_length = length;
    return 0;
}

/* All names that count here are short and of ASCII: 1 and the string, 0 for any other one. */
static int get_name(const Manifest *manifest,
                    uint32_t index,
                    char name[static APK_PACKAGE_MAX + 1],
                    Error *error)
{
    ByteReader units = { 0 };
    uint32_t length = 0;
    uint16_t unit = 0;

    if (find_string(manifest, index, &units, &length) < 0)
        return bad("a string that is not there, or is cut short", error);
    if (length > APK_PACKAGE_MAX)
        return 0;
    for (uint32_t i = 0; i < length; i++) {
        (void)get_unit(manifest, &units, &unit); /* they are all there */
        if (unit < ' ' || unit > '~')
            return 0;
        name[i] = (char)unit;
    }
    name[length] = '\0';
    return 1;
}

/* 1, 0 or what get_name() fails with. */
static int is_name(const Manifest *manifest, uint32_t index, const char *expected, Error *error)
{
    char name[APK_PACKAGE_MAX + 1];

    int r = get_name(manifest, index, name, error);
    return r <= 0 ? r : strcmp(name, expected) == 0;
}

/* --- reading: the document --- */

typedef struct Attribute {
    uint32_t namespace, name, raw, data;
    uint8_t type;
} Attribute;

static int get_attribute(ByteReader *reader, Attribute *ret_attribute, Error *error)
{
    uint16_t value_size;
    uint8_t zero;

    if (byte_reader_get_le32(reader, &ret_attribute->namespace) < 0 ||
        byte_reader_get_le32(reader, &ret_attribute->name) < 0 ||
        byte_reader_get_le32(reader, &ret_attribute->raw) < 0 ||
        byte_reader_get_le16(reader, &value_size) < 0 || byte_reader_get_u8(reader, &zero) < 0 ||
        byte_reader_get_u8(reader, &ret_attribute->type) < 0 ||
        byte_reader_get_le32(reader, &ret_attribute->data) < 0 || value_size != VALUE_SIZE)
        return bad("an attribute whose value has another size", error);
    return 0;
}

static int take_number(const Attribute *attribute, bool *has, uint32_t *number, Error *error)
{
    if (*has)
        return bad("its version is there twice", error);
    if (attribute->type != VALUE_DECIMAL && attribute->type != VALUE_HEX)
        return bad("its version is no number", error);
    *has = true;
    *number = attribute->data;
    return 0;
}

/* Some readers take the raw string, others the value: here it has to be the same. */
static int take_package(Manifest *manifest, const Attribute *attribute, Error *error)
{
    if (manifest->has_package)
        return bad("its package is there twice", error);
    if (attribute->type != VALUE_STRING || attribute->raw != attribute->data)
        return bad("its package is no string, or two", error);
    int r = get_name(manifest, attribute->data, manifest->package, error);
    if (r < 0)
        return r;
    const char *reason =
        r == 0 ? "it is too long, or not of ASCII" : find_package_fault(manifest->package);
    if (reason)
        return error_set(error, ERROR_IMAGE_INVALID, APK_MANIFEST_NAME ": its package: %s", reason);
    manifest->has_package = true;
    return 0;
}

/* Android goes by the resource id, whatever the name, where an attribute has one. */
static int take_attribute(Manifest *manifest, const Attribute *attribute, Error *error)
{
    uint32_t id =
        attribute->name < manifest->n_ids ? get_number(manifest->ids, attribute->name) : 0;

    if (id == ID_VERSION)
        return take_number(attribute, &manifest->has_version, &manifest->version, error);
    if (id == ID_MAJOR)
        return take_number(attribute, &manifest->has_major, &manifest->major, error);
    int r = is_name(manifest, attribute->name, ATTRIBUTE_NAME, error);
    if (r <= 0 || attribute->namespace != NONE)
        return r < 0 ? r : 0;
    return take_package(manifest, attribute, error);
}

static int decode_root(Manifest *manifest, ByteReader rest, Error *error)
{
    uint32_t namespace, name;
    uint16_t start, size, n, index;

    if (byte_reader_get_le32(&rest, &namespace) < 0 || byte_reader_get_le32(&rest, &name) < 0 ||
        byte_reader_get_le16(&rest, &start) < 0 || byte_reader_get_le16(&rest, &size) < 0 ||
        byte_reader_get_le16(&rest, &n) < 0 || byte_reader_get_le16(&rest, &index) < 0 ||
        byte_reader_get_le16(&rest, &index) < 0 || byte_reader_get_le16(&rest, &index) < 0)
        return bad("an element that is cut short", error);
    if (start != ELEMENT_SIZE || size != ATTRIBUTE_SIZE || rest.size != (size_t)n * ATTRIBUTE_SIZE)
        return bad("an element whose attributes do not fit where they are", error);
    int r = is_name(manifest, name, ELEMENT_ROOT, error);
    if (r < 0)
        return r;
    if (r == 0 || namespace != NONE)
        return bad("its first element is not <manifest>", error);
    while (rest.size > 0) {
        Attribute attribute = { 0 };

        if ((r = get_attribute(&rest, &attribute, error)) < 0 ||
            (r = take_attribute(manifest, &attribute, error)) < 0)
            return r;
    }
    return manifest->has_package ? 0 : bad("<manifest> has no package", error);
}

static int decode_node(Manifest *manifest, const Chunk *chunk, Error *error)
{
    ByteReader rest = chunk->rest;
    const uint8_t *unused;

    if (!manifest->has_pool || chunk->header_size != NODE_HEADER_SIZE ||
        byte_reader_get_view(&rest, NODE_HEADER_SIZE - CHUNK_HEADER_SIZE, &unused) < 0)
        return bad("a bad node, or one before the strings", error);
    if (chunk->type == TYPE_END_ELEMENT && manifest->depth-- == 0)
        return bad("an element ends that has not begun", error);
    if (chunk->type != TYPE_START_ELEMENT)
        return 0;
    if (manifest->depth++ > 0)
        return 0;
    if (manifest->has_root)
        return bad("a second element beside <manifest>", error);
    manifest->has_root = true;
    return decode_root(manifest, rest, error);
}

static int decode_chunk(Manifest *manifest, const Chunk *chunk, Error *error)
{
    switch (chunk->type) {
    case TYPE_STRINGS:
        return decode_pool(manifest, chunk, error);
    case TYPE_IDS:
        if (manifest->has_ids || manifest->has_root || chunk->header_size != CHUNK_HEADER_SIZE)
            return bad("a bad list of resource ids, or a second or late one", error);
        manifest->has_ids = true;
        manifest->ids = chunk->rest;
        manifest->n_ids = (uint32_t)(chunk->rest.size / 4);
        return 0;
    case TYPE_START_NAMESPACE:
    case TYPE_END_NAMESPACE:
    case TYPE_START_ELEMENT:
    case TYPE_END_ELEMENT:
    case TYPE_TEXT:
        return decode_node(manifest, chunk, error);
    default:
        return error_set(error, ERROR_IMAGE_INVALID,
                         APK_MANIFEST_NAME ": a chunk of the unknown type 0x%x", chunk->type);
    }
}

int apk_manifest_decode(const uint8_t *data, size_t size, ApkManifest *ret_manifest, Error *error)
{
    ByteReader reader = byte_reader(data, size);
    Manifest manifest = { 0 };
    Chunk document, chunk;

    int r = get_chunk(&reader, &document, error);
    if (r < 0)
        return r;
    if (document.type != TYPE_DOCUMENT || document.header_size != CHUNK_HEADER_SIZE)
        return bad("it is no binary XML", error);
    if (reader.size > 0)
        return bad("bytes behind its end", error);
    while (document.rest.size > 0) {
        if ((r = get_chunk(&document.rest, &chunk, error)) < 0 ||
            (r = decode_chunk(&manifest, &chunk, error)) < 0)
            return r;
    }
    if (!manifest.has_root || manifest.depth > 0)
        return bad("it has no element, or one without an end", error);
    *ret_manifest = (ApkManifest){ .version = (uint64_t)manifest.major << 32 | manifest.version };
    memcpy(ret_manifest->package, manifest.package, sizeof(manifest.package));
    return 0;
}

bool apk_manifest_is_text(const uint8_t *data, size_t size)
{
    return size > 0 && data[0] == '<';
}

int apk_manifest_read(const ZipReader *reader,
                      ApkManifest *ret_manifest,
                      bool *ret_is_there,
                      Error *error)
{
    const ZipEntry *entry = zip_reader_find(reader, APK_MANIFEST_NAME);
    _cleanup_free_ uint8_t *data = NULL;
    ApkManifest manifest = { 0 };
    size_t size = 0;

    if (entry) {
        int r = zip_read_entry(reader, entry, APK_MANIFEST_MAX, &data, &size, error);
        if (r < 0)
            return r;
    }
    bool is_there = entry && !apk_manifest_is_text(data, size);
    if (is_there) {
        int r = apk_manifest_decode(data, size, &manifest, error);
        if (r < 0)
            return r;
    }
    *ret_manifest = manifest;
    *ret_is_there = is_there;
    return 0;
}

/* --- writing --- */

/* The order of the strings: first those of the attributes with ids, in the order of these, which is
 * also that of the attributes in an element. */
enum {
    STRING_HAS_CODE,
    STRING_SDK,
    STRING_VERSION,
    STRING_MAJOR,
    N_IDS,
    STRING_ANDROID = N_IDS,
    STRING_URI,
    STRING_ROOT,
    STRING_PACKAGE,
    STRING_PACKAGE_VALUE,
    STRING_USES_SDK,
    STRING_APPLICATION,
    N_STRINGS
};

static const uint32_t written_ids[N_IDS] = { ID_HAS_CODE, ID_SDK, ID_VERSION, ID_MAJOR };

static void put_chunk(ByteWriter *writer, uint16_t type, uint16_t header_size, size_t size)
{
    byte_writer_put_le16(writer, type);
    byte_writer_put_le16(writer, header_size);
    byte_writer_put_le32(writer, (uint32_t)size);
}

/* The length of a string, which has less than 128 characters, or else the long form. */
static void put_length(ByteWriter *writer, size_t length)
{
    if (length >= LONG_UTF8)
        byte_writer_put_u8(writer, (uint8_t)(LONG_UTF8 | length >> 8));
    byte_writer_put_u8(writer, (uint8_t)length);
}

static void put_strings(ByteWriter *writer, const char *const strings[static N_STRINGS])
{
    uint8_t bytes[APK_MANIFEST_ROOM];
    ByteWriter pool = byte_writer(bytes, sizeof(bytes));
    uint32_t offsets[N_STRINGS];
    const uint32_t start = POOL_HEADER_SIZE + sizeof(offsets);

    for (size_t i = 0; i < N_STRINGS; i++) {
        size_t length = strlen(strings[i]);

        offsets[i] = (uint32_t)pool.size;
        put_length(&pool, length); /* in characters, and */
        put_length(&pool, length); /* in bytes, which is the same in ASCII */
        byte_writer_put_bytes(&pool, strings[i], length + 1);
    }
    byte_writer_put_zeros(&pool, -pool.size % 4);
    int r = byte_writer_finish(&pool);
    assert(r == 0);
    put_chunk(writer, TYPE_STRINGS, POOL_HEADER_SIZE, start + pool.size);
    byte_writer_put_le32(writer, N_STRINGS);
    byte_writer_put_le32(writer, 0); /* styles */
    byte_writer_put_le32(writer, POOL_UTF8);
    byte_writer_put_le32(writer, start);
    byte_writer_put_le32(writer, 0); /* where the styles begin */
    for (size_t i = 0; i < N_STRINGS; i++)
        byte_writer_put_le32(writer, offsets[i]);
    byte_writer_put_bytes(writer, bytes, pool.size);
}

static void put_ids(ByteWriter *writer)
{
    put_chunk(writer, TYPE_IDS, CHUNK_HEADER_SIZE, CHUNK_HEADER_SIZE + sizeof(written_ids));
    for (size_t i = 0; i < N_IDS; i++)
        byte_writer_put_le32(writer, written_ids[i]);
}

static void put_node(
    ByteWriter *writer, uint16_t type, size_t size, uint32_t first, uint32_t second)
{
    put_chunk(writer, type, NODE_HEADER_SIZE, NODE_HEADER_SIZE + size);
    byte_writer_put_le32(writer, 1);    /* the line */
    byte_writer_put_le32(writer, NONE); /* the comment */
    byte_writer_put_le32(writer, first);
    byte_writer_put_le32(writer, second);
}

static void put_namespace(ByteWriter *writer, uint16_t type)
{
    put_node(writer, type, 8, STRING_ANDROID, STRING_URI);
}

static void put_start(ByteWriter *writer, uint32_t name, uint16_t n_attributes)
{
    put_node(writer, TYPE_START_ELEMENT, ELEMENT_SIZE + (size_t)n_attributes * ATTRIBUTE_SIZE, NONE,
             name);
    byte_writer_put_le16(writer, ELEMENT_SIZE); /* where the attributes begin */
    byte_writer_put_le16(writer, ATTRIBUTE_SIZE);
    byte_writer_put_le16(writer, n_attributes);
    byte_writer_put_zeros(writer, 6); /* id, class, style: none */
}

static void put_end(ByteWriter *writer, uint32_t name)
{
    put_node(writer, TYPE_END_ELEMENT, 8, NONE, name);
}

static void put_value(ByteWriter *writer, uint32_t raw, uint8_t type, uint32_t data)
{
    byte_writer_put_le32(writer, raw);
    byte_writer_put_le16(writer, VALUE_SIZE);
    byte_writer_put_u8(writer, 0);
    byte_writer_put_u8(writer, type);
    byte_writer_put_le32(writer, data);
}

static void put_number(ByteWriter *writer, uint32_t name, uint8_t type, uint32_t number)
{
    byte_writer_put_le32(writer, STRING_URI);
    byte_writer_put_le32(writer, name);
    put_value(writer, NONE, type, number);
}

static void put_root(ByteWriter *writer, uint64_t version)
{
    uint32_t major = (uint32_t)(version >> 32);

    put_start(writer, STRING_ROOT, major == 0 ? 2 : 3);
    put_number(writer, STRING_VERSION, VALUE_DECIMAL, (uint32_t)version);
    if (major != 0)
        put_number(writer, STRING_MAJOR, VALUE_DECIMAL, major);
    byte_writer_put_le32(writer, NONE);
    byte_writer_put_le32(writer, STRING_PACKAGE);
    put_value(writer, STRING_PACKAGE_VALUE, VALUE_STRING, STRING_PACKAGE_VALUE);
}

/* An element in <manifest> with one attribute. */
static void put_child(
    ByteWriter *writer, uint32_t name, uint32_t attribute, uint8_t type, uint32_t value)
{
    put_start(writer, name, 1);
    put_number(writer, attribute, type, value);
    put_end(writer, name);
}

int apk_manifest_encode(const ApkManifest *manifest, ByteWriter *writer)
{
    const char *const strings[N_STRINGS] = {
        [STRING_HAS_CODE] = "hasCode",
        [STRING_SDK] = "minSdkVersion",
        [STRING_VERSION] = "versionCode",
        [STRING_MAJOR] = "versionCodeMajor",
        [STRING_ANDROID] = ANDROID_PREFIX,
        [STRING_URI] = ANDROID_URI,
        [STRING_ROOT] = ELEMENT_ROOT,
        [STRING_PACKAGE] = ATTRIBUTE_NAME,
        [STRING_PACKAGE_VALUE] = manifest->package,
        [STRING_USES_SDK] = "uses-sdk",
        [STRING_APPLICATION] = "application",
    };
    uint8_t bytes[APK_MANIFEST_ROOM];
    ByteWriter chunks = byte_writer(bytes, sizeof(bytes));

    assert(!find_package_fault(manifest->package));
    put_strings(&chunks, strings);
    put_ids(&chunks);
    put_namespace(&chunks, TYPE_START_NAMESPACE);
    put_root(&chunks, manifest->version);
    put_child(&chunks, STRING_USES_SDK, STRING_SDK, VALUE_DECIMAL, APK_MANIFEST_SDK);
    put_child(&chunks, STRING_APPLICATION, STRING_HAS_CODE, VALUE_BOOLEAN, 0);
    put_end(&chunks, STRING_ROOT);
    put_namespace(&chunks, TYPE_END_NAMESPACE);
    int r = byte_writer_finish(&chunks);
    assert(r == 0);
    put_chunk(writer, TYPE_DOCUMENT, CHUNK_HEADER_SIZE, CHUNK_HEADER_SIZE + chunks.size);
    byte_writer_put_bytes(writer, bytes, chunks.size);
    return byte_writer_finish(writer);
}
