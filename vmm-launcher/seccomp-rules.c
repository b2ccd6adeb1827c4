/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/seccomp-rules.h"

#include <ctype.h>
#include <errno.h>
#include <json.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json-keys.h"
#include "common/text.h"

#define POINTER_SIZE 128
#define SHOWN_SIZE   64
#define ERRNO_MAX    4095 /* the kernel's MAX_ERRNO */

/* Where in the text a value stands, for what is said of it. */
typedef struct Place {
    char pointer[POINTER_SIZE];
} Place;

/* A key of an object, and where its value goes. */
typedef struct Field {
    const char *name;
    json_type type;
    bool required;
    json_object **value;
} Field;

static Place place_in(const Place *outer, const char *key)
{
    Place place;
    (void)snprintf(place.pointer, sizeof(place.pointer), "%.80s/%.40s", outer->pointer, key);
    return place;
}

static Place place_at(const Place *outer, size_t index)
{
    char number[24];
    (void)snprintf(number, sizeof(number), "%zu", index);
    return place_in(outer, number);
}

static int refuse(const Place *place, json_object *value, const char *what, Error *error)
{
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    char shown[SHOWN_SIZE];

    text_escape(text, strlen(text), shown, sizeof(shown));
    return error_set(error, ERROR_INVALID_CONFIG, "%s: %s: %s",
                     place->pointer[0] ? place->pointer : "/", what, shown);
}

static int read_object(
    json_object *object, const Place *place, const Field *fields, size_t n_fields, Error *error)
{
    if (!json_object_is_type(object, json_type_object))
        return refuse(place, object, "not an object", error);
    json_object_object_foreach(object, key, value)
    {
        const Place inner = place_in(place, key);
        size_t i = 0;

        while (i < n_fields && strcmp(fields[i].name, key) != 0)
            i++;
        if (i == n_fields)
            return refuse(&inner, value, "unknown key", error);
        if (!json_object_is_type(value, fields[i].type))
            return refuse(&inner, value, "wrong type", error);
        *fields[i].value = value;
    }
    for (size_t i = 0; i < n_fields; i++) {
        if (fields[i].required && !*fields[i].value)
            return error_set(error, ERROR_INVALID_CONFIG, "%s/%s: missing", place->pointer,
                             fields[i].name);
    }
    return 0;
}

/* json-c makes the nearest number it has of one too large or too small. */
static int read_number(
    json_object *value, const Place *place, uint64_t max, uint64_t *ret_number, Error *error)
{
    uint64_t number = json_object_get_uint64(value);

    if (json_object_get_int64(value) < 0 || number > max || number == UINT64_MAX)
        return refuse(place, value, "number out of range", error);
    *ret_number = number;
    return 0;
}

static int read_operation(json_object *value,
                          const Place *place,
                          uint32_t *ret_operation,
                          Error *error)
{
    static const char *const names[SECCOMP_OPERATION_MAX] = {
        [SECCOMP_EQ] = "SCMP_CMP_EQ",
        [SECCOMP_NE] = "SCMP_CMP_NE",
        [SECCOMP_LT] = "SCMP_CMP_LT",
        [SECCOMP_LE] = "SCMP_CMP_LE",
        [SECCOMP_GE] = "SCMP_CMP_GE",
        [SECCOMP_GT] = "SCMP_CMP_GT",
        [SECCOMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
    };

    for (uint32_t i = 0; i < SECCOMP_OPERATION_MAX; i++) {
        if (strcmp(json_object_get_string(value), names[i]) == 0) {
            *ret_operation = i;
            return 0;
        }
    }
    return refuse(place, value, "unknown operation", error);
}

static int read_condition(json_object *object,
                          const Place *place,
                          SeccompCondition *ret_condition,
                          Error *error)
{
    json_object *index = NULL, *value = NULL, *value_two = NULL, *operation = NULL;
    const Field fields[] = {
        { "index", json_type_int, true, &index },
        { "value", json_type_int, true, &value },
        { "valueTwo", json_type_int, false, &value_two },
        { "op", json_type_string, true, &operation },
    };
    const Place index_place = place_in(place, "index"), value_place = place_in(place, "value"),
                two_place = place_in(place, "valueTwo"), operation_place = place_in(place, "op");
    SeccompCondition condition = { .mask = UINT64_MAX };
    uint64_t argument = 0, first = 0, second = 0;

    int r = read_object(object, place, fields, ELEMENTS_OF(fields), error);
    if (r < 0)
        return r;
    r = read_number(index, &index_place, SECCOMP_POLICY_ARGUMENTS - 1, &argument, error);
    if (r >= 0)
        r = read_number(value, &value_place, UINT64_MAX, &first, error);
    if (r >= 0 && value_two)
        r = read_number(value_two, &two_place, UINT64_MAX, &second, error);
    if (r >= 0)
        r = read_operation(operation, &operation_place, &condition.operation, error);
    if (r < 0)
        return r;

    condition.argument = (uint32_t)argument;
    condition.value = first;
    if (condition.operation == SECCOMP_MASKED_EQ) {
        if (!value_two || (second & ~first) != 0)
            return refuse(place, object, "valueTwo is not a part of the mask", error);
        condition.mask = first;
        condition.value = second;
    } else if (value_two) {
        return refuse(&two_place, value_two, "only SCMP_CMP_MASKED_EQ has two values", error);
    }
    *ret_condition = condition;
    return 0;
}

static int read_conditions(json_object *array,
                           const Place *place,
                           SeccompStartupRule *rule,
                           Error *error)
{
    size_t n = array ? json_object_array_length(array) : 0;
    unsigned seen = 0;

    if (n > SECCOMP_POLICY_CONDITIONS_MAX)
        return refuse(place, array, "too many conditions", error);
    for (size_t i = 0; i < n; i++) {
        const Place inner = place_at(place, i);
        json_object *object = json_object_array_get_idx(array, i);

        int r = read_condition(object, &inner, &rule->conditions[i], error);
        if (r < 0)
            return r;
        /* libseccomp has no such rule (a mask or an entry of its own does it). */
        if (seen & 1U << rule->conditions[i].argument)
            return refuse(&inner, object, "the argument is compared twice", error);
        seen |= 1U << rule->conditions[i].argument;
    }
    rule->n_conditions = (uint32_t)n;
    return 0;
}

static int read_action(json_object *action,
                       json_object *errno_ret,
                       const Place *place,
                       uint32_t *ret_action,
                       Error *error)
{
    const char *name = json_object_get_string(action);
    const Place inner = place_in(place, "action"), errno_place = place_in(place, "errnoRet");
    uint64_t number;

    if (strcmp(name, "SCMP_ACT_ERRNO") == 0) {
        if (!errno_ret)
            return error_set(error, ERROR_INVALID_CONFIG, "%s/errnoRet: missing", place->pointer);
        int r = read_number(errno_ret, &errno_place, ERRNO_MAX, &number, error);
        if (r < 0)
            return r;
        if (number == 0)
            return refuse(&errno_place, errno_ret, "no error", error);
        *ret_action = SCMP_ACT_ERRNO((uint32_t)number);
        return 0;
    }
    if (errno_ret)
        return refuse(&errno_place, errno_ret, "only SCMP_ACT_ERRNO has it", error);
    if (strcmp(name, "SCMP_ACT_ALLOW") == 0)
        *ret_action = SCMP_ACT_ALLOW;
    else if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
        *ret_action = SCMP_ACT_NOTIFY;
    else
        return refuse(&inner, action, "not SCMP_ACT_ALLOW, SCMP_ACT_NOTIFY or SCMP_ACT_ERRNO",
                      error);
    return 0;
}

/* Two rules for one call of which the filter could follow only one. A start-up rule may stand
 * beside others: it counts where none of them matches. */
static bool contradicts(const SeccompRule *one, const SeccompRule *other)
{
    if (one->on.number != other->on.number || one->action == other->action)
        return false;
    return (one->on.n_conditions == 0 && one->action != SCMP_ACT_NOTIFY) ||
           (other->on.n_conditions == 0 && other->action != SCMP_ACT_NOTIFY);
}

/* Nothing of what was said before of the call counts any more. */
static void remove_rules(SeccompRules *rules, uint32_t number)
{
    size_t n_kept = 0;

    for (size_t i = 0; i < rules->n_rules; i++) {
        if (rules->rules[i].on.number != number)
            rules->rules[n_kept++] = rules->rules[i];
    }
    rules->n_rules = n_kept;
}

static int add_rule(SeccompRules *rules,
                    SeccompText kind,
                    const SeccompRule *rule,
                    json_object *name,
                    const Place *place,
                    Error *error)
{
    if (kind == SECCOMP_TEXT_FRAGMENT && rule->on.n_conditions == 0)
        remove_rules(rules, rule->on.number);
    for (size_t i = 0; i < rules->n_rules; i++) {
        if (contradicts(&rules->rules[i], rule))
            return refuse(place, name, "contradicts an earlier entry", error);
        if (memcmp(&rules->rules[i], rule, sizeof(*rule)) == 0)
            return refuse(place, name, "repeats an earlier entry", error);
    }
    if (rules->n_rules == SECCOMP_RULES_MAX)
        return refuse(place, name, "too many rules", error);
    if (!rules->rules)
        rules->rules = calloc(SECCOMP_RULES_MAX, sizeof(*rules->rules));
    if (!rules->rules)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    rules->rules[rules->n_rules++] = *rule;
    return 0;
}

static int read_entry(
    SeccompRules *rules, SeccompText kind, json_object *object, const Place *place, Error *error)
{
    json_object *names = NULL, *action = NULL, *errno_ret = NULL, *args = NULL, *comment = NULL;
    const Field fields[] = {
        { "names", json_type_array, true, &names },
        { "action", json_type_string, true, &action },
        { "errnoRet", json_type_int, false, &errno_ret },
        { "args", json_type_array, false, &args },
        { "comment", json_type_string, false, &comment },
    };
    const Place args_place = place_in(place, "args"), names_place = place_in(place, "names");
    SeccompRule rule;

    memset(&rule, 0, sizeof(rule)); /* padding as well: rules are compared */
    int r = read_object(object, place, fields, ELEMENTS_OF(fields), error);
    if (r < 0)
        return r;
    r = read_action(action, errno_ret, place, &rule.action, error);
    if (r < 0)
        return r;
    r = read_conditions(args, &args_place, &rule.on, error);
    if (r < 0)
        return r;
    if (json_object_array_length(names) == 0)
        return refuse(&names_place, names, "no name", error);

    for (size_t i = 0; i < json_object_array_length(names); i++) {
        json_object *name = json_object_array_get_idx(names, i);
        const Place inner = place_at(&names_place, i);

        if (!json_object_is_type(name, json_type_string))
            return refuse(&inner, name, "wrong type", error);
        /* Negative: of another architecture, or of none. */
        int number = seccomp_syscall_resolve_name(json_object_get_string(name));
        if (number < 0)
            return refuse(&inner, name, "no system call of this architecture", error);
        rule.on.number = (uint32_t)number;
        r = add_rule(rules, kind, &rule, name, &inner, error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The filter is made for this machine's own architecture, which has to be among them. */
static int check_architectures(json_object *array, const Place *place, Error *error)
{
    bool has_native = false;

    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *value = json_object_array_get_idx(array, i);
        const Place inner = place_at(place, i);
        static const char prefix[] = "SCMP_ARCH_";
        char name[32] = "";
        uint32_t architecture = 0;

        if (!json_object_is_type(value, json_type_string))
            return refuse(&inner, value, "wrong type", error);
        const char *text = json_object_get_string(value);
        if (strncmp(text, prefix, strlen(prefix)) == 0) {
            (void)snprintf(name, sizeof(name), "%s", text + strlen(prefix));
            for (char *c = name; *c; c++)
                *c = (char)tolower((unsigned char)*c);
            architecture = seccomp_arch_resolve_name(name);
        }
        if (architecture == 0)
            return refuse(&inner, value, "unknown architecture", error);
        has_native = has_native || architecture == seccomp_arch_native();
    }
    return has_native ? 0 : refuse(place, array, "this machine's architecture is missing", error);
}

static int read_document(SeccompRules *rules, SeccompText kind, json_object *root, Error *error)
{
    json_object *action = NULL, *architectures = NULL, *syscalls = NULL;
    const Field fields[] = {
        { "syscalls", json_type_array, true, &syscalls },
        { "defaultAction", json_type_string, true, &action },
        { "architectures", json_type_array, true, &architectures },
    };
    const Place place = { "" };
    const Place syscalls_place = place_in(&place, "syscalls"),
                action_place = place_in(&place, "defaultAction"),
                architectures_place = place_in(&place, "architectures");

    int r = read_object(root, &place, fields, kind == SECCOMP_TEXT_FRAGMENT ? 1 : 3, error);
    if (r < 0)
        return r;
    if (action && strcmp(json_object_get_string(action), "SCMP_ACT_KILL_PROCESS") != 0)
        return refuse(&action_place, action, "not SCMP_ACT_KILL_PROCESS", error);
    if (architectures)
        r = check_architectures(architectures, &architectures_place, error);
    for (size_t i = 0; r >= 0 && i < json_object_array_length(syscalls); i++) {
        const Place inner = place_at(&syscalls_place, i);
        r = read_entry(rules, kind, json_object_array_get_idx(syscalls, i), &inner, error);
    }
    return r;
}

int seccomp_rules_parse(
    SeccompRules *rules, SeccompText kind, const char *text, size_t size, Error *error)
{
    if (size > SECCOMP_RULES_TEXT_MAX)
        return error_set(error, ERROR_INVALID_CONFIG, "/: more than %d bytes",
                         SECCOMP_RULES_TEXT_MAX);
    struct json_tokener *tokener = json_tokener_new_ex(JSON_KEYS_DEPTH_MAX);
    if (!tokener)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json_object *root = json_tokener_parse_ex(tokener, text, (int)size);
    enum json_tokener_error status = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    int r = 0;
    while (end < size && isspace((unsigned char)text[end]))
        end++;
    if (status != json_tokener_success || end < size)
        r = error_set(error, ERROR_INVALID_CONFIG, "/: no JSON, at byte %zu: %s", end,
                      status != json_tokener_success ? json_tokener_error_desc(status)
                                                     : "text behind the value");
    if (r >= 0)
        r = json_keys_check(text, size, SECCOMP_RULES_KEYS_MAX, ERROR_INVALID_CONFIG, error);
    if (r >= 0)
        r = read_document(rules, kind, root, error);
    json_object_put(root);
    json_tokener_free(tokener);
    return r;
}

void seccomp_rules_deinit(SeccompRules *rules)
{
    free(rules->rules);
    rules->rules = NULL;
    rules->n_rules = 0;
}
