/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs, one verb-<name>.c each. They print their errors and return the exit status. */
#pragma once

#include "vmctl/options.h"

int verb_list(const Options *options);
int verb_status(const Options *options);
int verb_show(const Options *options);
int verb_run(const Options *options);
int verb_run_app(const Options *options);
int verb_create(const Options *options);
int verb_start(const Options *options);
int verb_stop(const Options *options);
int verb_kill(const Options *options);
int verb_suspend(const Options *options);
int verb_resume(const Options *options);
int verb_forget(const Options *options);
int verb_wait(const Options *options);
int verb_events(const Options *options);
int verb_balloon(const Options *options);
int verb_validate(const Options *options);
int verb_info(const Options *options);
int verb_limits(const Options *options);
int verb_check_feature_enabled(const Options *options);
int verb_create_partition(const Options *options);
int verb_create_idsig(const Options *options);
int verb_create_payload(const Options *options);
int verb_connect(const Options *options);
int verb_exec(const Options *options);
int verb_console(const Options *options);
int verb_logs(const Options *options);
int verb_capture(const Options *options);
