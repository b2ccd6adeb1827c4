/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/bytes.h"

static bool request_is_valid(const PayloadRequest *request)
{
    return request->secret_size <= PAYLOAD_SECRET_SIZE_MAX &&
           request->identifier_size <= PAYLOAD_IDENTIFIER_SIZE_MAX;
}

int payload_request_encode(const PayloadRequest *request,
                           uint8_t bytes[static PAYLOAD_REQUEST_SIZE_MAX])
{
    ByteWriter writer = byte_writer(bytes, PAYLOAD_REQUEST_SIZE_MAX);

    if (!request_is_valid(request))
        return -EINVAL;

    byte_writer_put_le32(&writer, (uint32_t)request->type);
    switch (request->type) {
    case PAYLOAD_GET_SECRET:
        byte_writer_put_le32(&writer, request->secret_size);
        byte_writer_put_bytes(&writer, request->identifier, request->identifier_size);
        break;
    case PAYLOAD_WRITE_ROLLBACK_SECRET:
        byte_writer_put_bytes(&writer, request->rollback_secret, PAYLOAD_ROLLBACK_SECRET_SIZE);
        break;
    case PAYLOAD_IS_NEW_INSTANCE:
    case PAYLOAD_GET_STORAGE_PATH:
    case PAYLOAD_READ_ROLLBACK_SECRET:
        break;
    default:
        return -EINVAL;
    }
    int r = byte_writer_finish(&writer);
    return r < 0 ? r : (int)writer.size;
}

int payload_request_decode(const uint8_t *bytes, size_t size, PayloadRequest *ret_request)
{
    ByteReader reader = byte_reader(bytes, size);
    PayloadRequest request = { 0 };
    uint32_t type;
    int r = 0;

    if (byte_reader_get_le32(&reader, &type) < 0)
        return -EBADMSG;
    request.type = (PayloadRequestType)type;
    switch (request.type) {
    case PAYLOAD_GET_SECRET:
        r = byte_reader_get_le32(&reader, &request.secret_size);
        request.identifier_size = reader.size;
        if (r >= 0)
            r = byte_reader_get_view(&reader, reader.size, &request.identifier);
        break;
    case PAYLOAD_WRITE_ROLLBACK_SECRET:
        r = byte_reader_get_bytes(&reader, request.rollback_secret, PAYLOAD_ROLLBACK_SECRET_SIZE);
        break;
    case PAYLOAD_IS_NEW_INSTANCE:
    case PAYLOAD_GET_STORAGE_PATH:
    case PAYLOAD_READ_ROLLBACK_SECRET:
        break;
    default:
        return -EBADMSG;
    }
    if (r < 0 || reader.size > 0 || !request_is_valid(&request))
        return -EBADMSG;

    *ret_request = request;
    return 0;
}

static bool reply_is_valid(const PayloadReply *reply)
{
    if ((uint32_t)reply->status >= PAYLOAD_STATUS_MAX)
        return false;
    bool ok = reply->status == PAYLOAD_STATUS_OK;

    switch (reply->type) {
    case PAYLOAD_GET_SECRET:
        return reply->data_size <= (ok ? PAYLOAD_SECRET_SIZE_MAX : 0);
    case PAYLOAD_IS_NEW_INSTANCE:
        return ok ? reply->data_size == 1 && reply->data[0] <= 1 : reply->data_size == 0;
    case PAYLOAD_GET_STORAGE_PATH:
        return reply->data_size <= (ok ? PAYLOAD_STORAGE_PATH_MAX : 0) &&
               !memchr(reply->data, '\0', reply->data_size);
    case PAYLOAD_READ_ROLLBACK_SECRET:
        return reply->data_size == (ok ? PAYLOAD_ROLLBACK_SECRET_SIZE : 0);
    case PAYLOAD_WRITE_ROLLBACK_SECRET:
        return reply->data_size == 0;
    default:
        return false;
    }
}

int payload_reply_encode(const PayloadReply *reply, uint8_t bytes[static PAYLOAD_REPLY_SIZE_MAX])
{
    ByteWriter writer = byte_writer(bytes, PAYLOAD_REPLY_SIZE_MAX);

    if (!reply_is_valid(reply))
        return -EINVAL;
    byte_writer_put_le32(&writer, (uint32_t)reply->type);
    byte_writer_put_le32(&writer, (uint32_t)reply->status);
    byte_writer_put_bytes(&writer, reply->data, reply->data_size);
    int r = byte_writer_finish(&writer);
    return r < 0 ? r : (int)writer.size;
}

int payload_reply_decode(const uint8_t *bytes, size_t size, PayloadReply *ret_reply)
{
    ByteReader reader = byte_reader(bytes, size);
    PayloadReply reply = { 0 };
    uint32_t type, status;

    if (byte_reader_get_le32(&reader, &type) < 0 || byte_reader_get_le32(&reader, &status) < 0 ||
        reader.size > sizeof(reply.data))
        return -EBADMSG;
    reply.type = (PayloadRequestType)type;
    reply.status = (PayloadStatus)status;
    reply.data_size = reader.size;
    if (byte_reader_get_bytes(&reader, reply.data, reply.data_size) < 0 || !reply_is_valid(&reply))
        return -EBADMSG;

    *ret_reply = reply;
    return 0;
}
