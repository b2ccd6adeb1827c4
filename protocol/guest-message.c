/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/guest-message.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json-keys.h"
#include "common/json-object.h"
#include "common/text.h"

/* A frame goes through four gates, each of which may rely on the one before: the size; json-c, in
 * strict mode and with a depth cap; a look at the text for keys that one object has twice, of which
 * json-c keeps the last and says nothing; and the tables of fields below. json-c's getters convert
 * ("12abc" becomes 12) and clamp, so every type is checked before a getter is called. */

/* The largest legitimate frame, an Error, has five. */
#define KEYS_MAX 16

/* How much of a foreign name is shown in a sentence. */
#define SHOWN_SIZE 64

#define METHOD_SIZE 96

#define LOWER      "abcdefghijklmnopqrstuvwxyz"
#define UPPER      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS     "0123456789"
#define NAME_CHARS LOWER UPPER DIGITS ".-"

typedef enum FieldType {
    FIELD_BOOL,    /* bool */
    FIELD_INTEGER, /* int32_t, from min to max */
    FIELD_CHOICE,  /* an enum; the text is one of choices */
    FIELD_NAME,    /* char[size] of the characters in alphabet, at least one */
    FIELD_TEXT,    /* char[size] of any characters; cut at one when it is longer */
    FIELD_OBJECT,  /* json_object *, lent */
} FieldType;

typedef enum FieldFlags {
    FIELD_REQUIRED = 1 << 0,
    FIELD_NULLABLE = 1 << 1, /* null is the same as no such key */
} FieldFlags;

typedef struct Field {
    const char *name;
    FieldType type;
    unsigned flags;
    size_t offset; /* of the destination in its struct */
    size_t size;
    int32_t min, max;
    const char *alphabet;
    const char *const *choices;
    size_t n_choices;
} Field;

typedef struct FieldTable {
    const Field *fields;
    size_t n_fields;
} FieldTable;

#define FIELD_TABLE(array)                                \
    {                                                     \
        .fields = (array), .n_fields = ELEMENTS_OF(array) \
    }

typedef struct CallEnvelope {
    char method[METHOD_SIZE];
    json_object *parameters;
    bool more;
} CallEnvelope;

typedef struct ReplyEnvelope {
    char error_name[sizeof(((GuestReply *)NULL)->error_name)];
    json_object *parameters;
    bool continues;
} ReplyEnvelope;

static const char *const error_code_names[GUEST_ERROR_CODE_MAX] = {
    [GUEST_ERROR_UNKNOWN] = "unknown",
    [GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED] = "payload-verification-failed",
    [GUEST_ERROR_PAYLOAD_CHANGED] = "payload-changed",
    [GUEST_ERROR_PAYLOAD_INVALID_CONFIG] = "payload-invalid-config",
    [GUEST_ERROR_FIRMWARE_PUBLIC_KEY_MISMATCH] = "firmware-public-key-mismatch",
    [GUEST_ERROR_FIRMWARE_INSTANCE_IMAGE_CHANGED] = "firmware-instance-image-changed",
};

/* GUEST_COMMAND_NONE is the absence of the key. */
static const char *const command_names[GUEST_COMMAND_MAX] = {
    [GUEST_COMMAND_STOP] = "stop",
    [GUEST_COMMAND_MEMORY_TRIM] = "memory-trim",
};

static const Field call_envelope_fields[] = {
    { .name = "method",
      .type = FIELD_NAME,
      .flags = FIELD_REQUIRED,
      .offset = offsetof(CallEnvelope, method),
      .size = METHOD_SIZE,
      .alphabet = NAME_CHARS },
    { .name = "parameters", .type = FIELD_OBJECT, .offset = offsetof(CallEnvelope, parameters) },
    { .name = "more", .type = FIELD_BOOL, .offset = offsetof(CallEnvelope, more) },
};

static const Field payload_finished_fields[] = {
    { .name = "exit_code",
      .type = FIELD_INTEGER,
      .flags = FIELD_REQUIRED,
      .offset = offsetof(GuestCall, exit_code),
      .min = 0,
      .max = 255 },
};

static const Field error_fields[] = {
    { .name = "code",
      .type = FIELD_CHOICE,
      .flags = FIELD_REQUIRED,
      .offset = offsetof(GuestCall, error_code),
      .choices = error_code_names,
      .n_choices = GUEST_ERROR_CODE_MAX },
    { .name = "message",
      .type = FIELD_TEXT,
      .flags = FIELD_REQUIRED,
      .offset = offsetof(GuestCall, message),
      .size = sizeof(((GuestCall *)NULL)->message) },
    { .name = "signal",
      .type = FIELD_INTEGER,
      .flags = FIELD_NULLABLE,
      .offset = offsetof(GuestCall, signal),
      .min = 1,
      .max = 64 },
};

static const Field open_stream_fields[] = {
    { .name = "name",
      .type = FIELD_NAME,
      .flags = FIELD_REQUIRED,
      .offset = offsetof(GuestCall, stream_name),
      .size = sizeof(((GuestCall *)NULL)->stream_name),
      .alphabet = LOWER DIGITS "-" },
};

static const Field reply_envelope_fields[] = {
    { .name = "error",
      .type = FIELD_NAME,
      .offset = offsetof(ReplyEnvelope, error_name),
      .size = sizeof(((ReplyEnvelope *)NULL)->error_name),
      .alphabet = NAME_CHARS },
    { .name = "parameters", .type = FIELD_OBJECT, .offset = offsetof(ReplyEnvelope, parameters) },
    { .name = "continues", .type = FIELD_BOOL, .offset = offsetof(ReplyEnvelope, continues) },
};

static const Field reply_fields[] = {
    { .name = "command",
      .type = FIELD_CHOICE,
      .offset = offsetof(GuestReply, command),
      .choices = command_names,
      .n_choices = GUEST_COMMAND_MAX },
};

static const Field error_reply_fields[] = {
    { .name = "message",
      .type = FIELD_TEXT,
      .offset = offsetof(GuestReply, error_message),
      .size = sizeof(((GuestReply *)NULL)->error_message) },
};

static const FieldTable call_envelope_table = FIELD_TABLE(call_envelope_fields);
static const FieldTable reply_envelope_table = FIELD_TABLE(reply_envelope_fields);
static const FieldTable reply_table = FIELD_TABLE(reply_fields);
static const FieldTable error_reply_table = FIELD_TABLE(error_reply_fields);

typedef struct Method {
    const char *name;
    FieldTable parameters;
    bool more; /* the method is called with "more", the others are not */
} Method;

static const Method methods[GUEST_CALL_TYPE_MAX] = {
    [GUEST_CALL_PAYLOAD_STARTED] = { .name = GUEST_LINK_INTERFACE ".PayloadStarted" },
    [GUEST_CALL_PAYLOAD_READY] = { .name = GUEST_LINK_INTERFACE ".PayloadReady" },
    [GUEST_CALL_PAYLOAD_FINISHED] = { .name = GUEST_LINK_INTERFACE ".PayloadFinished",
                                      .parameters = FIELD_TABLE(payload_finished_fields) },
    [GUEST_CALL_ERROR] = { .name = GUEST_LINK_INTERFACE ".Error",
                           .parameters = FIELD_TABLE(error_fields) },
    [GUEST_CALL_SUBSCRIBE] = { .name = GUEST_LINK_INTERFACE ".Subscribe", .more = true },
    [GUEST_CALL_OPEN_STREAM] = { .name = GUEST_LINK_INTERFACE ".OpenStream",
                                 .parameters = FIELD_TABLE(open_stream_fields) },
};

const char *guest_error_code_to_string(GuestErrorCode code)
{
    return (unsigned)code < GUEST_ERROR_CODE_MAX ? error_code_names[code] : NULL;
}

static int choice_from_string(const char *const *choices, size_t n_choices, const char *name)
{
    for (size_t i = 0; i < n_choices; i++) {
        if (choices[i] && strcmp(choices[i], name) == 0)
            return (int)i;
    }
    return -EINVAL;
}

int guest_error_code_from_string(const char *name, GuestErrorCode *ret_code)
{
    int r = choice_from_string(error_code_names, ELEMENTS_OF(error_code_names), name);
    if (r < 0)
        return r;

    *ret_code = (GuestErrorCode)r;
    return 0;
}

/* -EBADMSG with a sentence about the frame. */
#define refuse(error, ...) ((void)error_set((error), ERROR_FAILED, __VA_ARGS__), -EBADMSG)

/* The same about the foreign name @name, of which as much is shown as is decent. */
static int refuse_name(Error *error, const char *what, const char *name, size_t size)
{
    char shown[SHOWN_SIZE];

    (void)text_escape(name, size, shown, sizeof(shown));
    return refuse(error, "%s '%s'", what, shown);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int parse_frame(const char *frame, size_t size, json_object **ret_object, Error *error)
{
    if (size > GUEST_FRAME_SIZE_MAX)
        return refuse(error, "the frame has more than %d bytes", GUEST_FRAME_SIZE_MAX);
    if (size == 0 || memchr(frame, '\0', size))
        return refuse(error, "the frame is empty or has a NUL inside");

    _cleanup_(json_tokener_freep) json_tokener *tokener =
        json_tokener_new_ex(GUEST_FRAME_DEPTH_MAX);
    if (!tokener)
        return error_set(error, ERROR_NO_MEMORY, "out of memory for a frame");

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    _cleanup_(json_object_putp) json_object *object =
        json_tokener_parse_ex(tokener, frame, (int)size);
    enum json_tokener_error parse_error = json_tokener_get_error(tokener);
    if (parse_error != json_tokener_success)
        return refuse(error, "not a JSON value at byte %zu: %s",
                      json_tokener_get_parse_end(tokener), json_tokener_error_desc(parse_error));
    if (!json_object_is_type(object, json_type_object))
        return refuse(error, "the frame is not an object");
    /* json-c 0.16 stops at the end of the value when it is given a length. */
    for (size_t i = json_tokener_get_parse_end(tokener); i < size; i++) {
        if (!is_space(frame[i]))
            return refuse(error, "there is more than one value in the frame");
    }

    int r = json_keys_check(frame, size, KEYS_MAX, ERROR_FAILED, error);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return -EBADMSG;

    *ret_object = TAKE_PTR(object);
    return 0;
}

/* The longest prefix of @text that fits @capacity with its NUL and ends with a whole character. */
static size_t cut_at_character(const char *text, size_t size, size_t capacity)
{
    if (size < capacity)
        return size;

    size = capacity - 1;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static int decode_string(const Field *field, json_object *value, char *destination, Error *error)
{
    const char *text = json_object_get_string(value);
    size_t size = (size_t)json_object_get_string_len(value);

    /* "\u0000" is valid JSON, and what json-c makes of escaped surrogates need not be UTF-8. */
    if (!text_is_utf8(text, size))
        return refuse(error, "'%s' is not text", field->name);

    switch (field->type) {
    case FIELD_NAME:
        if (size == 0 || size >= field->size || strspn(text, field->alphabet) != size)
            return refuse(error, "'%s' is not 1 to %zu of its characters", field->name,
                          field->size - 1);
        break;
    case FIELD_CHOICE: {
        int choice = choice_from_string(field->choices, field->n_choices, text);
        if (choice < 0) {
            char shown[SHOWN_SIZE];

            (void)text_escape(text, size, shown, sizeof(shown));
            return refuse(error, "'%s' has no value '%s'", field->name, shown);
        }
        memcpy(destination, &choice, sizeof(choice));
        return 0;
    }
    case FIELD_TEXT:
        size = cut_at_character(text, size, field->size);
        break;
    case FIELD_BOOL:
    case FIELD_INTEGER:
    case FIELD_OBJECT:
        assert(false);
    }
    memcpy(destination, text, size);
    destination[size] = '\0';
    return 0;
}

static int decode_field(const Field *field, json_object *value, char *destination, Error *error)
{
    static const struct {
        json_type type;
        const char *name;
    } expected[] = {
        [FIELD_BOOL] = { json_type_boolean, "a boolean" },
        [FIELD_INTEGER] = { json_type_int, "an integer" },
        [FIELD_CHOICE] = { json_type_string, "a string" },
        [FIELD_NAME] = { json_type_string, "a string" },
        [FIELD_TEXT] = { json_type_string, "a string" },
        [FIELD_OBJECT] = { json_type_object, "an object" },
    };

    if (!value && (field->flags & FIELD_NULLABLE))
        return 0;
    if (!json_object_is_type(value, expected[field->type].type))
        return refuse(error, "'%s' is not %s", field->name, expected[field->type].name);

    switch (field->type) {
    case FIELD_BOOL: {
        bool flag = json_object_get_boolean(value);
        memcpy(destination, &flag, sizeof(flag));
        return 0;
    }
    case FIELD_INTEGER: {
        int64_t number = json_object_get_int64(value);
        if (number < field->min || number > field->max)
            return refuse(error, "'%s' is not from %d to %d", field->name, field->min, field->max);
        int32_t narrow = (int32_t)number;
        memcpy(destination, &narrow, sizeof(narrow));
        return 0;
    }
    case FIELD_OBJECT:
        memcpy(destination, &value, sizeof(value));
        return 0;
    case FIELD_CHOICE:
    case FIELD_NAME:
    case FIELD_TEXT:
        break;
    }
    return decode_string(field, value, destination, error);
}

/* Decodes @object, which may be NULL for an empty one, into @destination. */
static int decode_fields(const FieldTable *table,
                         json_object *object,
                         void *destination,
                         Error *error)
{
    bool seen[8] = { false };

    assert(table->n_fields <= ELEMENTS_OF(seen));
    if (object) {
        struct json_object_iterator i = json_object_iter_begin(object);
        struct json_object_iterator end = json_object_iter_end(object);

        for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
            const char *key = json_object_iter_peek_name(&i);
            size_t k = 0;

            while (k < table->n_fields && strcmp(table->fields[k].name, key) != 0)
                k++;
            if (k == table->n_fields)
                return refuse_name(error, "unknown key", key, strlen(key));

            int r = decode_field(&table->fields[k], json_object_iter_peek_value(&i),
                                 (char *)destination + table->fields[k].offset, error);
            if (r < 0)
                return r;
            seen[k] = true;
        }
    }
    for (size_t k = 0; k < table->n_fields; k++) {
        if ((table->fields[k].flags & FIELD_REQUIRED) && !seen[k])
            return refuse(error, "there is no '%s'", table->fields[k].name);
    }
    return 0;
}

int guest_call_decode(const char *frame, size_t size, GuestCall *ret_call, Error *error)
{
    _cleanup_(json_object_putp) json_object *object = NULL;
    CallEnvelope envelope = { 0 };
    GuestCall call = { 0 };

    int r = parse_frame(frame, size, &object, error);
    if (r < 0)
        return r;
    r = decode_fields(&call_envelope_table, object, &envelope, error);
    if (r < 0)
        return r;

    unsigned type = 0;
    while (type < GUEST_CALL_TYPE_MAX && strcmp(methods[type].name, envelope.method) != 0)
        type++;
    if (type == GUEST_CALL_TYPE_MAX)
        return refuse(error, "there is no method '%s'", envelope.method);
    if (envelope.more != methods[type].more)
        return refuse(error, "'%s' is called %s \"more\"", envelope.method,
                      methods[type].more ? "with" : "without");

    call.type = (GuestCallType)type;
    r = decode_fields(&methods[type].parameters, envelope.parameters, &call, error);
    if (r < 0)
        return r;

    *ret_call = call;
    return 0;
}

int guest_reply_decode(const char *frame, size_t size, GuestReply *ret_reply, Error *error)
{
    _cleanup_(json_object_putp) json_object *object = NULL;
    ReplyEnvelope envelope = { 0 };
    GuestReply reply = { 0 };

    int r = parse_frame(frame, size, &object, error);
    if (r < 0)
        return r;
    r = decode_fields(&reply_envelope_table, object, &envelope, error);
    if (r < 0)
        return r;

    bool failed = envelope.error_name[0] != '\0';
    if (failed && envelope.continues)
        return refuse(error, "the reply is an error and continues");

    memcpy(reply.error_name, envelope.error_name, sizeof(reply.error_name));
    reply.continues = envelope.continues;
    r = decode_fields(failed ? &error_reply_table : &reply_table, envelope.parameters, &reply,
                      error);
    if (r < 0)
        return r;

    *ret_reply = reply;
    return 0;
}

/* Adds @value, which it takes, under @key. */
static int add_take(json_object *object, const char *key, json_object *value)
{
    if (!value)
        return -ENOMEM;
    if (json_object_object_add(object, key, value) < 0) {
        (void)json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

/* Adds the fields of @source; one that is optional and at its zero value stays out. */
static int encode_fields(const FieldTable *table, const void *source, json_object *object)
{
    for (size_t k = 0; k < table->n_fields; k++) {
        const Field *field = &table->fields[k];
        const char *member = (const char *)source + field->offset;
        bool required = field->flags & FIELD_REQUIRED;
        json_object *value = NULL;
        int32_t number;

        switch (field->type) {
        case FIELD_BOOL:
            if (!required && !*(const bool *)member)
                continue;
            value = json_object_new_boolean(*(const bool *)member);
            break;
        case FIELD_INTEGER:
            memcpy(&number, member, sizeof(number));
            if (!required && number == 0)
                continue;
            value = json_object_new_int(number);
            break;
        case FIELD_CHOICE:
            memcpy(&number, member, sizeof(number));
            assert(number >= 0 && (size_t)number < field->n_choices);
            if (!required && number == 0)
                continue;
            value = json_object_new_string(field->choices[number]);
            break;
        case FIELD_NAME:
        case FIELD_TEXT:
            if (!required && member[0] == '\0')
                continue;
            value = json_object_new_string(member);
            break;
        case FIELD_OBJECT:
            memcpy(&value, member, sizeof(value));
            value = json_object_get(value);
            break;
        }

        int r = add_take(object, field->name, value);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Writes the envelope with its fields and a NUL into @frame. */
static int write_frame(const FieldTable *table, const void *envelope, char *frame, size_t capacity)
{
    _cleanup_(json_object_putp) json_object *object = json_object_new_object();
    size_t length;

    if (!object)
        return -ENOMEM;
    int r = encode_fields(table, envelope, object);
    if (r < 0)
        return r;

    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
    if (!text)
        return -ENOMEM;
    if (length >= capacity)
        return -ENOBUFS;

    memcpy(frame, text, length + 1);
    return (int)(length + 1);
}

int guest_call_encode(const GuestCall *call, char *frame, size_t capacity)
{
    assert((unsigned)call->type < GUEST_CALL_TYPE_MAX);

    const Method *method = &methods[call->type];
    _cleanup_(json_object_putp) json_object *parameters = json_object_new_object();
    CallEnvelope envelope = { .parameters = parameters, .more = method->more };

    if (!parameters)
        return -ENOMEM;
    memcpy(envelope.method, method->name, strlen(method->name) + 1);
    int r = encode_fields(&method->parameters, call, parameters);
    if (r < 0)
        return r;
    return write_frame(&call_envelope_table, &envelope, frame, capacity);
}

int guest_reply_encode(const GuestReply *reply, char *frame, size_t capacity)
{
    _cleanup_(json_object_putp) json_object *parameters = json_object_new_object();
    ReplyEnvelope envelope = { .parameters = parameters, .continues = reply->continues };
    bool failed = reply->error_name[0] != '\0';

    if (!parameters)
        return -ENOMEM;
    memcpy(envelope.error_name, reply->error_name, sizeof(envelope.error_name));
    int r = encode_fields(failed ? &error_reply_table : &reply_table, reply, parameters);
    if (r < 0)
        return r;
    return write_frame(&reply_envelope_table, &envelope, frame, capacity);
}
