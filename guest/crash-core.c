/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crash-core.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "common/ckd.h"

#define PROGRAM_HEADER_SIZE 56
#define FILE_ENTRY_SIZE     24 /* in NT_FILE: start, end, offset in pages */

/* Offsets in the notes' structures. */
#define PRSTATUS_SIGNAL    12
#define PRSTATUS_PID       32
#define PRSTATUS_REGISTERS 112
#define PRPSINFO_NAME      40
#define SIGINFO_CODE       8
#define SIGINFO_UNION      16

typedef struct ProgramHeaders {
    uint64_t offset;
    uint16_t count;
} ProgramHeaders;

/* A reader that begins @offset bytes behind, or at the end where there are less. */
static ByteReader reader_at(const uint8_t *bytes, size_t size, uint64_t offset)
{
    size_t start = offset < size ? (size_t)offset : size;
    return byte_reader(bytes + start, size - start);
}

static int parse_header(const uint8_t *bytes, size_t size, ProgramHeaders *ret_headers)
{
    static const uint8_t identity[] = { ELFMAG0,    ELFMAG1,     ELFMAG2,   ELFMAG3,
                                        ELFCLASS64, ELFDATA2LSB, EV_CURRENT };
    ByteReader reader = byte_reader(bytes, size);
    const uint8_t *view;
    uint16_t type, machine, header_size, count;
    uint64_t offset;

    if (byte_reader_get_view(&reader, EI_NIDENT, &view) < 0 ||
        memcmp(view, identity, sizeof(identity)) != 0 || byte_reader_get_le16(&reader, &type) < 0 ||
        byte_reader_get_le16(&reader, &machine) < 0 || type != ET_CORE || machine != EM_X86_64)
        return -EBADMSG;
    /* e_version and e_entry, then e_phoff, then e_shoff, e_flags and e_ehsize */
    if (byte_reader_get_view(&reader, 12, &view) < 0 ||
        byte_reader_get_le64(&reader, &offset) < 0 ||
        byte_reader_get_view(&reader, 14, &view) < 0 ||
        byte_reader_get_le16(&reader, &header_size) < 0 ||
        byte_reader_get_le16(&reader, &count) < 0 || header_size != PROGRAM_HEADER_SIZE)
        return -EBADMSG;

    /* PN_XNUM says that there are more headers than that. The first ones will do. */
    *ret_headers = (ProgramHeaders){ .offset = offset, .count = count };
    return 0;
}

typedef struct Segment {
    uint32_t type, flags;
    uint64_t offset, address, file_size, memory_size;
} Segment;

static int read_segment(ByteReader *reader, Segment *ret_segment)
{
    uint64_t physical_address, alignment;

    if (byte_reader_get_le32(reader, &ret_segment->type) < 0 ||
        byte_reader_get_le32(reader, &ret_segment->flags) < 0 ||
        byte_reader_get_le64(reader, &ret_segment->offset) < 0 ||
        byte_reader_get_le64(reader, &ret_segment->address) < 0 ||
        byte_reader_get_le64(reader, &physical_address) < 0 ||
        byte_reader_get_le64(reader, &ret_segment->file_size) < 0 ||
        byte_reader_get_le64(reader, &ret_segment->memory_size) < 0 ||
        byte_reader_get_le64(reader, &alignment) < 0)
        return -EBADMSG;
    return 0;
}

static size_t cap_end(uint64_t offset, uint64_t size)
{
    uint64_t end;

    return ckd_add(&end, offset, size) || end > CRASH_CORE_SIZE_MAX ? CRASH_CORE_SIZE_MAX
                                                                    : (size_t)end;
}

int crash_core_get_end(const uint8_t *bytes, size_t size, size_t *ret_end)
{
    ProgramHeaders headers;
    Segment segment;

    if (size < sizeof(Elf64_Ehdr)) {
        *ret_end = sizeof(Elf64_Ehdr);
        return 0;
    }
    int r = parse_header(bytes, size, &headers);
    if (r < 0)
        return r;

    size_t end = cap_end(headers.offset, (uint64_t)headers.count * PROGRAM_HEADER_SIZE);
    if (end <= size) {
        ByteReader reader = reader_at(bytes, size, headers.offset);
        for (size_t i = 0; i < headers.count && read_segment(&reader, &segment) >= 0; i++) {
            if (segment.type != PT_NOTE)
                continue;
            size_t note_end = cap_end(segment.offset, segment.file_size);
            end = note_end > end ? note_end : end;
        }
    }
    *ret_end = end;
    return 0;
}

static int parse_status(CrashCore *core, const uint8_t *bytes, size_t size)
{
    ByteReader signal = reader_at(bytes, size, PRSTATUS_SIGNAL);
    ByteReader pid = reader_at(bytes, size, PRSTATUS_PID);
    ByteReader registers = reader_at(bytes, size, PRSTATUS_REGISTERS);
    uint16_t number;

    if (byte_reader_get_le16(&signal, &number) < 0 ||
        byte_reader_get_le32(&pid, &core->thread_id) < 0)
        return -EBADMSG;
    core->signal = number;
    for (size_t i = 0; i < CRASH_REGISTER_MAX; i++) {
        if (byte_reader_get_le64(&registers, &core->registers[i]) < 0)
            return -EBADMSG;
    }
    return 0;
}

static int parse_details(CrashCore *core, const uint8_t *bytes, size_t size)
{
    ByteReader code = reader_at(bytes, size, SIGINFO_CODE);
    ByteReader address = reader_at(bytes, size, SIGINFO_UNION);
    ByteReader sender = address; /* the union is one or the other */
    uint32_t number;

    if (byte_reader_get_le32(&code, &number) < 0 ||
        byte_reader_get_le64(&address, &core->fault_address) < 0 ||
        byte_reader_get_le32(&sender, &core->sender_pid) < 0 ||
        byte_reader_get_le32(&sender, &core->sender_uid) < 0)
        return -EBADMSG;
    core->code = (int32_t)number;
    core->has_details = true;
    return 0;
}

static void parse_name(CrashCore *core, const uint8_t *bytes, size_t size)
{
    ByteReader reader = reader_at(bytes, size, PRPSINFO_NAME);

    (void)byte_reader_get_bytes(&reader, core->name, CRASH_CORE_NAME_MAX);
}

/* Parses one note. Returns 1 for the status, of which the first is the crashed thread's. */
static int parse_note(CrashCore *core, uint32_t type, const uint8_t *bytes, size_t size)
{
    switch (type) {
    case NT_PRSTATUS: {
        int r = parse_status(core, bytes, size);
        return r < 0 ? r : 1;
    }
    case NT_SIGINFO:
        return parse_details(core, bytes, size);
    case NT_PRPSINFO:
        parse_name(core, bytes, size);
        return 0;
    case NT_FILE:
        core->files = bytes;
        core->files_size = size;
        return 0;
    default:
        return 0;
    }
}

static int parse_notes(CrashCore *core, ByteReader reader, bool *has_status)
{
    uint32_t name_size, size, type;
    const uint8_t *name, *bytes, *padding;

    while (byte_reader_get_le32(&reader, &name_size) >= 0 &&
           byte_reader_get_le32(&reader, &size) >= 0 && byte_reader_get_le32(&reader, &type) >= 0) {
        if (byte_reader_get_view(&reader, name_size, &name) < 0 ||
            byte_reader_get_view(&reader, -name_size % 4, &padding) < 0 ||
            byte_reader_get_view(&reader, size, &bytes) < 0)
            return 0; /* the last one that was read in part */
        (void)byte_reader_get_view(&reader, -size % 4, &padding);
        if (name_size != sizeof("CORE") || memcmp(name, "CORE", sizeof("CORE")) != 0 ||
            (type == NT_PRSTATUS && *has_status))
            continue;
        int r = parse_note(core, type, bytes, size);
        if (r < 0)
            return r;
        *has_status = *has_status || r > 0;
    }
    return 0;
}

static void add_code_range(CrashCore *core, const Segment *segment)
{
    CrashRange range = { .start = segment->address };

    if (core->n_code_ranges < CRASH_CORE_CODE_MAX &&
        !ckd_add(&range.end, segment->address, segment->memory_size))
        core->code_ranges[core->n_code_ranges++] = range;
}

int crash_core_parse(const uint8_t *bytes, size_t size, CrashCore *ret_core)
{
    ProgramHeaders headers;
    bool has_status = false;
    Segment segment;

    int r = parse_header(bytes, size, &headers);
    if (r < 0)
        return r;
    memset(ret_core, 0, sizeof(*ret_core));
    ByteReader reader = reader_at(bytes, size, headers.offset);
    for (size_t i = 0; i < headers.count && read_segment(&reader, &segment) >= 0; i++) {
        if (segment.type == PT_LOAD && (segment.flags & PF_X) != 0)
            add_code_range(ret_core, &segment);
        if (segment.type != PT_NOTE)
            continue;
        ByteReader notes = reader_at(bytes, size, segment.offset);
        if (notes.size > segment.file_size)
            notes.size = (size_t)segment.file_size;
        r = parse_notes(ret_core, notes, &has_status);
        if (r < 0)
            return r;
    }
    return has_status ? 0 : -EBADMSG;
}

bool crash_core_is_code(const CrashCore *core, uint64_t address)
{
    for (size_t i = 0; i < core->n_code_ranges; i++) {
        if (address >= core->code_ranges[i].start && address < core->code_ranges[i].end)
            return true;
    }
    return false;
}

/* The next of the names at the end of NT_FILE, or false. */
static bool read_path(ByteReader *names, CrashModule *ret_module)
{
    const uint8_t *end = names->size > 0 ? memchr(names->data, '\0', names->size) : NULL;
    const uint8_t *path;

    if (!end)
        return false;
    ret_module->path_size = (size_t)(end - names->data);
    (void)byte_reader_get_view(names, ret_module->path_size + 1, &path);
    ret_module->path = (const char *)path;
    return true;
}

static bool has_path_of(const CrashModule *a, const CrashModule *b)
{
    return a->path_size == b->path_size && a->path && memcmp(a->path, b->path, b->path_size) == 0;
}

bool crash_core_find_module(const CrashCore *core, uint64_t address, CrashModule *ret_module)
{
    ByteReader entries = byte_reader(core->files, core->files_size);
    CrashModule module, first = { 0 }; /* first: the last one that began with its file's start */
    uint64_t count, page_size, start, end, offset;
    const uint8_t *skipped;

    if (!core->files || byte_reader_get_le64(&entries, &count) < 0 ||
        byte_reader_get_le64(&entries, &page_size) < 0 || count > entries.size / FILE_ENTRY_SIZE)
        return false;
    ByteReader names = entries;
    (void)byte_reader_get_view(&names, (size_t)count * FILE_ENTRY_SIZE, &skipped);

    for (uint64_t i = 0; i < count && read_path(&names, &module); i++) {
        (void)byte_reader_get_le64(&entries, &start);
        (void)byte_reader_get_le64(&entries, &end);
        (void)byte_reader_get_le64(&entries, &offset);
        module.base = start;
        if (offset == 0)
            first = module;
        if (address < start || address >= end)
            continue;
        /* The mappings of one file stand one behind the other, its start first. */
        *ret_module = has_path_of(&first, &module) ? first : module;
        return true;
    }
    return false;
}
