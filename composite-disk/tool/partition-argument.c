/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/tool/partition-argument.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/nearest-match.h"
#include "composite-disk/gpt-type.h"

/* Names as in sfdisk(8) and systemd's repart.d(5). */
static const struct {
    const char *name;
    uint64_t bit;
} attribute_table[] = {
    { "required", GPT_ATTRIBUTE_REQUIRED },       { "no-block-io", GPT_ATTRIBUTE_NO_BLOCK_IO },
    { "legacy-boot", GPT_ATTRIBUTE_LEGACY_BOOT }, { "grow-file-system", GPT_ATTRIBUTE_GROW_FS },
    { "read-only", GPT_ATTRIBUTE_READ_ONLY },     { "no-auto", GPT_ATTRIBUTE_NO_AUTO },
};

char *partition_attributes_to_string(uint64_t attributes)
{
    char *text = NULL;
    size_t size;

    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    for (size_t i = 0; i < ELEMENTS_OF(attribute_table); i++) {
        if (attributes & attribute_table[i].bit)
            fprintf(stream, "%s%s", ftell(stream) > 0 ? "+" : "", attribute_table[i].name);
        attributes &= ~attribute_table[i].bit;
    }
    if (attributes)
        fprintf(stream, "%s0x%" PRIx64, ftell(stream) > 0 ? "+" : "", attributes);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}

static int parse_type(PartitionArgument *argument, const char *name, Error *error)
{
    NearestMatch match;

    argument->partition.type = argument->type;
    if (gpt_type_from_string(name, argument->type) >= 0)
        return 0;
    nearest_match_init(&match, name);
    for (size_t i = 0; gpt_type_get_name(i); i++)
        nearest_match_offer(&match, gpt_type_get_name(i));
    if (match.best)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "there is no partition type '%s': did you mean '%s'?", name, match.best);
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "there is no partition type '%s': name one (such as linux-generic, esp or "
                     "root-x86-64) or give its GUID",
                     name);
}

static int parse_guid(PartitionArgument *argument, const char *text, Error *error)
{
    argument->partition.guid = argument->guid;
    if (guid_from_string(text, argument->guid) < 0 || guid_is_nil(argument->guid))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' is no GUID of 8-4-4-4-12 hexadecimal digits", text);
    return 0;
}

static int add_attribute(PartitionArgument *argument, const char *name, size_t length, Error *error)
{
    for (size_t i = 0; i < ELEMENTS_OF(attribute_table); i++) {
        if (strlen(attribute_table[i].name) == length &&
            strncmp(attribute_table[i].name, name, length) == 0) {
            argument->partition.attributes |= attribute_table[i].bit;
            return 0;
        }
    }
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "there is no partition attribute '%.*s': it is one of required, no-block-io, "
                     "legacy-boot, grow-file-system, read-only and no-auto",
                     (int)length, name);
}

static int parse_attributes(PartitionArgument *argument, const char *names, Error *error)
{
    for (;;) {
        size_t length = strcspn(names, "+");

        int r = add_attribute(argument, names, length, error);
        if (r < 0 || names[length] == '\0')
            return r;
        names += length + 1;
    }
}

static const struct {
    const char *key;
    int (*parse)(PartitionArgument *argument, const char *value, Error *error);
} option_table[] = {
    { "type=", parse_type },
    { "guid=", parse_guid },
    { "attributes=", parse_attributes },
};

/* Takes the options off the end of @file. */
static int take_options(PartitionArgument *argument, char *file, Error *error)
{
    char *comma;

    while ((comma = strrchr(file, ','))) {
        bool known = false;

        for (size_t i = 0; i < ELEMENTS_OF(option_table); i++) {
            size_t length = strlen(option_table[i].key);

            if (strncmp(comma + 1, option_table[i].key, length) != 0)
                continue;
            int r = option_table[i].parse(argument, comma + 1 + length, error);
            if (r < 0)
                return r;
            known = true;
            break;
        }
        if (!known)
            return 0; /* it belongs to the file's name */
        *comma = '\0';
    }
    return 0;
}

static int parse(PartitionArgument *argument, Error *error)
{
    char *equals = strchr(argument->text, '=');

    if (!equals || equals == argument->text || equals[1] == '\0')
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' is no partition: write LABEL=FILE, for example root=root.img",
                         argument->text);
    *equals = '\0';
    char *file = equals + 1;
    int r = take_options(argument, file, error);
    if (r < 0)
        return r;
    size_t length = strlen(file);
    if (length > 3 && file[length - 3] == ':' && file[length - 2] == 'r' &&
        (file[length - 1] == 'o' || file[length - 1] == 'w')) {
        argument->partition.writable = file[length - 1] == 'w';
        file[length - 3] = '\0';
    }
    argument->partition.label = argument->text;
    argument->partition.file = file;
    return 0;
}

int partition_argument_parse(const char *text, PartitionArgument *ret_argument, Error *error)
{
    *ret_argument = (PartitionArgument){ .text = strdup(text) };
    if (!ret_argument->text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = parse(ret_argument, error);
    if (r < 0)
        partition_argument_deinit(ret_argument);
    return r;
}

void partition_argument_deinit(PartitionArgument *argument)
{
    free(argument->text);
    argument->text = NULL;
}
