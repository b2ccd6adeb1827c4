/* SPDX-License-Identifier: Apache-2.0 */
/* A partition as the command line has it: LABEL=FILE[:ro|:rw][,type=NAME][,guid=UUID]
 * [,attributes=NAME[+NAME...]]. Options are read from the end, so that a file name may have commas
 * and colons. */
#pragma once

#include "composite-disk/composite-file.h"

typedef struct PartitionArgument {
    char *text; /* the copy that label and file are in */
    uint8_t type[GUID_SIZE], guid[GUID_SIZE];
    CompositeFilePartition partition; /* points into this */
} PartitionArgument;

/* ERROR_INVALID_ARGUMENT names the part that is wrong. */
int partition_argument_parse(const char *text, PartitionArgument *ret_argument, Error *error);
void partition_argument_deinit(PartitionArgument *argument);

/* The attributes as their names, with "+" between them; the caller frees it. NULL: no memory. */
char *partition_attributes_to_string(uint64_t attributes);
