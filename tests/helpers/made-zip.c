/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helpers/made-zip.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/zip-sections.h"

MadeZip made_zip_new(const MadeEntry *entries, size_t n_entries)
{
    _cleanup_close_ int fd = memfd_create("made-zip", MFD_CLOEXEC);
    _cleanup_(zip_writer_freep) ZipWriter *writer = NULL;
    MadeZip zip;

    int r = zip_writer_new(fd, 0, NULL, &writer, NULL);
    assert(r == 0);
    for (size_t i = 0; i < n_entries; i++) {
        const char *content = entries[i].content ? entries[i].content : "";
        ByteSource source = byte_source_from_memory(content, strlen(content));
        r = zip_writer_add(writer, &entries[i].entry, &source, NULL);
        assert(r == 0);
    }
    r = zip_writer_finish(writer, NULL);
    assert(r == 0);
    zip.size = (size_t)lseek(fd, 0, SEEK_END);
    zip.data = malloc(zip.size);
    assert(zip.data);
    ssize_t n = pread(fd, zip.data, zip.size, 0);
    assert(n == (ssize_t)zip.size);
    return zip;
}

void made_zip_free(MadeZip *zip)
{
    free(zip->data);
    zip->data = NULL;
}

uint8_t *made_zip_end(const MadeZip *zip)
{
    return zip->data + zip->size - ZIP_END_SIZE;
}

uint8_t *made_zip_record(const MadeZip *zip, size_t entry)
{
    uint8_t *record = zip->data + get_le(made_zip_end(zip) + ZIP_END_OFFSET_FIELD, 4);

    while (entry-- > 0)
        record += ZIP_DIRECTORY_SIZE + get_le(record + 28, 2);
    return record;
}

uint8_t *made_zip_local(const MadeZip *zip, size_t entry)
{
    return zip->data + get_le(made_zip_record(zip, entry) + 42, 4);
}

void made_zip_insert(MadeZip *zip, size_t at, size_t size)
{
    uint8_t *data = malloc(zip->size + size);

    assert(data && at <= zip->size);
    memcpy(data, zip->data, at);
    memset(data + at, 0, size);
    memcpy(data + at + size, zip->data + at, zip->size - at);
    free(zip->data);
    zip->data = data;
    zip->size += size;
}

uint32_t get_le(const uint8_t *bytes, unsigned width)
{
    uint32_t value = 0;

    for (unsigned i = width; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

void put_le(uint8_t *bytes, unsigned width, uint32_t value)
{
    for (unsigned i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}
