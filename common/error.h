/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, for a person or a bus peer: a kind and a sentence that names the offending
 * value. The one table that turns a kind into an errno and a D-Bus error name is in error.c. */
#pragma once

#include <stdint.h>

/* The values cross the launcher's socket, so they stay as they are. */
typedef enum ErrorKind {
    ERROR_NONE = 0,
    ERROR_FAILED = 1,           /* none of the others */
    ERROR_INVALID_ARGUMENT = 2, /* an argument is of the wrong type, out of range, or unknown */
    ERROR_NOT_SUPPORTED = 3,    /* this host, or this version, cannot do that */
    ERROR_ACCESS_DENIED = 4,    /* the caller has no right to that */
    ERROR_LIMITS_EXCEEDED = 5,  /* the caller, or the service, has as many of these as it may */
    ERROR_NO_MEMORY = 6,        /* the service is out of memory */
    ERROR_NO_SUCH_VM = 7,       /* no VM has that name, id or path, or its record is kept no more */
    ERROR_VM_EXISTS = 8,        /* a living VM has that name */
    ERROR_INVALID_STATE = 9,    /* the VM is in no state for that */
    ERROR_INVALID_CONFIG = 10,  /* the configuration is refused; the message has the JSON pointer */
    ERROR_INVALID_FILE = 11,  /* a file is missing, surplus, or of the wrong kind or access mode */
    ERROR_IMAGE_INVALID = 12, /* the content of an image file is not what it has to be */
    ERROR_IMAGE_BUSY = 13,    /* somebody else uses that image file */
    ERROR_START_FAILED = 14,  /* no launcher can be reached, or it refuses */
    ERROR_CONNECTION_REFUSED = 15, /* nobody in the guest listens on that port */
    ERROR_TIMED_OUT = 16,          /* what was asked did not answer in time */
    ERROR_UNAVAILABLE = 17,        /* a part of the service is not there: trying again may help */
    ERROR_AUTHORIZATION_REQUIRED = 18, /* granted to whom allows questions to its user */
    ERROR_NO_SUCH_INSTANCE = 19,       /* the caller has no instance of that id */
    ERROR_KIND_MAX,
} ErrorKind;

typedef struct Error {
    ErrorKind kind;
    char *message; /* owned; NULL when out of memory: error_get_message() copes */
} Error;

#define ERROR_INIT                          \
    {                                       \
        .kind = ERROR_NONE, .message = NULL \
    }

/* Records @kind and the sentence and returns the kind's negative errno. @error may be NULL; one
 * that is set already keeps what it says: the first cause wins. */
int error_set(Error *error, ErrorKind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: appends the text of @error_number (positive or negative)
 * and returns it negative, whatever the kind's own errno is. */
int error_set_errno(Error *error, ErrorKind kind, int error_number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void error_clear(Error *error);

/* Moves @source, which may be clear, into @destination, which may be NULL. */
void error_move(Error *destination, Error *source);

/* The sentence; never NULL. */
const char *error_get_message(const Error *error);

int error_kind_to_errno(ErrorKind kind);

/* org.virtualizationd1.Error.* or one of the standard names. */
const char *error_kind_to_bus_name(ErrorKind kind);

/* ERROR_FAILED for a name that is not in the table. */
ErrorKind error_kind_from_bus_name(const char *name);
