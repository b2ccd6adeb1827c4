/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a composite disk has beside its descriptor: the head and the tail of its partition
 * table, and zeros for partitions whose files end between multiples of 4096. For composite-file
 * only, which gives them their names together with the descriptor's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/composite-descriptor.h"
#include "composite-disk/composite-layout.h"
#include "composite-disk/output-file.h"

typedef enum Companion {
    COMPANION_HEADER,
    COMPANION_FOOTER,
    COMPANION_FILLER,
    COMPANION_MAX,
} Companion;

typedef struct CompositeCompanions {
    const char *disk;           /* lent: the descriptor's path */
    const char *directory;      /* lent: where it is, with a final slash */
    char *names[COMPANION_MAX]; /* in that directory; NULL: not needed */
    OutputFile outputs[COMPANION_MAX];
} CompositeCompanions;

void composite_companions_init(CompositeCompanions *companions,
                               const char *disk,
                               const char *directory);
void composite_companions_deinit(CompositeCompanions *companions);

/* Writes those that @layout needs, under names that nobody has; they are not there yet. */
int composite_companions_write(CompositeCompanions *companions,
                               const CompositeLayout *layout,
                               uint64_t *bytes_written,
                               Error *error);

/* Gives all of them their names, and @descriptor its own as the last; or none. */
int composite_companions_commit(CompositeCompanions *companions,
                                OutputFile *descriptor,
                                Error *error);

/* Whether one of them has this name. */
bool composite_companions_have(const CompositeCompanions *companions, const char *name);

/* Whether the component of @old, an earlier disk of the same path, is a companion that was made for
 * it: by its place, its size and its name, which alone says little, for a partition's file may have
 * such a name as well. */
bool composite_companions_made(const CompositeCompanions *companions,
                               const CompositeDescriptor *old,
                               size_t index);
