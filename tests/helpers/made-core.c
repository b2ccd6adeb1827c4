/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helpers/made-core.h"

#include <assert.h>
#include <elf.h>
#include <string.h>

#define N_HEADERS   3
#define NOTES_START (sizeof(Elf64_Ehdr) + N_HEADERS * sizeof(Elf64_Phdr))

static void put(MadeCore *made, const void *bytes, size_t size)
{
    assert(made->size + size <= sizeof(made->bytes));
    memcpy(made->bytes + made->size, bytes, size);
    made->size += size;
}

void made_core_init_empty(MadeCore *made)
{
    const Elf64_Ehdr header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                                             ELFDATA2LSB, EV_CURRENT },
                                .e_type = ET_CORE,
                                .e_machine = EM_X86_64,
                                .e_version = EV_CURRENT,
                                .e_phoff = sizeof(Elf64_Ehdr),
                                .e_ehsize = sizeof(Elf64_Ehdr),
                                .e_phentsize = sizeof(Elf64_Phdr),
                                .e_phnum = N_HEADERS };

    memset(made, 0, sizeof(*made));
    put(made, &header, sizeof(header));
    made->size = NOTES_START;
    made_core_finish(made);
}

void made_core_finish(MadeCore *made)
{
    const Elf64_Phdr headers[N_HEADERS] = {
        { .p_type = PT_NOTE, .p_offset = NOTES_START, .p_filesz = made->size - NOTES_START },
        { .p_type = PT_LOAD,
          .p_flags = PF_R,
          .p_vaddr = MADE_CORE_BASE,
          .p_memsz = MADE_CORE_CODE - MADE_CORE_BASE },
        { .p_type = PT_LOAD,
          .p_flags = PF_R | PF_X,
          .p_vaddr = MADE_CORE_CODE,
          .p_memsz = MADE_CORE_CODE_SIZE },
    };

    memcpy(made->bytes + sizeof(Elf64_Ehdr), headers, sizeof(headers));
}

void made_core_put_note(MadeCore *made, uint32_t type, const void *bytes, size_t size)
{
    static const uint8_t zeros[4] = { 0 };
    const Elf64_Nhdr header = { .n_namesz = 5, .n_descsz = (uint32_t)size, .n_type = type };

    put(made, &header, sizeof(header));
    put(made, "CORE\0\0\0", 8);
    put(made, bytes, size);
    put(made, zeros, -size % 4);
}

void made_core_put_status(MadeCore *made, uint32_t thread_id, uint16_t signal)
{
    uint8_t status[336] = { 0 };

    memcpy(status + 12, &signal, sizeof(signal));
    memcpy(status + 32, &thread_id, sizeof(thread_id));
    for (unsigned i = 0; i < CRASH_REGISTER_MAX; i++) {
        uint64_t value = MADE_CORE_REGISTER(i);
        memcpy(status + 112 + 8 * i, &value, sizeof(value));
    }
    made_core_put_note(made, NT_PRSTATUS, status, sizeof(status));
}

void made_core_init(MadeCore *made)
{
    static const uint8_t information[128] = { 11, [8] = 1, [16] = 0x10 };
    static const uint8_t process[136] = { [40] = 'm', 'a', 'd', 'e' };
    static const struct {
        uint64_t count, page_size;
        uint64_t files[3][3];
        char names[33];
    } files = {
        .count = 3,
        .page_size = 4096,
        .files = { { MADE_CORE_BASE, MADE_CORE_CODE, 0 },
                   { MADE_CORE_CODE, MADE_CORE_CODE + MADE_CORE_CODE_SIZE, 1 },
                   { MADE_CORE_OTHER, MADE_CORE_OTHER + 0x1000, 7 } },
        .names = "/lib/made.so\0/lib/made.so\0/other",
    };

    made_core_init_empty(made);
    made_core_put_status(made, MADE_CORE_TID, 11);
    made_core_put_note(made, NT_PRPSINFO, process, sizeof(process));
    made_core_put_note(made, NT_SIGINFO, information, sizeof(information));
    made_core_put_note(made, NT_FILE, &files, offsetof(__typeof__(files), names) + 33);
    made_core_finish(made);
}

void made_core_add_code_segments(MadeCore *made, uint16_t n_segments)
{
    const uint16_t count = (uint16_t)(N_HEADERS + n_segments);
    const uint64_t offset = made->size;
    Elf64_Phdr headers[N_HEADERS];

    memcpy(headers, made->bytes + sizeof(Elf64_Ehdr), sizeof(headers));
    put(made, headers, sizeof(headers));
    for (size_t i = 0; i < n_segments; i++)
        put(made, &headers[N_HEADERS - 1], sizeof(headers[0]));
    memcpy(made->bytes + offsetof(Elf64_Ehdr, e_phoff), &offset, sizeof(offset));
    memcpy(made->bytes + offsetof(Elf64_Ehdr, e_phnum), &count, sizeof(count));
}
