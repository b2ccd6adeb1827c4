/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-reader.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/text.h"
#include "composite-disk/zip-sections.h"

#define FLAG_ENCRYPTED       (1U << 0)
#define FLAG_DESCRIPTOR      (1U << 3) /* checksum and sizes stand behind the data */
#define FLAG_PATCH           (1U << 5)
#define FLAG_STRONG          (1U << 6)
#define FLAG_MASKED          (1U << 13)
#define FLAGS_REFUSED        (FLAG_ENCRYPTED | FLAG_PATCH | FLAG_STRONG | FLAG_MASKED)
#define DESCRIPTOR_SIZE_MIN  12
#define MADE_BY_UNIX         3
#define MADE_BY_MACOS        19
#define MODE_SHIFT           16  /* in the external attributes */
#define NAME_SHOWN           200 /* bytes of a name in a message */
#define OUT_OF_MEMORY(error) error_set((error), ERROR_NO_MEMORY, "out of memory")

/* What a local header and a directory record both say. */
typedef struct Header {
    uint16_t flags, method, name_size, extra_size;
    uint32_t checksum, compressed_size, size;
} Header;

/* The rest of a directory record. */
typedef struct Record {
    Header header;
    uint16_t made_by, comment_size, disk;
    uint32_t attributes, offset;
    const uint8_t *name;
} Record;

static int refuse(const char *name, size_t name_size, const char *reason, Error *error)
{
    char shown[4 * NAME_SHOWN + 1];

    text_escape(name, name_size < NAME_SHOWN ? name_size : NAME_SHOWN, shown, sizeof(shown));
    for (char *at = shown; (at = strchr(at, '\n'));) /* a message is one line */
        *at = '?';
    return error_set(error, ERROR_IMAGE_INVALID, "zip entry '%s': %s", shown, reason);
}

static int refuse_entry(const ZipEntry *entry, const char *reason, Error *error)
{
    return refuse(entry->name, strlen(entry->name), reason, error);
}

/* --- names --- */

static const char *find_fault(const char *component, size_t size)
{
    if (size == 0)
        return "an empty part in its name";
    if (size == 1 && component[0] == '.')
        return "'.' in its name";
    if (size == 2 && component[0] == '.' && component[1] == '.')
        return "'..' in its name";
    return size > NAME_MAX ? "a part of its name is too long for a file" : NULL;
}

static bool has_control(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < ' ' || name[i] == '\177')
            return true;
    }
    return false;
}

int zip_check_name(const char *name, size_t size, const char **ret_reason)
{
    const char *reason = NULL;

    if (size == 0)
        reason = "its name is empty";
    else if (size > ZIP_NAME_MAX)
        reason = "its name has more than 4095 bytes";
    else if (has_control(name, size))
        reason = "a control character in its name";
    else if (!text_is_utf8(name, size))
        reason = "its name is not UTF-8";
    else if (memchr(name, '\\', size))
        reason = "a backslash in its name";
    else if (name[0] == '/')
        reason = "its name is absolute";

    for (size_t start = 0, end; !reason && start < size; start = end + 1) {
        const char *slash = memchr(name + start, '/', size - start);
        end = slash ? (size_t)(slash - name) : size;
        reason = find_fault(name + start, end - start);
    }
    if (!reason)
        return 0;
    *ret_reason = reason;
    return -EINVAL;
}

/* The order of bytes, but with the slash first: what is in a directory follows it at once. */
static int compare_names(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (*a == *b)
        return 0;
    if (*a == '/' || *b == '/')
        return *a == '\0' || (*b != '\0' && *a == '/') ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static int compare_entries(const void *a, const void *b)
{
    return compare_names((*(const ZipEntry *const *)a)->name, (*(const ZipEntry *const *)b)->name);
}

const ZipEntry *zip_reader_find(const ZipReader *reader, const char *name)
{
    const ZipEntry key = { .name = name }, *pointer = &key;
    const ZipEntry *const *found = bsearch(&pointer, reader->by_name, reader->n_entries,
                                           sizeof(const ZipEntry *), compare_entries);

    return found ? *found : NULL;
}

static int check_names(const ZipReader *reader, Error *error)
{
    for (size_t i = 1; i < reader->n_entries; i++) {
        const ZipEntry *before = reader->by_name[i - 1], *entry = reader->by_name[i];
        size_t size = strlen(before->name);

        if (strcmp(before->name, entry->name) == 0)
            return refuse_entry(entry, "its name is there twice", error);
        if (!before->is_directory && strncmp(before->name, entry->name, size) == 0 &&
            entry->name[size] == '/')
            return refuse_entry(before, "it is a file, and others are in it as in a directory",
                                error);
    }
    return 0;
}

/* --- the directory --- */

static int read_header(ByteReader *reader, Header *ret_header)
{
    uint16_t version, time, date;
    int r;

    if ((r = byte_reader_get_le16(reader, &version)) < 0 ||
        (r = byte_reader_get_le16(reader, &ret_header->flags)) < 0 ||
        (r = byte_reader_get_le16(reader, &ret_header->method)) < 0 ||
        (r = byte_reader_get_le16(reader, &time)) < 0 ||
        (r = byte_reader_get_le16(reader, &date)) < 0 ||
        (r = byte_reader_get_le32(reader, &ret_header->checksum)) < 0 ||
        (r = byte_reader_get_le32(reader, &ret_header->compressed_size)) < 0 ||
        (r = byte_reader_get_le32(reader, &ret_header->size)) < 0 ||
        (r = byte_reader_get_le16(reader, &ret_header->name_size)) < 0)
        return r;
    return byte_reader_get_le16(reader, &ret_header->extra_size);
}

static int read_record(ByteReader *reader, Record *ret_record)
{
    const uint8_t *unused;
    uint16_t internal;
    uint32_t signature;
    int r;

    if ((r = byte_reader_get_le32(reader, &signature)) < 0)
        return r;
    if (signature != ZIP_DIRECTORY_SIGNATURE)
        return -EBADMSG;
    if ((r = byte_reader_get_le16(reader, &ret_record->made_by)) < 0 ||
        (r = read_header(reader, &ret_record->header)) < 0 ||
        (r = byte_reader_get_le16(reader, &ret_record->comment_size)) < 0 ||
        (r = byte_reader_get_le16(reader, &ret_record->disk)) < 0 ||
        (r = byte_reader_get_le16(reader, &internal)) < 0 ||
        (r = byte_reader_get_le32(reader, &ret_record->attributes)) < 0 ||
        (r = byte_reader_get_le32(reader, &ret_record->offset)) < 0 ||
        (r = byte_reader_get_view(reader, ret_record->header.name_size, &ret_record->name)) < 0 ||
        (r = byte_reader_get_view(reader, ret_record->header.extra_size, &unused)) < 0)
        return r;
    return byte_reader_get_view(reader, ret_record->comment_size, &unused);
}

static uint16_t mode_of(const Record *record)
{
    unsigned host = record->made_by >> 8;

    return host == MADE_BY_UNIX || host == MADE_BY_MACOS
               ? (uint16_t)(record->attributes >> MODE_SHIFT)
               : 0;
}

static const char *find_record_fault(const Record *record, bool is_directory)
{
    const Header *header = &record->header;
    mode_t type = mode_of(record) & S_IFMT;

    if (header->flags & FLAGS_REFUSED)
        return "it is encrypted, or a patch";
    if (header->method != ZIP_STORED && header->method != ZIP_DEFLATED)
        return "its method is neither stored nor deflated";
    if (header->compressed_size == ZIP64_MARK || header->size == ZIP64_MARK ||
        record->offset == ZIP64_MARK)
        return "it needs ZIP64";
    if (record->disk != 0)
        return "it is on another volume";
    if (header->method == ZIP_STORED && header->compressed_size != header->size)
        return "it is stored, and has two sizes";
    if (type == S_IFLNK)
        return "it is a symbolic link";
    if (type != 0 && type != S_IFREG && type != S_IFDIR)
        return "it is neither a file nor a directory";
    if ((type == S_IFDIR && !is_directory) || (type == S_IFREG && is_directory))
        return "its name and its mode disagree whether it is a directory";
    if (is_directory && header->size != 0)
        return "it is a directory with contents";
    return NULL;
}

/* The name takes the place of the record, which has been decoded, as there is room for its end. */
static char *move_name(const Record *record, uint8_t *start)
{
    memmove(start, record->name, record->header.name_size);
    start[record->header.name_size] = '\0';
    return (char *)start;
}

static int add_entry(const Record *record, uint8_t *start, ZipEntry *ret_entry, Error *error)
{
    const Header *header = &record->header;
    const char *name = (const char *)record->name, *reason;

    if (zip_check_name(name, header->name_size, &reason) < 0)
        return refuse(name, header->name_size, reason, error);
    bool is_directory = name[header->name_size - 1] == '/';
    reason = find_record_fault(record, is_directory);
    if (reason)
        return refuse(name, header->name_size, reason, error);
    *ret_entry = (ZipEntry){
        .name = move_name(record, start),
        .method = (ZipMethod)header->method,
        .is_directory = is_directory,
        .mode = mode_of(record),
        .checksum = header->checksum,
        .header_offset = record->offset,
        .compressed_size = header->compressed_size,
        .size = header->size,
    };
    return 0;
}

/* --- local headers --- */

/* Where a descriptor follows, a writer may leave any of them zero. */
static bool agrees(const Header *local, uint32_t local_value, uint32_t value)
{
    return local_value == value || ((local->flags & FLAG_DESCRIPTOR) && local_value == 0);
}

static const char *find_local_fault(const Header *local, const Header *header)
{
    /* Other flags are about how it was made, and writers differ in them. */
    if ((local->flags & FLAGS_REFUSED) || local->method != header->method ||
        local->name_size != header->name_size)
        return "its local header says something else than the directory";
    if (!agrees(local, local->checksum, header->checksum) ||
        !agrees(local, local->compressed_size, header->compressed_size) ||
        !agrees(local, local->size, header->size))
        return "checksum and sizes in its local header are others than in the directory";
    return NULL;
}

static int read_local(const ByteSource *source,
                      uint64_t offset,
                      Header *ret_header,
                      char name[static ZIP_NAME_MAX],
                      size_t name_size)
{
    uint8_t bytes[ZIP_LOCAL_SIZE];
    ByteReader reader = byte_reader(bytes, sizeof(bytes));
    uint32_t signature;

    int r = byte_source_read(source, offset, bytes, sizeof(bytes));
    if (r < 0 || (r = byte_reader_get_le32(&reader, &signature)) < 0)
        return r;
    if (signature != ZIP_LOCAL_SIGNATURE)
        return -EBADMSG;
    r = read_header(&reader, ret_header);
    return r < 0 ? r : byte_source_read(source, offset + ZIP_LOCAL_SIZE, name, name_size);
}

/* @limit: where the directory begins. */
static int check_local(
    const ByteSource *source, const Header *header, ZipEntry *entry, uint64_t limit, Error *error)
{
    Header local = { 0 };
    char name[ZIP_NAME_MAX];

    int r = read_local(source, entry->header_offset, &local, name, header->name_size);
    if (r == -EBADMSG)
        return refuse_entry(entry, "no local header where the directory has it", error);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read zip entry '%s'",
                               entry->name);
    const char *reason = find_local_fault(&local, header);
    if (!reason && memcmp(name, entry->name, header->name_size) != 0)
        reason = "its local header has another name";
    if (reason)
        return refuse_entry(entry, reason, error);
    /* None of these can overflow: the offset has 32 bits, the sizes 16 and 32. */
    entry->data_offset = entry->header_offset + ZIP_LOCAL_SIZE + local.name_size + local.extra_size;
    uint64_t end = entry->data_offset + entry->compressed_size +
                   (local.flags & FLAG_DESCRIPTOR ? DESCRIPTOR_SIZE_MIN : 0);
    if (end > limit)
        return refuse_entry(entry, "it ends behind the beginning of the directory", error);
    return 0;
}

static int compare_offsets(const void *a, const void *b)
{
    const ZipEntry *first = *(const ZipEntry *const *)a, *second = *(const ZipEntry *const *)b;

    return (first->header_offset > second->header_offset) -
           (first->header_offset < second->header_offset);
}

static int check_overlaps(const ZipReader *reader, Error *error)
{
    for (size_t i = 1; i < reader->n_entries; i++) {
        const ZipEntry *before = reader->by_name[i - 1], *entry = reader->by_name[i];

        if (entry->header_offset < before->data_offset + before->compressed_size)
            return refuse_entry(entry, "it overlaps another", error);
    }
    return 0;
}

/* --- */

static int read_entries(ZipReader *reader, const ZipSections *sections, Error *error)
{
    ByteReader bytes = byte_reader(reader->directory, (size_t)sections->directory_size);

    for (uint32_t i = 0; i < sections->n_entries; i++) {
        uint8_t *start = reader->directory + ((size_t)sections->directory_size - bytes.size);
        ZipEntry *entry = &reader->entries[i];
        Record record = { 0 };

        if (read_record(&bytes, &record) < 0)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "record %u of %u in the central directory is cut short, or none", i,
                             sections->n_entries);
        int r = add_entry(&record, start, entry, error);
        if (r >= 0)
            r = check_local(&reader->source, &record.header, entry, sections->directory_offset,
                            error);
        if (r < 0)
            return r;
        reader->by_name[i] = entry;
        reader->n_entries = i + 1;
    }
    if (bytes.size > 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%zu bytes behind the %u records of the central directory", bytes.size,
                         sections->n_entries);
    return 0;
}

static int allocate(ZipReader *reader, const ZipSections *sections, Error *error)
{
    if (sections->directory_size > ZIP_DIRECTORY_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a central directory of %ju bytes; taken are up to %u",
                         (uintmax_t)sections->directory_size, ZIP_DIRECTORY_MAX);
    /* One more: none would be allocated for none. */
    reader->directory = malloc((size_t)sections->directory_size + 1);
    reader->entries = calloc(sections->n_entries + 1, sizeof(*reader->entries));
    reader->by_name = calloc(sections->n_entries + 1, sizeof(*reader->by_name));
    return reader->directory && reader->entries && reader->by_name ? 0 : OUT_OF_MEMORY(error);
}

int zip_reader_new(const ByteSource *zip, ZipReader **ret_reader, Error *error)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = calloc(1, sizeof(*reader));
    ZipSections sections;

    if (!reader)
        return OUT_OF_MEMORY(error);
    reader->source = *zip;
    int r = zip_find_sections(zip, &sections, error);
    if (r >= 0)
        r = allocate(reader, &sections, error);
    if (r < 0)
        return r;
    r = byte_source_read(zip, sections.directory_offset, reader->directory,
                         (size_t)sections.directory_size);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the central directory");
    r = read_entries(reader, &sections, error);
    if (r < 0)
        return r;
    qsort(reader->by_name, reader->n_entries, sizeof(*reader->by_name), compare_offsets);
    r = check_overlaps(reader, error);
    if (r < 0)
        return r;
    qsort(reader->by_name, reader->n_entries, sizeof(*reader->by_name), compare_entries);
    r = check_names(reader, error);
    if (r < 0)
        return r;
    *ret_reader = TAKE_PTR(reader);
    return 0;
}

ZipReader *zip_reader_free(ZipReader *reader)
{
    if (!reader)
        return NULL;
    free(reader->entries);
    free(reader->by_name);
    free(reader->directory);
    free(reader);
    return NULL;
}
