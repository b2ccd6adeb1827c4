/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the guest link: Varlink calls and replies (JSON objects, each ended by a NUL byte;
 * https://varlink.org) of the interface org.virtualizationd1.VirtualMachineService, encoded and
 * decoded without I/O. Every connection carries one call; the guest is the caller.
 *
 *   PayloadStarted()                           reply {}
 *   PayloadReady()                             reply {}
 *   PayloadFinished(exit_code: int)            reply {}
 *   Error(code: string, message: string, signal: ?int)   reply {}
 *   Subscribe()  with "more"                   replies {"command": "..."}, continuing
 *   OpenStream(name: string)                   reply {}; then raw bytes from the guest
 *
 * What a guest sends is hostile: it is bounded before it is parsed, unknown or repeated keys and
 * wrong types are refused by name, and text is checked UTF-8. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define GUEST_LINK_INTERFACE "org.virtualizationd1.VirtualMachineService"

/* Host side of a connection is CID 2; the port is the guest's own CID (AVF's rule). */
#define GUEST_LINK_HOST_CID 2

/* A frame without its NUL; the largest legitimate one is an Error with a long message. */
#define GUEST_FRAME_SIZE_MAX       16384
#define GUEST_FRAME_DEPTH_MAX      4
#define GUEST_ERROR_MESSAGE_MAX    1024 /* bytes; longer ones are cut at a character */
#define GUEST_STREAM_NAME_SIZE_MAX 32

/* The names of streams: what guest-manager logs, what the payload prints, and, when it crashes, a
 * report of that for its death record. */
#define GUEST_STREAM_LOG          "log"
#define GUEST_STREAM_PAYLOAD_OUT  "payload-out"
#define GUEST_STREAM_CRASH_REPORT "crash-report"

/* Bytes of a crash report that count; what comes behind them is thrown away. */
#define GUEST_CRASH_REPORT_MAX 32768

typedef enum GuestCallType {
    GUEST_CALL_PAYLOAD_STARTED,
    GUEST_CALL_PAYLOAD_READY,
    GUEST_CALL_PAYLOAD_FINISHED,
    GUEST_CALL_ERROR,
    GUEST_CALL_SUBSCRIBE,
    GUEST_CALL_OPEN_STREAM,
    GUEST_CALL_TYPE_MAX,
} GuestCallType;

/* AVF's ErrorCode. On the guest link and the bus the lower-case name with dashes; the numbers cross
 * the supervisor's socket. */
typedef enum GuestErrorCode {
    GUEST_ERROR_UNKNOWN = 0,
    GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED = 1,
    GUEST_ERROR_PAYLOAD_CHANGED = 2,
    GUEST_ERROR_PAYLOAD_INVALID_CONFIG = 3,
    /* From here on ours: what AVF's firmware of protected VMs finds, our guest's first stage does.
     */
    GUEST_ERROR_FIRMWARE_PUBLIC_KEY_MISMATCH = 4,
    GUEST_ERROR_FIRMWARE_INSTANCE_IMAGE_CHANGED = 5,
    GUEST_ERROR_CODE_MAX,
} GuestErrorCode;

const char *guest_error_code_to_string(GuestErrorCode code);

/* -EINVAL for a name that is not in the table. */
int guest_error_code_from_string(const char *name, GuestErrorCode *ret_code);

typedef struct GuestCall {
    GuestCallType type;
    int32_t exit_code;         /* PayloadFinished: 0 to 255 */
    GuestErrorCode error_code; /* Error */
    int32_t signal;            /* Error: the signal that ended the payload, 1 to 64, or 0 */
    char message[GUEST_ERROR_MESSAGE_MAX + 1];        /* Error */
    char stream_name[GUEST_STREAM_NAME_SIZE_MAX + 1]; /* OpenStream: a-z, 0-9 and dash */
} GuestCall;

/* Decodes the frame of @size bytes before the NUL. -EBADMSG with a sentence in @error when it is
 * no call of the interface. */
int guest_call_decode(const char *frame, size_t size, GuestCall *ret_call, Error *error);

/* Encodes @call with its NUL into @frame. Returns the size in bytes with the NUL; -ENOBUFS when
 * @capacity does not hold it, -ENOMEM. */
int guest_call_encode(const GuestCall *call, char *frame, size_t capacity);

typedef enum GuestCommand {
    GUEST_COMMAND_NONE, /* a plain {} reply */
    GUEST_COMMAND_STOP,
    GUEST_COMMAND_MEMORY_TRIM,
    GUEST_COMMAND_MAX,
} GuestCommand;

typedef struct GuestReply {
    bool continues;       /* more replies follow */
    GuestCommand command; /* a reply to Subscribe */
    char error_name[128]; /* of a Varlink error, interface included; "" for none */
    char error_message[256];
} GuestReply;

/* Encodes and decodes a reply, as above. The error message is the error's "message" parameter. */
int guest_reply_encode(const GuestReply *reply, char *frame, size_t capacity);
int guest_reply_decode(const char *frame, size_t size, GuestReply *ret_reply, Error *error);
