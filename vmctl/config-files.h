/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a VM as vmctl sees it: text for the service, which alone judges it, and the
 * files that it names, which vmctl opens with its caller's rights. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"

typedef struct ConfigFile {
    char *path; /* as the configuration has it: its key on the bus */
    bool writable;
    int fd; /* owned; negative until config_files_open() */
} ConfigFile;

typedef struct ConfigFiles {
    char *text; /* the configuration to pass on */
    char *name; /* of the VM; NULL: none is given */
    ConfigFile *files;
    size_t n_files;
} ConfigFiles;

/* Reads @text. @name, unless NULL, takes the place of the configuration's name; without it the text
 * is passed on byte for byte. A path that is there twice is one file. Only what vmctl needs is
 * checked: ERROR_INVALID_CONFIG for what is no JSON object or has a key twice. The caller frees the
 * result. */
int config_files_parse(const char *text, const char *name, ConfigFiles **ret_config, Error *error);

/* The same from the file @path, whose files are then opened, relative paths below its directory. */
int config_files_load(const char *path, const char *name, ConfigFiles **ret_config, Error *error);

/* Opens the files, relative paths from @directory_fd. */
int config_files_open(ConfigFiles *config, int directory_fd, Error *error);

/* Takes @fd for the file @path, which the configuration names, in place of opening it. */
void config_files_take_fd(ConfigFiles *config, const char *path, int fd);

ConfigFiles *config_files_free(ConfigFiles *config);
DEFINE_CLEANUP(ConfigFiles, config_files_free);
