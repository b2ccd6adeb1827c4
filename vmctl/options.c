/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/options.h"

#include <getopt.h>
#include <stddef.h>
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
    OPTION_PACKAGE,
    OPTION_VERSION_CODE,
    OPTION_VERSION
};

static const struct option option_table[] = {
    { "bus", required_argument, NULL, OPTION_BUS },
    { "json", required_argument, NULL, OPTION_JSON },
    { "all", no_argument, NULL, 'a' },
    { "detach", no_argument, NULL, 'd' },
    { "name", required_argument, NULL, OPTION_NAME },
    { "console", no_argument, NULL, OPTION_CONSOLE },
    { "output", required_argument, NULL, 'o' },
    { "force", no_argument, NULL, 'f' },
    { "key", required_argument, NULL, 'k' },
    { "cert", required_argument, NULL, 'c' },
    { "package", required_argument, NULL, OPTION_PACKAGE },
    { "version-code", required_argument, NULL, OPTION_VERSION_CODE },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, OPTION_VERSION },
    { NULL, 0, NULL, 0 },
};

/* What becomes of an option: a string or a bool of Options, and its bit of VerbOption, or 0 for one
 * that all verbs take. */
typedef struct OptionTarget {
    int value; /* as in option_table */
    bool is_flag;
    size_t offset;
    unsigned bit;
} OptionTarget;

static const OptionTarget target_table[] = {
    { OPTION_BUS, false, offsetof(Options, bus), 0 },
    { OPTION_JSON, false, offsetof(Options, json_format), VERB_OPTION_JSON },
    { 'a', true, offsetof(Options, all), VERB_OPTION_ALL },
    { 'd', true, offsetof(Options, detach), VERB_OPTION_DETACH },
    { OPTION_NAME, false, offsetof(Options, name), VERB_OPTION_NAME },
    { OPTION_CONSOLE, true, offsetof(Options, console), VERB_OPTION_CONSOLE },
    { 'o', false, offsetof(Options, output), VERB_OPTION_OUTPUT },
    { 'f', true, offsetof(Options, force), VERB_OPTION_FORCE },
    { 'k', false, offsetof(Options, key), VERB_OPTION_KEY },
    { 'c', false, offsetof(Options, certificate), VERB_OPTION_CERT },
    { OPTION_PACKAGE, false, offsetof(Options, package), VERB_OPTION_PACKAGE },
    { OPTION_VERSION_CODE, false, offsetof(Options, version_code), VERB_OPTION_VERSION_CODE },
    { 'h', true, offsetof(Options, help), 0 },
    { OPTION_VERSION, true, offsetof(Options, version), 0 },
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

static const char *get_name(int value)
{
    const struct option *option = option_table;

    while (option->val != value)
        option++;
    return option->name;
}

static int check_verb(const Options *options, unsigned given, Error *error)
{
    const Verb *verb = options->verb;
    unsigned surplus = given & ~verb->options;

    for (size_t i = 0; i < ELEMENTS_OF(target_table); i++) {
        if (surplus & target_table[i].bit)
            return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' takes no option '--%s'",
                             verb->name, get_name(target_table[i].value));
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
    for (size_t i = 0; i < ELEMENTS_OF(target_table); i++) {
        const OptionTarget *target = &target_table[i];
        void *place = (char *)options + target->offset;

        if (target->value != option)
            continue;
        if (target->is_flag)
            *(bool *)place = true;
        else
            *(const char **)place = optarg;
        *given |= target->bit;
        return option == OPTION_JSON ? parse_json_format(optarg, &options->json, error) : 0;
    }
    return refuse_option(argv[optind - 1], optopt,
                         option == ':' ? "needs a value" : "takes no value", error);
}

int options_parse(int argc, char **argv, const Verb *verbs, Options *ret_options, Error *error)
{
    Options options = { .bus = "system" };
    unsigned given = 0;
    int option, r = 0;

    opterr = 0;
    optind = 0; /* glibc: starts anew, in permuting mode */
    while (r >= 0 && (option = getopt_long(argc, argv, ":adfho:k:c:", option_table, NULL)) >= 0)
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
