/* SPDX-License-Identifier: Apache-2.0 */
/* The control messages of vhost-user, as far as a device with split rings and a configuration space
 * needs them: bytes and descriptors in, a checked request out, and the bytes of a reply. What the
 * requests do is in vhost-user-device.h, how they arrive in vhost-user-socket.h.
 * Source: vhost-user specification (docs/interop/vhost-user.rst of QEMU), little-endian hosts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "vhost-user/guest-memory.h"
#include "vhost-user/virtqueue.h"

#define VHOST_USER_HEADER_SIZE      12 /* u32 request, flags, size: packed, no padding */
#define VHOST_USER_CONFIG_SIZE_MAX  256
#define VHOST_USER_PAYLOAD_SIZE_MAX (12 + VHOST_USER_CONFIG_SIZE_MAX)
#define VHOST_USER_MESSAGE_SIZE_MAX (VHOST_USER_HEADER_SIZE + VHOST_USER_PAYLOAD_SIZE_MAX)
#define VHOST_USER_FDS_MAX          GUEST_MEMORY_REGIONS_MAX

/* Bits of the feature words. */
#define VHOST_USER_F_PROTOCOL_FEATURES  30
#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#define VHOST_USER_PROTOCOL_F_CONFIG    9

typedef enum VhostUserRequestType {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_REQUEST_TYPE_MAX,
} VhostUserRequestType;

typedef struct VhostUserHeader {
    VhostUserRequestType type;
    bool needs_reply;
    uint32_t payload_size;
} VhostUserHeader;

/* Which members mean something follows from the type. */
typedef struct VhostUserRequest {
    VhostUserRequestType type;
    bool needs_reply;
    uint64_t features;            /* SET_FEATURES, SET_PROTOCOL_FEATURES */
    uint32_t ring;                /* all of VRING */
    uint32_t number;              /* SET_VRING_NUM, _BASE, _ENABLE */
    VirtqueueAddresses addresses; /* SET_VRING_ADDR */
    uint32_t config_offset;       /* GET_CONFIG */
    uint32_t config_size;
    size_t n_regions; /* SET_MEM_TABLE: one descriptor each */
    GuestMemoryLayout regions[GUEST_MEMORY_REGIONS_MAX];
    int fds[VHOST_USER_FDS_MAX]; /* owned; -EBADF once taken */
    size_t n_fds;
} VhostUserRequest;

typedef struct VhostUserReply {
    uint8_t bytes[VHOST_USER_MESSAGE_SIZE_MAX];
    size_t size; /* 0: there is none */
} VhostUserReply;

/* The name in the specification; NULL for what is not served here. */
const char *vhost_user_request_type_to_string(VhostUserRequestType type);

/* Checks version, flags, type and size, before a byte of the payload is waited for. */
int vhost_user_header_decode(const uint8_t bytes[static VHOST_USER_HEADER_SIZE],
                             VhostUserHeader *ret_header,
                             Error *error);

/* Decodes the @header->payload_size bytes at @payload. Takes @fds in every case and closes what the
 * request does not carry; to be released with vhost_user_request_deinit(). */
int vhost_user_request_decode(const VhostUserHeader *header,
                              const uint8_t *payload,
                              int *fds,
                              size_t n_fds,
                              VhostUserRequest *ret_request,
                              Error *error);

void vhost_user_request_deinit(VhostUserRequest *request);

/* Replies: a number (an acknowledgement is one too: 0 for success), the state of a ring, and part
 * of the configuration space (@bytes of the size asked for, or NULL: refused). */
void vhost_user_reply_with_number(VhostUserReply *reply,
                                  VhostUserRequestType type,
                                  uint64_t number);
void vhost_user_reply_with_ring_state(VhostUserReply *reply,
                                      VhostUserRequestType type,
                                      uint32_t ring,
                                      uint32_t number);
void vhost_user_reply_with_config(VhostUserReply *reply,
                                  const VhostUserRequest *request,
                                  const uint8_t *bytes);
