/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of a payload that is a shared library. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The payload defines this. It is called once; the payload ends when it returns, and its result
 * becomes the payload's exit code. */
int AVmPayload_main(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
