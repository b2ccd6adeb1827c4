/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/text.h"

#define DAEMON_SECTION "Daemon"
#define LIMITS_SECTION "Limits"
#define INFINITE       "infinity"
#define MIB            (UINT64_C(1) << 20)
#define DAY_SEC        86400

/* A number, and what it may be, in units of @unit. */
typedef struct NumberSetting {
    const char *section, *name;
    size_t offset;
    uint64_t min, max, value; /* @value: the default */
    uint64_t unit;
} NumberSetting;

typedef struct NameSetting {
    const char *name;
    size_t offset;
    const char *value;
} NameSetting;

#define LIMIT(index, member)                                               \
    (offsetof(Settings, limits.resources) + (index) * sizeof(QuotaLimit) + \
     offsetof(QuotaLimit, member))

/* clang-format off */
static const NameSetting names[] = {
    { "User",  offsetof(Settings, user),  "virtualizationd" },
    { "Group", offsetof(Settings, group), "virtualizationd" },
};

static const NumberSetting numbers[] = {
    { DAEMON_SECTION, "OrphanSec", offsetof(Settings, orphan_sec), 1, DAY_SEC, 30, 1 },
    { DAEMON_SECTION, "DeathRecordSec", offsetof(Settings, death_record_sec), 0, DAY_SEC, 300, 1 },

    { LIMITS_SECTION, "VMsMax", LIMIT(QUOTA_VMS, total), 1, 4096, 256, 1 },
    { LIMITS_SECTION, "VMsMaxPerUser", LIMIT(QUOTA_VMS, per_user), 0, 4096, 64, 1 },
    { LIMITS_SECTION, "CpusMax", LIMIT(QUOTA_CPUS, total), 1, 1 << 20, QUOTA_INFINITE, 1 },
    { LIMITS_SECTION, "CpusMaxPerUser", LIMIT(QUOTA_CPUS, per_user), 0, 1 << 20, 256, 1 },
    { LIMITS_SECTION, "MemoryMaxMiB", LIMIT(QUOTA_MEMORY, total), 1, 1 << 30, QUOTA_INFINITE, MIB },
    { LIMITS_SECTION, "MemoryMaxPerUserMiB", LIMIT(QUOTA_MEMORY, per_user), 0, 1 << 30, 16384, MIB },
    { LIMITS_SECTION, "FilesMax", LIMIT(QUOTA_FILES, total), 1, 1 << 20, 32768, 1 },
    { LIMITS_SECTION, "FilesMaxPerUser", LIMIT(QUOTA_FILES, per_user), 0, 1 << 20, 4096, 1 },
    { LIMITS_SECTION, "CallsMax", LIMIT(QUOTA_CALLS, total), 1, 65536, 1024, 1 },
    { LIMITS_SECTION, "CallsMaxPerUser", LIMIT(QUOTA_CALLS, per_user), 0, 65536, 64, 1 },
    { LIMITS_SECTION, "DiskJobsMax", LIMIT(QUOTA_DISK_JOBS, total), 1, 4096, 128, 1 },
    { LIMITS_SECTION, "DiskJobsMaxPerUser", LIMIT(QUOTA_DISK_JOBS, per_user), 0, 4096, 32, 1 },
    { LIMITS_SECTION, "RecordsMax", LIMIT(QUOTA_RECORDS, total), 1, 4096, 256, 1 },
    { LIMITS_SECTION, "RecordsMaxPerUser", LIMIT(QUOTA_RECORDS, per_user), 1, 4096, 64, 1 },
    { LIMITS_SECTION, "CreationRate", offsetof(Settings, limits.creation_rate.total), 1, 100000, 1000, 1 },
    { LIMITS_SECTION, "CreationRatePerUser", offsetof(Settings, limits.creation_rate.per_user), 1, 100000, 20, 1 },
    { LIMITS_SECTION, "CreationBurst", offsetof(Settings, limits.creation_burst.total), 1, 100000, 2000, 1 },
    { LIMITS_SECTION, "CreationBurstPerUser", offsetof(Settings, limits.creation_burst.per_user), 1, 100000, 64, 1 },
};
/* clang-format on */

typedef struct Parser {
    const char *path;
    Settings *settings;
    Error *error;
} Parser;

static uint64_t *get_number(Settings *settings, const NumberSetting *setting)
{
    return (uint64_t *)((char *)settings + setting->offset);
}

static char **get_name(Settings *settings, const NameSetting *setting)
{
    return (char **)((char *)settings + setting->offset);
}

static void set_default(Settings *settings, const NumberSetting *setting)
{
    *get_number(settings, setting) =
        setting->value == QUOTA_INFINITE ? QUOTA_INFINITE : setting->value * setting->unit;
}

static bool may_be_infinite(const NumberSetting *setting)
{
    /* What bounds the daemon's own tables has an end. */
    return setting->max > 4096 && strcmp(setting->section, LIMITS_SECTION) == 0;
}

/* An empty value is the default, as everywhere with systemd. */
static bool set_number(Settings *settings, const NumberSetting *setting, const char *value)
{
    uint64_t number;

    if (*value == '\0') {
        set_default(settings, setting);
        return true;
    }
    if (may_be_infinite(setting) && strcmp(value, INFINITE) == 0) {
        *get_number(settings, setting) = QUOTA_INFINITE;
        return true;
    }
    if (text_parse_u64(value, setting->max, &number) < 0 || number < setting->min)
        return false;
    *get_number(settings, setting) = number * setting->unit;
    return true;
}

static bool set_name(Settings *settings, const NameSetting *setting, const char *value)
{
    char **name = get_name(settings, setting);
    char *copy = strdup(*value ? value : setting->value);

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
    bool known = false, good = false;

    for (size_t i = 0; !known && i < ELEMENTS_OF(numbers); i++) {
        known = strcmp(section, numbers[i].section) == 0 && strcmp(name, numbers[i].name) == 0;
        good = known && set_number(parser->settings, &numbers[i], value);
    }
    for (size_t i = 0; !known && i < ELEMENTS_OF(names); i++) {
        known = strcmp(section, DAEMON_SECTION) == 0 && strcmp(name, names[i].name) == 0;
        good = known && set_name(parser->settings, &names[i], value);
    }
    if (!known)
        (void)error_set(parser->error, ERROR_INVALID_ARGUMENT, "%s: there is no setting %s in [%s]",
                        parser->path, name, section);
    else if (!good)
        (void)error_set(parser->error, ERROR_INVALID_ARGUMENT, "%s: %s=%s is not valid",
                        parser->path, name, value);
    return known && good;
}

/* Not blocking: what is no file must not hold up a reload. */
static int open_file(const char *path, FILE **ret_file, Error *error)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_ARGUMENT, errno, "%s", path);
    bool is_null = S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
    if (!S_ISREG(status.st_mode) && !is_null)
        return error_set(error, ERROR_INVALID_ARGUMENT, "%s: this is no file", path);
    *ret_file = fdopen(fd, "r");
    if (!*ret_file)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    (void)take_fd(&fd);
    return 0;
}

static int load_file(const char *path, Settings *settings, Error *error)
{
    Parser parser = { .path = path, .settings = settings, .error = error };
    _cleanup_fclose_ FILE *file = NULL;

    int r = open_file(path, &file, error);
    if (r < 0)
        return r;
    int line = ini_parse_file(file, on_setting, &parser);
    if (line != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "%s: line %d is no setting", path, line);
    return 0;
}

static int set_defaults(Settings *settings, Error *error)
{
    for (size_t i = 0; i < ELEMENTS_OF(numbers); i++)
        set_default(settings, &numbers[i]);
    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        if (!set_name(settings, &names[i], ""))
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return 0;
}

int settings_load(const SettingsPlaces *places, Settings *ret_settings, Error *error)
{
    _cleanup_(settings_deinit) Settings settings = { 0 };
    char **paths = NULL;

    int r = set_defaults(&settings, error);
    if (r >= 0)
        r = settings_files_find(places, &paths, error);
    for (size_t i = 0; r >= 0 && paths[i]; i++)
        r = load_file(paths[i], &settings, error);
    settings_files_free(paths);
    if (r < 0)
        return r;
    *ret_settings = settings;
    settings = (Settings){ 0 }; /* it is the caller's */
    return 0;
}

void settings_deinit(Settings *settings)
{
    free(settings->user);
    free(settings->group);
    *settings = (Settings){ 0 };
}
