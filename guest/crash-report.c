/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crash-report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"

#define LINE_SIZE_MAX 512
#define SHOWN_PATH    256 /* of a path its end is shown, where the name is */
#define SHOWN_NAME    64

#define RULE "*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***"

typedef struct Writer {
    char *text;
    size_t size, capacity;
} Writer;

static void put_line(Writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line that does not fit is left out, and so are those behind it. */
static void put_line(Writer *writer, const char *format, ...)
{
    char line[LINE_SIZE_MAX];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    size_t size = length < (int)sizeof(line) - 1 ? (size_t)length : sizeof(line) - 2;
    line[size++] = '\n';
    if (size > writer->capacity - writer->size) {
        writer->capacity = writer->size;
        return;
    }
    memcpy(writer->text + writer->size, line, size);
    writer->size += size;
}

static const char *get_code_name(uint32_t number, int32_t code)
{
    static const struct {
        int number, code; /* number 0: of any signal */
        const char *name;
    } names[] = {
        { SIGSEGV, SEGV_MAPERR, "SEGV_MAPERR" },
        { SIGSEGV, SEGV_ACCERR, "SEGV_ACCERR" },
        { SIGBUS, BUS_ADRALN, "BUS_ADRALN" },
        { SIGBUS, BUS_ADRERR, "BUS_ADRERR" },
        { SIGBUS, BUS_OBJERR, "BUS_OBJERR" },
        { SIGILL, ILL_ILLOPC, "ILL_ILLOPC" },
        { SIGILL, ILL_ILLOPN, "ILL_ILLOPN" },
        { SIGILL, ILL_PRVOPC, "ILL_PRVOPC" },
        { SIGFPE, FPE_INTDIV, "FPE_INTDIV" },
        { SIGFPE, FPE_INTOVF, "FPE_INTOVF" },
        { SIGFPE, FPE_FLTDIV, "FPE_FLTDIV" },
        { SIGFPE, FPE_FLTINV, "FPE_FLTINV" },
        { SIGTRAP, TRAP_BRKPT, "TRAP_BRKPT" },
        { SIGTRAP, TRAP_TRACE, "TRAP_TRACE" },
        { 0, SI_KERNEL, "SI_KERNEL" },
        { 0, SI_USER, "SI_USER" },
        { 0, SI_TKILL, "SI_TKILL" },
        { 0, SI_QUEUE, "SI_QUEUE" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        if (names[i].code == code && (names[i].number == 0 || names[i].number == (int)number))
            return names[i].name;
    }
    return "?";
}

static const char *get_signal_name(uint32_t number)
{
    const char *name = sigabbrev_np((int)number);
    return name ? name : "?";
}

static void put_signal(Writer *writer, const CrashCore *core)
{
    const char *name = get_signal_name(core->signal);

    if (!core->has_details)
        put_line(writer, "signal %" PRIu32 " (SIG%s)", core->signal, name);
    else if (core->code <= 0)
        put_line(writer,
                 "signal %" PRIu32 " (SIG%s), code %" PRId32 " (%s), from pid %" PRIu32
                 ", uid %" PRIu32,
                 core->signal, name, core->code, get_code_name(core->signal, core->code),
                 core->sender_pid, core->sender_uid);
    else
        put_line(writer,
                 "signal %" PRIu32 " (SIG%s), code %" PRId32 " (%s), fault addr 0x%016" PRIx64,
                 core->signal, name, core->code, get_code_name(core->signal, core->code),
                 core->fault_address);
}

static void put_registers(Writer *writer, const CrashCore *core)
{
    static const struct {
        const char *name;
        CrashRegister which;
    } rows[][4] = {
        { { "rax", CRASH_RAX }, { "rbx", CRASH_RBX }, { "rcx", CRASH_RCX }, { "rdx", CRASH_RDX } },
        { { "r8 ", CRASH_R8 }, { "r9 ", CRASH_R9 }, { "r10", CRASH_R10 }, { "r11", CRASH_R11 } },
        { { "r12", CRASH_R12 }, { "r13", CRASH_R13 }, { "r14", CRASH_R14 }, { "r15", CRASH_R15 } },
        { { "rdi", CRASH_RDI }, { "rsi", CRASH_RSI }, { "rbp", CRASH_RBP }, { "rsp", CRASH_RSP } },
    };
    const uint64_t *registers = core->registers;

    for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
        put_line(writer,
                 "    %s %016" PRIx64 "  %s %016" PRIx64 "  %s %016" PRIx64 "  %s %016" PRIx64,
                 rows[i][0].name, registers[rows[i][0].which], rows[i][1].name,
                 registers[rows[i][1].which], rows[i][2].name, registers[rows[i][2].which],
                 rows[i][3].name, registers[rows[i][3].which]);
    put_line(writer, "    rip %016" PRIx64 "  eflags %08" PRIx64, registers[CRASH_RIP],
             registers[CRASH_EFLAGS]);
}

/* Escaping leaves newlines alone, with which a file's name would forge lines. */
static void replace_newlines(char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            *text = '?';
    }
}

static void put_address(Writer *writer, const CrashCore *core, size_t number, uint64_t address)
{
    char path[SHOWN_PATH];
    CrashModule module;

    if (!crash_core_find_module(core, address, &module)) {
        put_line(writer, "    #%02zu pc %016" PRIx64 " %s", number, address,
                 crash_core_is_code(core, address) ? "<anonymous>" : "<no code>");
        return;
    }
    (void)text_escape_tail(module.path, module.path_size, path, sizeof(path));
    replace_newlines(path);
    put_line(writer, "    #%02zu pc %016" PRIx64 " %s (+0x%" PRIx64 ")", number, address, path,
             address - module.base);
}

static void put_stack(Writer *writer, const CrashCore *core, const uint64_t *stack, size_t n_words)
{
    size_t n_hits = 0;

    put_line(writer, "stack addresses with their modules:");
    put_address(writer, core, 0, core->registers[CRASH_RIP]);
    for (size_t i = 0; i < n_words && n_hits < CRASH_STACK_HITS_MAX; i++) {
        if (crash_core_is_code(core, stack[i]))
            put_address(writer, core, ++n_hits, stack[i]);
    }
}

size_t crash_report_make(const CrashCore *core,
                         pid_t pid,
                         uid_t uid,
                         const uint64_t *stack,
                         size_t n_words,
                         char *text,
                         size_t capacity)
{
    Writer writer = { .text = text, .capacity = capacity };
    char name[SHOWN_NAME];

    (void)text_escape(core->name, strnlen(core->name, sizeof(core->name)), name, sizeof(name));
    replace_newlines(name);
    put_line(&writer, RULE);
    put_line(&writer, "pid: %d, tid: %" PRIu32 ", uid: %u, name: %s", (int)pid, core->thread_id,
             (unsigned)uid, name);
    put_signal(&writer, core);
    put_registers(&writer, core);
    put_stack(&writer, core, stack, n_words);
    return writer.size;
}

size_t crash_report_make_brief(pid_t pid, uid_t uid, int signal, char *text, size_t capacity)
{
    Writer writer = { .text = text, .capacity = capacity };

    put_line(&writer, RULE);
    put_line(&writer, "pid: %d, uid: %u", (int)pid, (unsigned)uid);
    put_line(&writer, "signal %d (SIG%s)", signal, get_signal_name((uint32_t)signal));
    put_line(&writer, "no core that could be read");
    return writer.size;
}
