/* SPDX-License-Identifier: Apache-2.0 */
#include "common/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define OWN      "org.virtualizationd1.Error."
#define STANDARD "org.freedesktop.DBus.Error."

static const struct {
    int error_number;
    const char *bus_name;
} error_table[ERROR_KIND_MAX] = {
    [ERROR_NONE] = { 0, STANDARD "Failed" },
    [ERROR_FAILED] = { EIO, STANDARD "Failed" },
    [ERROR_INVALID_ARGUMENT] = { EINVAL, STANDARD "InvalidArgs" },
    [ERROR_NOT_SUPPORTED] = { EOPNOTSUPP, STANDARD "NotSupported" },
    [ERROR_ACCESS_DENIED] = { EACCES, STANDARD "AccessDenied" },
    [ERROR_LIMITS_EXCEEDED] = { EDQUOT, STANDARD "LimitsExceeded" },
    [ERROR_NO_MEMORY] = { ENOMEM, STANDARD "NoMemory" },
    [ERROR_NO_SUCH_VM] = { ENOENT, OWN "NoSuchVm" },
    [ERROR_VM_EXISTS] = { EEXIST, OWN "VmExists" },
    [ERROR_INVALID_STATE] = { EALREADY, OWN "InvalidState" },
    [ERROR_INVALID_CONFIG] = { EINVAL, OWN "InvalidConfig" },
    [ERROR_INVALID_FILE] = { EBADF, OWN "InvalidFile" },
    [ERROR_IMAGE_INVALID] = { EBADMSG, OWN "ImageInvalid" },
    [ERROR_IMAGE_BUSY] = { EBUSY, OWN "ImageBusy" },
    [ERROR_START_FAILED] = { ECANCELED, OWN "StartFailed" },
    [ERROR_CONNECTION_REFUSED] = { ECONNREFUSED, OWN "ConnectionRefused" },
    [ERROR_TIMED_OUT] = { ETIMEDOUT, OWN "TimedOut" },
    [ERROR_UNAVAILABLE] = { EHOSTDOWN, OWN "Unavailable" },
    [ERROR_AUTHORIZATION_REQUIRED] = { EPERM, STANDARD "InteractiveAuthorizationRequired" },
    [ERROR_NO_SUCH_INSTANCE] = { ENOENT, OWN "NoSuchInstance" },
};

static void error_store(Error *error, ErrorKind kind, char *message)
{
    error->kind = kind;
    free(error->message);
    error->message = message;
}

int error_set(Error *error, ErrorKind kind, const char *format, ...)
{
    assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX);

    if (error && error->kind == ERROR_NONE) {
        char *message = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&message, format, arguments) < 0)
            message = NULL;
        va_end(arguments);
        error_store(error, kind, message);
    }
    return -error_table[kind].error_number;
}

int error_set_errno(Error *error, ErrorKind kind, int error_number, const char *format, ...)
{
    assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX);
    error_number = abs(error_number);

    if (error && error->kind == ERROR_NONE) {
        _cleanup_free_ char *what = NULL;
        char *message = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
            what = NULL;
        va_end(arguments);
        if (what && asprintf(&message, "%s: %s", what, strerror(error_number)) < 0)
            message = NULL;
        error_store(error, error_number == ENOMEM ? ERROR_NO_MEMORY : kind, message);
    }
    return -error_number;
}

void error_clear(Error *error)
{
    error_store(error, ERROR_NONE, NULL);
}

void error_move(Error *destination, Error *source)
{
    if (destination && destination->kind == ERROR_NONE && source->kind != ERROR_NONE) {
        error_store(destination, source->kind, TAKE_PTR(source->message));
    }
    error_clear(source);
}

const char *error_get_message(const Error *error)
{
    if (error->message)
        return error->message;
    return error->kind == ERROR_NONE ? "no error" : strerror(error_table[error->kind].error_number);
}

int error_kind_to_errno(ErrorKind kind)
{
    assert(kind < ERROR_KIND_MAX);
    return error_table[kind].error_number;
}

const char *error_kind_to_bus_name(ErrorKind kind)
{
    assert(kind < ERROR_KIND_MAX);
    return error_table[kind].bus_name;
}

ErrorKind error_kind_from_bus_name(const char *name)
{
    for (unsigned kind = ERROR_FAILED; kind < ERROR_KIND_MAX; kind++) {
        if (strcmp(error_table[kind].bus_name, name) == 0)
            return (ErrorKind)kind;
    }
    return ERROR_FAILED;
}
