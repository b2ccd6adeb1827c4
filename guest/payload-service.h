/* SPDX-License-Identifier: Apache-2.0 */
/* Answers what the payload asks through libvmpayload, on a socket that the caller's loop polls. It
 * never waits: a payload that does not read its replies is hung up on. The answers are the
 * caller's; messages: guest/payload-message.h. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "guest/payload-message.h"

/* Connections at a time. Others wait in the socket's queue, where they cost nothing of ours. */
#define PAYLOAD_SERVICE_CONNECTIONS_MAX 16

/* Descriptors to poll: the connections and the socket that takes new ones. */
#define PAYLOAD_SERVICE_POLL_ENTRIES (PAYLOAD_SERVICE_CONNECTIONS_MAX + 1)

/* What the service is asked. All are there; those that return int may return a negative errno. */
typedef struct PayloadServiceCalls {
    int (*derive_secret)(void *userdata,
                         const uint8_t *identifier,
                         size_t identifier_size,
                         uint8_t *ret_secret,
                         size_t secret_size);
    bool (*is_new_instance)(void *userdata);
    /* NULL without encrypted storage; at most PAYLOAD_STORAGE_PATH_MAX bytes. */
    const char *(*get_storage_path)(void *userdata);
    /* -ENOENT when none was written. */
    int (*read_rollback_secret)(void *userdata, uint8_t ret_secret[PAYLOAD_ROLLBACK_SECRET_SIZE]);
    int (*write_rollback_secret)(void *userdata,
                                 const uint8_t secret[PAYLOAD_ROLLBACK_SECRET_SIZE]);
} PayloadServiceCalls;

typedef struct PayloadService PayloadService;

/* Listens at @path for processes of the user @uid; others are hung up on. @calls and @userdata are
 * lent for as long as the service lives. */
int payload_service_open(const char *path,
                         uid_t uid,
                         const PayloadServiceCalls *calls,
                         void *userdata,
                         PayloadService **ret_service);

/* Leaves the socket's name behind. */
PayloadService *payload_service_free(PayloadService *service);
DEFINE_CLEANUP(PayloadService, payload_service_free);

/* Fills in all @entries, those that are not in use with a negative descriptor. */
void payload_service_prepare_poll(const PayloadService *service,
                                  struct pollfd entries[static PAYLOAD_SERVICE_POLL_ENTRIES]);

/* Does what poll(2) says there is to do: at most one request of each connection. */
void payload_service_dispatch(PayloadService *service,
                              const struct pollfd entries[static PAYLOAD_SERVICE_POLL_ENTRIES]);
