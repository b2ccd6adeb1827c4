/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/gpt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "common/bytes.h"
#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/text.h"

#define SIGNATURE        "EFI PART"
#define SIGNATURE_SIZE   8
#define ENTRY_SIZE       128
#define ENTRIES_SIZE     (GPT_PARTITIONS_MAX * ENTRY_SIZE)
#define HEADER_SIZE      92
#define HEADER_REVISION  0x00010000
#define PRIMARY_LBA      1
#define PRIMARY_ENTRIES  2
#define CHECKSUM_OFFSET  16
#define MBR_SIZE         512
#define MBR_ENTRY_OFFSET 446
#define MBR_TYPE_GPT     0xee

/* A header as it stands on the disk, less its own checksum. */
typedef struct Header {
    uint64_t own_lba, other_lba;
    uint64_t first_usable_lba, last_usable_lba;
    uint8_t disk_guid[GUID_SIZE];
    uint64_t entries_lba;
    uint32_t n_entries;
    uint32_t entries_checksum;
} Header;

/* The code point at *@text, which is valid UTF-8 and advances. */
static uint32_t next_code_point(const uint8_t **text)
{
    static const uint8_t first_masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    const uint8_t *bytes = *text;
    unsigned length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t point = bytes[0] & first_masks[length];

    for (unsigned i = 1; i < length; i++)
        point = point << 6 | (bytes[i] & 0x3f);
    *text += length;
    return point;
}

int gpt_label_count_units(const char *label)
{
    const uint8_t *text = (const uint8_t *)label;
    int n_units = 0;

    if (!text_is_utf8(label, strlen(label)))
        return -EINVAL;
    while (*text)
        n_units += next_code_point(&text) > 0xffff ? 2 : 1;
    return n_units;
}

static void put_label(ByteWriter *writer, const char *label)
{
    const uint8_t *text = (const uint8_t *)label;
    size_t end = writer->size + 2 * GPT_LABEL_UNITS_MAX;

    while (*text) {
        uint32_t point = next_code_point(&text);

        if (point > 0xffff) {
            byte_writer_put_le16(writer, (uint16_t)(0xd800 + ((point - 0x10000) >> 10)));
            byte_writer_put_le16(writer, (uint16_t)(0xdc00 + (point & 0x3ff)));
        } else {
            byte_writer_put_le16(writer, (uint16_t)point);
        }
    }
    assert(writer->size <= end);
    byte_writer_put_zeros(writer, end - writer->size);
}

static void put_guid(ByteWriter *writer, const uint8_t guid[static GUID_SIZE])
{
    uint8_t swapped[GUID_SIZE];

    guid_swap(guid, swapped);
    byte_writer_put_bytes(writer, swapped, GUID_SIZE);
}

static void encode_entries(const GptTable *table, uint8_t entries[static ENTRIES_SIZE])
{
    ByteWriter writer = byte_writer(entries, ENTRIES_SIZE);

    for (size_t i = 0; i < table->n_partitions; i++) {
        const GptPartition *partition = &table->partitions[i];
        uint64_t first_lba = partition->offset / table->sector_size;

        put_guid(&writer, partition->type);
        put_guid(&writer, partition->guid);
        byte_writer_put_le64(&writer, first_lba);
        byte_writer_put_le64(&writer, first_lba + partition->size / table->sector_size - 1);
        byte_writer_put_le64(&writer, partition->attributes);
        put_label(&writer, partition->label);
    }
    byte_writer_put_zeros(&writer, ENTRIES_SIZE - writer.size);
    assert(byte_writer_finish(&writer) == 0);
}

static void encode_protective_mbr(uint64_t n_sectors, uint8_t sector[static MBR_SIZE])
{
    ByteWriter writer = byte_writer(sector, MBR_SIZE);
    uint64_t n_protected = n_sectors - 1;

    byte_writer_put_zeros(&writer, MBR_ENTRY_OFFSET);
    byte_writer_put_bytes(&writer, "\x00\x00\x02\x00", 4); /* not active, begins at CHS 0/0/2 */
    byte_writer_put_u8(&writer, MBR_TYPE_GPT);
    byte_writer_put_bytes(&writer, "\xff\xff\xff", 3); /* ends beyond what CHS can say */
    byte_writer_put_le32(&writer, 1);
    byte_writer_put_le32(&writer, n_protected > UINT32_MAX ? UINT32_MAX : (uint32_t)n_protected);
    byte_writer_put_zeros(&writer, 3 * 16);
    byte_writer_put_le16(&writer, 0xaa55);
    assert(byte_writer_finish(&writer) == 0 && writer.size == MBR_SIZE);
}

/* The rest of the sector is zeros already. */
static void encode_header(const Header *header, uint8_t sector[static HEADER_SIZE])
{
    ByteWriter writer = byte_writer(sector, HEADER_SIZE);

    byte_writer_put_bytes(&writer, SIGNATURE, SIGNATURE_SIZE);
    byte_writer_put_le32(&writer, HEADER_REVISION);
    byte_writer_put_le32(&writer, HEADER_SIZE);
    byte_writer_put_le32(&writer, 0); /* the checksum, which counts itself as zero */
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_le64(&writer, header->own_lba);
    byte_writer_put_le64(&writer, header->other_lba);
    byte_writer_put_le64(&writer, header->first_usable_lba);
    byte_writer_put_le64(&writer, header->last_usable_lba);
    put_guid(&writer, header->disk_guid);
    byte_writer_put_le64(&writer, header->entries_lba);
    byte_writer_put_le32(&writer, header->n_entries);
    byte_writer_put_le32(&writer, ENTRY_SIZE);
    byte_writer_put_le32(&writer, header->entries_checksum);
    assert(byte_writer_finish(&writer) == 0 && writer.size == HEADER_SIZE);

    ByteWriter checksum = byte_writer(sector + CHECKSUM_OFFSET, sizeof(uint32_t));
    byte_writer_put_le32(&checksum, (uint32_t)crc32(0, sector, HEADER_SIZE));
}

size_t gpt_get_head_size(uint32_t sector_size)
{
    return sector_size == GPT_SECTOR_SIZE ? GPT_PARTITIONS_OFFSET : GPT_PARTITIONS_OFFSET4;
}

void gpt_encode(const GptTable *table,
                uint8_t head[static GPT_HEAD_SIZE_MAX],
                uint8_t tail[static GPT_TAIL_SIZE])
{
    uint32_t sector_size = table->sector_size;
    uint64_t n_sectors = table->disk_size / sector_size;
    uint64_t last_lba = n_sectors - 1;
    uint64_t backup_entries_lba = last_lba - ENTRIES_SIZE / sector_size;
    uint8_t *entries = head + PRIMARY_ENTRIES * sector_size;
    uint8_t *backup_header = tail + GPT_TAIL_SIZE - sector_size;
    uint8_t *backup_entries = backup_header - ENTRIES_SIZE;

    assert(table->n_partitions <= GPT_PARTITIONS_MAX);
    memset(head, 0, GPT_HEAD_SIZE_MAX);
    memset(tail, 0, GPT_TAIL_SIZE);
    encode_entries(table, entries);
    memcpy(backup_entries, entries, ENTRIES_SIZE);

    Header header = {
        .own_lba = PRIMARY_LBA,
        .other_lba = last_lba,
        .first_usable_lba = gpt_get_head_size(sector_size) / sector_size,
        .last_usable_lba = backup_entries_lba - 1,
        .entries_lba = PRIMARY_ENTRIES,
        .n_entries = GPT_PARTITIONS_MAX,
        .entries_checksum = (uint32_t)crc32(0, entries, ENTRIES_SIZE),
    };
    memcpy(header.disk_guid, table->disk_guid, GUID_SIZE);
    encode_protective_mbr(n_sectors, head);
    encode_header(&header, head + PRIMARY_LBA * sector_size);

    header.own_lba = last_lba;
    header.other_lba = PRIMARY_LBA;
    header.entries_lba = backup_entries_lba;
    encode_header(&header, backup_header);
}

/* --- reading --- */

static int invalid(Error *error, const char *which, const char *what)
{
    return error_set(error, ERROR_IMAGE_INVALID, "the %s partition table %s", which, what);
}

static int get_guid(ByteReader *reader, uint8_t ret_guid[static GUID_SIZE])
{
    int r = byte_reader_get_bytes(reader, ret_guid, GUID_SIZE);
    if (r >= 0)
        guid_swap(ret_guid, ret_guid);
    return r;
}

/* The checksum counts itself as zero. */
static uint32_t header_checksum(const uint8_t header[static HEADER_SIZE])
{
    uint8_t copy[HEADER_SIZE];

    memcpy(copy, header, HEADER_SIZE);
    memset(copy + CHECKSUM_OFFSET, 0, sizeof(uint32_t));
    return (uint32_t)crc32(0, copy, HEADER_SIZE);
}

/* @which: "primary" or "backup", for messages. */
static int decode_header(const uint8_t bytes[static HEADER_SIZE],
                         const char *which,
                         Header *ret_header,
                         Error *error)
{
    ByteReader reader = byte_reader(bytes, HEADER_SIZE);
    uint32_t revision = 0, size = 0, checksum = 0, reserved, entry_size = 0;
    const uint8_t *signature;

    (void)byte_reader_get_view(&reader, SIGNATURE_SIZE, &signature); /* the size is HEADER_SIZE */
    if (memcmp(signature, SIGNATURE, SIGNATURE_SIZE) != 0)
        return invalid(error, which, "is not there");
    (void)byte_reader_get_le32(&reader, &revision);
    (void)byte_reader_get_le32(&reader, &size);
    (void)byte_reader_get_le32(&reader, &checksum);
    (void)byte_reader_get_le32(&reader, &reserved);
    if (revision != HEADER_REVISION || size != HEADER_SIZE)
        return invalid(error, which, "has a header of an unknown revision or size");
    if (checksum != header_checksum(bytes))
        return invalid(error, which, "has a wrong header checksum");

    (void)byte_reader_get_le64(&reader, &ret_header->own_lba);
    (void)byte_reader_get_le64(&reader, &ret_header->other_lba);
    (void)byte_reader_get_le64(&reader, &ret_header->first_usable_lba);
    (void)byte_reader_get_le64(&reader, &ret_header->last_usable_lba);
    (void)get_guid(&reader, ret_header->disk_guid);
    (void)byte_reader_get_le64(&reader, &ret_header->entries_lba);
    (void)byte_reader_get_le32(&reader, &ret_header->n_entries);
    (void)byte_reader_get_le32(&reader, &entry_size);
    (void)byte_reader_get_le32(&reader, &ret_header->entries_checksum);
    if (entry_size != ENTRY_SIZE || ret_header->n_entries == 0 ||
        ret_header->n_entries > GPT_PARTITIONS_MAX)
        return invalid(error, which, "has not 1 to 128 entries of 128 bytes");
    return 0;
}

static unsigned put_utf8(uint32_t point, char *text)
{
    unsigned length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t first_bytes[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

    for (unsigned i = length; i-- > 1; point >>= 6)
        text[i] = (char)(0x80 | (point & 0x3f));
    text[0] = (char)(first_bytes[length] | point);
    return length;
}

/* A surrogate without its other half becomes U+FFFD, which has the three bytes that a unit may
 * take. The label ends with the first NUL. */
static void decode_label(ByteReader *reader, char ret_label[static GPT_LABEL_SIZE])
{
    uint16_t units[GPT_LABEL_UNITS_MAX + 1] = { 0 };
    char *at = ret_label;

    for (size_t i = 0; i < GPT_LABEL_UNITS_MAX; i++)
        (void)byte_reader_get_le16(reader, &units[i]); /* the entry is there whole */
    for (size_t i = 0; i < GPT_LABEL_UNITS_MAX && units[i] != 0; i++) {
        uint32_t point = units[i];

        if (point >= 0xd800 && point <= 0xdbff && units[i + 1] >= 0xdc00 && units[i + 1] <= 0xdfff)
            point = 0x10000 + ((point - 0xd800) << 10) + (units[++i] - 0xdc00U);
        else if (point >= 0xd800 && point <= 0xdfff)
            point = 0xfffd;
        at += put_utf8(point, at);
    }
    *at = '\0';
}

static int check_place(const GptTable *table, const GptPartition *partition, Error *error)
{
    uint64_t end = partition->offset + partition->size;

    for (size_t i = 0; i < table->n_partitions; i++) {
        const GptPartition *other = &table->partitions[i];

        if (partition->offset < other->offset + other->size && other->offset < end)
            return error_set(error, ERROR_IMAGE_INVALID, "the partitions '%s' and '%s' overlap",
                             other->label, partition->label);
        if (memcmp(partition->guid, other->guid, GUID_SIZE) == 0)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the partitions '%s' and '%s' have the same GUID", other->label,
                             partition->label);
    }
    return 0;
}

static int decode_entry(ByteReader *reader, const Header *header, GptTable *table, Error *error)
{
    GptPartition *partition = &table->partitions[table->n_partitions];
    uint64_t first_lba = 0, last_lba = 0;

    (void)get_guid(reader, partition->type); /* all entries are there whole */
    (void)get_guid(reader, partition->guid);
    (void)byte_reader_get_le64(reader, &first_lba);
    (void)byte_reader_get_le64(reader, &last_lba);
    (void)byte_reader_get_le64(reader, &partition->attributes);
    decode_label(reader, partition->label);
    if (guid_is_nil(partition->type))
        return 0; /* not used */

    if (first_lba < header->first_usable_lba || last_lba > header->last_usable_lba ||
        first_lba > last_lba)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the partition '%s' has the sectors %" PRIu64 " to %" PRIu64
                         ", of a disk that has %" PRIu64 " to %" PRIu64 " to use",
                         partition->label, first_lba, last_lba, header->first_usable_lba,
                         header->last_usable_lba);
    partition->offset = first_lba * table->sector_size; /* inside the disk, so it fits */
    partition->size = (last_lba - first_lba + 1) * table->sector_size;
    int r = check_place(table, partition, error);
    if (r >= 0)
        table->n_partitions++;
    return r;
}

/* Whether the header's numbers are possible for this disk. */
static int check_header(const Header *header,
                        const GptTable *table,
                        const char *which,
                        Error *error)
{
    uint64_t n_sectors = table->disk_size / table->sector_size;

    if (header->other_lba >= n_sectors)
        return invalid(error, which, "says that the other one is outside the disk");
    if (header->first_usable_lba > header->last_usable_lba ||
        header->last_usable_lba >= n_sectors || header->first_usable_lba <= PRIMARY_ENTRIES)
        return invalid(error, which, "has an impossible range of usable sectors");
    return 0;
}

/* Adds the entries to @table, and sets its GUID. They are all in memory. */
static int decode_entries(
    const uint8_t *entries, const Header *header, const char *which, GptTable *table, Error *error)
{
    size_t size = (size_t)header->n_entries * ENTRY_SIZE;
    ByteReader reader = byte_reader(entries, size);
    int r = 0;

    if (crc32(0, entries, (uInt)size) != header->entries_checksum)
        return invalid(error, which, "has a wrong checksum of its entries");
    memcpy(table->disk_guid, header->disk_guid, GUID_SIZE);
    while (r >= 0 && reader.size > 0)
        r = decode_entry(&reader, header, table, error);
    return r;
}

static int decode_table(const uint8_t *head, size_t head_size, GptTable *table, Error *error)
{
    Header header;
    uint64_t entries_offset;

    int r = decode_header(head + table->sector_size, "primary", &header, error);
    if (r >= 0)
        r = check_header(&header, table, "primary", error);
    if (r < 0)
        return r;
    if (header.own_lba != PRIMARY_LBA)
        return invalid(error, "primary", "does not stand where it says");
    if (header.entries_lba < PRIMARY_ENTRIES ||
        ckd_mul(&entries_offset, header.entries_lba, table->sector_size) ||
        entries_offset > head_size ||
        (size_t)header.n_entries * ENTRY_SIZE > head_size - entries_offset)
        return invalid(error, "primary", "has its entries at an unusual place");
    return decode_entries(head + entries_offset, &header, "primary", table, error);
}

int gpt_decode(
    const uint8_t *head, size_t head_size, uint64_t disk_size, GptTable *ret_table, Error *error)
{
    static const uint32_t sector_sizes[] = { GPT_SECTOR_SIZE, GPT_SECTOR_SIZE_MAX };

    for (size_t i = 0; i < ELEMENTS_OF(sector_sizes); i++) {
        uint32_t sector_size = sector_sizes[i];

        if (head_size < 2 * (size_t)sector_size || disk_size / sector_size < 3 ||
            memcmp(head + sector_size, SIGNATURE, SIGNATURE_SIZE) != 0)
            continue;
        memset(ret_table, 0, sizeof(*ret_table));
        ret_table->disk_size = disk_size;
        ret_table->sector_size = sector_size;
        return decode_table(head, head_size, ret_table, error);
    }
    return -ENODATA;
}

static bool is_same_partition(const GptPartition *a, const GptPartition *b)
{
    return a->offset == b->offset && a->size == b->size && a->attributes == b->attributes &&
           memcmp(a->type, b->type, GUID_SIZE) == 0 && memcmp(a->guid, b->guid, GUID_SIZE) == 0 &&
           strcmp(a->label, b->label) == 0;
}

static bool is_same_table(const GptTable *a, const GptTable *b)
{
    if (a->n_partitions != b->n_partitions || memcmp(a->disk_guid, b->disk_guid, GUID_SIZE) != 0)
        return false;
    for (size_t i = 0; i < a->n_partitions; i++) {
        if (!is_same_partition(&a->partitions[i], &b->partitions[i]))
            return false;
    }
    return true;
}

/* Where the tail has the entries. */
static int find_backup_entries(
    const Header *header, const GptTable *table, size_t tail_size, size_t *ret_offset, Error *error)
{
    uint64_t tail_begin = table->disk_size - tail_size, offset;
    size_t entries_size = (size_t)header->n_entries * ENTRY_SIZE;

    if (header->entries_lba == PRIMARY_ENTRIES)
        return invalid(error, "backup",
                       "has no entries of its own but names the primary's, as crosvm writes it: "
                       "firmware that needs the backup finds nothing");
    if (ckd_mul(&offset, header->entries_lba, table->sector_size) || offset < tail_begin ||
        offset - tail_begin > tail_size || entries_size > tail_size - (offset - tail_begin))
        return invalid(error, "backup", "has its entries at an unusual place");
    *ret_offset = (size_t)(offset - tail_begin);
    return 0;
}

int gpt_check_backup(const GptTable *table, const uint8_t *tail, size_t tail_size, Error *error)
{
    _cleanup_free_ GptTable *backup = calloc(1, sizeof(*backup));
    uint64_t last_lba = table->disk_size / table->sector_size - 1;
    Header header;
    size_t offset;

    if (!backup)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (tail_size < table->sector_size || tail_size > table->disk_size)
        return invalid(error, "backup", "is not there");
    backup->disk_size = table->disk_size;
    backup->sector_size = table->sector_size;
    int r = decode_header(tail + tail_size - table->sector_size, "backup", &header, error);
    if (r >= 0)
        r = check_header(&header, table, "backup", error);
    if (r < 0)
        return r;
    if (header.own_lba != last_lba || header.other_lba != PRIMARY_LBA)
        return invalid(error, "backup", "does not stand where it says");
    r = find_backup_entries(&header, table, tail_size, &offset, error);
    if (r >= 0)
        r = decode_entries(tail + offset, &header, "backup", backup, error);
    if (r >= 0 && !is_same_table(table, backup))
        return invalid(error, "backup", "is another one than the primary");
    return r;
}
