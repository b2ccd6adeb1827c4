/* SPDX-License-Identifier: Apache-2.0 */
#include "common/bytes.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static const uint8_t sample[] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };

static void integers_are_read_little_endian_and_consumed(void **state)
{
    (void)state;
    ByteReader reader = byte_reader(sample, sizeof(sample));
    uint8_t byte = 0;
    uint16_t half = 0;
    uint32_t word = 0;
    uint64_t all = 0;

    assert_int_equal(byte_reader_get_u8(&reader, &byte), 0);
    assert_int_equal(byte, 0x01);
    assert_int_equal(byte_reader_get_le16(&reader, &half), 0);
    assert_int_equal(half, 0x4523);
    assert_int_equal(byte_reader_get_le32(&reader, &word), 0);
    assert_int_equal(word, 0xcdab8967);
    assert_int_equal(reader.size, 1);

    reader = byte_reader(sample, sizeof(sample));
    assert_int_equal(byte_reader_get_le64(&reader, &all), 0);
    assert_true(all == UINT64_C(0xefcdab8967452301));
    assert_int_equal(reader.size, 0);
}

static void big_endian_integers_are_read_and_written(void **state)
{
    (void)state;
    ByteReader reader = byte_reader(sample, sizeof(sample));
    uint8_t room[12];
    ByteWriter writer = byte_writer(room, sizeof(room));
    uint32_t word = 0;
    uint64_t all = 0;

    assert_int_equal(byte_reader_get_be32(&reader, &word), 0);
    assert_int_equal(word, 0x01234567);
    reader = byte_reader(sample, sizeof(sample));
    assert_int_equal(byte_reader_get_be64(&reader, &all), 0);
    assert_true(all == UINT64_C(0x0123456789abcdef));
    assert_int_equal(byte_reader_get_be32(&reader, &word), -EBADMSG);

    byte_writer_put_be64(&writer, UINT64_C(0x0123456789abcdef));
    byte_writer_put_be32(&writer, 0x01234567);
    assert_int_equal(byte_writer_finish(&writer), 0);
    assert_memory_equal(room, sample, sizeof(sample));
    assert_memory_equal(room + sizeof(sample), sample, 4);
    byte_writer_put_be32(&writer, 0);
    assert_int_equal(byte_writer_finish(&writer), -ENOBUFS);
}

static void failed_read_consumes_and_stores_nothing(void **state)
{
    (void)state;
    ByteReader reader = byte_reader(sample, 1);
    uint8_t bytes[2] = { 7, 7 };
    uint16_t half = 7;
    uint32_t word = 7;
    uint64_t all = 7;
    const uint8_t *view = sample + 3;

    assert_int_equal(byte_reader_get_le16(&reader, &half), -EBADMSG);
    assert_int_equal(byte_reader_get_le32(&reader, &word), -EBADMSG);
    assert_int_equal(byte_reader_get_le64(&reader, &all), -EBADMSG);
    assert_int_equal(byte_reader_get_bytes(&reader, bytes, 2), -EBADMSG);
    assert_int_equal(byte_reader_get_view(&reader, 2, &view), -EBADMSG);
    assert_int_equal(byte_reader_get_view(&reader, SIZE_MAX, &view), -EBADMSG);
    assert_true(half == 7 && word == 7 && all == 7 && bytes[0] == 7 && view == sample + 3);
    assert_int_equal(reader.size, 1);
    assert_ptr_equal(reader.data, sample);

    reader = byte_reader(NULL, 0);
    assert_int_equal(byte_reader_get_u8(&reader, bytes), -EBADMSG);
    assert_int_equal(byte_reader_get_bytes(&reader, NULL, 0), 0);
}

static void view_lends_bytes_in_place(void **state)
{
    (void)state;
    ByteReader reader = byte_reader(sample, sizeof(sample));
    const uint8_t *view;
    uint8_t rest[5];

    assert_int_equal(byte_reader_get_view(&reader, 3, &view), 0);
    assert_ptr_equal(view, sample);
    assert_int_equal(byte_reader_get_bytes(&reader, rest, sizeof(rest)), 0);
    assert_memory_equal(rest, sample + 3, sizeof(rest));
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    uint8_t buffer[1 + 2 + 4 + 8 + 2 + 3];
    ByteWriter writer = byte_writer(buffer, sizeof(buffer));

    byte_writer_put_u8(&writer, 0x01);
    byte_writer_put_le16(&writer, 0x0203);
    byte_writer_put_le32(&writer, 0x04050607);
    byte_writer_put_le64(&writer, UINT64_C(0x08090a0b0c0d0e0f));
    byte_writer_put_zeros(&writer, 2);
    byte_writer_put_bytes(&writer, "abc", 3);
    byte_writer_put_bytes(&writer, NULL, 0);
    assert_int_equal(byte_writer_finish(&writer), 0); /* filled to the last byte */
    assert_int_equal(writer.size, sizeof(buffer));

    static const uint8_t expected[] = { 0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f, 0x0e, 0x0d,
                                        0x0c, 0x0b, 0x0a, 0x09, 0x08, 0,    0,    'a',  'b',  'c' };
    assert_memory_equal(buffer, expected, sizeof(expected));
}

static void writer_drops_everything_after_what_did_not_fit(void **state)
{
    (void)state;
    uint8_t buffer[4] = { 0xff, 0xff, 0xff, 0xff };
    ByteWriter writer = byte_writer(buffer, sizeof(buffer));

    byte_writer_put_u8(&writer, 1);
    byte_writer_put_le32(&writer, 0); /* one byte too many */
    byte_writer_put_u8(&writer, 2);   /* would fit */
    assert_int_equal(byte_writer_finish(&writer), -ENOBUFS);
    assert_int_equal(writer.size, 1);
    assert_memory_equal(buffer, "\x01\xff\xff\xff", 4);

    writer = byte_writer(buffer, sizeof(buffer));
    byte_writer_put_zeros(&writer, SIZE_MAX);
    assert_int_equal(byte_writer_finish(&writer), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_little_endian_and_consumed),
        cmocka_unit_test(big_endian_integers_are_read_and_written),
        cmocka_unit_test(failed_read_consumes_and_stores_nothing),
        cmocka_unit_test(view_lends_bytes_in_place),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(writer_drops_everything_after_what_did_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
