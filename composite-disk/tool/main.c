/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/nearest-match.h"
#include "common/text.h"
#include "composite-disk/tool/tool.h"
#include "config.h"

#define PROGRAM "composite-disk"

/* The JSON schema of each verb and these values are in composite-disk(1). */
enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
};

enum {
    OPTION_OF_VERB = 256, /* and the verb's other options behind it */
    OPTION_JSON = 512,
    OPTION_VERSION,
};

typedef enum JsonFormat {
    JSON_OFF,
    JSON_SHORT,
    JSON_PRETTY,
} JsonFormat;

typedef struct Options {
    const ToolVerb *verb;
    JsonFormat json;
    bool help, version;
} Options;

/* @remedy: what helps, or "" */
static void print_diagnostic(const char *text, const char *remedy)
{
    char shown[4096];

    text_escape(text, strlen(text), shown, sizeof(shown));
    for (char *newline = shown; (newline = strchr(newline, '\n'));)
        *newline = ' ';
    (void)fprintf(stderr, PROGRAM ": %s%s\n", shown, remedy);
}

/* --- help --- */

#define OPTION_WIDTH 30 /* a longer option has its help on the next line */

static void print_option(const ToolOption *option)
{
    char shown[64];

    (void)snprintf(shown, sizeof(shown), "%c%c%c --%s%s%s", option->letter ? '-' : ' ',
                   option->letter ? option->letter : ' ', option->letter ? ',' : ' ', option->name,
                   option->value ? "=" : "", option->value ? option->value : "");
    (void)printf("  %-*s%s%s\n", OPTION_WIDTH, shown,
                 strlen(shown) < OPTION_WIDTH ? "" : "\n                                ",
                 option->help);
}

static const ToolOption common_options[] = {
    { "json", 0, "FORMAT", "print JSON, \"pretty\" or \"short\"" },
    { "help", 'h', NULL, "show this help" },
    { "version", 0, NULL, "show the version" },
};

static void print_common_options(void)
{
    for (size_t i = 0; i < ELEMENTS_OF(common_options); i++)
        print_option(&common_options[i]);
}

static void print_verb_help(const ToolVerb *verb)
{
    (void)printf("Usage: " PROGRAM " %s [OPTION]... %s\n\n%c%s.\n\nOptions:\n", verb->name,
                 verb->arguments, toupper((unsigned char)verb->summary[0]), verb->summary + 1);
    for (const ToolOption *option = verb->options; option->name; option++)
        print_option(option);
    print_common_options();
}

static void print_help(void)
{
    (void)puts(
        "Usage: " PROGRAM " VERB [OPTION]... [ARGUMENT]...\n"
        "\n"
        "Makes, shows and checks disks made of partition files, and the images that Android's\n"
        "virtual machines are made of.\n"
        "\n"
        "Verbs:");
    for (const ToolVerb *const *table = tool_verb_tables; *table; table++) {
        for (const ToolVerb *verb = *table; verb->name; verb++)
            (void)printf("  %-20s  %s\n", verb->name, verb->summary);
    }
    (void)puts("\nOptions (" PROGRAM " VERB --help lists the verb's own):");
    print_common_options();
}

/* --- the command line --- */

/* How many of the words name @verb: 0 for another. */
static int match_verb(const ToolVerb *verb, int n_words, char **words)
{
    const char *space = strchr(verb->name, ' ');
    size_t length = space ? (size_t)(space - verb->name) : strlen(verb->name);

    if (n_words < 1 || strlen(words[0]) != length || strncmp(words[0], verb->name, length) != 0)
        return 0;
    if (!space)
        return 1;
    return n_words > 1 && strcmp(words[1], space + 1) == 0 ? 2 : 0;
}

static int find_verb(int n_words, char **words, const ToolVerb **ret_verb, Error *error)
{
    char given[128];
    NearestMatch match;

    for (const ToolVerb *const *table = tool_verb_tables; *table; table++) {
        for (const ToolVerb *verb = *table; verb->name; verb++) {
            int n = match_verb(verb, n_words, words);

            if (n > 0) {
                *ret_verb = verb;
                return n;
            }
        }
    }

    for (int n = n_words > 1 ? 2 : 1; n >= 1; n--) {
        (void)snprintf(given, sizeof(given), n > 1 ? "%s %s" : "%s", words[0], words[n - 1]);
        nearest_match_init(&match, given);
        for (const ToolVerb *const *table = tool_verb_tables; *table; table++) {
            for (const ToolVerb *verb = *table; verb->name; verb++)
                nearest_match_offer(&match, verb->name);
        }
        if (match.best)
            return error_set(error, ERROR_INVALID_ARGUMENT, "unknown verb '%s': did you mean '%s'?",
                             given, match.best);
    }
    return error_set(error, ERROR_INVALID_ARGUMENT, "unknown verb '%s'; see " PROGRAM " --help",
                     words[0]);
}

static size_t count_options(const ToolVerb *verb)
{
    size_t n = 0;

    while (verb->options[n].name)
        n++;
    return n;
}

/* getopt's tables of the verb's options and the common ones. */
static void fill_tables(const ToolVerb *verb, struct option *long_options, char *letters)
{
    size_t n_verb = count_options(verb), n = 0;

    *letters++ = ':';
    *letters++ = 'h';
    for (; n < n_verb; n++) {
        const ToolOption *option = &verb->options[n];

        long_options[n] =
            (struct option){ option->name, option->value ? required_argument : no_argument, NULL,
                             OPTION_OF_VERB + (int)n };
        if (option->letter) {
            *letters++ = option->letter;
            if (option->value)
                *letters++ = ':';
        }
    }
    long_options[n++] = (struct option){ "json", optional_argument, NULL, OPTION_JSON };
    long_options[n++] = (struct option){ "help", no_argument, NULL, 'h' };
    long_options[n++] = (struct option){ "version", no_argument, NULL, OPTION_VERSION };
    long_options[n] = (struct option){ 0 };
    *letters = '\0';
}

static int refuse_option(const struct option *long_options, char *given, int value, Error *error)
{
    char name[64];
    NearestMatch match;

    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "="), given);
    nearest_match_init(&match, name + strspn(name, "-"));
    for (; long_options->name; long_options++) {
        if (value != 0 && long_options->val == value)
            return error_set(error, ERROR_INVALID_ARGUMENT, "option '--%s' %s", long_options->name,
                             long_options->has_arg == no_argument ? "takes no value"
                                                                  : "needs a value");
        nearest_match_offer(&match, long_options->name);
    }
    if (value != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "unknown option '-%c'", value);
    if (match.best)
        return error_set(error, ERROR_INVALID_ARGUMENT, "unknown option '%s': did you mean '--%s'?",
                         name, match.best);
    return error_set(error, ERROR_INVALID_ARGUMENT, "unknown option '%s'", name);
}

static int take_json_format(const char *text, Options *options, Error *error)
{
    static const char *const names[] = { "off", "short", "pretty" };

    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        if (strcmp(text ? text : "pretty", names[i]) == 0) {
            options->json = (JsonFormat)i;
            return 0;
        }
    }
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "option '--json' takes 'pretty', 'short' or 'off', not '%s'", text);
}

static const ToolOption *find_option(const ToolVerb *verb, int value)
{
    for (size_t i = 0; verb->options[i].name; i++) {
        if (value == OPTION_OF_VERB + (int)i || value == verb->options[i].letter)
            return &verb->options[i];
    }
    return NULL;
}

static int take_option(const struct option *table,
                       int value,
                       char *word,
                       Options *options,
                       ToolCall *call,
                       Error *error)
{
    const ToolOption *option;

    switch (value) {
    case OPTION_JSON:
        return take_json_format(optarg, options, error);
    case OPTION_VERSION:
        options->version = true;
        return 0;
    case 'h':
        options->help = true;
        return 0;
    case ':':
    case '?':
        return refuse_option(table, word, optopt, error);
    default:
        option = find_option(options->verb, value);
        call->given[call->n_given++] = (ToolGivenOption){ option, option->value ? optarg : "" };
        return 0;
    }
}

static int check_arguments(const ToolCall *call, Error *error)
{
    const ToolVerb *verb = call->verb;

    if (call->n_arguments < verb->n_min)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' needs %s; see " PROGRAM " %s --help",
                         verb->name, verb->arguments, verb->name);
    if (call->n_arguments > verb->n_max)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' has an argument too many: '%s'",
                         verb->name, call->arguments[verb->n_max]);
    return 0;
}

static int parse_options(int argc, char **argv, Options *options, ToolCall *call, Error *error)
{
    static const ToolVerb no_verb = { .name = "", .n_max = 2 };
    struct option long_options[TOOL_OPTIONS_MAX + ELEMENTS_OF(common_options) + 1];
    char letters[2 * TOOL_OPTIONS_MAX + 3];
    int n_words = 0, value, r = 0;

    options->verb = &no_verb;
    if (argc > 1 && argv[1][0] != '-') {
        n_words = find_verb(argc - 1, argv + 1, &options->verb, error);
        if (n_words < 0)
            return n_words;
    }
    fill_tables(options->verb, long_options, letters);
    opterr = 0;
    argv += n_words;
    argc -= n_words;
    while (r >= 0 && (value = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
        r = take_option(long_options, value, argv[optind - 1], options, call, error);
    if (r < 0)
        return r;

    call->verb = options->verb;
    call->arguments = argv + optind;
    call->n_arguments = (size_t)(argc - optind);
    if (options->help || options->version)
        return 0;
    if (options->verb == &no_verb)
        return error_set(error, ERROR_INVALID_ARGUMENT, "which verb? See " PROGRAM " --help");
    return check_arguments(call, error);
}

/* --- progress --- */

#define BAR_WIDTH         40
#define BAR_INTERVAL_NSEC 100000000

typedef struct Bar {
    uint64_t drawn_nsec;
    bool drawn;
} Bar;

static void draw_bar(void *userdata, uint64_t done, uint64_t total)
{
    Bar *bar = userdata;
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t nsec = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    if (bar->drawn_nsec == 0)
        bar->drawn_nsec = nsec; /* nothing is drawn for work that is done at once */
    if (total == 0 || nsec - bar->drawn_nsec < BAR_INTERVAL_NSEC)
        return;
    bar->drawn_nsec = nsec;
    bar->drawn = true;
    double part = (double)done / (double)total;
    int filled = (int)(part * BAR_WIDTH);
    (void)fprintf(stderr, "\r[%.*s%*s] %3d %%", filled, "########################################",
                  BAR_WIDTH - filled, "", (int)(part * 100));
}

static void erase_bar(const Bar *bar)
{
    if (bar->drawn)
        (void)fputs("\r\033[K", stderr);
}

/* --- */

static int finish_output(Error *error)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set_errno(error, ERROR_FAILED, errno, "cannot write to standard output");
    return 0;
}

/* A disk has up to COMPOSITE_FILES_MAX files open at a time, more than the usual limit, which is
 * there for programs that use select(). A file that gets too large is an error like others. */
static void lift_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* else opening says so */
    }
    (void)signal(SIGXFSZ, SIG_IGN);
}

static int run(const Options *options, ToolCall *call, Error *error)
{
    Bar bar = { 0 };
    const Progress progress = { draw_bar, &bar };

    lift_limits();
    call->progress = isatty(STDERR_FILENO) ? &progress : NULL;
    call->result = json_object_new_object();
    if (!call->result)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = call->verb->run(call, error);
    erase_bar(&bar);
    if (json_object_object_length(call->result) == 0)
        return r;
    /* A check that fails has something to say, too. */
    if (options->json == JSON_OFF)
        tool_print(call->result);
    else
        (void)puts(json_object_to_json_string_ext(
            call->result,
            JSON_C_TO_STRING_NOSLASHESCAPE |
                (options->json == JSON_PRETTY ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                                              : 0)));
    return r;
}

static const char *find_remedy(const ToolCall *call, int r)
{
    if (r != -EEXIST || tool_get_option(call, "force"))
        return "";
    for (const ToolOption *option = call->verb->options; option->name; option++) {
        if (strcmp(option->name, "force") == 0)
            return "; --force replaces it";
    }
    return "";
}

int main(int argc, char **argv)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ ToolGivenOption *given = calloc((size_t)argc + 1, sizeof(ToolGivenOption));
    ToolCall call = { .given = given };
    Options options = { 0 };
    int r = -ENOMEM;

    fd_occupy_standard();
    if (given)
        r = parse_options(argc, argv, &options, &call, &error);
    if (r >= 0 && options.version)
        (void)puts(PROGRAM " " PACKAGE_VERSION);
    else if (r >= 0 && options.help && *options.verb->name)
        print_verb_help(options.verb);
    else if (r >= 0 && options.help)
        print_help();
    else if (r >= 0)
        r = run(&options, &call, &error);
    (void)json_object_put(call.result);
    if (finish_output(&error) < 0 && r >= 0)
        r = -EIO;
    if (r >= 0)
        return STATUS_OK;
    print_diagnostic(error_get_message(&error), find_remedy(&call, r));
    return error.kind == ERROR_INVALID_ARGUMENT ? STATUS_USAGE : STATUS_FAILED;
}
