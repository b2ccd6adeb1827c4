/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a template root. Whoever calls it holds the lock of the cache directory. */
#pragma once

#include <stdio.h>

#include "vmm-launcher/template-root.h"

/* The longest line of a list of sources, newline included. */
#define TEMPLATE_LINE_MAX 4352

/* Copies everything into the empty @directory, and writes to @sources a line for each file that it
 * was made from, or that would have been taken if it were there. */
int template_build(const TemplateOptions *options, int directory, FILE *sources, Error *error);

/* A line as template_build() writes it, for the file as it is now. */
void template_describe_source(const char *path, char line[static TEMPLATE_LINE_MAX]);
