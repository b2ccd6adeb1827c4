/* SPDX-License-Identifier: Apache-2.0 */
/* Brings cmocka and what it wants included before it, in that order. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
