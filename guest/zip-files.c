/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/zip-files.h"

#include "composite-disk/zip-stream.h"

#define SKIP_SIZE (16U << 10)

typedef struct Slot {
    ZipStream *stream; /* NULL: the slot is free */
    const ZipEntry *entry;
    uint64_t position;  /* of the next byte from the stream */
    uint64_t last_read; /* the number of that read */
} Slot;

struct ZipFiles {
    const ZipReader *reader;
    uint64_t n_reads;
    Slot slots[ZIP_FILES_STREAMS];
    uint8_t skipped[SKIP_SIZE];
};

int zip_files_new(const ZipReader *reader, ZipFiles **ret_files, Error *error)
{
    ZipFiles *files = calloc(1, sizeof(*files));

    if (!files)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    files->reader = reader;
    *ret_files = files;
    return 0;
}

static void slot_clear(Slot *slot)
{
    zip_stream_free(slot->stream);
    *slot = (Slot){ .stream = NULL };
}

ZipFiles *zip_files_free(ZipFiles *files)
{
    if (!files)
        return NULL;
    for (size_t i = 0; i < ZIP_FILES_STREAMS; i++)
        slot_clear(&files->slots[i]);
    free(files);
    return NULL;
}

/* The stream of @entry that has the least to skip to @offset; NULL when none is before it. */
static Slot *find_stream(ZipFiles *files, const ZipEntry *entry, uint64_t offset)
{
    Slot *best = NULL;

    for (size_t i = 0; i < ZIP_FILES_STREAMS; i++) {
        Slot *slot = &files->slots[i];

        if (slot->stream && slot->entry == entry && slot->position <= offset &&
            (!best || slot->position > best->position))
            best = slot;
    }
    return best;
}

/* In a free slot, whose number is 0, or in that of the stream which nobody has read for longest. */
static int start_stream(ZipFiles *files, const ZipEntry *entry, Slot **ret_slot, Error *error)
{
    Slot *oldest = &files->slots[0];

    for (size_t i = 1; i < ZIP_FILES_STREAMS; i++) {
        if (files->slots[i].last_read < oldest->last_read)
            oldest = &files->slots[i];
    }
    slot_clear(oldest);
    int r = zip_stream_new(files->reader, entry, &oldest->stream, error);
    if (r < 0)
        return r;
    oldest->entry = entry;
    *ret_slot = oldest;
    return 0;
}

static int skip_to(ZipFiles *files, Slot *slot, uint64_t offset, Error *error)
{
    while (slot->position < offset) {
        uint64_t left = offset - slot->position;
        size_t size = left < SKIP_SIZE ? (size_t)left : SKIP_SIZE;

        int r = zip_stream_read(slot->stream, files->skipped, size, &size, error);
        if (r < 0)
            return r;
        slot->position += size;
    }
    return 0;
}

static int read_deflated(ZipFiles *files,
                         const ZipEntry *entry,
                         uint64_t offset,
                         void *buffer,
                         size_t size,
                         Error *error)
{
    Slot *slot = find_stream(files, entry, offset);
    int r = slot ? 0 : start_stream(files, entry, &slot, error);

    if (r < 0)
        return r;
    slot->last_read = ++files->n_reads;
    r = skip_to(files, slot, offset, error);
    if (r >= 0)
        r = zip_stream_read(slot->stream, buffer, size, &size, error);
    slot->position += size;
    if (r < 0 || slot->position == entry->size) /* of no more use */
        slot_clear(slot);
    return r;
}

int zip_files_read(ZipFiles *files,
                   const ZipEntry *entry,
                   uint64_t offset,
                   void *buffer,
                   size_t size,
                   size_t *ret_size,
                   Error *error)
{
    uint64_t left = offset < entry->size ? entry->size - offset : 0;
    size_t wanted = left < size ? (size_t)left : size;
    int r = 0;

    if (wanted > 0 && entry->method == ZIP_DEFLATED) {
        r = read_deflated(files, entry, offset, buffer, wanted, error);
    } else if (wanted > 0) {
        r = byte_source_read(&files->reader->source, entry->data_offset + offset, buffer, wanted);
        if (r < 0)
            r = error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read zip entry '%s'",
                                entry->name);
    }
    if (r < 0)
        return r;
    *ret_size = wanted;
    return 0;
}
