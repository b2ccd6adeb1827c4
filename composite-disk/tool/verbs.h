/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of verbs, one a file verb-*.c, in the order of the help. */
#pragma once

#include "composite-disk/tool/tool.h"

extern const ToolVerb disk_verbs[];
extern const ToolVerb disk_reading_verbs[];
extern const ToolVerb payload_verbs[];
extern const ToolVerb payload_disk_verbs[];
extern const ToolVerb payload_metadata_verbs[];
extern const ToolVerb apk_verbs[];
extern const ToolVerb idsig_verbs[];
extern const ToolVerb instance_verbs[];
extern const ToolVerb vbmeta_make_verbs[];
extern const ToolVerb vbmeta_verbs[];
