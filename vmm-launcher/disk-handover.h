/* SPDX-License-Identifier: Apache-2.0 */
/* Hands a job on image files to the program disk-worker. The launcher has none of the libraries
 * that such jobs take, so that neither its start nor the supervisors that it becomes pay for them,
 * and no code for client's files is in them. */
#pragma once

#include "vmm-launcher/launch-request.h"
#include "vmm-launcher/template-root.h"

/* Becomes disk-worker, which answers on @connection. Returns only when that fails. */
int disk_handover(const LaunchRequest *request,
                  int connection,
                  const TemplateOptions *options,
                  Error *error);
