/* SPDX-License-Identifier: Apache-2.0 */
/* The part of CBOR (RFC 8949) that the guest's records and DICE descriptors are written in:
 * integers, byte and text strings, arrays and maps, in the deterministic encoding of section 4.2.1
 * (shortest heads, definite lengths; the order of keys is the caller's). The reader refuses every
 * other encoding: -EBADMSG. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

void cbor_put_int(ByteWriter *writer, int64_t value);
void cbor_put_uint(ByteWriter *writer, uint64_t value);
void cbor_put_bytes(ByteWriter *writer, const void *bytes, size_t size);
void cbor_put_text(ByteWriter *writer, const char *text);
/* The elements, or the pairs of key and value, follow. */
void cbor_put_array(ByteWriter *writer, size_t n_elements);
void cbor_put_map(ByteWriter *writer, size_t n_pairs);

int cbor_get_uint(ByteReader *reader, uint64_t *ret_value);
/* Exactly @size bytes. */
int cbor_get_bytes(ByteReader *reader, void *ret_bytes, size_t size);
/* Text without NUL that fits @capacity with one behind it. */
int cbor_get_text(ByteReader *reader, char *ret_text, size_t capacity);
/* The very text @expected: of keys, whose order is fixed. */
int cbor_get_key(ByteReader *reader, const char *expected);
int cbor_get_array(ByteReader *reader, size_t max, size_t *ret_n_elements);
int cbor_get_map(ByteReader *reader, size_t n_pairs);
