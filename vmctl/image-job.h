/* SPDX-License-Identifier: Apache-2.0 */
/* The file that a job of the service on images is to fill. */
#pragma once

#include "common/error.h"
#include "vmctl/client.h"
#include "vmctl/options.h"

typedef struct ImageFile {
    const char *path; /* lent */
    int fd;
    bool is_new; /* made by us: it goes when the job fails */
} ImageFile;

/* Opens @path for reading and writing; it is made if it is not there, and with @exclusive it must
 * not be. */
int image_file_open(const char *path, bool exclusive, ImageFile *ret_file, Error *error);

/* Sends @call, which is consumed, waits for its end, however long that takes, and closes the file.
 * With an error, a file that was made is removed. */
int image_job_run(ImageFile *file, Client *client, DBusMessage *call, Error *error);

/* Undoes image_file_open(), for a job that is not to be. */
void image_file_discard(ImageFile *file);

/* What every verb that makes a file tells of it: a new object with its path and size. */
int image_file_describe(const char *path, struct json_object **ret_object, Error *error);

/* Prints, where JSON is wanted, the file with its size, and @type unless it is NULL. */
int image_job_print(const Options *options, const char *path, const char *type, Error *error);
