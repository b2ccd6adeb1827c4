/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

void vm_record_deinit(VmRecord *record)
{
    for (size_t i = 0; i < record->n_images; i++)
        free(record->images[i].key);
    free(record->images);
    free(record->name);
    free(record->client);
    free(record->bus);
    free(record->config);
    *record = (VmRecord){ 0 };
}

static void put_text(ByteWriter *writer, const char *text)
{
    size_t length = strlen(text);

    byte_writer_put_le32(writer, (uint32_t)length);
    byte_writer_put_bytes(writer, text, length);
}

static size_t find_size_max(const VmRecord *record)
{
    size_t size = 256 + strlen(record->name) + strlen(record->client) + strlen(record->bus) +
                  strlen(record->config);

    for (size_t i = 0; i < record->n_images; i++)
        size += 32 + strlen(record->images[i].key);
    return size;
}

int vm_record_encode(const VmRecord *record, uint8_t **ret_bytes, size_t *ret_size)
{
    size_t capacity = find_size_max(record);
    _cleanup_free_ uint8_t *bytes = malloc(capacity);
    if (!bytes)
        return -ENOMEM;

    ByteWriter writer = byte_writer(bytes, capacity);
    byte_writer_put_le32(&writer, VM_RECORD_MAGIC);
    byte_writer_put_le16(&writer, VM_RECORD_VERSION);
    byte_writer_put_bytes(&writer, record->id, LAUNCH_SPEC_ID_SIZE);
    byte_writer_put_le32(&writer, record->owner);
    byte_writer_put_le32(&writer, record->cid);
    byte_writer_put_le32(&writer, record->cpus);
    byte_writer_put_le64(&writer, record->memory_bytes);
    byte_writer_put_u8(&writer, (uint8_t)record->seccomp_action);
    byte_writer_put_le64(&writer, record->created_usec);
    put_text(&writer, record->name);
    put_text(&writer, record->client);
    put_text(&writer, record->bus);
    put_text(&writer, record->config);
    byte_writer_put_le16(&writer, record->n_images);
    for (size_t i = 0; i < record->n_images; i++) {
        const VmRecordImage *image = &record->images[i];

        put_text(&writer, image->key);
        byte_writer_put_le32(&writer, image->mode);
        byte_writer_put_le64(&writer, image->device);
        byte_writer_put_le64(&writer, image->inode);
        byte_writer_put_le64(&writer, image->rdevice);
    }
    int r = byte_writer_finish(&writer);
    if (r < 0)
        return r;

    *ret_bytes = TAKE_PTR(bytes);
    *ret_size = writer.size;
    return 0;
}

static int get_text(ByteReader *reader, char **ret_text)
{
    const uint8_t *view;
    uint32_t length;

    if (byte_reader_get_le32(reader, &length) < 0 ||
        byte_reader_get_view(reader, length, &view) < 0 || memchr(view, '\0', length))
        return -EBADMSG;
    *ret_text = strndup((const char *)view, length);
    return *ret_text ? 0 : -ENOMEM;
}

static int get_images(ByteReader *reader, VmRecord *record)
{
    uint16_t n_images;

    if (byte_reader_get_le16(reader, &n_images) < 0)
        return -EBADMSG;
    record->images = calloc((size_t)n_images + 1, sizeof(VmRecordImage));
    if (!record->images)
        return -ENOMEM;
    while (record->n_images < n_images) {
        VmRecordImage *image = &record->images[record->n_images++];

        int r = get_text(reader, &image->key);
        if (r < 0)
            return r;
        if (byte_reader_get_le32(reader, &image->mode) < 0 ||
            byte_reader_get_le64(reader, &image->device) < 0 ||
            byte_reader_get_le64(reader, &image->inode) < 0 ||
            byte_reader_get_le64(reader, &image->rdevice) < 0)
            return -EBADMSG;
    }
    return 0;
}

static int get_record(ByteReader *reader, uint16_t version, VmRecord *record)
{
    uint8_t seccomp_action;
    int r;

    if (byte_reader_get_bytes(reader, record->id, LAUNCH_SPEC_ID_SIZE) < 0 ||
        byte_reader_get_le32(reader, &record->owner) < 0 ||
        byte_reader_get_le32(reader, &record->cid) < 0 || record->cid < LAUNCH_SPEC_CID_MIN ||
        record->cid > LAUNCH_SPEC_CID_MAX || byte_reader_get_le32(reader, &record->cpus) < 0 ||
        (version > 1 && byte_reader_get_le64(reader, &record->memory_bytes) < 0) ||
        byte_reader_get_u8(reader, &seccomp_action) < 0 || seccomp_action >= SECCOMP_ACTION_MAX ||
        byte_reader_get_le64(reader, &record->created_usec) < 0)
        return -EBADMSG;
    record->seccomp_action = (LaunchSeccompAction)seccomp_action;
    char **const texts[] = { &record->name, &record->client, &record->bus, &record->config };
    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        r = get_text(reader, texts[i]);
        if (r < 0)
            return r;
    }
    r = get_images(reader, record);
    if (r < 0)
        return r;
    return reader->size == 0 ? 0 : -EBADMSG;
}

int vm_record_decode(const uint8_t *bytes, size_t size, VmRecord *ret_record, Error *error)
{
    ByteReader reader = byte_reader(bytes, size);
    VmRecord record = { 0 };
    uint32_t magic;
    uint16_t version;

    if (byte_reader_get_le32(&reader, &magic) < 0 || magic != VM_RECORD_MAGIC ||
        byte_reader_get_le16(&reader, &version) < 0)
        return error_set(error, ERROR_FAILED, "this is no record of a VM");
    if (version == 0 || version > VM_RECORD_VERSION)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "the VM's record is of version %u, and this daemon reads up to version %d",
                         version, VM_RECORD_VERSION);
    int r = get_record(&reader, version, &record);
    if (r < 0) {
        vm_record_deinit(&record);
        return error_set_errno(error, ERROR_FAILED, r, "the VM's record is damaged");
    }

    *ret_record = record;
    return 0;
}

int vm_record_encode_events(const EventHistory *history, uint8_t **ret_bytes, size_t *ret_size)
{
    const EventHistoryEntry *entry;
    size_t capacity = 0;

    for (uint64_t n = 0; (entry = event_history_find_after(history, n)); n = entry->number)
        capacity += sizeof(uint32_t) + entry->size;
    _cleanup_free_ uint8_t *bytes = malloc(capacity + 1);
    if (!bytes)
        return -ENOMEM;

    ByteWriter writer = byte_writer(bytes, capacity);
    for (uint64_t n = 0; (entry = event_history_find_after(history, n)); n = entry->number) {
        byte_writer_put_le32(&writer, (uint32_t)entry->size);
        byte_writer_put_bytes(&writer, entry->bytes, entry->size);
    }
    *ret_bytes = TAKE_PTR(bytes);
    *ret_size = writer.size;
    return 0;
}

static int get_event(ByteReader *reader, EventHistory *history, SupervisorMessage *message)
{
    const uint8_t *view;
    uint32_t size;

    if (byte_reader_get_le32(reader, &size) < 0 || byte_reader_get_view(reader, size, &view) < 0 ||
        supervisor_message_decode(view, size, message) < 0)
        return -EBADMSG;
    return event_history_add(history, message);
}

int vm_record_decode_events(const uint8_t *bytes, size_t size, EventHistory *ret_history)
{
    ByteReader reader = byte_reader(bytes, size);
    SupervisorMessage message = { 0 };
    EventHistory history = { 0 };
    int r = 0;

    while (r >= 0 && reader.size > 0)
        r = get_event(&reader, &history, &message);
    if (r >= 0 && message.type != SUPERVISOR_DIED)
        r = -EBADMSG;
    if (r < 0) {
        event_history_deinit(&history);
        return r;
    }
    *ret_history = history;
    return 0;
}
