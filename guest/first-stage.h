/* SPDX-License-Identifier: Apache-2.0 */
/* The first program of a microguest, PID 1 of its initramfs, in the role of AVF's pvmfw and boot
 * loader: verifies what the system is made of, says who the instance is, derives the secrets of the
 * next stage, and executes itself as guest-manager in the verified root. Any failure is reported to
 * the host with its reason, before the machine is powered off. */
#pragma once

/* What argv[0] says when the program is to be guest-manager. */
#define GUEST_MANAGER_NAME "guest-manager"

/* Returns only when the boot has failed, and that was reported. */
void first_stage_run(void);
