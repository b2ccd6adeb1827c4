/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/nearest-match.h"

#define SEE_HELP        "; see vmctl --help"
#define OPTION_NAME_MAX 64

enum {
    OPTION_BUS = 256,
    OPTION_JSON,
    OPTION_NAME,
    OPTION_CONSOLE,
    OPTION_VERSION
};

static const struct option option_table[] = {
    { "bus", required_argument, NULL, OPTION_BUS },
    { "json", required_argument, NULL, OPTION_JSON },
    { "all", no_argument, NULL, 'a' },
    { "detach", no_argument, NULL, 'd' },
    { "name", required_argument, NULL, OPTION_NAME },
    { "console", no_argument, NULL, OPTION_CONSOLE },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, OPTION_VERSION },
    { NULL, 0, NULL, 0 },
};

/* The bits of VerbOption, for messages. */
static const struct {
    VerbOption bit;
    const char *name;
} verb_option_table[] = {
    { VERB_OPTION_JSON, "--json" },       { VERB_OPTION_ALL, "--all" },
    { VERB_OPTION_DETACH, "--detach" },   { VERB_OPTION_NAME, "--name" },
    { VERB_OPTION_CONSOLE, "--console" },
};

static int refuse_unknown(const char *kind,
                          const char *given,
                          const NearestMatch *match,
                          Error *error)
{
    if (match->best)
        return error_set(error, ERROR_INVALID_ARGUMENT, "unknown %s '%s': did you mean '%s%s'?",
                         kind, given, given[0] == '-' ? "--" : "", match->best);
    return error_set(error, ERROR_INVALID_ARGUMENT, "unknown %s '%s'" SEE_HELP, kind, given);
}

static int refuse_unknown_option(const char *given, Error *error)
{
    char name[OPTION_NAME_MAX];
    NearestMatch match;

    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "="), given);
    nearest_match_init(&match, name + strspn(name, "-"));
    for (size_t i = 0; option_table[i].name; i++)
        nearest_match_offer(&match, option_table[i].name);
    return refuse_unknown("option", name, &match, error);
}

/* getopt_long() has refused something: the option of value @value, or none of the table's. */
static int refuse_option(const char *given, int value, const char *why, Error *error)
{
    for (size_t i = 0; option_table[i].name; i++) {
        if (value != 0 && option_table[i].val == value)
            return error_set(error, ERROR_INVALID_ARGUMENT, "option '--%s' %s" SEE_HELP,
                             option_table[i].name, why);
    }
    if (value == 0)
        return refuse_unknown_option(given, error);
    return error_set(error, ERROR_INVALID_ARGUMENT, "unknown option '-%c'" SEE_HELP, value);
}

static int parse_json_format(const char *text, JsonFormat *ret_format, Error *error)
{
    static const char *const names[] = {
        [JSON_FORMAT_OFF] = "off", [JSON_FORMAT_SHORT] = "short", [JSON_FORMAT_PRETTY] = "pretty"
    };

    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_format = (JsonFormat)i;
            return 0;
        }
    }
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "option '--json' takes 'pretty', 'short' or 'off', not '%s'", text);
}

static int find_verb(const char *name, const Verb *verbs, const Verb **ret_verb, Error *error)
{
    NearestMatch match;

    nearest_match_init(&match, name);
    for (const Verb *verb = verbs; verb->name; verb++) {
        if (strcmp(verb->name, name) == 0) {
            *ret_verb = verb;
            return 0;
        }
        nearest_match_offer(&match, verb->name);
    }
    return refuse_unknown("verb", name, &match, error);
}

static int check_verb(const Options *options, unsigned given, Error *error)
{
    const Verb *verb = options->verb;
    unsigned surplus = given & ~verb->options;

    for (size_t i = 0; i < ELEMENTS_OF(verb_option_table); i++) {
        if (surplus & verb_option_table[i].bit)
            return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' takes no option '%s'", verb->name,
                             verb_option_table[i].name);
    }
    if (options->n_arguments < verb->n_min)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' needs %s" SEE_HELP, verb->name,
                         verb->argument);
    if (options->n_arguments > verb->n_max)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' has an argument too many: '%s'",
                         verb->name, options->arguments[verb->n_max]);
    if (options->console && options->detach)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--console' does not go with '--detach', which does not wait for output");
    return 0;
}

/* Takes one option of getopt_long()'s. @given collects the VerbOption bits. */
static int take_option(int option, char **argv, Options *options, unsigned *given, Error *error)
{
    switch (option) {
    case OPTION_BUS:
        options->bus = optarg;
        return 0;
    case OPTION_JSON:
        *given |= VERB_OPTION_JSON;
        return parse_json_format(optarg, &options->json, error);
    case 'a':
        *given |= VERB_OPTION_ALL;
        options->all = true;
        return 0;
    case 'd':
        *given |= VERB_OPTION_DETACH;
        options->detach = true;
        return 0;
    case OPTION_NAME:
        *given |= VERB_OPTION_NAME;
        options->name = optarg;
        return 0;
    case OPTION_CONSOLE:
        *given |= VERB_OPTION_CONSOLE;
        options->console = true;
        return 0;
    case 'h':
        options->help = true;
        return 0;
    case OPTION_VERSION:
        options->version = true;
        return 0;
    case ':':
        return refuse_option(argv[optind - 1], optopt, "needs a value", error);
    default:
        return refuse_option(argv[optind - 1], optopt, "takes no value", error);
    }
}

int options_parse(int argc, char **argv, const Verb *verbs, Options *ret_options, Error *error)
{
    Options options = { .bus = "system" };
    unsigned given = 0;
    int option, r = 0;

    opterr = 0;
    optind = 0; /* glibc: starts anew, in permuting mode */
    while (r >= 0 && (option = getopt_long(argc, argv, ":adh", option_table, NULL)) >= 0)
        r = take_option(option, argv, &options, &given, error);
    if (r < 0)
        return r;

    if (!options.help && !options.version) {
        options.verb = verbs;
        if (optind < argc)
            r = find_verb(argv[optind++], verbs, &options.verb, error);
        if (r < 0)
            return r;
        options.arguments = argv + optind;
        options.n_arguments = (size_t)(argc - optind);
        r = check_verb(&options, given, error);
        if (r < 0)
            return r;
    }
    *ret_options = options;
    return 0;
}
