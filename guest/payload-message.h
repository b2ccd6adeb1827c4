/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between a payload (libvmpayload) and guest-manager: one SOCK_SEQPACKET packet is one
 * request, or the reply to it. Encoded and decoded here without any I/O; numbers are little-endian.
 *
 *     request: u32 type, then by type
 *         GET_SECRET:            u32 size of the secret, then the identifier
 *         WRITE_ROLLBACK_SECRET: the secret
 *     reply:   u32 type of the request, u32 status, then with PAYLOAD_STATUS_OK by type
 *         GET_SECRET:            the secret
 *         IS_NEW_INSTANCE:       u8, 0 or 1
 *         GET_STORAGE_PATH:      the path, without a NUL; nothing when there is no storage
 *         READ_ROLLBACK_SECRET:  the secret */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Name the sockets in the payload's environment: of guest/ready-socket.h, without which nobody is
 * told, and of the service, which is at its usual path without. */
#define PAYLOAD_READY_SOCKET_VARIABLE "VIRTUALIZATIOND_READY_SOCKET"
#define PAYLOAD_SERVICE_VARIABLE      "VIRTUALIZATIOND_PAYLOAD_SERVICE"
#define PAYLOAD_SERVICE_PATH          "/run/vm-payload-service"

#define PAYLOAD_SECRET_SIZE_MAX      32   /* AVF's limit */
#define PAYLOAD_ROLLBACK_SECRET_SIZE 32   /* as Secretkeeper's */
#define PAYLOAD_IDENTIFIER_SIZE_MAX  4096 /* ours: AVF has none */
#define PAYLOAD_STORAGE_PATH_MAX     255

#define PAYLOAD_REPLY_DATA_MAX   PAYLOAD_STORAGE_PATH_MAX
#define PAYLOAD_REQUEST_SIZE_MAX (8 + PAYLOAD_IDENTIFIER_SIZE_MAX)
#define PAYLOAD_REPLY_SIZE_MAX   (8 + PAYLOAD_REPLY_DATA_MAX)

typedef enum PayloadRequestType {
    PAYLOAD_GET_SECRET = 1,
    PAYLOAD_IS_NEW_INSTANCE = 2,
    PAYLOAD_GET_STORAGE_PATH = 3,
    PAYLOAD_READ_ROLLBACK_SECRET = 4,
    PAYLOAD_WRITE_ROLLBACK_SECRET = 5,
} PayloadRequestType;

typedef struct PayloadRequest {
    PayloadRequestType type;
    uint32_t secret_size;
    const uint8_t *identifier; /* lent: by the bytes that it was decoded from */
    size_t identifier_size;
    uint8_t rollback_secret[PAYLOAD_ROLLBACK_SECRET_SIZE];
} PayloadRequest;

typedef enum PayloadStatus {
    PAYLOAD_STATUS_OK = 0,
    PAYLOAD_STATUS_NOT_FOUND = 1,
    PAYLOAD_STATUS_FAILED = 2,
    PAYLOAD_STATUS_MAX,
} PayloadStatus;

typedef struct PayloadReply {
    PayloadRequestType type;
    PayloadStatus status;
    size_t data_size;
    uint8_t data[PAYLOAD_REPLY_DATA_MAX];
} PayloadReply;

/* Each encoder returns the size, or -EINVAL for what no decoder would take. */
int payload_request_encode(const PayloadRequest *request,
                           uint8_t bytes[static PAYLOAD_REQUEST_SIZE_MAX]);
int payload_reply_encode(const PayloadReply *reply, uint8_t bytes[static PAYLOAD_REPLY_SIZE_MAX]);

/* -EBADMSG for an unknown type or status, and for data that it cannot have. */
int payload_request_decode(const uint8_t *bytes, size_t size, PayloadRequest *ret_request);
int payload_reply_decode(const uint8_t *bytes, size_t size, PayloadReply *ret_reply);
