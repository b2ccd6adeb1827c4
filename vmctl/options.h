/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl's command line: [OPTIONS] VERB [NAME...], options anywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

typedef enum JsonFormat {
    JSON_FORMAT_OFF, /* tables and lines for people */
    JSON_FORMAT_SHORT,
    JSON_FORMAT_PRETTY,
} JsonFormat;

/* Options that only some verbs take, as bits of Verb.options. */
typedef enum VerbOption {
    VERB_OPTION_JSON = 1 << 0,
    VERB_OPTION_ALL = 1 << 1,
    VERB_OPTION_DETACH = 1 << 2,
    VERB_OPTION_NAME = 1 << 3,
    VERB_OPTION_CONSOLE = 1 << 4,
    VERB_OPTION_OUTPUT = 1 << 5,
    VERB_OPTION_FORCE = 1 << 6,
    VERB_OPTION_KEY = 1 << 7,
    VERB_OPTION_CERT = 1 << 8,
    VERB_OPTION_PACKAGE = 1 << 9,
    VERB_OPTION_VERSION_CODE = 1 << 10,
} VerbOption;

typedef struct Options Options;

typedef struct Verb {
    const char *name;
    size_t n_min, n_max;                /* arguments behind the verb */
    const char *argument;               /* what they are, for a message */
    unsigned options;                   /* VerbOption bits */
    int (*run)(const Options *options); /* prints its errors; returns the exit status */
} Verb;

struct Options {
    const char *bus; /* "system", "session" or an address */
    JsonFormat json;
    const char *json_format; /* the same, as it was given */
    bool all, detach, console, force;
    const char *name; /* NULL: as the configuration says */
    const char *output, *key, *certificate, *package, *version_code; /* NULL: not given */
    bool help, version;

    const Verb *verb;
    char **arguments; /* lent by argv */
    size_t n_arguments;
};

/* Reads the command line, which getopt reorders. @verbs ends with an element without a name; the
 * first one is for a command line without a verb. With help or version set there is no verb. */
int options_parse(int argc, char **argv, const Verb *verbs, Options *ret_options, Error *error);
