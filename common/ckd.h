/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on numbers that others wrote: each returns true when the mathematical result does
 * not fit *@result. The names are C23's (stdckdint.h), which gcc 12 does not have yet. */
#pragma once

#define ckd_add(result, a, b) __builtin_add_overflow((a), (b), (result))
#define ckd_sub(result, a, b) __builtin_sub_overflow((a), (b), (result))
#define ckd_mul(result, a, b) __builtin_mul_overflow((a), (b), (result))
