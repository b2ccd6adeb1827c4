# SPDX-License-Identifier: Apache-2.0
"""A D-Bus client that sends what a library would refuse to send: messages are marshalled here, as the
D-Bus Specification has them, and nothing is checked."""
import array
import os
import select
import socket
import struct
import time

BASIC = {'y': 'B', 'b': 'I', 'n': 'h', 'q': 'H', 'i': 'i', 'u': 'I', 'x': 'q', 't': 'Q', 'd': 'd',
         'h': 'I'}
ALIGNMENT = {'y': 1, 'b': 4, 'n': 2, 'q': 2, 'i': 4, 'u': 4, 'x': 8, 't': 8, 'd': 8, 'h': 4, 's': 4,
             'o': 4, 'g': 1, 'v': 1, 'a': 4, '(': 8, '{': 8}
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE, N_FDS = range(1, 10)
NO_REPLY = 1


def types_of(signature):
    """The single complete types of @signature."""
    types, start, depth = [], 0, 0
    for i, letter in enumerate(signature):
        depth += (letter in '({') - (letter in ')}')
        if depth == 0 and letter != 'a':
            types.append(signature[start:i + 1])
            start = i + 1
    return types


def pad(buffer, size):
    buffer.extend(bytes(-len(buffer) % size))


def marshal(kind, value, buffer):
    """Appends @value, of the one type @kind; a variant's is (type, value), a dictionary's a list of
    pairs, for it may have a key twice, and a string's may be bytes."""
    pad(buffer, ALIGNMENT[kind[0]])
    if kind in BASIC:
        buffer.extend(struct.pack('<' + BASIC[kind], value))
    elif kind in 'sog':
        data = value if isinstance(value, bytes) else value.encode()
        buffer.extend(struct.pack('<B' if kind == 'g' else '<I', len(data)) + data + b'\0')
    elif kind == 'v':
        marshal('g', value[0], buffer)
        marshal(value[0], value[1], buffer)
    elif kind[0] == 'a':
        at = len(buffer)
        buffer.extend(bytes(4))
        pad(buffer, ALIGNMENT[kind[1]])
        begin = len(buffer)
        for element in value:
            marshal(kind[1:], element, buffer)
        struct.pack_into('<I', buffer, at, len(buffer) - begin)
    else:
        for inner, element in zip(types_of(kind[1:-1]), value):
            marshal(inner, element, buffer)


def message(serial, fields, signature='', values=(), flags=0, n_fds=0, kind=CALL):
    """The bytes of a message; @fields: (code, type, value)."""
    body, head = bytearray(), bytearray()
    for inner, value in zip(types_of(signature), values):
        marshal(inner, value, body)
    fields = list(fields)
    if signature:
        fields.append((SIGNATURE, 'g', signature))
    if n_fds:
        fields.append((N_FDS, 'u', n_fds))
    head.extend(struct.pack('<cBBBII', b'l', kind, flags, 1, len(body), serial))
    marshal('a(yv)', [(code, (inner, value)) for code, inner, value in fields], head)
    pad(head, 8)
    return bytes(head + body)


class Reader:
    """Takes a message's header apart."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, letter):
        self.at += -self.at % ALIGNMENT[letter]
        value, = struct.unpack_from('<' + BASIC[letter], self.data, self.at)
        self.at += struct.calcsize('<' + BASIC[letter])
        return value

    def text(self, letter='s'):
        size = self.number('y' if letter == 'g' else 'u')
        self.at += size + 1
        return self.data[self.at - size - 1:self.at - 1].decode()

    def fields(self):
        self.at, found = 12, {}
        end = self.number('u') + 16
        while self.at < end:
            self.at += -self.at % 8
            code, kind = self.number('y'), self.text('g')
            found[code] = self.text(kind) if kind in 'sog' else self.number(kind)
        return found


class Gone(Exception):
    """The bus has ended the connection."""


class Wire:
    """A connection to the bus at @path, as the process's effective user."""

    def __init__(self, path, hello=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.serial = 0
        self.pending = {}  # serial -> (when, what)
        self.input = bytearray()
        self.socket.sendall(b'\0AUTH EXTERNAL %s\r\n' % str(os.geteuid()).encode().hex().encode())
        self._expect(b'OK ')
        self.socket.sendall(b'NEGOTIATE_UNIX_FD\r\n')
        self._expect(b'AGREE_UNIX_FD')
        self.socket.sendall(b'BEGIN\r\n')
        if hello:
            self.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'Hello',
                      destination='org.freedesktop.DBus')
            self.wait()

    def _expect(self, word):
        line = b''
        while not line.endswith(b'\r\n'):
            data = self.socket.recv(1)
            if not data:
                raise Gone()
            line += data
        assert line.startswith(word), line

    def close(self):
        self.socket.close()

    def send(self, data, fds=()):
        try:
            while data:
                sent = self.socket.sendmsg(
                    [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))]
                    if fds else [])
                data, fds = data[sent:], ()
        except (BrokenPipeError, ConnectionResetError):
            raise Gone() from None

    def call(self, path, interface, member, signature='', values=(), fds=(), what=None,
             destination='org.virtualizationd1', flags=0):
        """Sends a call, whose reply is @pending."""
        self.serial += 1
        fields = [(PATH, 'o', path), (MEMBER, 's', member), (DESTINATION, 's', destination)]
        if interface is not None:
            fields.append((INTERFACE, 's', interface))
        if not flags & NO_REPLY:
            self.pending[self.serial] = (time.monotonic(), what or (path, interface, member))
        self.send(message(self.serial, fields, signature, values, flags, len(fds)), fds)
        return self.serial

    def receive(self, timeout=0):
        """(kind, header fields, body) of the next message, or None when there is none in time."""
        end = time.monotonic() + timeout
        while True:
            if len(self.input) >= 16:
                body, = struct.unpack_from('<I', self.input, 4)
                fields, = struct.unpack_from('<I', self.input, 12)
                head = 16 + fields + -fields % 8
                if len(self.input) >= head + body:
                    data = bytes(self.input[:head + body])
                    del self.input[:head + body]
                    return data[1], Reader(data).fields(), data[head:]
            readable, _, _ = select.select([self.socket], [], [], max(0, end - time.monotonic()))
            if not readable:
                return None
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 1 << 20, 64)
            except ConnectionResetError:
                data, fds = b'', []
            for fd in fds:
                os.close(fd)
            if not data:
                raise Gone()
            self.input += data

    def replies(self, timeout=0):
        """(what was called, error name or None, body) of the replies that are there, or that come
        in time."""
        found = []
        answer = self.receive(timeout)
        while answer:
            kind, fields, body = answer
            if kind in (RETURN, ERROR) and fields[REPLY_SERIAL] in self.pending:
                _, what = self.pending.pop(fields[REPLY_SERIAL])
                found.append((what, fields[ERROR_NAME] if kind == ERROR else None, body))
            answer = self.receive(0)
        return found

    def wait(self, deadline=60):
        """All replies to what is pending."""
        found, end = [], time.monotonic() + deadline
        while self.pending:
            if time.monotonic() > end:
                raise TimeoutError(f'no reply to {list(self.pending.values())}')
            found += self.replies(1)
        return found
