/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of vmctl exec: a command that runs in a debuggable guest, between the client and
 * guest-manager over one vsock connection. Encoded and decoded without any I/O; both sides bound
 * what they accept of the other. Numbers are little-endian.
 *
 *     frame:  u32 type, u32 size of the body, body
 *
 *     from the client                        from the guest
 *     REQUEST    what to run; once, first    STDOUT     bytes
 *     STDIN      bytes                       STDERR     bytes
 *     STDIN_END  nothing                     STDIN_TAKEN u32: so many bytes more may be sent
 *     WINDOW     u16 rows, u16 columns       EXITED     u32 exit code, u32 signal; the last one
 *     SIGNAL     u32 number                  REFUSED    u32 reason, text; the only one
 *
 *     request: u32 version, u32 terminals, u16 rows, u16 columns, u32 number of arguments,
 *              u32 number of variables, then the arguments and the variables ("NAME=value"), each
 *              ended by a NUL
 *
 * The client sends at most EXEC_STDIN_WINDOW bytes of STDIN, and as many more as the guest says
 * that the command has taken: so the guest always reads, and a signal gets past input that nobody
 * takes. Output needs no such thing: a client that does not read stops the command, nothing else.
 *
 * The command runs as root with every capability, in a session of its own, with the terminal as the
 * controlling one if there is one. What is left of its session is killed when it has ended, and all
 * of it when the connection goes; what is to stay makes a session of its own (setsid). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "exec" in ASCII: not below 1024, where ConnectVsock does not go, and far from what people choose.
 * guest-manager has it before the payload runs. In a guest that is not debuggable nobody has, and a
 * payload may take it: then a command gets what the payload answers, as on its other ports. */
#define EXEC_VSOCK_PORT 0x65786563U

#define EXEC_VERSION          1
#define EXEC_ARGUMENTS_MAX    1024
#define EXEC_VARIABLES_MAX    64
#define EXEC_REQUEST_SIZE_MAX 65536  /* of a request's body */
#define EXEC_DATA_MAX         32768  /* of STDIN, STDOUT, STDERR */
#define EXEC_STDIN_WINDOW     131072 /* bytes of STDIN that nobody has taken */
#define EXEC_TEXT_MAX         512    /* of REFUSED */

#define EXEC_FRAME_HEADER_SIZE 8
#define EXEC_FRAME_SIZE_MAX    (EXEC_FRAME_HEADER_SIZE + EXEC_REQUEST_SIZE_MAX)

typedef enum ExecFrameType {
    EXEC_REQUEST = 1,
    EXEC_STDIN = 2,
    EXEC_STDIN_END = 3,
    EXEC_WINDOW = 4,
    EXEC_SIGNAL = 5,
    EXEC_STDOUT = 16,
    EXEC_STDERR = 17,
    EXEC_STDIN_TAKEN = 18,
    EXEC_EXITED = 19,
    EXEC_REFUSED = 20,
} ExecFrameType;

/* Why the command did not run. */
typedef enum ExecRefusal {
    EXEC_REFUSAL_NOT_FOUND = 1,      /* there is no such program */
    EXEC_REFUSAL_NOT_EXECUTABLE = 2, /* it cannot be executed */
    EXEC_REFUSAL_FAILED = 3,         /* it was not come to */
    EXEC_REFUSAL_MAX,
} ExecRefusal;

/* Bits: these are the terminal; the others are pipes. With any of them there is a terminal. */
typedef enum ExecTerminal {
    EXEC_TERMINAL_STDIN = 1 << 0,
    EXEC_TERMINAL_STDOUT = 1 << 1,
    EXEC_TERMINAL_STDERR = 1 << 2,
    EXEC_TERMINAL_ALL = 7,
} ExecTerminal;

typedef struct ExecWindow {
    uint16_t rows, columns; /* 0: unknown */
} ExecWindow;

typedef struct ExecFrame {
    ExecFrameType type;
    const uint8_t *bytes; /* lent: of REQUEST (see below), STDIN, STDOUT, STDERR, REFUSED's text */
    size_t size;
    ExecWindow window;   /* WINDOW */
    uint32_t signal;     /* SIGNAL; EXITED: 0 or what ended it */
    uint32_t exit_code;  /* EXITED without a signal: 0 to 255 */
    uint32_t taken;      /* STDIN_TAKEN: 1 to EXEC_STDIN_WINDOW */
    ExecRefusal refusal; /* REFUSED */
} ExecFrame;

/* Writes the frame. Returns its size, -EINVAL for what no decoder would take, or -ENOBUFS. */
int exec_frame_encode(const ExecFrame *frame, uint8_t *bytes, size_t capacity);

/* Reads the frame that @bytes begin with. Returns its size, 0 when there is more of it to come,
 * -EBADMSG when there cannot be. */
int exec_frame_decode(const uint8_t *bytes, size_t size, ExecFrame *ret_frame);

/* Whether a client sends frames of this type; a guest sends the others. */
bool exec_frame_is_from_client(ExecFrameType type);

/* Whether a client may send this signal: HUP, INT, QUIT or TERM, by Linux's numbers. */
bool exec_signal_is_allowed(uint32_t number);

/* The body of REQUEST. The strings are lent; both lists end with NULL, as execve(2) has them. */
typedef struct ExecRequest {
    unsigned terminals; /* ExecTerminal bits */
    ExecWindow window;
    size_t n_arguments, n_variables;
    const char *arguments[EXEC_ARGUMENTS_MAX + 1]; /* one at least, the first not empty */
    const char *variables[EXEC_VARIABLES_MAX + 1];
} ExecRequest;

/* Writes the body. Returns its size, -EINVAL for what no decoder would take, or -ENOBUFS when it is
 * too large. */
int exec_request_encode(const ExecRequest *request, uint8_t bytes[static EXEC_REQUEST_SIZE_MAX]);

/* -EBADMSG, or -EPROTONOSUPPORT for another version. */
int exec_request_decode(const uint8_t *bytes, size_t size, ExecRequest *ret_request);
