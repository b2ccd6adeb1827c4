/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-library/vm_payload.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/payload-message.h"

/* Each question has a connection of its own: nothing is shared between threads, or by a fork, and a
 * payload may close all its descriptors when it likes. */

#define APK_CONTENTS_PATH "/mnt/apk"

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void fail(const char *format, ...)
{
    char message[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "libvmpayload: %s\n", message);
    abort();
}

/* 0, or -ENAMETOOLONG. */
static int make_address(const char *path, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(ret_address->sun_path))
        return -ENAMETOOLONG;
    memcpy(ret_address->sun_path, path, strlen(path) + 1);
    return 0;
}

void AVmPayload_notifyPayloadReady(void)
{
    static const char message[] = "READY=1\n";
    const char *path = getenv(PAYLOAD_READY_SOCKET_VARIABLE);
    struct sockaddr_un address;

    if (!path || make_address(path, &address) < 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL | MSG_DONTWAIT,
                 (const struct sockaddr *)&address, sizeof(address));
    (void)close(fd);
}

static int connect_to_service(void)
{
    const char *path = getenv(PAYLOAD_SERVICE_VARIABLE);
    struct sockaddr_un address;

    if (!path)
        path = PAYLOAD_SERVICE_PATH;
    if (make_address(path, &address) < 0)
        fail("the path of the service is too long");
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("cannot make a socket: %s", strerror(errno));
    if (TEMP_FAILURE_RETRY(connect(fd, (const struct sockaddr *)&address, sizeof(address))) < 0)
        fail("cannot connect to the service %s: %s", path, strerror(errno));
    return fd;
}

/* Asks the service. A reply with another status than PAYLOAD_STATUS_OK is for the caller. */
static void ask(const PayloadRequest *request, PayloadReply *ret_reply)
{
    uint8_t bytes[PAYLOAD_REQUEST_SIZE_MAX];
    _Static_assert(sizeof(bytes) > PAYLOAD_REPLY_SIZE_MAX, "a reply that is too long shows");

    int size = payload_request_encode(request, bytes);
    if (size < 0)
        fail("request is invalid");
    int fd = connect_to_service();
    if (TEMP_FAILURE_RETRY(send(fd, bytes, (size_t)size, MSG_NOSIGNAL)) < 0)
        fail("cannot ask the service: %s", strerror(errno));
    ssize_t n = TEMP_FAILURE_RETRY(recv(fd, bytes, sizeof(bytes), 0));
    if (n <= 0)
        fail("no reply from the service: %s", n < 0 ? strerror(errno) : "it hung up");
    (void)close(fd);
    int r = payload_reply_decode(bytes, (size_t)n, ret_reply);
    explicit_bzero(bytes, sizeof(bytes));
    if (r < 0 || ret_reply->type != request->type)
        fail("reply of the service is invalid");
}

void AVmPayload_getVmInstanceSecret(const void *identifier,
                                    size_t identifier_size,
                                    void *secret,
                                    size_t size)
{
    PayloadReply reply;

    if (size > PAYLOAD_SECRET_SIZE_MAX)
        fail("a secret has at most %d bytes, not %zu", PAYLOAD_SECRET_SIZE_MAX, size);
    if (identifier_size > PAYLOAD_IDENTIFIER_SIZE_MAX)
        fail("an identifier has at most %d bytes, not %zu", PAYLOAD_IDENTIFIER_SIZE_MAX,
             identifier_size);

    const PayloadRequest request = { .type = PAYLOAD_GET_SECRET,
                                     .secret_size = (uint32_t)size,
                                     .identifier = identifier,
                                     .identifier_size = identifier_size };
    ask(&request, &reply);
    if (reply.status != PAYLOAD_STATUS_OK)
        fail("there is no secret to get");
    if (reply.data_size != size)
        fail("secret has %zu bytes in place of %zu", reply.data_size, size);
    if (size > 0)
        memcpy(secret, reply.data, size);
    explicit_bzero(&reply, sizeof(reply));
}

const char *AVmPayload_getApkContentsPath(void)
{
    return APK_CONTENTS_PATH;
}

static char storage_path[PAYLOAD_STORAGE_PATH_MAX + 1]; /* empty without storage */

static void ask_for_storage_path(void)
{
    const PayloadRequest request = { .type = PAYLOAD_GET_STORAGE_PATH };
    PayloadReply reply;

    ask(&request, &reply);
    if (reply.status != PAYLOAD_STATUS_OK)
        fail("cannot get the path of the encrypted storage");
    memcpy(storage_path, reply.data, reply.data_size);
}

const char *AVmPayload_getEncryptedStoragePath(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, ask_for_storage_path);
    return storage_path[0] ? storage_path : NULL;
}

static int32_t rollback_status(PayloadStatus status)
{
    if (status == PAYLOAD_STATUS_OK)
        return PAYLOAD_ROLLBACK_SECRET_SIZE;
    return status == PAYLOAD_STATUS_NOT_FOUND
               ? AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ENTRY_NOT_FOUND
               : AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ACCESS_FAILED;
}

int32_t AVmPayload_writeRollbackProtectedSecret(const void *data, size_t size)
{
    PayloadRequest request = { .type = PAYLOAD_WRITE_ROLLBACK_SECRET };
    PayloadReply reply;

    if (size != PAYLOAD_ROLLBACK_SECRET_SIZE)
        return AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_BAD_SIZE;
    memcpy(request.rollback_secret, data, size);
    ask(&request, &reply);
    explicit_bzero(&request, sizeof(request));
    return rollback_status(reply.status);
}

int32_t AVmPayload_readRollbackProtectedSecret(void *data, size_t size)
{
    const PayloadRequest request = { .type = PAYLOAD_READ_ROLLBACK_SECRET };
    PayloadReply reply;

    if (size != PAYLOAD_ROLLBACK_SECRET_SIZE)
        return AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_BAD_SIZE;
    ask(&request, &reply);
    if (reply.status == PAYLOAD_STATUS_OK)
        memcpy(data, reply.data, size);
    explicit_bzero(reply.data, sizeof(reply.data));
    return rollback_status(reply.status);
}

bool AVmPayload_isNewInstance(void)
{
    const PayloadRequest request = { .type = PAYLOAD_IS_NEW_INSTANCE };
    PayloadReply reply;

    ask(&request, &reply);
    if (reply.status != PAYLOAD_STATUS_OK)
        fail("cannot tell whether the instance is new");
    return reply.data[0] != 0;
}
