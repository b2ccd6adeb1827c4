/* SPDX-License-Identifier: Apache-2.0 */
/* What a payload may call: the part of AVF's vm_payload.h that this guest serves. Needs libc only.
 */
#pragma once

/* Tells the host that the payload can serve. May be called again, to no effect. As AVF's function
 * it has no result: without a listener there is nobody to tell. */
void AVmPayload_notifyPayloadReady(void);
