/* SPDX-License-Identifier: Apache-2.0 */
/* getopt_long() splits the command line; what an option is gets clear once the verb is known, as
 * two verbs may have the same letter for different options. */
#include "vmctl/options.h"

#include <assert.h>
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest-match.h"

#define SEE_HELP        "; see vmctl --help"
#define OPTION_NAME_MAX 64
#define LONG_VALUE_BASE 256 /* what getopt_long() returns for the first row of the table */
#define HELP_COLUMN     26
#define WORDS_SIZE      256

typedef enum OptionKind {
    OPTION_FLAG,     /* a bool of Options */
    OPTION_TEXT,     /* a const char * */
    OPTION_OPTIONAL, /* the same, which without a value is OPTION_STANDARD_ERROR; no letter */
    OPTION_LIST,     /* an OptionList */
} OptionKind;

struct OptionSpec {
    const char *name; /* the long one */
    char letter;      /* 0: none */
    OptionKind kind;
    bool common;              /* every verb takes it */
    size_t offset;            /* in Options */
    const char *value;        /* what the help calls it */
    const char *const *words; /* in its place: all that the value may be, ended by NULL */
    const char *help;
};

/* In the order of JsonFormat. */
static const char *const json_words[] = { "off", "short", "pretty", NULL };

/* As the service has them; protocol/vm-state.h has no part in this program. */
static const char *const state_words[] = { "not-started", "starting", "started",
                                           "ready",       "finished", "suspended",
                                           "stopping",    "dead",     NULL };
static const char *const mode_words[] = { "guest", "acpi", "kill", NULL };
static const char *const debug_words[] = { "none", "full", NULL };
static const char *const topology_words[] = { "one_cpu", "match_host", NULL };
static const char *const until_words[] = { "started", "ready", "finished", "dead", NULL };

/* AVF's short words and the service's own. */
static const char *const type_words[] = { "raw", "instance", "encryptedstore",
                                          "android-vm-instance", NULL };

#define PLACE(member) offsetof(Options, member)

/* clang-format off */
static const OptionSpec specs[] = {
    { "all", 'a', OPTION_FLAG, false, PLACE(all), NULL, NULL, "dead VMs, too" },
    { "bus", 0, OPTION_TEXT, true, PLACE(bus), "BUS", NULL,
      "\"system\" (default), \"session\" or a bus address" },
    { "cert", 'c', OPTION_TEXT, false, PLACE(certificate), "PEM", NULL,
      "the key's certificate, from another file" },
    { "config-path", 0, OPTION_TEXT, false, PLACE(config_path), "PATH", NULL,
      "a configuration in the archive, which says what to run" },
    { "console", 0, OPTION_OPTIONAL, false, PLACE(console), "FILE", NULL,
      "copy the guest's console to standard error, or write it to a file" },
    { "console-in", 0, OPTION_TEXT, false, PLACE(console_in), "FILE", NULL,
      "type what comes from a pipe or terminal" },
    { "cpu-topology", 0, OPTION_TEXT, false, PLACE(cpu_topology), "TOPOLOGY", topology_words,
      "processors of the guest (default: one_cpu)" },
    { "debug", 0, OPTION_TEXT, false, PLACE(debug), "LEVEL", debug_words,
      "how much may be looked into (default: none)" },
    { "detach", 'd', OPTION_FLAG, false, PLACE(detach), NULL, NULL,
      "print the VM's id and leave it running" },
    { "dry-run", 0, OPTION_FLAG, false, PLACE(dry_run), NULL, NULL,
      "check, and show what would be run" },
    { "escape", 0, OPTION_TEXT, false, PLACE(escape), "KEY", NULL,
      "the key that leaves, as ^] or ~ (default: ^] three times within a second)" },
    { "extra-apk", 0, OPTION_LIST, false, PLACE(extra_apks), "APK", NULL,
      "one more archive for the guest; may be given more than once" },
    { "extra-idsig", 0, OPTION_LIST, false, PLACE(extra_idsigs), "IDSIG", NULL,
      "its idsig; one for each extra archive" },
    { "follow", 'f', OPTION_FLAG, false, PLACE(follow), NULL, NULL, "go on with what comes" },
    { "for", 0, OPTION_TEXT, false, PLACE(until), NULL, until_words,
      "what to wait for (default: dead)" },
    { "force", 'f', OPTION_FLAG, false, PLACE(force), NULL, NULL, "replace what, or who, is there" },
    { "guest", 0, OPTION_FLAG, false, PLACE(guest), NULL, NULL, "what the guest manager logs" },
    { "help", 'h', OPTION_FLAG, true, PLACE(help), NULL, NULL, "show this help" },
    { "host", 'H', OPTION_TEXT, true, PLACE(host), "[USER@]HOST", NULL,
      "run vmctl there, by ssh" },
    { "instance-id-file", 0, OPTION_TEXT, false, PLACE(instance_id_file), "FILE", NULL,
      "id of the instance (default: INSTANCE.id)" },
    { "json", 0, OPTION_TEXT, false, PLACE(json_format), NULL, json_words, "print JSON" },
    { "key", 'k', OPTION_TEXT, false, PLACE(key), "PEM", NULL,
      "the key to sign with; made where there is none" },
    { "lines", 'n', OPTION_TEXT, false, PLACE(lines), "N", NULL,
      "the last N lines of the past only, or \"all\"" },
    { "log", 0, OPTION_TEXT, false, PLACE(log), "FILE", NULL,
      "write what the guest's manager logs to a file" },
    { "mem", 'm', OPTION_TEXT, false, PLACE(memory), "MIB", NULL, "the guest's memory" },
    { "mode", 0, OPTION_TEXT, false, PLACE(mode), NULL, mode_words,
      "the step to begin with" },
    { "name", 0, OPTION_TEXT, false, PLACE(name), "NAME", NULL,
      "name of the VM, whatever the configuration says" },
    { "no-ask-password", 0, OPTION_FLAG, true, PLACE(no_ask_password), NULL, NULL,
      "do not ask for a password" },
    { "no-block", 0, OPTION_FLAG, false, PLACE(no_block), NULL, NULL, "do not wait for the end" },
    { "no-kill", 0, OPTION_FLAG, false, PLACE(no_kill), NULL, NULL,
      "leave a VM alone that does not end by itself" },
    { "no-legend", 0, OPTION_FLAG, false, PLACE(no_legend), NULL, NULL,
      "no headings and no count" },
    { "os", 0, OPTION_TEXT, false, PLACE(os), "NAME", NULL,
      "the guest's system (default: microguest)" },
    { "output", 'o', OPTION_TEXT, false, PLACE(output), "FILE", NULL, "where to write" },
    { "owner", 0, OPTION_TEXT, false, PLACE(owner), "USER", NULL,
      "only VMs of this user, by name or uid" },
    { "package", 0, OPTION_TEXT, false, PLACE(package), "NAME", NULL,
      "whose it is (default: \"payload.\" and FOLDER)" },
    { "payload-binary-name", 0, OPTION_TEXT, false, PLACE(binary), "NAME", NULL,
      "which program of the archive, if it has several" },
    { "payload_path", 0, OPTION_TEXT, false, PLACE(binary), "NAME", NULL,
      "AVF's other name of --payload-binary-name" },
    { "property", 'p', OPTION_LIST, false, PLACE(properties), "NAME", NULL,
      "only this property; may be given more than once" },
    { "protected", 0, OPTION_FLAG, false, PLACE(protected), NULL, NULL,
      "hide the guest's memory from the host" },
    { "quiet", 'q', OPTION_FLAG, false, PLACE(quiet), NULL, NULL,
      "print errors and what was asked for, nothing else" },
    { "read-only", 0, OPTION_FLAG, false, PLACE(read_only), NULL, NULL, "type nothing" },
    { "rm", 0, OPTION_FLAG, false, PLACE(rm), NULL, NULL, "forget the VM once it has ended" },
    { "since", 0, OPTION_TEXT, false, PLACE(since), "N", NULL,
      "first what has happened after a VM's event N" },
    { "state", 0, OPTION_TEXT, false, PLACE(state), NULL, state_words, "only VMs in this state" },
    { "storage", 0, OPTION_TEXT, false, PLACE(storage), "FILE", NULL,
      "encrypted storage, made if it is not there" },
    { "storage-size", 0, OPTION_TEXT, false, PLACE(storage_size), "SIZE", NULL,
      "how large to make it (default: 10M)" },
    { "system", 0, OPTION_FLAG, true, PLACE(system), NULL, NULL, "as --bus=system" },
    { "timeout", 0, OPTION_TEXT, false, PLACE(timeout), "TIME", NULL,
      "how long to wait, as 90, 500ms, 2min" },
    { "type", 't', OPTION_TEXT, false, PLACE(type), NULL, type_words,
      "what it is for (default: raw)" },
    { "user", 0, OPTION_FLAG, true, PLACE(user), NULL, NULL,
      "as --bus=session: the user's own daemon" },
    { "value", 0, OPTION_FLAG, false, PLACE(value), NULL, NULL,
      "print values without their names" },
    { "version", 0, OPTION_FLAG, true, PLACE(version), NULL, NULL, "show the version" },
    { "version-code", 0, OPTION_TEXT, false, PLACE(version_code), "N", NULL,
      "its version (default: 1)" },
    { "vmm", 0, OPTION_FLAG, false, PLACE(vmm), NULL, NULL, "what the VMM writes to stderr" },
    { "work-dir", 0, OPTION_TEXT, false, PLACE(work_dir), "DIR", NULL,
      "where the instance is kept (default: NAME in ~/.local/state/vmctl)" },
    { "write", 'w', OPTION_TEXT, false, PLACE(write), "FILE", NULL,
      "where to write the capture; \"-\" for standard output" },
};
/* clang-format on */

#define N_SPECS ELEMENTS_OF(specs)

static const OptionSpec *find_spec(const char *name, size_t length)
{
    for (size_t i = 0; i < N_SPECS; i++) {
        if (strlen(specs[i].name) == length && strncmp(specs[i].name, name, length) == 0)
            return &specs[i];
    }
    return NULL;
}

/* Whether @verb takes the option of this name. */
static bool verb_takes(const Verb *verb, const OptionSpec *spec)
{
    const char *name = verb->options ? verb->options : "";

    if (spec->common)
        return true;
    for (size_t length; *name; name += length + strspn(name + length, " ")) {
        length = strcspn(name, " ");
        const OptionSpec *found = find_spec(name, length);
        assert(found); /* the verb's table names options of this one */
        if (found == spec)
            return true;
    }
    return false;
}

/* --- refusals --- */

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
    for (size_t i = 0; i < N_SPECS; i++)
        nearest_match_offer(&match, specs[i].name);
    return refuse_unknown("option", name, &match, error);
}

/* The option that getopt_long() has left in optopt; NULL for none. */
static const OptionSpec *find_by_value(int value)
{
    if (value >= LONG_VALUE_BASE)
        return &specs[value - LONG_VALUE_BASE];
    for (size_t i = 0; value != 0 && i < N_SPECS; i++) {
        if (specs[i].letter == value)
            return &specs[i];
    }
    return NULL;
}

/* getopt_long() has refused something. */
static int refuse_option(const char *given, int value, const char *why, Error *error)
{
    const OptionSpec *spec = find_by_value(value);

    if (spec)
        return error_set(error, ERROR_INVALID_ARGUMENT, "option '--%s' %s" SEE_HELP, spec->name,
                         why);
    if (value == 0)
        return refuse_unknown_option(given, error);
    return error_set(error, ERROR_INVALID_ARGUMENT, "unknown option '-%c'" SEE_HELP, value);
}

/* "'a', 'b' or 'c'" */
static void list_words(const char *const *words, char text[static WORDS_SIZE])
{
    size_t length = 0;

    for (size_t i = 0; words[i] && length < WORDS_SIZE; i++) {
        const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";

        length += (size_t)snprintf(text + length, WORDS_SIZE - length, "%s'%s'", between, words[i]);
    }
}

static int check_word(const OptionSpec *spec, const char *value, Error *error)
{
    char words[WORDS_SIZE];
    NearestMatch match;

    nearest_match_init(&match, value);
    for (size_t i = 0; spec->words[i]; i++) {
        if (strcmp(spec->words[i], value) == 0)
            return 0;
        nearest_match_offer(&match, spec->words[i]);
    }
    list_words(spec->words, words);
    if (match.best)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--%s' takes %s, not '%s': did you mean '%s'?", spec->name, words,
                         value, match.best);
    return error_set(error, ERROR_INVALID_ARGUMENT, "option '--%s' takes %s, not '%s'", spec->name,
                     words, value);
}

/* --- what was given --- */

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

/* Whose letter that is among the options of @verb. */
static int find_letter(const Verb *verb, char letter, const OptionSpec **ret_spec, Error *error)
{
    const OptionSpec *first = find_by_value(letter);

    for (size_t i = 0; i < N_SPECS; i++) {
        if (specs[i].letter == letter && verb_takes(verb, &specs[i])) {
            *ret_spec = &specs[i];
            return 0;
        }
    }
    return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' takes no option '--%s'", verb->name,
                     first->name);
}

static int store(const OptionSpec *spec, const char *value, Options *options, Error *error)
{
    void *place = (char *)options + spec->offset;
    OptionList *list = place;

    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)place = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)place = value;
        return spec->words ? check_word(spec, value, error) : 0;
    case OPTION_OPTIONAL:
        *(const char **)place = value ? value : OPTION_STANDARD_ERROR;
        return 0;
    case OPTION_LIST:
        if (list->n_values == OPTION_VALUES_MAX)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "option '--%s' is given more than %d times", spec->name,
                             OPTION_VALUES_MAX);
        list->values[list->n_values++] = value;
        return 0;
    }
    return 0;
}

static int apply_given(Options *options, Error *error)
{
    const Verb *verb = options->verb;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < options->n_given; i++) {
        GivenOption *given = &options->given[i];

        if (!given->spec)
            r = find_letter(verb, given->letter, &given->spec, error);
        else if (!verb_takes(verb, given->spec))
            r = error_set(error, ERROR_INVALID_ARGUMENT, "'%s' takes no option '--%s'", verb->name,
                          given->spec->name);
        if (r >= 0)
            r = store(given->spec, given->value, options, error);
    }
    return r;
}

bool options_wants_console(const Options *options)
{
    return options->console && strcmp(options->console, OPTION_STANDARD_ERROR) == 0;
}

static int check_arguments(const Options *options, Error *error)
{
    const Verb *verb = options->verb;

    if (options->n_arguments < verb->n_min)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' needs %s; see vmctl %s --help",
                         verb->name, verb->argument, verb->name);
    if (options->n_arguments > verb->n_max)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' has an argument too many: '%s'",
                         verb->name, options->arguments[verb->n_max]);
    if (options->detach && options_wants_console(options))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--console' does not go with '--detach', which does not wait for output: "
                         "use '--console=FILE'");
    if (options->rm && options->detach)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--rm' does not go with '--detach', which does not wait for the end");
    if (options->user && options->system)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'--user' does not go with '--system'");
    return 0;
}

/* The table in getopt_long()'s form. */
static void describe(struct option long_options[static N_SPECS + 1],
                     char letters[static 2 * N_SPECS + 2])
{
    char *end = letters;

    *end++ = ':';
    for (size_t i = 0; i < N_SPECS; i++) {
        static const int has_arg[] = { [OPTION_FLAG] = no_argument,
                                       [OPTION_TEXT] = required_argument,
                                       [OPTION_OPTIONAL] = optional_argument,
                                       [OPTION_LIST] = required_argument };
        bool has_value = specs[i].kind != OPTION_FLAG;

        long_options[i] = (struct option){ .name = specs[i].name,
                                           .has_arg = has_arg[specs[i].kind],
                                           .val = LONG_VALUE_BASE + (int)i };
        *end = '\0';
        const char *same = specs[i].letter == 0 ? NULL : strchr(letters, specs[i].letter);
        /* Before the verb is known, a letter has a value or has none. */
        assert(!same || (same[1] == ':') == has_value);
        if (specs[i].letter == 0 || same)
            continue;
        *end++ = specs[i].letter;
        if (has_value)
            *end++ = ':';
    }
    long_options[N_SPECS] = (struct option){ 0 };
    *end = '\0';
}

static int split(int argc, char **argv, Options *options, Error *error)
{
    struct option long_options[N_SPECS + 1];
    char letters[2 * N_SPECS + 2];
    int value;

    describe(long_options, letters);
    opterr = 0;
    optind = 0; /* glibc: starts anew, in permuting mode */
    while ((value = getopt_long(argc, argv, letters, long_options, NULL)) >= 0) {
        if (value == ':' || value == '?')
            return refuse_option(argv[optind - 1], optopt,
                                 value == ':' ? "needs a value" : "takes no value", error);
        /* Of letters in one word each is an option. */
        GivenOption *given =
            reallocarray(options->given, options->n_given + 1, sizeof(GivenOption));
        if (!given)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        options->given = given;
        given[options->n_given++] = (GivenOption){
            .spec = value >= LONG_VALUE_BASE ? &specs[value - LONG_VALUE_BASE] : NULL,
            .letter = value < LONG_VALUE_BASE ? (char)value : '\0',
            .value = optarg,
        };
    }
    return 0;
}

/* Whether this option is among those given, whatever the verb. */
static bool was_given(const Options *options, const char *name, char letter)
{
    for (size_t i = 0; i < options->n_given; i++) {
        const GivenOption *given = &options->given[i];

        if (given->spec ? strcmp(given->spec->name, name) == 0 : given->letter == letter)
            return true;
    }
    return false;
}

static void finish(Options *options)
{
    if (options->json_format) {
        for (size_t i = 0; json_words[i]; i++) {
            if (strcmp(json_words[i], options->json_format) == 0)
                options->json = (JsonFormat)i;
        }
    }
    if (options->user)
        options->bus = "session";
}

static int parse(int argc, char **argv, const Verb *verbs, Options *options, Error *error)
{
    int r = split(argc, argv, options, error);

    if (r < 0)
        return r;
    options->help = was_given(options, "help", 'h');
    options->version = was_given(options, "version", '\0');
    if (options->version)
        return 0;
    if (optind < argc) {
        r = find_verb(argv[optind++], verbs, &options->verb, error);
        if (r < 0)
            return r;
    }
    if (options->help) /* whatever else is wrong, or missing */
        return 0;
    if (!options->verb)
        options->verb = verbs;
    options->arguments = argv + optind;
    options->n_arguments = (size_t)(argc - optind);
    r = apply_given(options, error);
    if (r >= 0)
        r = check_arguments(options, error);
    finish(options);
    return r;
}

int options_parse(int argc, char **argv, const Verb *verbs, Options *ret_options, Error *error)
{
    Options options = { .bus = "system" };

    int r = parse(argc, argv, verbs, &options, error);
    if (r < 0) {
        options_deinit(&options);
        return r;
    }
    *ret_options = options;
    return 0;
}

void options_deinit(Options *options)
{
    free(options->given);
    options->given = NULL;
    options->n_given = 0;
}

const char *option_get_name(const GivenOption *given)
{
    return given->spec->name;
}

/* --- help --- */

static void print_entry(const char *left, const char *right)
{
    if (strlen(left) + 2 > HELP_COLUMN)
        printf("%s\n%*s%s\n", left, HELP_COLUMN, "", right);
    else
        printf("%-*s%s\n", HELP_COLUMN, left, right);
}

static void print_option(const OptionSpec *spec)
{
    char value[WORDS_SIZE] = "", left[WORDS_SIZE + OPTION_NAME_MAX], letter[] = "    ";
    size_t length = 0;

    if (spec->kind == OPTION_OPTIONAL)
        (void)snprintf(value, sizeof(value), "[=%s]", spec->value);
    else if (spec->value)
        (void)snprintf(value, sizeof(value), "=%s", spec->value);
    for (size_t i = 0; spec->words && spec->words[i] && length < sizeof(value); i++)
        length += (size_t)snprintf(value + length, sizeof(value) - length, "%c%s",
                                   i == 0 ? '=' : '|', spec->words[i]);
    if (spec->letter != 0)
        (void)snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
    (void)snprintf(left, sizeof(left), "  %s--%s%s", letter, spec->name, value);
    print_entry(left, spec->help);
}

static void print_verb(const Verb *verb)
{
    char left[OPTION_NAME_MAX];

    (void)snprintf(left, sizeof(left), "  %s%s%s", verb->name, verb->usage ? " " : "",
                   verb->usage ? verb->usage : "");
    print_entry(left, verb->summary);
}

void options_print_help(const Verb *verbs, const Verb *verb)
{
    if (verb) {
        printf("Usage: vmctl [OPTIONS] %s%s%s\n\n%c%s.\n", verb->name, verb->usage ? " " : "",
               verb->usage ? verb->usage : "", toupper((unsigned char)verb->summary[0]),
               verb->summary + 1);
    } else {
        (void)puts("Usage: vmctl [OPTIONS] VERB [ARGUMENT...]\n\n"
                   "Runs and controls virtual machines of virtualizationd. A VM is named by its\n"
                   "name, its id, or as cid:N.\n\n"
                   "Verbs:");
        for (const Verb *each = verbs; each->name; each++)
            print_verb(each);
        (void)puts("\nvmctl VERB --help shows the options of a verb.");
    }
    (void)puts("\nOptions:");
    for (size_t i = 0; i < N_SPECS; i++) {
        if (verb ? verb_takes(verb, &specs[i]) : specs[i].common)
            print_option(&specs[i]);
    }
}
