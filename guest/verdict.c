/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/verdict.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/ckd.h"
#include "common/text.h"

#define BLOCK_SIZE 4096

bool identity_is_name(const char *text)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789._-";
    size_t size = strspn(text, characters);

    return size > 0 && size <= IDENTITY_NAME_MAX && text[size] == '\0' && text[0] != '.';
}

/* --- writing --- */

static void put_bytes(ByteWriter *writer, const void *bytes, size_t size)
{
    byte_writer_put_le16(writer, (uint16_t)size);
    byte_writer_put_bytes(writer, bytes, size);
}

static void put_name(ByteWriter *writer, const char *name)
{
    put_bytes(writer, name, strnlen(name, IDENTITY_NAME_MAX));
}

static void put_reason(ByteWriter *writer, const char *reason)
{
    char text[VERDICT_REASON_MAX + 1];
    size_t size = text_escape(reason, strnlen(reason, VERDICT_REASON_MAX), text, sizeof(text));

    put_bytes(writer, text, size);
}

static void put_apk(ByteWriter *writer, const ApkIdentity *apk)
{
    byte_writer_put_bytes(writer, apk->certificate_hash, sizeof(apk->certificate_hash));
    byte_writer_put_le64(writer, apk->version);
    put_name(writer, apk->package);
}

static void put_apex(ByteWriter *writer, const ApexIdentity *apex)
{
    byte_writer_put_bytes(writer, apex->public_key_hash, sizeof(apex->public_key_hash));
    byte_writer_put_bytes(writer, apex->manifest_hash, sizeof(apex->manifest_hash));
    byte_writer_put_le64(writer, apex->version);
    put_name(writer, apex->name);
    byte_writer_put_le64(writer, apex->image_offset);
    byte_writer_put_le64(writer, apex->image_size);
    byte_writer_put_le64(writer, apex->n_data_blocks);
    byte_writer_put_le64(writer, apex->tree_block);
    byte_writer_put_bytes(writer, apex->root, sizeof(apex->root));
    put_bytes(writer, apex->salt, apex->salt_size);
}

void verdict_encode(const Verdict *verdict, ByteWriter *writer)
{
    byte_writer_put_u8(writer, (uint8_t)verdict->kind);
    switch (verdict->kind) {
    case VERDICT_APK:
        put_apk(writer, &verdict->apk);
        break;
    case VERDICT_APEX:
        put_apex(writer, &verdict->apex);
        break;
    case VERDICT_REFUSAL:
        put_reason(writer, verdict->reason);
        break;
    }
}

/* --- reading --- */

static int get_bytes(ByteReader *reader, size_t max, uint8_t *ret_bytes, size_t *ret_size)
{
    uint16_t size;

    int r = byte_reader_get_le16(reader, &size);
    if (r < 0)
        return r;
    if (size > max)
        return -EBADMSG;
    r = byte_reader_get_bytes(reader, ret_bytes, size);
    if (r < 0)
        return r;
    *ret_size = size;
    return 0;
}

/* @ret_text has room for @max characters and a NUL. */
static int get_text(ByteReader *reader, size_t max, char *ret_text)
{
    size_t size;

    int r = get_bytes(reader, max, (uint8_t *)ret_text, &size);
    if (r < 0)
        return r;
    ret_text[size] = '\0';
    return text_is_printable(ret_text, size) ? 0 : -EBADMSG;
}

static int get_apk(ByteReader *reader, ApkIdentity *ret_apk)
{
    int r =
        byte_reader_get_bytes(reader, ret_apk->certificate_hash, sizeof(ret_apk->certificate_hash));

    if (r >= 0)
        r = byte_reader_get_le64(reader, &ret_apk->version);
    if (r >= 0)
        r = get_text(reader, IDENTITY_NAME_MAX, ret_apk->package);
    if (r < 0)
        return r;
    return !ret_apk->package[0] || identity_is_name(ret_apk->package) ? 0 : -EBADMSG;
}

/* Data and tree, in this order, are inside the image, and that in what a file can have. */
static bool is_image(const ApexIdentity *apex)
{
    uint64_t end;

    return apex->image_offset % BLOCK_SIZE == 0 && apex->image_size % BLOCK_SIZE == 0 &&
           !ckd_add(&end, apex->image_offset, apex->image_size) && end <= INT64_MAX &&
           apex->n_data_blocks > 0 && apex->n_data_blocks <= apex->tree_block &&
           apex->tree_block <= apex->image_size / BLOCK_SIZE;
}

static int get_apex(ByteReader *reader, ApexIdentity *ret_apex)
{
    int r =
        byte_reader_get_bytes(reader, ret_apex->public_key_hash, sizeof(ret_apex->public_key_hash));

    if (r >= 0)
        r = byte_reader_get_bytes(reader, ret_apex->manifest_hash, sizeof(ret_apex->manifest_hash));
    if (r >= 0)
        r = byte_reader_get_le64(reader, &ret_apex->version);
    if (r >= 0)
        r = get_text(reader, IDENTITY_NAME_MAX, ret_apex->name);
    if (r >= 0)
        r = byte_reader_get_le64(reader, &ret_apex->image_offset);
    if (r >= 0)
        r = byte_reader_get_le64(reader, &ret_apex->image_size);
    if (r >= 0)
        r = byte_reader_get_le64(reader, &ret_apex->n_data_blocks);
    if (r >= 0)
        r = byte_reader_get_le64(reader, &ret_apex->tree_block);
    if (r >= 0)
        r = byte_reader_get_bytes(reader, ret_apex->root, sizeof(ret_apex->root));
    if (r >= 0)
        r = get_bytes(reader, APEX_SALT_MAX, ret_apex->salt, &ret_apex->salt_size);
    if (r < 0)
        return r;
    return identity_is_name(ret_apex->name) && is_image(ret_apex) ? 0 : -EBADMSG;
}

int verdict_decode(ByteReader *reader, Verdict *ret_verdict)
{
    ByteReader rest = *reader;
    Verdict verdict = { 0 };
    uint8_t kind;

    int r = byte_reader_get_u8(&rest, &kind);
    if (r < 0)
        return r;
    switch (kind) {
    case VERDICT_APK:
        r = get_apk(&rest, &verdict.apk);
        break;
    case VERDICT_APEX:
        r = get_apex(&rest, &verdict.apex);
        break;
    case VERDICT_REFUSAL:
        r = get_text(&rest, VERDICT_REASON_MAX, verdict.reason);
        break;
    default:
        r = -EBADMSG;
    }
    if (r < 0)
        return r;

    verdict.kind = (VerdictKind)kind;
    *ret_verdict = verdict;
    *reader = rest;
    return 0;
}
