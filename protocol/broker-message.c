/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/broker-message.h"

#include <assert.h>
#include <errno.h>

#include "common/bytes.h"

void broker_message_encode(const BrokerMessage *message, uint8_t bytes[static BROKER_MESSAGE_SIZE])
{
    ByteWriter writer = byte_writer(bytes, BROKER_MESSAGE_SIZE);

    byte_writer_put_le32(&writer, (uint32_t)message->type);
    byte_writer_put_le32(&writer, message->id);
    byte_writer_put_le32(&writer, message->value);
    assert(byte_writer_finish(&writer) == 0 && writer.size == BROKER_MESSAGE_SIZE);
}

int broker_message_decode(const uint8_t *bytes, size_t size, BrokerMessage *ret_message)
{
    ByteReader reader = byte_reader(bytes, size);
    uint32_t type, id, value;

    if (size != BROKER_MESSAGE_SIZE || byte_reader_get_le32(&reader, &type) < 0 ||
        byte_reader_get_le32(&reader, &id) < 0 || byte_reader_get_le32(&reader, &value) < 0)
        return -EBADMSG;
    if (type < BROKER_CONNECT || type > BROKER_CAPTURE)
        return -EBADMSG;

    *ret_message = (BrokerMessage){ .type = (BrokerMessageType)type, .id = id, .value = value };
    return 0;
}

size_t broker_message_type_count_fds(BrokerMessageType type)
{
    return type == BROKER_ACCEPT || type == BROKER_DIAL || type == BROKER_CAPTURE ? 1 : 0;
}
