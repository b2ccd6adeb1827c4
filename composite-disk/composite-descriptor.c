/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-descriptor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/ckd.h"
#include "common/text.h"
#include "composite-disk/composite-descriptor.pb-c.h"

#define SHOWN_MAX 128 /* of a path, in messages */

typedef CompositeDescriptor__Descriptor WireDescriptor;
typedef CompositeDescriptor__Component WireComponent;

static void free_message(WireDescriptor **message)
{
    composite_descriptor__descriptor__free_unpacked(*message, NULL);
}

CompositeDescriptor *composite_descriptor_free(CompositeDescriptor *descriptor)
{
    if (!descriptor)
        return NULL;
    for (size_t i = 0; i < descriptor->n_components; i++)
        free(descriptor->components[i].path);
    free(descriptor->components);
    free(descriptor);
    return NULL;
}

int composite_descriptor_add(CompositeDescriptor *descriptor,
                             const char *path,
                             uint64_t file_offset,
                             uint64_t size,
                             bool writable)
{
    CompositeComponent *components = reallocarray(
        descriptor->components, descriptor->n_components + 1, sizeof(CompositeComponent));
    char *copy = strdup(path);

    if (components)
        descriptor->components = components;
    if (!components || !copy) {
        free(copy);
        return -ENOMEM;
    }
    components[descriptor->n_components++] = (CompositeComponent){ .path = copy,
                                                                   .offset = descriptor->disk_size,
                                                                   .size = size,
                                                                   .file_offset = file_offset,
                                                                   .writable = writable };
    descriptor->disk_size += size;
    return 0;
}

int composite_descriptor_new(const Region *regions,
                             size_t n_regions,
                             CompositeDescriptor **ret_descriptor)
{
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor =
        calloc(1, sizeof(*descriptor));
    int r = descriptor ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < n_regions; i++)
        r = composite_descriptor_add(descriptor, regions[i].file, regions[i].file_offset,
                                     regions[i].size, regions[i].label && regions[i].writable);
    if (r < 0)
        return r;
    descriptor->version = COMPOSITE_VERSION;
    *ret_descriptor = TAKE_PTR(descriptor);
    return 0;
}

/* --- writing --- */

static int check_for_encoding(const CompositeDescriptor *descriptor, Error *error)
{
    if (descriptor->n_components == 0 || descriptor->n_components > COMPOSITE_COMPONENTS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a composite disk takes 1 to %d components, not %zu",
                         COMPOSITE_COMPONENTS_MAX, descriptor->n_components);
    for (size_t i = 0; i < descriptor->n_components; i++) {
        size_t length = strlen(descriptor->components[i].path);

        if (length == 0 || length > COMPOSITE_COMPONENT_PATH_MAX)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "the path of component %zu has %zu bytes; it takes 1 to %d", i, length,
                             COMPOSITE_COMPONENT_PATH_MAX);
    }
    return 0;
}

int composite_descriptor_encode(const CompositeDescriptor *descriptor,
                                uint8_t **ret_bytes,
                                size_t *ret_size,
                                Error *error)
{
    WireDescriptor message = COMPOSITE_DESCRIPTOR__DESCRIPTOR__INIT;
    size_t n = descriptor->n_components;

    int r = check_for_encoding(descriptor, error);
    if (r < 0)
        return r;
    _cleanup_free_ WireComponent *components = calloc(n, sizeof(*components));
    _cleanup_free_ WireComponent **pointers = calloc(n, sizeof(*pointers));
    if (!components || !pointers)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    for (size_t i = 0; i < n; i++) {
        const CompositeComponent *component = &descriptor->components[i];

        composite_descriptor__component__init(&components[i]);
        components[i].path.data = (uint8_t *)component->path;
        components[i].path.len = strlen(component->path);
        components[i].offset = component->offset;
        components[i].file_offset = component->file_offset;
        components[i].access = component->writable ? COMPOSITE_DESCRIPTOR__ACCESS__READ_WRITE
                                                   : COMPOSITE_DESCRIPTOR__ACCESS__READ_ONLY;
        pointers[i] = &components[i];
    }
    message.version = descriptor->version;
    message.length = descriptor->disk_size;
    message.components = pointers;
    message.n_components = n;

    size_t size =
        COMPOSITE_MAGIC_SIZE + composite_descriptor__descriptor__get_packed_size(&message);
    if (size > COMPOSITE_DESCRIPTOR_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the descriptor gets %zu bytes; at most %d are taken", size,
                         COMPOSITE_DESCRIPTOR_MAX);
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    memcpy(bytes, COMPOSITE_MAGIC, COMPOSITE_MAGIC_SIZE);
    (void)composite_descriptor__descriptor__pack(&message, bytes + COMPOSITE_MAGIC_SIZE);
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

/* --- reading --- */

bool composite_descriptor_is_one(const uint8_t *bytes, size_t size)
{
    return size >= COMPOSITE_MAGIC_SIZE &&
           memcmp(bytes, COMPOSITE_MAGIC, COMPOSITE_MAGIC_SIZE) == 0;
}

static int check_message(const WireDescriptor *message, Error *error)
{
    if (message->version > COMPOSITE_VERSION)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the descriptor has version %" PRIu64 "; up to %d is known",
                         message->version, COMPOSITE_VERSION);
    if (message->n_components == 0 || message->n_components > COMPOSITE_COMPONENTS_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the descriptor has %zu components; 1 to %d are taken",
                         message->n_components, COMPOSITE_COMPONENTS_MAX);
    if (message->length > INT64_MAX)
        return error_set(error, ERROR_IMAGE_INVALID, "the disk's length %" PRIu64 " is too large",
                         message->length);
    return 0;
}

static int take_component(const WireComponent *wire, CompositeComponent *component, Error *error)
{
    const char *path = (const char *)wire->path.data;
    size_t length = wire->path.len;
    char shown[SHOWN_MAX];

    text_escape(path ? path : "", length, shown, sizeof(shown));
    if (length == 0 || length > COMPOSITE_COMPONENT_PATH_MAX || memchr(path, '\0', length))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a component has the path '%s', which is empty, too long or no text",
                         shown);
    if (wire->access != COMPOSITE_DESCRIPTOR__ACCESS__READ_ONLY &&
        wire->access != COMPOSITE_DESCRIPTOR__ACCESS__READ_WRITE)
        return error_set(error, ERROR_IMAGE_INVALID, "component '%s' has the unknown access %d",
                         shown, (int)wire->access);
    if (wire->offset > INT64_MAX || wire->file_offset > INT64_MAX)
        return error_set(error, ERROR_IMAGE_INVALID, "component '%s' has an offset too large",
                         shown);

    component->path = strndup(path, length);
    if (!component->path)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    component->offset = wire->offset;
    component->file_offset = wire->file_offset;
    component->writable = wire->access == COMPOSITE_DESCRIPTOR__ACCESS__READ_WRITE;
    return 0;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t left = ((const CompositeComponent *)a)->offset;
    uint64_t right = ((const CompositeComponent *)b)->offset;

    return left < right ? -1 : left > right;
}

/* A gap belongs to the component before it. */
static int set_sizes(CompositeDescriptor *descriptor, Error *error)
{
    CompositeComponent *components = descriptor->components;

    if (components[0].offset != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the first component '%s' is at %" PRIu64 ", so that nothing is at 0",
                         components[0].path, components[0].offset);
    for (size_t i = 0; i < descriptor->n_components; i++) {
        CompositeComponent *component = &components[i];
        uint64_t end =
            i + 1 < descriptor->n_components ? component[1].offset : descriptor->disk_size;
        uint64_t file_end;

        if (i + 1 < descriptor->n_components && end == component->offset)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the components '%s' and '%s' are both at %" PRIu64, component->path,
                             component[1].path, end);
        if (end <= component->offset)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "component '%s' at %" PRIu64 " is behind the disk's end at %" PRIu64,
                             component->path, component->offset, end);
        component->size = end - component->offset;
        if (ckd_add(&file_end, component->file_offset, component->size) || file_end > INT64_MAX)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "component '%s' ends beyond what a file can have", component->path);
    }
    return 0;
}

int composite_descriptor_decode(const uint8_t *bytes,
                                size_t size,
                                CompositeDescriptor **ret_descriptor,
                                Error *error)
{
    if (!composite_descriptor_is_one(bytes, size))
        return error_set(error, ERROR_IMAGE_INVALID, "it does not begin as a composite disk does");
    if (size > COMPOSITE_DESCRIPTOR_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the descriptor has %zu bytes; at most %d are taken", size,
                         COMPOSITE_DESCRIPTOR_MAX);

    _cleanup_(free_message) WireDescriptor *message = composite_descriptor__descriptor__unpack(
        NULL, size - COMPOSITE_MAGIC_SIZE, bytes + COMPOSITE_MAGIC_SIZE);
    if (!message)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "what follows the magic of a composite disk is no descriptor");
    int r = check_message(message, error);
    if (r < 0)
        return r;

    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor =
        calloc(1, sizeof(*descriptor));
    if (!descriptor)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    descriptor->components = calloc(message->n_components, sizeof(CompositeComponent));
    if (!descriptor->components)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    descriptor->version = message->version;
    descriptor->disk_size = message->length;
    for (size_t i = 0; i < message->n_components; i++) {
        r = take_component(message->components[i], &descriptor->components[i], error);
        if (r < 0)
            return r;
        descriptor->n_components++;
    }
    qsort(descriptor->components, descriptor->n_components, sizeof(CompositeComponent),
          compare_offsets);
    r = set_sizes(descriptor, error);
    if (r < 0)
        return r;
    *ret_descriptor = TAKE_PTR(descriptor);
    return 0;
}

int composite_descriptor_read(const ByteSource *source,
                              const char *name,
                              CompositeDescriptor **ret_descriptor,
                              Error *error)
{
    _cleanup_free_ uint8_t *bytes = NULL;

    int r = byte_source_read_all(source, COMPOSITE_DESCRIPTOR_MAX, &bytes);
    if (r == -EFBIG)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "'%s' is no composite disk: it has %" PRIu64
                         " bytes, a descriptor at most "
                         "%d",
                         name, source->size, COMPOSITE_DESCRIPTOR_MAX);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read '%s'", name);
    return composite_descriptor_decode(bytes, (size_t)source->size, ret_descriptor, error);
}
