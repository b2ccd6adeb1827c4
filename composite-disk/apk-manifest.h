/* SPDX-License-Identifier: Apache-2.0 */
/* AndroidManifest.xml as it is in an APK, in Android's binary XML, as far as it says whose payload
 * that is: package and version. Format code; only apk_manifest_read() looks into an archive.
 * Stricter than Android: what no tool writes, and two readers might see differently, is refused.
 * Source: AOSP, frameworks/base, libs/androidfw/include/androidfw/ResourceTypes.h (ResXMLTree,
 * ResStringPool); the resource ids, core/res/res/values/public.xml. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "composite-disk/zip-reader.h"

#define APK_MANIFEST_NAME "AndroidManifest.xml"
#define APK_PACKAGE_MAX   223        /* bytes, as of Android 14 */
#define APK_MANIFEST_MAX  (2U << 20) /* bytes that are read */
#define APK_MANIFEST_ROOM 2048       /* for every manifest that is written */
#define APK_MANIFEST_SDK  28         /* the first Android that knows signature scheme v3 */

typedef struct ApkManifest {
    char package[APK_PACKAGE_MAX + 1]; /* "": the archive has no manifest */
    uint64_t version;                  /* versionCodeMajor in the upper half, versionCode */
} ApkManifest;

/* Reads @size bytes, which are all of a manifest. ERROR_IMAGE_INVALID says what is wrong. A version
 * that is not there is 0; a package has to be. */
int apk_manifest_decode(const uint8_t *data, size_t size, ApkManifest *ret_manifest, Error *error);

/* Writes a manifest, always the same for the same values, of an application without code for
 * APK_MANIFEST_SDK; 0 or -ENOBUFS. @manifest has a package that decoding would take. */
int apk_manifest_encode(const ApkManifest *manifest, ByteWriter *writer);

/* Whether that is XML in text, which some tools take, but not Android. */
bool apk_manifest_is_text(const uint8_t *data, size_t size);

/* The manifest of an archive. Without one, or with one in text, @ret_is_there is false, the package
 * empty and the version 0. */
int apk_manifest_read(const ZipReader *reader,
                      ApkManifest *ret_manifest,
                      bool *ret_is_there,
                      Error *error);

/* Whether a new archive can have that package: what decoding takes, and, as Android demands, two
 * parts at least. ERROR_INVALID_ARGUMENT says why not. */
int apk_package_check(const char *package, Error *error);
