/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/payload-metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/text.h"
#include "composite-disk/payload-disk.h"
#include "composite-disk/payload-metadata.pb-c.h"

#define LENGTH_SIZE 4
#define APK_NAME    "apk" /* AVF's, for all of them */

typedef PayloadMetadataWire__Metadata WireMetadata;
typedef PayloadMetadataWire__Apex WireApex;
typedef PayloadMetadataWire__Apk WireApk;
typedef PayloadMetadataWire__Program WireProgram;

static void free_message(WireMetadata **message)
{
    payload_metadata_wire__metadata__free_unpacked(*message, NULL);
}

/* --- the object --- */

static void apex_deinit(PayloadApex *apex)
{
    free(apex->name);
    free(apex->partition);
    free(apex->public_key.data);
    free(apex->root_digest.data);
    free(apex->manifest_name);
}

PayloadMetadata *payload_metadata_free(PayloadMetadata *metadata)
{
    if (!metadata)
        return NULL;
    for (size_t i = 0; i < metadata->n_apexes; i++)
        apex_deinit(&metadata->apexes[i]);
    free(metadata->apexes);
    free(metadata->apk_name);
    free(metadata->apk_partition);
    free(metadata->idsig_partition);
    free(metadata->config_path);
    free(metadata->binary);
    free(metadata);
    return NULL;
}

static char *dup_label(PayloadPartitionRole role, size_t index)
{
    char label[PAYLOAD_LABEL_SIZE];

    payload_partition_make_label((PayloadPartition){ role, index }, label);
    return strdup(label);
}

int payload_metadata_new(const char *config_path,
                         const char *binary,
                         uint32_t n_extra_apks,
                         PayloadMetadata **ret_metadata)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = calloc(1, sizeof(*metadata));

    if (!metadata)
        return -ENOMEM;
    metadata->apk_name = strdup(APK_NAME);
    metadata->apk_partition = dup_label(PAYLOAD_APK, 0);
    metadata->idsig_partition = dup_label(PAYLOAD_APK_IDSIG, 0);
    metadata->config_path = config_path ? strdup(config_path) : NULL;
    metadata->binary = binary ? strdup(binary) : NULL;
    metadata->n_extra_apks = n_extra_apks;
    if (!metadata->apk_name || !metadata->apk_partition || !metadata->idsig_partition ||
        !metadata->config_path != !config_path || !metadata->binary != !binary)
        return -ENOMEM;
    *ret_metadata = TAKE_PTR(metadata);
    return 0;
}

int payload_metadata_add_apex(PayloadMetadata *metadata, const char *name, PayloadApex **ret_apex)
{
    PayloadApex *apexes =
        reallocarray(metadata->apexes, metadata->n_apexes + 1, sizeof(*metadata->apexes));

    if (!apexes)
        return -ENOMEM;
    metadata->apexes = apexes;
    PayloadApex apex = { .name = strdup(name),
                         .partition = metadata->n_apexes < PAYLOAD_APEXES_MAX
                                          ? dup_label(PAYLOAD_APEX, metadata->n_apexes)
                                          : strdup("") };
    if (!apex.name || !apex.partition) {
        apex_deinit(&apex);
        return -ENOMEM;
    }
    apexes[metadata->n_apexes] = apex;
    *ret_apex = &apexes[metadata->n_apexes++];
    return 0;
}

/* --- rules, for both directions --- */

static int check_text(const char *text, size_t max, ErrorKind kind, const char *what, Error *error)
{
    size_t size = strlen(text);

    if (size == 0 || size > max)
        return error_set(error, kind, "the payload metadata has %s of %zu bytes; it takes 1 to %zu",
                         what, size, max);
    if (!text_is_utf8(text, size) || !text_has_no_control(text))
        return error_set(error, kind, "the payload metadata has %s that is no text", what);
    return 0;
}

static int check_size(size_t size, size_t max, ErrorKind kind, const char *what, Error *error)
{
    if (size > max)
        return error_set(error, kind, "the payload metadata has %s of %zu; at most %zu are taken",
                         what, size, max);
    return 0;
}

static int check_apex(const PayloadApex *apex, ErrorKind kind, Error *error)
{
    int r = check_text(apex->name, PAYLOAD_NAME_MAX, kind, "a name of an APEX", error);

    if (r >= 0)
        r = check_text(apex->partition, PAYLOAD_NAME_MAX, kind, "an APEX's partition name", error);
    if (r >= 0 && apex->manifest_name)
        r = check_text(apex->manifest_name, PAYLOAD_NAME_MAX, kind, "an APEX's manifest name",
                       error);
    if (r >= 0)
        r = check_size(apex->public_key.size, PAYLOAD_PUBLIC_KEY_MAX, kind, "a public key", error);
    if (r >= 0)
        r = check_size(apex->root_digest.size, PAYLOAD_DIGEST_MAX, kind, "a root digest", error);
    return r;
}

static int check_rules(const PayloadMetadata *metadata, ErrorKind kind, Error *error)
{
    int r = check_size(metadata->n_apexes, PAYLOAD_APEXES_MAX, kind, "a number of APEXes", error);

    for (size_t i = 0; r >= 0 && i < metadata->n_apexes; i++)
        r = check_apex(&metadata->apexes[i], kind, error);
    if (r >= 0)
        r = check_text(metadata->apk_name, PAYLOAD_NAME_MAX, kind, "an APK's name", error);
    if (r >= 0)
        r = check_text(metadata->apk_partition, PAYLOAD_NAME_MAX, kind, "an APK's partition name",
                       error);
    if (r >= 0)
        r = check_text(metadata->idsig_partition, PAYLOAD_NAME_MAX, kind,
                       "an idsig's partition name", error);
    if (r < 0)
        return r;
    if (!metadata->config_path == !metadata->binary)
        return error_set(error, kind,
                         "the payload metadata must name a config file or a program, not %s",
                         metadata->binary ? "both" : "neither");
    if (metadata->config_path)
        return check_text(metadata->config_path, PAYLOAD_PATH_MAX, kind, "a config path", error);
    r = check_text(metadata->binary, PAYLOAD_NAME_MAX, kind, "a program's name", error);
    if (r >= 0)
        r = check_size(metadata->n_extra_apks, PAYLOAD_EXTRA_APKS_MAX, kind,
                       "a number of extra APKs", error);
    if (r >= 0)
        r = check_size(payload_disk_count(metadata->n_apexes, metadata->n_extra_apks),
                       PAYLOAD_PARTITIONS_MAX, kind, "a number of partitions", error);
    return r;
}

/* --- writing --- */

static ProtobufCBinaryData lend_text(char *text)
{
    return (ProtobufCBinaryData){ .len = text ? strlen(text) : 0, .data = (uint8_t *)text };
}

static ProtobufCBinaryData lend_bytes(PayloadBytes bytes)
{
    return (ProtobufCBinaryData){ .len = bytes.size, .data = bytes.data };
}

static void fill_apex(const PayloadApex *apex, WireApex *wire)
{
    payload_metadata_wire__apex__init(wire);
    wire->name = lend_text(apex->name);
    wire->partition = lend_text(apex->partition);
    wire->public_key = lend_bytes(apex->public_key);
    wire->root_digest = lend_bytes(apex->root_digest);
    wire->last_update_seconds = apex->last_update_seconds;
    wire->is_factory = apex->is_factory;
    wire->manifest_version = apex->manifest_version;
    wire->manifest_name = lend_text(apex->manifest_name);
}

static int pack(const WireMetadata *message, uint8_t **ret_bytes, size_t *ret_size, Error *error)
{
    size_t size = payload_metadata_wire__metadata__get_packed_size(message);

    if (size > PAYLOAD_METADATA_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the payload metadata gets %zu bytes; at most %u are taken", size,
                         PAYLOAD_METADATA_MAX);
    uint8_t *bytes = malloc(LENGTH_SIZE + size);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    ByteWriter writer = byte_writer(bytes, LENGTH_SIZE);
    byte_writer_put_be32(&writer, (uint32_t)size);
    (void)payload_metadata_wire__metadata__pack(message, bytes + LENGTH_SIZE);
    *ret_bytes = bytes;
    *ret_size = LENGTH_SIZE + size;
    return 0;
}

int payload_metadata_encode(const PayloadMetadata *metadata,
                            uint8_t **ret_bytes,
                            size_t *ret_size,
                            Error *error)
{
    WireMetadata message = PAYLOAD_METADATA_WIRE__METADATA__INIT;
    WireApk apk = PAYLOAD_METADATA_WIRE__APK__INIT;
    WireProgram program = PAYLOAD_METADATA_WIRE__PROGRAM__INIT;
    WireApex apexes[PAYLOAD_APEXES_MAX], *pointers[PAYLOAD_APEXES_MAX];

    int r = check_rules(metadata, ERROR_INVALID_ARGUMENT, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < metadata->n_apexes; i++) {
        fill_apex(&metadata->apexes[i], &apexes[i]);
        pointers[i] = &apexes[i];
    }
    apk.name = lend_text(metadata->apk_name);
    apk.partition = lend_text(metadata->apk_partition);
    apk.idsig_partition = lend_text(metadata->idsig_partition);
    message.version = PAYLOAD_METADATA_VERSION;
    message.apexes = pointers;
    message.n_apexes = metadata->n_apexes;
    message.apk = &apk;
    message.config_path = lend_text(metadata->config_path);
    if (metadata->binary) {
        message.program = &program;
        program.binary = lend_text(metadata->binary);
        program.n_extra_apks = metadata->n_extra_apks;
    }
    return pack(&message, ret_bytes, ret_size, error);
}

/* --- reading --- */

static int check_known(const ProtobufCMessage *message, Error *error)
{
    if (message->n_unknown_fields > 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload metadata has an unknown field %" PRIu32 " in %s",
                         message->unknown_fields[0].tag, message->descriptor->short_name);
    return 0;
}

static int take_text(ProtobufCBinaryData bytes, const char *what, char **ret_text, Error *error)
{
    if (bytes.len > 0 && memchr(bytes.data, '\0', bytes.len))
        return error_set(error, ERROR_IMAGE_INVALID, "the payload metadata has %s with a NUL",
                         what);
    char *text = bytes.len > 0 ? strndup((const char *)bytes.data, bytes.len) : strdup("");
    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *ret_text = text;
    return 0;
}

static int take_bytes(ProtobufCBinaryData bytes, PayloadBytes *ret_bytes, Error *error)
{
    if (bytes.len == 0)
        return 0;
    ret_bytes->data = malloc(bytes.len);
    if (!ret_bytes->data)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    memcpy(ret_bytes->data, bytes.data, bytes.len);
    ret_bytes->size = bytes.len;
    return 0;
}

static int take_apex(const WireApex *wire, PayloadApex *apex, Error *error)
{
    int r = check_known(&wire->base, error);

    if (r >= 0)
        r = take_text(wire->name, "a name of an APEX", &apex->name, error);
    if (r >= 0)
        r = take_text(wire->partition, "an APEX's partition name", &apex->partition, error);
    if (r >= 0 && wire->manifest_name.len > 0)
        r = take_text(wire->manifest_name, "an APEX's manifest name", &apex->manifest_name, error);
    if (r >= 0)
        r = take_bytes(wire->public_key, &apex->public_key, error);
    if (r >= 0)
        r = take_bytes(wire->root_digest, &apex->root_digest, error);
    apex->last_update_seconds = wire->last_update_seconds;
    apex->is_factory = wire->is_factory != 0;
    apex->manifest_version = wire->manifest_version;
    return r;
}

static int take_apexes(const WireMetadata *message, PayloadMetadata *metadata, Error *error)
{
    int r = check_size(message->n_apexes, PAYLOAD_APEXES_MAX, ERROR_IMAGE_INVALID,
                       "a number of APEXes", error);
    if (r < 0 || message->n_apexes == 0)
        return r;
    metadata->apexes = calloc(message->n_apexes, sizeof(*metadata->apexes));
    if (!metadata->apexes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    metadata->n_apexes = message->n_apexes;
    for (size_t i = 0; r >= 0 && i < metadata->n_apexes; i++)
        r = take_apex(message->apexes[i], &metadata->apexes[i], error);
    return r;
}

static int take_apk(const WireMetadata *message, PayloadMetadata *metadata, Error *error)
{
    if (!message->apk)
        return error_set(error, ERROR_IMAGE_INVALID, "the payload metadata names no APK");
    int r = check_known(&message->apk->base, error);
    if (r >= 0)
        r = take_text(message->apk->name, "an APK's name", &metadata->apk_name, error);
    if (r >= 0)
        r = take_text(message->apk->partition, "an APK's partition name", &metadata->apk_partition,
                      error);
    if (r >= 0)
        r = take_text(message->apk->idsig_partition, "an idsig's partition name",
                      &metadata->idsig_partition, error);
    return r;
}

static int take_payload(const WireMetadata *message, PayloadMetadata *metadata, Error *error)
{
    if (message->config_path.len > 0) {
        int r = take_text(message->config_path, "a config path", &metadata->config_path, error);
        if (r < 0)
            return r;
    }
    if (!message->program)
        return 0; /* the rules say which there must be */
    int r = check_known(&message->program->base, error);
    if (r >= 0)
        r = take_text(message->program->binary, "a program's name", &metadata->binary, error);
    metadata->n_extra_apks = message->program->n_extra_apks;
    return r;
}

/* The message in the partition, and nothing but zeros behind it. */
static int find_message(ByteReader *reader, ByteReader *ret_message, Error *error)
{
    const uint8_t *view;
    uint32_t size;

    if (byte_reader_get_be32(reader, &size) < 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the payload metadata ends within its length");
    if (size > PAYLOAD_METADATA_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload metadata has %" PRIu32 " bytes; at most %u are taken", size,
                         PAYLOAD_METADATA_MAX);
    if (byte_reader_get_view(reader, size, &view) < 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload metadata has %" PRIu32 " bytes, of which %zu are there", size,
                         reader->size);
    for (size_t i = 0; i < reader->size; i++) {
        if (reader->data[i] != 0)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the payload metadata has other bytes than zeros behind it");
    }
    *ret_message = byte_reader(view, size);
    return 0;
}

int payload_metadata_decode(const void *bytes,
                            size_t size,
                            PayloadMetadata **ret_metadata,
                            Error *error)
{
    ByteReader reader = byte_reader(bytes, size), found = { 0 };
    _cleanup_(free_message) WireMetadata *message = NULL;
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = calloc(1, sizeof(*metadata));

    if (!metadata)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = find_message(&reader, &found, error);
    if (r < 0)
        return r;
    message = payload_metadata_wire__metadata__unpack(NULL, found.size, found.data);
    if (!message)
        return error_set(error, ERROR_IMAGE_INVALID, "the payload metadata is no such message");
    if (message->version != PAYLOAD_METADATA_VERSION)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload metadata has version %" PRIu32 "; only %d is known",
                         message->version, PAYLOAD_METADATA_VERSION);
    r = check_known(&message->base, error);
    if (r >= 0)
        r = take_apexes(message, metadata, error);
    if (r >= 0)
        r = take_apk(message, metadata, error);
    if (r >= 0)
        r = take_payload(message, metadata, error);
    if (r >= 0)
        r = check_rules(metadata, ERROR_IMAGE_INVALID, error);
    if (r < 0)
        return r;
    *ret_metadata = TAKE_PTR(metadata);
    return 0;
}
