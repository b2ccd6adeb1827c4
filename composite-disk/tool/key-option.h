/* SPDX-License-Identifier: Apache-2.0 */
/* The options --key and --cert of verbs that sign. */
#pragma once

#include "common/error.h"
#include "composite-disk/signing-key.h"
#include "composite-disk/tool/tool.h"

/* The key of --key, with the certificate of --cert, or that in the key's own file, or a new one
 * that is made for it. */
int key_option_load(const ToolCall *call, SigningKey **ret_key, Error *error);
