/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/payload-metadata.h"

#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "tests/helpers/test.h"

#define MESSAGE_MAX 1024

/* A message field by field, for what the encoder would not write. Source: protobuf.dev, "Encoding".
 */
static void put_varint(ByteWriter *writer, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        byte_writer_put_u8(writer, (uint8_t)(value | 0x80));
    byte_writer_put_u8(writer, (uint8_t)value);
}

static void put_number(ByteWriter *writer, uint32_t field, uint64_t value)
{
    put_varint(writer, (uint64_t)field << 3);
    put_varint(writer, value);
}

static void put_bytes(ByteWriter *writer, uint32_t field, const void *bytes, size_t size)
{
    put_varint(writer, (uint64_t)field << 3 | 2);
    put_varint(writer, size);
    byte_writer_put_bytes(writer, bytes, size);
}

static void put_text(ByteWriter *writer, uint32_t field, const char *text)
{
    put_bytes(writer, field, text, strlen(text));
}

typedef struct Message {
    uint8_t bytes[MESSAGE_MAX];
    ByteWriter writer;
} Message;

/* The least there can be but for its payload: version, and the APK. */
static void begin(Message *message, uint64_t version)
{
    uint8_t apk[64];
    ByteWriter writer = byte_writer(apk, sizeof(apk));

    message->writer = byte_writer(message->bytes, sizeof(message->bytes));
    byte_writer_put_be32(&message->writer, 0);
    put_number(&message->writer, 1, version);
    put_text(&writer, 1, "apk");
    put_text(&writer, 2, "microdroid-apk");
    put_text(&writer, 3, "microdroid-apk-idsig");
    put_bytes(&message->writer, 3, apk, writer.size);
}

static int decode(Message *message, PayloadMetadata **ret_metadata, Error *error)
{
    ByteWriter length = byte_writer(message->bytes, 4);

    assert_int_equal(byte_writer_finish(&message->writer), 0);
    byte_writer_put_be32(&length, (uint32_t)message->writer.size - 4);
    return payload_metadata_decode(message->bytes, message->writer.size, ret_metadata, error);
}

static void refuses(Message *message, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    PayloadMetadata *metadata = NULL;

    assert_true(decode(message, &metadata, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    assert_null(metadata);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
}

static void a_config_is_written_as_avf_writes_it(void **state)
{
    static const uint8_t expected[] = "\0\0\0\x47"
                                      "\x08\x01"
                                      "\x1a\x2b"
                                      "\x0a\x03"
                                      "apk"
                                      "\x12\x0e"
                                      "microdroid-apk"
                                      "\x1a\x14"
                                      "microdroid-apk-idsig"
                                      "\x22\x16"
                                      "/mnt/apk/assets/c.json";
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    (void)state;
    assert_int_equal(payload_metadata_new("/mnt/apk/assets/c.json", NULL, 0, &metadata), 0);
    assert_int_equal(payload_metadata_encode(metadata, &bytes, &size, NULL), 0);
    assert_int_equal(size, sizeof(expected) - 1);
    assert_memory_equal(bytes, expected, size);
}

static void all_fields_are_read_as_they_were_written(void **state)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL, *found = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    PayloadApex *apex;
    uint8_t padded[MESSAGE_MAX] = { 0 };
    size_t size;

    (void)state;
    assert_int_equal(payload_metadata_new(NULL, "main.so", 3, &metadata), 0);
    assert_int_equal(payload_metadata_add_apex(metadata, "com.android.one", &apex), 0);
    apex->last_update_seconds = UINT64_MAX;
    apex->is_factory = true;
    apex->manifest_version = INT64_MIN;
    apex->manifest_name = strdup("one");
    apex->public_key = (PayloadBytes){ calloc(1, 5), 5 };
    apex->root_digest = (PayloadBytes){ calloc(1, 32), 32 };
    assert_int_equal(payload_metadata_add_apex(metadata, "com.android.two", &apex), 0);
    assert_int_equal(payload_metadata_encode(metadata, &bytes, &size, NULL), 0);

    memcpy(padded, bytes, size); /* as on a partition */
    assert_int_equal(payload_metadata_decode(padded, sizeof(padded), &found, NULL), 0);
    assert_int_equal(found->n_apexes, 2);
    assert_string_equal(found->apexes[0].name, "com.android.one");
    assert_string_equal(found->apexes[0].partition, "microdroid-apex-0");
    assert_true(found->apexes[0].last_update_seconds == UINT64_MAX);
    assert_true(found->apexes[0].is_factory);
    assert_true(found->apexes[0].manifest_version == INT64_MIN);
    assert_string_equal(found->apexes[0].manifest_name, "one");
    assert_int_equal(found->apexes[0].public_key.size, 5);
    assert_int_equal(found->apexes[0].root_digest.size, 32);
    assert_string_equal(found->apexes[1].partition, "microdroid-apex-1");
    assert_false(found->apexes[1].is_factory);
    assert_null(found->apexes[1].manifest_name);
    assert_string_equal(found->apk_name, "apk");
    assert_string_equal(found->apk_partition, "microdroid-apk");
    assert_string_equal(found->idsig_partition, "microdroid-apk-idsig");
    assert_null(found->config_path);
    assert_string_equal(found->binary, "main.so");
    assert_int_equal(found->n_extra_apks, 3);
}

static void every_cut_and_any_other_byte_behind_it_is_refused(void **state)
{
    Message message;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    PayloadMetadata *metadata = NULL;

    (void)state;
    begin(&message, 1);
    put_text(&message.writer, 4, "/mnt/apk/c");
    assert_int_equal(decode(&message, &metadata, NULL), 0);
    metadata = payload_metadata_free(metadata);
    for (size_t size = 0; size < message.writer.size; size++)
        assert_true(payload_metadata_decode(message.bytes, size, &metadata, NULL) < 0);
    message.bytes[message.writer.size] = 1;
    assert_true(payload_metadata_decode(message.bytes, message.writer.size + 1, &metadata, &error) <
                0);
    assert_non_null(strstr(error_get_message(&error), "other bytes than zeros"));
}

static void the_largest_message_is_taken_and_one_more_byte_is_not(void **state)
{
    static uint8_t bytes[4 + PAYLOAD_METADATA_MAX + 1];
    Error error = ERROR_INIT;
    PayloadMetadata *metadata = NULL;

    (void)state;
    for (uint32_t more = 0; more < 2; more++) {
        ByteWriter length = byte_writer(bytes, 4);

        byte_writer_put_be32(&length, PAYLOAD_METADATA_MAX + more);
        assert_true(payload_metadata_decode(bytes, sizeof(bytes), &metadata, &error) < 0);
        assert_non_null(strstr(error_get_message(&error),
                               more ? "65537 bytes; at most 65536" : "no such message"));
        error_clear(&error);
    }
}

static void other_versions_are_refused(void **state)
{
    Message message;

    (void)state;
    begin(&message, 0);
    put_text(&message.writer, 4, "c");
    refuses(&message, "version 0; only 1");
    begin(&message, 2);
    put_text(&message.writer, 4, "c");
    refuses(&message, "version 2; only 1");
}

static void unknown_fields_are_refused_at_any_depth(void **state)
{
    uint8_t inner[64];
    ByteWriter writer = byte_writer(inner, sizeof(inner));
    Message message;

    (void)state;
    begin(&message, 1);
    put_text(&message.writer, 4, "c");
    put_number(&message.writer, 6, 1);
    refuses(&message, "unknown field 6 in Metadata");

    put_text(&writer, 1, "x");
    put_text(&writer, 2, "y");
    put_number(&writer, 9, 1);
    begin(&message, 1);
    put_text(&message.writer, 4, "c");
    put_bytes(&message.writer, 2, inner, writer.size);
    refuses(&message, "unknown field 9 in Apex");
    begin(&message, 1);
    put_bytes(&message.writer, 5, inner, writer.size);
    refuses(&message, "no such message"); /* 2 is a number in a program */
    writer.size = 0;
    put_text(&writer, 1, "x");
    put_number(&writer, 3, 1);
    begin(&message, 1);
    put_bytes(&message.writer, 5, inner, writer.size);
    refuses(&message, "unknown field 3 in Program");
}

static void there_is_one_payload_and_an_apk(void **state)
{
    static const uint8_t program[] = { 0x0a, 1, 'x' };
    Message message;

    (void)state;
    begin(&message, 1);
    refuses(&message, "not neither");
    put_text(&message.writer, 4, "c");
    put_bytes(&message.writer, 5, program, sizeof(program));
    refuses(&message, "not both");

    message.writer.size = 4;
    put_number(&message.writer, 1, 1);
    put_text(&message.writer, 4, "c");
    refuses(&message, "no APK");
}

static void names_are_text(void **state)
{
    Message message;

    (void)state;
    begin(&message, 1);
    put_bytes(&message.writer, 4, "a\0b", 3);
    refuses(&message, "a config path with a NUL");
    begin(&message, 1);
    put_text(&message.writer, 4, "a\nb");
    refuses(&message, "a config path that is no text");
    begin(&message, 1);
    put_text(&message.writer, 4, "\xff");
    refuses(&message, "a config path that is no text");
    begin(&message, 1);
    put_text(&message.writer, 5, "");
    refuses(&message, "a program's name of 0 bytes");
}

static int try_sizes(size_t path, size_t name, size_t key, size_t digest, Error *error)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL, *found = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    char text[PAYLOAD_PATH_MAX + 2];
    PayloadApex *apex;
    size_t size;

    memset(text, 'x', sizeof(text));
    text[path] = '\0';
    assert_int_equal(payload_metadata_new(text, NULL, 0, &metadata), 0);
    memset(text, 'x', sizeof(text));
    text[name] = '\0';
    assert_int_equal(payload_metadata_add_apex(metadata, text, &apex), 0);
    apex->public_key = (PayloadBytes){ calloc(1, key), key };
    apex->root_digest = (PayloadBytes){ calloc(1, digest), digest };
    int r = payload_metadata_encode(metadata, &bytes, &size, error);
    if (r >= 0)
        assert_int_equal(payload_metadata_decode(bytes, size, &found, NULL), 0);
    return r;
}

static void each_maximum_is_taken_and_one_more_is_not(void **state)
{
    static const struct {
        size_t sizes[4];
        const char *words;
    } cases[] = {
        { { PAYLOAD_PATH_MAX + 1, 1, 1, 1 }, "a config path of 4096 bytes" },
        { { 1, PAYLOAD_NAME_MAX + 1, 1, 1 }, "a name of an APEX of 256 bytes" },
        { { 1, 1, PAYLOAD_PUBLIC_KEY_MAX + 1, 1 }, "a public key of 2057" },
        { { 1, 1, 1, PAYLOAD_DIGEST_MAX + 1 }, "a root digest of 65" },
        { { 0, 1, 1, 1 }, "a config path of 0 bytes" },
    };

    (void)state;
    assert_int_equal(try_sizes(PAYLOAD_PATH_MAX, PAYLOAD_NAME_MAX, PAYLOAD_PUBLIC_KEY_MAX,
                               PAYLOAD_DIGEST_MAX, NULL),
                     0);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const size_t *sizes = cases[i].sizes;
        _cleanup_(error_clear) Error error = ERROR_INIT;

        assert_int_equal(try_sizes(sizes[0], sizes[1], sizes[2], sizes[3], &error), -EINVAL);
        if (!strstr(error_get_message(&error), cases[i].words))
            fail_msg("'%s' says nothing of '%s'", error_get_message(&error), cases[i].words);
    }
}

static void each_number_is_taken_up_to_its_maximum(void **state)
{
    for (uint32_t more = 0; more < 2; more++) {
        _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL, *found = NULL;
        _cleanup_free_ uint8_t *bytes = NULL, *others = NULL;
        PayloadApex *apex;
        size_t size;

        (void)state;
        assert_int_equal(payload_metadata_new(NULL, "x", PAYLOAD_EXTRA_APKS_MAX + more, &metadata),
                         0);
        assert_int_equal(payload_metadata_encode(metadata, &bytes, &size, NULL),
                         more ? -EINVAL : 0);
        metadata->n_extra_apks = 0;
        for (size_t i = 0; i < PAYLOAD_APEXES_MAX + more; i++)
            assert_int_equal(payload_metadata_add_apex(metadata, "x", &apex), 0);
        assert_int_equal(payload_metadata_encode(metadata, &others, &size, NULL),
                         more ? -EINVAL : 0);
        if (!more)
            assert_int_equal(payload_metadata_decode(others, size, &found, NULL), 0);
    }
}

static void too_many_apexes_are_not_read(void **state)
{
    static const uint8_t apex[] = { 0x0a, 1, 'x', 0x12, 1, 'y' };
    Message message;

    (void)state;
    begin(&message, 1);
    put_text(&message.writer, 4, "c");
    for (size_t i = 0; i <= PAYLOAD_APEXES_MAX; i++)
        put_bytes(&message.writer, 2, apex, sizeof(apex));
    refuses(&message, "a number of APEXes of 65");
}

static void too_many_extra_apks_are_not_read(void **state)
{
    static const uint8_t program[] = { 0x0a, 1, 'x', 0x10, PAYLOAD_EXTRA_APKS_MAX + 1 };
    Message message;

    (void)state;
    begin(&message, 1);
    put_bytes(&message.writer, 5, program, sizeof(program));
    refuses(&message, "a number of extra APKs of 63");
}

/* 1 for the metadata, 2 for the APK: 64 APEXes leave room for 30 extra APKs, 62 of these for one
 * APEX. */
static void all_together_fit_a_partition_table(void **state)
{
    static const struct {
        size_t n_apexes;
        uint32_t n_extra_apks;
        bool taken;
    } cases[] = {
        { PAYLOAD_APEXES_MAX, 30, true },
        { PAYLOAD_APEXES_MAX, 31, false },
        { 1, PAYLOAD_EXTRA_APKS_MAX, true },
        { 2, PAYLOAD_EXTRA_APKS_MAX, false },
        { 25, 50, true },
        { 26, 50, false },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL, *found = NULL;
        _cleanup_(error_clear) Error error = ERROR_INIT;
        _cleanup_free_ uint8_t *bytes = NULL;
        PayloadApex *apex;
        size_t size;

        assert_int_equal(payload_metadata_new(NULL, "x", cases[i].n_extra_apks, &metadata), 0);
        for (size_t j = 0; j < cases[i].n_apexes; j++)
            assert_int_equal(payload_metadata_add_apex(metadata, "x", &apex), 0);
        int r = payload_metadata_encode(metadata, &bytes, &size, &error);
        if (cases[i].taken) {
            assert_int_equal(r, 0);
            assert_int_equal(payload_metadata_decode(bytes, size, &found, NULL), 0);
            assert_int_equal(found->n_extra_apks, cases[i].n_extra_apks);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(error_get_message(&error), "at most 128"));
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_is_written_as_avf_writes_it),
        cmocka_unit_test(all_fields_are_read_as_they_were_written),
        cmocka_unit_test(every_cut_and_any_other_byte_behind_it_is_refused),
        cmocka_unit_test(the_largest_message_is_taken_and_one_more_byte_is_not),
        cmocka_unit_test(other_versions_are_refused),
        cmocka_unit_test(unknown_fields_are_refused_at_any_depth),
        cmocka_unit_test(there_is_one_payload_and_an_apk),
        cmocka_unit_test(names_are_text),
        cmocka_unit_test(each_maximum_is_taken_and_one_more_is_not),
        cmocka_unit_test(each_number_is_taken_up_to_its_maximum),
        cmocka_unit_test(too_many_apexes_are_not_read),
        cmocka_unit_test(too_many_extra_apks_are_not_read),
        cmocka_unit_test(all_together_fit_a_partition_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
