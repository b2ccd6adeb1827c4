/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl's command line: [OPTIONS] VERB [ARGUMENT...], options anywhere. One table, in options.c,
 * has every option; a verb names those that it takes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"

#define OPTION_STANDARD_ERROR "-" /* in place of a file's name */

#define OPTION_VALUES_MAX 64 /* of an option that may be given more than once */

typedef enum JsonFormat {
    JSON_FORMAT_OFF, /* tables and lines for people */
    JSON_FORMAT_SHORT,
    JSON_FORMAT_PRETTY,
} JsonFormat;

typedef struct Options Options;
typedef struct OptionSpec OptionSpec;

typedef struct Verb {
    const char *name;
    size_t n_min, n_max;                /* arguments behind the verb */
    const char *argument;               /* what they are, for a message */
    const char *usage;                  /* the same for the help, as "VM..."; NULL: none */
    const char *summary;                /* for the help */
    const char *options;                /* the names of those it takes, beside those of all verbs */
    int (*run)(const Options *options); /* prints its errors; returns the exit status */
} Verb;

typedef struct OptionList {
    const char *values[OPTION_VALUES_MAX];
    size_t n_values;
} OptionList;

/* An option as it was given. */
typedef struct GivenOption {
    const OptionSpec *spec; /* NULL: a letter that is still to be found among the verb's */
    char letter;
    const char *value; /* NULL: it takes none */
} GivenOption;

/* Strings are NULL where their option is not given. */
struct Options {
    const char *bus; /* "system", "session" or an address */
    const char *host;
    JsonFormat json;
    const char *json_format; /* the same, as it was given */
    bool all, detach, force, protected;
    const char *name; /* NULL: as the configuration says */
    const char *output, *key, *certificate, *package, *version_code;
    bool dry_run, rm, no_ask_password, no_block, no_kill, no_legend, quiet, value;
    const char *console; /* a file, or OPTION_STANDARD_ERROR */
    const char *console_in, *log;
    const char *work_dir, *instance_id_file, *config_path, *binary, *storage, *storage_size;
    const char *os, *debug, *memory, *cpu_topology;
    OptionList extra_apks, extra_idsigs;
    const char *mode, *owner, *since, *state, *timeout, *type, *until;
    OptionList properties;
    bool follow, guest, read_only, vmm;
    const char *escape, *lines, *write;
    bool user, system;
    bool help, version;

    const Verb *verb;
    char **arguments; /* lent by argv */
    size_t n_arguments;
    GivenOption *given; /* in their order */
    size_t n_given;
};

/* Reads the command line, which getopt reorders. @verbs ends with an element without a name; the
 * first one is for a command line without a verb. With help or version set there need not be one,
 * and it may lack arguments. @ret_options is for options_deinit(). */
int options_parse(int argc, char **argv, const Verb *verbs, Options *ret_options, Error *error);
void options_deinit(Options *options);

/* Prints what there is to say about @verb and its options, or, if it is NULL, about all verbs. */
void options_print_help(const Verb *verbs, const Verb *verb);

/* Whether the guest's console is to be copied to standard error. */
bool options_wants_console(const Options *options);

/* The long name of a given option. */
const char *option_get_name(const GivenOption *given);
