/* SPDX-License-Identifier: Apache-2.0 */
/* The interface XML is the contract, the tables of methods and properties are what is done: both
 * must say the same. The scanner reads only XML that is written as ours is: one element a line. */
#include <string.h>

#include "dbus/interfaces.h"
#include "tests/helpers/test.h"
#include "virtualizationd/manager-interface.h"
#include "virtualizationd/vm.h"

#define MEMBERS_MAX    64
#define TEXT_SIZE      64
#define SIGNATURE_SIZE 64

typedef enum MemberKind {
    MEMBER_METHOD,
    MEMBER_PROPERTY,
    MEMBER_SIGNAL,
} MemberKind;

typedef struct Member {
    MemberKind kind;
    char name[TEXT_SIZE];
    char in[SIGNATURE_SIZE];  /* method: of its arguments */
    char out[SIGNATURE_SIZE]; /* method: of its reply; property: its type */
} Member;

typedef struct Contract {
    char name[TEXT_SIZE];
    Member members[MEMBERS_MAX];
    size_t n_members;
} Contract;

/* Copies the attribute @name of the element at @tag, which ends at the next '>'. */
static bool get_attribute(const char *tag, const char *name, char value[static TEXT_SIZE])
{
    char pattern[TEXT_SIZE];
    const char *end = strchr(tag, '>');

    (void)snprintf(pattern, sizeof(pattern), " %s=\"", name);
    const char *found = strstr(tag, pattern);
    if (!end || !found || found > end)
        return false;
    found += strlen(pattern);
    size_t length = strcspn(found, "\"");
    assert_true(length < TEXT_SIZE);
    memcpy(value, found, length);
    value[length] = '\0';
    return true;
}

static Member *add_member(Contract *contract, MemberKind kind, const char *tag)
{
    assert_true(contract->n_members < MEMBERS_MAX);
    Member *member = &contract->members[contract->n_members++];

    *member = (Member){ .kind = kind };
    assert_true(get_attribute(tag, "name", member->name));
    return member;
}

static void add_argument(Member *member, const char *tag)
{
    char type[TEXT_SIZE], direction[TEXT_SIZE];

    assert_non_null(member);
    assert_true(get_attribute(tag, "type", type));
    if (member->kind == MEMBER_SIGNAL)
        return;
    assert_true(get_attribute(tag, "direction", direction));
    assert_true(strcmp(direction, "in") == 0 || strcmp(direction, "out") == 0);
    char *signature = strcmp(direction, "in") == 0 ? member->in : member->out;
    assert_true(strlen(signature) + strlen(type) < SIGNATURE_SIZE);
    strcat(signature, type);
}

static void scan(const char *xml, Contract *contract)
{
    Member *member = NULL;

    *contract = (Contract){ .n_members = 0 };
    for (const char *tag = strchr(xml, '<'); tag; tag = strchr(tag + 1, '<')) {
        if (strncmp(tag, "<interface ", 11) == 0) {
            assert_true(get_attribute(tag, "name", contract->name));
        } else if (strncmp(tag, "<method ", 8) == 0) {
            member = add_member(contract, MEMBER_METHOD, tag);
        } else if (strncmp(tag, "<signal ", 8) == 0) {
            member = add_member(contract, MEMBER_SIGNAL, tag);
        } else if (strncmp(tag, "<property ", 10) == 0) {
            char access[TEXT_SIZE];

            member = add_member(contract, MEMBER_PROPERTY, tag);
            assert_true(get_attribute(tag, "type", member->out));
            assert_true(get_attribute(tag, "access", access));
            assert_string_equal(access, "read");
        } else if (strncmp(tag, "<arg ", 5) == 0) {
            add_argument(member, tag);
        } else {
            assert_true(tag[1] == '/' || strncmp(tag, "<annotation ", 12) == 0);
        }
    }
}

static const Member *find_member(const Contract *contract, MemberKind kind, const char *name)
{
    for (size_t i = 0; i < contract->n_members; i++) {
        if (contract->members[i].kind == kind && strcmp(contract->members[i].name, name) == 0)
            return &contract->members[i];
    }
    return NULL;
}

static size_t count_members(const Contract *contract, MemberKind kind)
{
    size_t n_members = 0;

    for (size_t i = 0; i < contract->n_members; i++)
        n_members += contract->members[i].kind == kind;
    return n_members;
}

/* What the table has is in the contract, and it has as many: names are unique on both sides. */
static void assert_keeps_contract(const BusInterface *interface, const char *name)
{
    Contract contract;

    scan(interface->xml, &contract);
    assert_string_equal(interface->name, name);
    assert_string_equal(contract.name, name);
    for (size_t i = 0; i < contract.n_members; i++)
        assert_ptr_equal(find_member(&contract, contract.members[i].kind, contract.members[i].name),
                         &contract.members[i]);

    for (size_t i = 0; i < interface->n_methods; i++) {
        const BusMethod *method = &interface->methods[i];
        const Member *member = find_member(&contract, MEMBER_METHOD, method->name);

        if (!member)
            fail_msg("the XML has no method %s", method->name);
        assert_string_equal(method->in, member->in);
        assert_string_equal(method->out, member->out);
        assert_non_null(method->handler);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(method->name, interface->methods[j].name);
    }
    assert_int_equal(interface->n_methods, count_members(&contract, MEMBER_METHOD));

    for (size_t i = 0; i < interface->n_properties; i++) {
        const BusProperty *property = &interface->properties[i];
        const Member *member = find_member(&contract, MEMBER_PROPERTY, property->name);

        if (!member)
            fail_msg("the XML has no property %s", property->name);
        assert_string_equal(property->type, member->out);
        assert_non_null(property->get);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(property->name, interface->properties[j].name);
    }
    assert_int_equal(interface->n_properties, count_members(&contract, MEMBER_PROPERTY));
}

static void manager_does_what_its_interface_promises(void **state)
{
    (void)state;

    assert_keeps_contract(&manager_interface, BUS_MANAGER_INTERFACE);
    assert_ptr_equal(manager_interface.xml, bus_manager_xml);
}

static void vm_does_what_its_interface_promises(void **state)
{
    (void)state;
    Contract contract;

    assert_keeps_contract(&vm_interface, BUS_VM_INTERFACE);
    assert_ptr_equal(vm_interface.xml, bus_vm_xml);
    scan(bus_vm_xml, &contract);
    assert_int_equal(count_members(&contract, MEMBER_SIGNAL), 5);
}

static void signatures_are_valid_on_the_bus(void **state)
{
    (void)state;
    static const BusInterface *const interfaces[] = { &manager_interface, &vm_interface };

    for (size_t i = 0; i < ELEMENTS_OF(interfaces); i++) {
        assert_true(dbus_validate_interface(interfaces[i]->name, NULL));
        for (size_t j = 0; j < interfaces[i]->n_methods; j++) {
            assert_true(dbus_validate_member(interfaces[i]->methods[j].name, NULL));
            assert_true(dbus_signature_validate(interfaces[i]->methods[j].in, NULL));
            assert_true(dbus_signature_validate(interfaces[i]->methods[j].out, NULL));
        }
        for (size_t j = 0; j < interfaces[i]->n_properties; j++)
            assert_true(dbus_signature_validate_single(interfaces[i]->properties[j].type, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manager_does_what_its_interface_promises),
        cmocka_unit_test(vm_does_what_its_interface_promises),
        cmocka_unit_test(signatures_are_valid_on_the_bus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
