/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/settings.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"

#define DEFAULT_PATH         "/etc/virtualizationd/virtualizationd.conf"
#define DEFAULT_USER         "virtualizationd"
#define DEFAULT_GROUP        "virtualizationd"
#define DEATH_RECORD_SEC     300
#define DEATH_RECORD_SEC_MAX 86400
#define ORPHAN_SEC           30
#define ORPHAN_SEC_MAX       86400
#define VMS_MAX              256
#define VMS_MAX_MAX          4096

typedef struct Parser {
    const char *path;
    Settings *settings;
    Error *error;
} Parser;

static bool parse_number(const char *value, uint64_t max, uint64_t *number)
{
    return text_parse_u64(value, max, number) >= 0;
}

static bool set_name(char **name, const char *value)
{
    char *copy = *value ? strdup(value) : NULL;

    if (!copy)
        return false;
    free(*name);
    *name = copy;
    return true;
}

/* inih's convention: 0 is failure. */
static int on_setting(void *userdata, const char *section, const char *name, const char *value)
{
    Parser *parser = userdata;
    Settings *settings = parser->settings;
    bool known = true, good = false;

    if (strcmp(section, "Daemon") != 0)
        known = false;
    else if (strcmp(name, "User") == 0)
        good = set_name(&settings->user, value);
    else if (strcmp(name, "Group") == 0)
        good = set_name(&settings->group, value);
    else if (strcmp(name, "DeathRecordSec") == 0)
        good = parse_number(value, DEATH_RECORD_SEC_MAX, &settings->death_record_sec);
    else if (strcmp(name, "OrphanSec") == 0)
        good =
            parse_number(value, ORPHAN_SEC_MAX, &settings->orphan_sec) && settings->orphan_sec > 0;
    else if (strcmp(name, "VMsMax") == 0)
        good = parse_number(value, VMS_MAX_MAX, &settings->vms_max) && settings->vms_max > 0;
    else
        known = false;

    if (!known)
        (void)error_set(parser->error, ERROR_INVALID_ARGUMENT, "%s: there is no setting %s in [%s]",
                        parser->path, name, section);
    else if (!good)
        (void)error_set(parser->error, ERROR_INVALID_ARGUMENT, "%s: %s=%s is not valid",
                        parser->path, name, value);
    return known && good;
}

int settings_load(const char *path, Settings *ret_settings, Error *error)
{
    Settings settings = { .user = strdup(DEFAULT_USER),
                          .group = strdup(DEFAULT_GROUP),
                          .death_record_sec = DEATH_RECORD_SEC,
                          .orphan_sec = ORPHAN_SEC,
                          .vms_max = VMS_MAX };
    Parser parser = { .path = path ? path : DEFAULT_PATH, .settings = &settings, .error = error };
    int r = 0;

    if (!settings.user || !settings.group) {
        settings_deinit(&settings);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    _cleanup_fclose_ FILE *file = fopen(parser.path, "re");
    if (!file && (path || errno != ENOENT))
        r = error_set_errno(error, ERROR_INVALID_ARGUMENT, errno, "%s", parser.path);
    int line = file ? ini_parse_file(file, on_setting, &parser) : 0;
    if (line != 0)
        r = error_set(error, ERROR_INVALID_ARGUMENT, "%s: line %d is no setting", parser.path,
                      line);
    if (r < 0) {
        settings_deinit(&settings);
        return r;
    }
    *ret_settings = settings;
    return 0;
}

void settings_deinit(Settings *settings)
{
    free(settings->user);
    free(settings->group);
    *settings = (Settings){ 0 };
}
