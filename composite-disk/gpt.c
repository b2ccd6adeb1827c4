/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/gpt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "common/bytes.h"
#include "common/text.h"

#define ENTRY_SIZE       128
#define ENTRIES_SIZE     (GPT_PARTITIONS_MAX * ENTRY_SIZE)
#define HEADER_SIZE      92
#define HEADER_REVISION  0x00010000
#define PRIMARY_LBA      1
#define PRIMARY_ENTRIES  2
#define CHECKSUM_OFFSET  16
#define MBR_ENTRY_OFFSET 446
#define MBR_TYPE_GPT     0xee

/* 0FC63DAF-8483-4772-8E79-3D69D8477DE4, the first three groups little-endian. */
static const uint8_t linux_filesystem[GPT_GUID_SIZE] = {
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
};

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

void gpt_guid_from_random(uint8_t guid[static GPT_GUID_SIZE])
{
    guid[7] = (uint8_t)((guid[7] & 0x0f) | 0x40); /* version 4, in the third group's high byte */
    guid[8] = (uint8_t)((guid[8] & 0x3f) | 0x80); /* RFC 4122 variant */
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

static void encode_entries(const GptPartition *partitions,
                           size_t n_partitions,
                           uint8_t entries[static ENTRIES_SIZE])
{
    ByteWriter writer = byte_writer(entries, ENTRIES_SIZE);

    for (size_t i = 0; i < n_partitions; i++) {
        uint64_t first_lba = partitions[i].offset / GPT_SECTOR_SIZE;

        byte_writer_put_bytes(&writer, linux_filesystem, sizeof(linux_filesystem));
        byte_writer_put_bytes(&writer, partitions[i].guid, GPT_GUID_SIZE);
        byte_writer_put_le64(&writer, first_lba);
        byte_writer_put_le64(&writer, first_lba + partitions[i].size / GPT_SECTOR_SIZE - 1);
        byte_writer_put_le64(&writer, 0); /* attributes */
        put_label(&writer, partitions[i].label);
    }
    byte_writer_put_zeros(&writer, ENTRIES_SIZE - writer.size);
    assert(byte_writer_finish(&writer) == 0);
}

static void encode_protective_mbr(uint64_t n_sectors, uint8_t sector[static GPT_SECTOR_SIZE])
{
    ByteWriter writer = byte_writer(sector, GPT_SECTOR_SIZE);
    uint64_t n_protected = n_sectors - 1;

    byte_writer_put_zeros(&writer, MBR_ENTRY_OFFSET);
    byte_writer_put_bytes(&writer, "\x00\x00\x02\x00", 4); /* not active, begins at CHS 0/0/2 */
    byte_writer_put_u8(&writer, MBR_TYPE_GPT);
    byte_writer_put_bytes(&writer, "\xff\xff\xff", 3); /* ends beyond what CHS can say */
    byte_writer_put_le32(&writer, 1);
    byte_writer_put_le32(&writer, n_protected > UINT32_MAX ? UINT32_MAX : (uint32_t)n_protected);
    byte_writer_put_zeros(&writer, 3 * 16);
    byte_writer_put_le16(&writer, 0xaa55);
    assert(byte_writer_finish(&writer) == 0 && writer.size == GPT_SECTOR_SIZE);
}

static void encode_header(uint64_t own_lba,
                          uint64_t other_lba,
                          uint64_t entries_lba,
                          uint64_t n_sectors,
                          const uint8_t disk_guid[static GPT_GUID_SIZE],
                          uint32_t entries_checksum,
                          uint8_t sector[static GPT_SECTOR_SIZE])
{
    ByteWriter writer = byte_writer(sector, GPT_SECTOR_SIZE);

    byte_writer_put_bytes(&writer, "EFI PART", 8);
    byte_writer_put_le32(&writer, HEADER_REVISION);
    byte_writer_put_le32(&writer, HEADER_SIZE);
    byte_writer_put_le32(&writer, 0); /* the checksum, which counts itself as zero */
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_le64(&writer, own_lba);
    byte_writer_put_le64(&writer, other_lba);
    byte_writer_put_le64(&writer, GPT_FIRST_USABLE_LBA);
    byte_writer_put_le64(&writer, n_sectors - GPT_TAIL_TABLE_SIZE / GPT_SECTOR_SIZE - 1);
    byte_writer_put_bytes(&writer, disk_guid, GPT_GUID_SIZE);
    byte_writer_put_le64(&writer, entries_lba);
    byte_writer_put_le32(&writer, GPT_PARTITIONS_MAX);
    byte_writer_put_le32(&writer, ENTRY_SIZE);
    byte_writer_put_le32(&writer, entries_checksum);
    assert(writer.size == HEADER_SIZE);
    byte_writer_put_zeros(&writer, GPT_SECTOR_SIZE - HEADER_SIZE);

    ByteWriter checksum = byte_writer(sector + CHECKSUM_OFFSET, sizeof(uint32_t));
    byte_writer_put_le32(&checksum, (uint32_t)crc32(0, sector, HEADER_SIZE));
    assert(byte_writer_finish(&writer) == 0 && byte_writer_finish(&checksum) == 0);
}

void gpt_encode(uint64_t disk_size,
                const uint8_t disk_guid[static GPT_GUID_SIZE],
                const GptPartition *partitions,
                size_t n_partitions,
                uint8_t head[static GPT_HEAD_SIZE],
                uint8_t tail[static GPT_TAIL_SIZE])
{
    uint64_t n_sectors = disk_size / GPT_SECTOR_SIZE;
    uint64_t last_lba = n_sectors - 1;
    uint64_t backup_entries_lba = last_lba - ENTRIES_SIZE / GPT_SECTOR_SIZE;
    uint8_t *entries = head + PRIMARY_ENTRIES * GPT_SECTOR_SIZE;
    uint8_t *backup_entries = tail + GPT_TAIL_SIZE - GPT_TAIL_TABLE_SIZE;

    assert(n_partitions <= GPT_PARTITIONS_MAX);
    memset(head, 0, GPT_HEAD_SIZE);
    memset(tail, 0, GPT_TAIL_SIZE);
    encode_entries(partitions, n_partitions, entries);
    memcpy(backup_entries, entries, ENTRIES_SIZE);
    uint32_t checksum = (uint32_t)crc32(0, entries, ENTRIES_SIZE);

    encode_protective_mbr(n_sectors, head);
    encode_header(PRIMARY_LBA, last_lba, PRIMARY_ENTRIES, n_sectors, disk_guid, checksum,
                  head + PRIMARY_LBA * GPT_SECTOR_SIZE);
    encode_header(last_lba, PRIMARY_LBA, backup_entries_lba, n_sectors, disk_guid, checksum,
                  backup_entries + ENTRIES_SIZE);
}
