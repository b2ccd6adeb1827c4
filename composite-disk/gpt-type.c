/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/gpt-type.h"

#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/guid.h"

const uint8_t gpt_type_linux_generic[GUID_SIZE] = {
    0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
};

static const struct {
    const char *name;
    const char *guid;
} table[] = {
    { "linux-generic", "0fc63daf-8483-4772-8e79-3d69d8477de4" },
    { "esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" },
    { "xbootldr", "bc13c2ff-59e6-4262-a352-b275fd6f7172" },
    { "bios-boot", "21686148-6449-6e6f-744e-656564454649" },
    { "swap", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" },
    { "home", "933ac7e1-2eb4-4f13-b844-0e14e2aef915" },
    { "srv", "3b8f8425-20e0-4f3b-907f-1a25a76f98e8" },
    { "var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d" },
    { "tmp", "7ec6f557-3bc5-4aca-b293-16ef5df639d1" },
    { "user-home", "773f91ef-66d4-49b5-bd83-d683bf40ad16" },
    { "root-x86-64", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" },
    { "root-x86-64-verity", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5" },
    { "root-x86-64-verity-sig", "41092b05-9fc8-4523-994f-2def0408b176" },
    { "usr-x86-64", "8484680c-9521-48c6-9c11-b0720656f69e" },
    { "usr-x86-64-verity", "77ff5f63-e7b6-4633-acf4-1565b864c0e6" },
    { "root-arm64", "b921b045-1df0-41c3-af44-4c6f280d3fae" },
    { "root-arm64-verity", "df3300ce-d69f-4c92-978c-9bfb0f38d820" },
    { "usr-arm64", "b0e01050-ee5f-4390-949a-9101b17104e9" },
    { "usr-arm64-verity", "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e" },
    { "lvm", "e6d6d379-f507-44c2-a23c-238f2a3df928" },
    { "raid", "a19d880f-05fc-4d3b-a006-743f0f84911e" },
    { "luks", "ca7d7ccb-63ed-4c53-861c-1742536059cc" },
    { "microsoft-basic-data", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
};

const char *gpt_type_to_string(const uint8_t *type)
{
    char text[GUID_STRING_SIZE];

    guid_to_string(type, text);
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        if (strcmp(table[i].guid, text) == 0)
            return table[i].name;
    }
    return NULL;
}

int gpt_type_from_string(const char *name, uint8_t *ret_type)
{
    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        if (strcmp(table[i].name, name) == 0)
            return guid_from_string(table[i].guid, ret_type);
    }
    return guid_from_string(name, ret_type);
}

const char *gpt_type_get_name(size_t index)
{
    return index < ELEMENTS_OF(table) ? table[index].name : NULL;
}
