/* SPDX-License-Identifier: Apache-2.0 */
/* Releases a local variable when its scope ends, and moves ownership out of one.
 * The attribute is a GNU C extension that gcc and clang share. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_      _cleanup_(cleanup_freep)
#define _cleanup_fclose_    _cleanup_(cleanup_fclosep)

static inline void cleanup_freep(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file); /* only for files that are read: nothing to lose */
}

/* Defines x_freep() for a type whose free function takes and ignores NULL. */
#define DEFINE_CLEANUP(type, free_function)            \
    static inline void free_function##p(type **object) \
    {                                                  \
        if (*object)                                   \
            (void)free_function(*object);              \
    }                                                  \
    struct cleanup_needs_a_semicolon

/* The value of @variable, which is left NULL: the caller of the expression owns it now. */
#define TAKE_PTR(variable)                        \
    __extension__({                               \
        __typeof__(variable) taken_ = (variable); \
        (variable) = NULL;                        \
        taken_;                                   \
    })

#define ELEMENTS_OF(array) (sizeof(array) / sizeof((array)[0]))
