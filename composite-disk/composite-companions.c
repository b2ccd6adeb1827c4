/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-companions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/gpt.h"

#define SUFFIX          ".img"
#define GENERATIONS_MAX 10000

static const char *const kinds[COMPANION_MAX] = { "header", "footer", "filler" };

void composite_companions_init(CompositeCompanions *companions,
                               const char *disk,
                               const char *directory)
{
    *companions = (CompositeCompanions){ .disk = disk, .directory = directory };
    for (unsigned i = 0; i < COMPANION_MAX; i++)
        companions->outputs[i] = (OutputFile)OUTPUT_FILE_INIT;
}

void composite_companions_deinit(CompositeCompanions *companions)
{
    for (unsigned i = 0; i < COMPANION_MAX; i++) {
        free(companions->names[i]);
        companions->names[i] = NULL;
        output_file_deinit(&companions->outputs[i]);
    }
}

static int name_companion(const CompositeCompanions *companions,
                          Companion companion,
                          unsigned generation,
                          char **ret_name)
{
    const char *slash = strrchr(companions->disk, '/');
    const char *name = slash ? slash + 1 : companions->disk;
    size_t length = strlen(name);
    char number[16] = "";

    if (length > strlen(SUFFIX) && strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0)
        length -= strlen(SUFFIX);
    if (generation > 1)
        (void)snprintf(number, sizeof(number), "-%u", generation);
    if (asprintf(ret_name, "%.*s-%s%s" SUFFIX, (int)length, name, kinds[companion], number) >= 0)
        return 0;
    *ret_name = NULL;
    return -ENOMEM;
}

static bool needs_filler(const CompositeLayout *layout)
{
    for (size_t i = 0; i < layout->n_regions; i++) {
        if (layout->regions[i].kind == COMPOSITE_FILLER)
            return true;
    }
    return false;
}

static int write_companion(CompositeCompanions *companions,
                           Companion companion,
                           const CompositeLayout *layout,
                           uint64_t *bytes_written,
                           Error *error)
{
    static const uint8_t zeros[COMPOSITE_ALIGNMENT];
    const struct {
        const uint8_t *data;
        size_t size;
    } contents[COMPANION_MAX] = {
        [COMPANION_HEADER] = { layout->head, layout->head_size },
        [COMPANION_FOOTER] = { layout->tail, sizeof(layout->tail) },
        [COMPANION_FILLER] = { zeros, sizeof(zeros) },
    };
    int r = fd_write_all(companions->outputs[companion].fd, contents[companion].data,
                         contents[companion].size);

    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'",
                               companions->names[companion]);
    *bytes_written += contents[companion].size;
    return 0;
}

/* Opens the companion under the first name of its kind that is free: an older disk keeps its own
 * until the new one is there, and one that was never finished may have left some. */
static int open_companion(CompositeCompanions *companions, Companion companion, Error *error)
{
    _cleanup_free_ char *full = NULL;

    for (unsigned generation = 1; generation <= GENERATIONS_MAX; generation++) {
        struct stat status;

        free(companions->names[companion]);
        free(full);
        full = companions->names[companion] = NULL;
        if (name_companion(companions, companion, generation, &companions->names[companion]) < 0 ||
            asprintf(&full, "%s%s", companions->directory, companions->names[companion]) < 0) {
            full = NULL;
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        }
        if (lstat(full, &status) < 0)
            return output_file_open(full, false, &companions->outputs[companion], error);
    }
    return error_set(error, ERROR_INVALID_FILE, "'%s' is taken, and %d other names", full,
                     GENERATIONS_MAX - 1);
}

int composite_companions_write(CompositeCompanions *companions,
                               const CompositeLayout *layout,
                               uint64_t *bytes_written,
                               Error *error)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < COMPANION_MAX; i++) {
        if (i == COMPANION_FILLER && !needs_filler(layout))
            continue;
        r = open_companion(companions, (Companion)i, error);
        if (r >= 0)
            r = write_companion(companions, (Companion)i, layout, bytes_written, error);
    }
    return r;
}

int composite_companions_commit(CompositeCompanions *companions,
                                OutputFile *descriptor,
                                Error *error)
{
    OutputFile *files[COMPANION_MAX + 1];
    size_t n_files = 0;

    for (unsigned i = 0; i < COMPANION_MAX; i++) {
        if (companions->names[i])
            files[n_files++] = &companions->outputs[i];
    }
    files[n_files++] = descriptor;
    return output_file_commit_all(files, n_files, error);
}

bool composite_companions_have(const CompositeCompanions *companions, const char *name)
{
    for (unsigned i = 0; i < COMPANION_MAX; i++) {
        if (companions->names[i] && strcmp(companions->names[i], name) == 0)
            return true;
    }
    return false;
}

/* Whether open_companion() has chosen this name for this disk, now or another time. */
static bool is_companion_name(const CompositeCompanions *companions, const char *path)
{
    for (unsigned i = 0; i < COMPANION_MAX; i++) {
        _cleanup_free_ char *first = NULL;

        if (name_companion(companions, (Companion)i, 1, &first) < 0)
            return false;
        size_t length = strlen(first) - strlen(SUFFIX);
        if (strncmp(path, first, length) != 0)
            continue;
        const char *rest = path + length;
        if (*rest == '-')
            rest += 1 + strspn(rest + 1, "0123456789");
        if (strcmp(rest, SUFFIX) == 0)
            return true;
    }
    return false;
}

bool composite_companions_made(const CompositeCompanions *companions,
                               const CompositeDescriptor *old,
                               size_t index)
{
    const CompositeComponent *component = &old->components[index];
    bool is_head = index == 0 && component->size <= GPT_HEAD_SIZE_MAX;
    bool is_tail = index + 1 == old->n_components && component->size == GPT_TAIL_SIZE;

    return !component->writable && (is_head || is_tail || component->size < COMPOSITE_ALIGNMENT) &&
           is_companion_name(companions, component->path);
}
