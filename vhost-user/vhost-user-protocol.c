/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/vhost-user-protocol.h"

#include <assert.h>
#include <errno.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/fd.h"

#define FLAGS_VERSION_MASK 0x3U
#define FLAGS_VERSION      0x1U
#define FLAGS_REPLY        (1U << 2)
#define FLAGS_NEED_REPLY   (1U << 3)

#define RING_FD_INDEX_MASK UINT64_C(0xff) /* SET_VRING_KICK, _CALL, _ERR */
#define RING_FD_NONE       (UINT64_C(1) << 8)

typedef enum PayloadForm {
    PAYLOAD_UNKNOWN, /* the request is not served here */
    PAYLOAD_EMPTY,
    PAYLOAD_FEATURES,
    PAYLOAD_RING_STATE,
    PAYLOAD_RING_ADDRESSES,
    PAYLOAD_RING_FD,
    PAYLOAD_MEMORY_TABLE,
    PAYLOAD_CONFIG,
    PAYLOAD_FORM_MAX,
} PayloadForm;

static const struct {
    const char *name;
    PayloadForm form;
} requests[VHOST_USER_REQUEST_TYPE_MAX] = {
    [VHOST_USER_GET_FEATURES] = { "GET_FEATURES", PAYLOAD_EMPTY },
    [VHOST_USER_SET_FEATURES] = { "SET_FEATURES", PAYLOAD_FEATURES },
    [VHOST_USER_SET_OWNER] = { "SET_OWNER", PAYLOAD_EMPTY },
    [VHOST_USER_RESET_OWNER] = { "RESET_OWNER", PAYLOAD_EMPTY },
    [VHOST_USER_SET_MEM_TABLE] = { "SET_MEM_TABLE", PAYLOAD_MEMORY_TABLE },
    [VHOST_USER_SET_VRING_NUM] = { "SET_VRING_NUM", PAYLOAD_RING_STATE },
    [VHOST_USER_SET_VRING_ADDR] = { "SET_VRING_ADDR", PAYLOAD_RING_ADDRESSES },
    [VHOST_USER_SET_VRING_BASE] = { "SET_VRING_BASE", PAYLOAD_RING_STATE },
    [VHOST_USER_GET_VRING_BASE] = { "GET_VRING_BASE", PAYLOAD_RING_STATE },
    [VHOST_USER_SET_VRING_KICK] = { "SET_VRING_KICK", PAYLOAD_RING_FD },
    [VHOST_USER_SET_VRING_CALL] = { "SET_VRING_CALL", PAYLOAD_RING_FD },
    [VHOST_USER_SET_VRING_ERR] = { "SET_VRING_ERR", PAYLOAD_RING_FD },
    [VHOST_USER_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", PAYLOAD_EMPTY },
    [VHOST_USER_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", PAYLOAD_FEATURES },
    [VHOST_USER_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", PAYLOAD_RING_STATE },
    [VHOST_USER_GET_CONFIG] = { "GET_CONFIG", PAYLOAD_CONFIG },
};

#define MEMORY_TABLE_HEADER_SIZE 8 /* u32 count, u32 padding */
#define MEMORY_REGION_SIZE       32
#define CONFIG_HEADER_SIZE       12 /* u32 offset, size, flags */

static const struct {
    uint32_t min;
    uint32_t max;
} payload_sizes[PAYLOAD_FORM_MAX] = {
    [PAYLOAD_EMPTY] = { 0, 0 },
    [PAYLOAD_FEATURES] = { 8, 8 },
    [PAYLOAD_RING_STATE] = { 8, 8 },
    [PAYLOAD_RING_ADDRESSES] = { 40, 40 },
    [PAYLOAD_RING_FD] = { 8, 8 },
    [PAYLOAD_MEMORY_TABLE] = { MEMORY_TABLE_HEADER_SIZE + MEMORY_REGION_SIZE,
                               MEMORY_TABLE_HEADER_SIZE +
                                   GUEST_MEMORY_REGIONS_MAX *MEMORY_REGION_SIZE },
    [PAYLOAD_CONFIG] = { CONFIG_HEADER_SIZE, CONFIG_HEADER_SIZE + VHOST_USER_CONFIG_SIZE_MAX },
};

const char *vhost_user_request_type_to_string(VhostUserRequestType type)
{
    return (unsigned)type < VHOST_USER_REQUEST_TYPE_MAX ? requests[type].name : NULL;
}

int vhost_user_header_decode(const uint8_t bytes[static VHOST_USER_HEADER_SIZE],
                             VhostUserHeader *ret_header,
                             Error *error)
{
    ByteReader reader = byte_reader(bytes, VHOST_USER_HEADER_SIZE);
    uint32_t type = 0, flags = 0, size = 0;

    (void)byte_reader_get_le32(&reader, &type); /* the buffer has its size */
    (void)byte_reader_get_le32(&reader, &flags);
    (void)byte_reader_get_le32(&reader, &size);

    if (type >= VHOST_USER_REQUEST_TYPE_MAX || requests[type].form == PAYLOAD_UNKNOWN)
        return error_set(error, ERROR_NOT_SUPPORTED, "vhost-user request %u is not served", type);
    if ((flags & FLAGS_VERSION_MASK) != FLAGS_VERSION ||
        flags & ~(FLAGS_VERSION_MASK | FLAGS_NEED_REPLY))
        return error_set(error, ERROR_INVALID_ARGUMENT, "vhost-user %s has flags %#x",
                         requests[type].name, flags);
    if (size < payload_sizes[requests[type].form].min ||
        size > payload_sizes[requests[type].form].max)
        return error_set(error, ERROR_INVALID_ARGUMENT, "vhost-user %s has a payload of %u bytes",
                         requests[type].name, size);

    *ret_header = (VhostUserHeader){
        .type = (VhostUserRequestType)type,
        .needs_reply = flags & FLAGS_NEED_REPLY,
        .payload_size = size,
    };
    return 0;
}

static int decode_features(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    *ret_n_fds = 0;
    return byte_reader_get_le64(reader, &request->features);
}

static int decode_ring_state(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    int r = byte_reader_get_le32(reader, &request->ring);
    if (r < 0)
        return r;

    *ret_n_fds = 0;
    return byte_reader_get_le32(reader, &request->number);
}

static int decode_ring_addresses(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    uint32_t flags;
    uint64_t log_address;

    if (byte_reader_get_le32(reader, &request->ring) < 0 ||
        byte_reader_get_le32(reader, &flags) < 0 ||
        byte_reader_get_le64(reader, &request->addresses.descriptors) < 0 ||
        byte_reader_get_le64(reader, &request->addresses.used) < 0 ||
        byte_reader_get_le64(reader, &request->addresses.available) < 0 ||
        byte_reader_get_le64(reader, &log_address) < 0)
        return -EBADMSG;
    if (flags != 0) /* bit 0 asks for a log of writes, whose feature is not offered */
        return -EBADMSG;

    *ret_n_fds = 0;
    return 0;
}

static int decode_ring_fd(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    uint64_t value;

    int r = byte_reader_get_le64(reader, &value);
    if (r < 0)
        return r;
    if (value & ~(RING_FD_INDEX_MASK | RING_FD_NONE))
        return -EBADMSG;
    /* A ring without a kick would have to be polled. */
    if (value & RING_FD_NONE && request->type == VHOST_USER_SET_VRING_KICK)
        return -EBADMSG;

    request->ring = (uint32_t)(value & RING_FD_INDEX_MASK);
    *ret_n_fds = value & RING_FD_NONE ? 0 : 1;
    return 0;
}

static int decode_memory_table(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    uint32_t n_regions, padding;

    if (byte_reader_get_le32(reader, &n_regions) < 0 || byte_reader_get_le32(reader, &padding) < 0)
        return -EBADMSG;
    if (n_regions > GUEST_MEMORY_REGIONS_MAX || reader->size != n_regions * MEMORY_REGION_SIZE)
        return -EBADMSG;

    for (size_t i = 0; i < n_regions; i++) {
        GuestMemoryLayout *region = &request->regions[i];

        if (byte_reader_get_le64(reader, &region->guest_address) < 0 ||
            byte_reader_get_le64(reader, &region->size) < 0 ||
            byte_reader_get_le64(reader, &region->user_address) < 0 ||
            byte_reader_get_le64(reader, &region->file_offset) < 0)
            return -EBADMSG;
    }
    request->n_regions = n_regions;
    *ret_n_fds = n_regions;
    return 0;
}

static int decode_config(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    uint32_t flags;

    if (byte_reader_get_le32(reader, &request->config_offset) < 0 ||
        byte_reader_get_le32(reader, &request->config_size) < 0 ||
        byte_reader_get_le32(reader, &flags) < 0 || reader->size != request->config_size)
        return -EBADMSG;

    reader->size = 0; /* room for the answer: nothing to be read in it */
    *ret_n_fds = 0;
    return 0;
}

static int decode_empty(ByteReader *reader, VhostUserRequest *request, size_t *ret_n_fds)
{
    (void)reader; /* one signature for the whole table */
    (void)request;
    *ret_n_fds = 0;
    return 0;
}

int vhost_user_request_decode(const VhostUserHeader *header,
                              const uint8_t *payload,
                              int *fds,
                              size_t n_fds,
                              VhostUserRequest *ret_request,
                              Error *error)
{
    static int (*const decoders[PAYLOAD_FORM_MAX])(ByteReader *, VhostUserRequest *, size_t *) = {
        [PAYLOAD_EMPTY] = decode_empty,           [PAYLOAD_FEATURES] = decode_features,
        [PAYLOAD_RING_STATE] = decode_ring_state, [PAYLOAD_RING_ADDRESSES] = decode_ring_addresses,
        [PAYLOAD_RING_FD] = decode_ring_fd,       [PAYLOAD_MEMORY_TABLE] = decode_memory_table,
        [PAYLOAD_CONFIG] = decode_config,
    };
    const char *name = requests[header->type].name;
    ByteReader reader = byte_reader(payload, header->payload_size);
    VhostUserRequest request = { .type = header->type, .needs_reply = header->needs_reply };
    size_t n_fds_wanted = 0;

    int r = decoders[requests[header->type].form](&reader, &request, &n_fds_wanted);
    if (r < 0 || reader.size > 0)
        r = error_set(error, ERROR_INVALID_ARGUMENT, "vhost-user %s is malformed", name);
    else if (n_fds != n_fds_wanted)
        r = error_set(error, ERROR_INVALID_ARGUMENT,
                      "vhost-user %s carries %zu descriptors, not %zu", name, n_fds, n_fds_wanted);
    if (r < 0) {
        fd_close_many(fds, n_fds);
        return r;
    }

    for (size_t i = 0; i < n_fds; i++)
        request.fds[i] = take_fd(&fds[i]);
    request.n_fds = n_fds;
    *ret_request = request;
    return 0;
}

void vhost_user_request_deinit(VhostUserRequest *request)
{
    fd_close_many(request->fds, request->n_fds);
    request->n_fds = 0;
}

static ByteWriter reply_begin(VhostUserReply *reply,
                              VhostUserRequestType type,
                              uint32_t payload_size)
{
    ByteWriter writer = byte_writer(reply->bytes, sizeof(reply->bytes));

    byte_writer_put_le32(&writer, (uint32_t)type);
    byte_writer_put_le32(&writer, FLAGS_VERSION | FLAGS_REPLY);
    byte_writer_put_le32(&writer, payload_size);
    return writer;
}

static void reply_end(VhostUserReply *reply, const ByteWriter *writer)
{
    assert(byte_writer_finish(writer) == 0); /* payload sizes are bounded by the decoder */
    reply->size = writer->size;
}

void vhost_user_reply_with_number(VhostUserReply *reply, VhostUserRequestType type, uint64_t number)
{
    ByteWriter writer = reply_begin(reply, type, sizeof(number));

    byte_writer_put_le64(&writer, number);
    reply_end(reply, &writer);
}

void vhost_user_reply_with_ring_state(VhostUserReply *reply,
                                      VhostUserRequestType type,
                                      uint32_t ring,
                                      uint32_t number)
{
    ByteWriter writer = reply_begin(reply, type, sizeof(ring) + sizeof(number));

    byte_writer_put_le32(&writer, ring);
    byte_writer_put_le32(&writer, number);
    reply_end(reply, &writer);
}

void vhost_user_reply_with_config(VhostUserReply *reply,
                                  const VhostUserRequest *request,
                                  const uint8_t *bytes)
{
    /* A refusal is an empty payload, by the specification. */
    if (!bytes) {
        ByteWriter writer = reply_begin(reply, request->type, 0);
        reply_end(reply, &writer);
        return;
    }

    ByteWriter writer =
        reply_begin(reply, request->type, CONFIG_HEADER_SIZE + request->config_size);
    byte_writer_put_le32(&writer, request->config_offset);
    byte_writer_put_le32(&writer, request->config_size);
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_bytes(&writer, bytes, request->config_size);
    reply_end(reply, &writer);
}
