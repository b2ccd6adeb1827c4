/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/tool/verbs.h"

#include <stddef.h>

const ToolVerb *const tool_verb_tables[] = {
    disk_verbs, disk_reading_verbs, payload_verbs,  payload_disk_verbs, payload_metadata_verbs,
    apk_verbs,  idsig_verbs,        instance_verbs, vbmeta_make_verbs,  vbmeta_verbs,
    NULL,
};
