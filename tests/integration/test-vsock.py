#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients listen to a guest, capture what passes, and take memory from it."""
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from features import free_mib  # noqa: E402
from harness import DEADLINE, Suite, wait_until, with_host  # noqa: E402

PORT = 5000
LISTENERS_MAX = 32  # vmm-launcher/vsock-listeners.h
MIB = 1 << 20


def refused(call, *arguments):
    try:
        call(*arguments)
    except dbus.DBusException as problem:
        return problem.get_dbus_name().rsplit('.', 1)[1], str(problem)
    raise AssertionError(f'{call} was not refused')


def listen(vm, port):
    listener = socket.socket(fileno=vm.methods.ListenVsock(dbus.UInt32(port)).take())
    listener.settimeout(DEADLINE)
    return listener


def accept(listener):
    message, fds, _, _ = socket.recv_fds(listener, 16, 1)
    stream = socket.socket(fileno=fds[0])
    stream.settimeout(DEADLINE)
    return struct.unpack('<I', message)[0], stream


@with_host
def test_a_guest_reaches_who_listens_and_nobody_else(host):
    vm = host.create(*host.config(host.payload('probe'), f'probe=greet:{PORT}'), start=True)
    with listen(vm, PORT) as listener:
        port, stream = accept(listener)
        with stream:
            assert port == PORT and stream.recv(100) == b'hello from the guest'
            stream.sendall(b'hello from the host')
            assert stream.recv(1) == b''
    wait_until(lambda: b'dialled' in vm.output['payload-out'], 'the guest to be told')
    assert b'told <hello from the host>' in vm.output['payload-out'], vm.output
    assert f'dial {PORT + 1}: Connection reset by peer'.encode() in vm.output['payload-out']


@with_host
def test_a_listener_outlives_the_daemon(host):
    vm = host.create(*host.config(host.payload('probe'), f'probe=greet:{PORT}'), start=True,
                     paused=True, lifetime='detached')
    wait_until(lambda: vm.get('State') == 'suspended', 'the VM')
    with listen(vm, PORT) as listener:
        host.daemon.kill()
        host.daemon.wait()
        host.start_daemon()
        vm.methods.Resume()
        port, stream = accept(listener)
        with stream:
            assert port == PORT and stream.recv(100) == b'hello from the guest'


@with_host
def test_a_port_is_one_clients_until_it_lets_go(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    assert refused(vm.methods.ListenVsock, dbus.UInt32(PORT))[0] == 'InvalidState'
    vm.start()
    first = listen(vm, PORT)
    kind, sentence = refused(vm.methods.ListenVsock, dbus.UInt32(PORT))
    assert kind == 'InvalidState' and 'listens' in sentence, (kind, sentence)
    first.close()

    def is_free():
        try:
            listen(vm, PORT).close()
            return True
        except dbus.DBusException:
            return False
    wait_until(is_free, 'the port to be free')
    for port, word in ((1023, '1024'), (int(vm.get('Cid')), 'guest link'),
                       (0x6e746679, 'systemd')):
        kind, sentence = refused(vm.methods.ListenVsock, dbus.UInt32(port))
        assert kind == 'InvalidArgs' and word in sentence, (kind, sentence)
    wait_until(is_free, 'the port to be free again')
    several = []
    while len(several) < LISTENERS_MAX:
        try:
            several.append(listen(vm, PORT + 1 + len(several)))
        except dbus.DBusException:  # the last of the others is on its way out
            assert len(several) == LISTENERS_MAX - 1
    assert refused(vm.methods.ListenVsock, dbus.UInt32(1024))[0] == 'LimitsExceeded'
    for listener in several:
        listener.close()
    vm.methods.Kill()
    vm.death()
    assert refused(vm.methods.ListenVsock, dbus.UInt32(PORT))[0] == 'InvalidState'


def read_capture(data):
    """What tcpdump makes of it, and [(operation, payload)] of our own reading."""
    with tempfile.NamedTemporaryFile(suffix='.pcap') as file:
        file.write(data)
        file.flush()
        text = subprocess.run(['tcpdump', '-n', '-r', file.name], check=True, capture_output=True,
                              text=True).stdout
    assert struct.unpack('<IHH', data[:8]) == (0xa1b2c3d4, 2, 4)
    assert struct.unpack('<I', data[20:24])[0] == 271
    records, at = [], 24
    while at < len(data):
        size = struct.unpack('<I', data[at + 8:at + 12])[0]
        record = data[at + 16:at + 16 + size]
        operation = struct.unpack('<H', record[24:26])[0]
        records.append((operation, record[32 + 44:]))
        at += 16 + size
    return text, records


@with_host
def test_a_capture_is_read_by_others(host):
    vm = host.create(*host.config(host.payload('probe'), f'probe=greet:{PORT}'), start=True,
                     paused=True)
    wait_until(lambda: vm.get('State') == 'suspended', 'the VM')
    cid = int(vm.get('Cid'))
    ours, theirs = socket.socketpair()
    vm.methods.CaptureVsock(dbus.types.UnixFd(theirs.fileno()))
    theirs.close()
    data = b''
    with listen(vm, PORT) as listener, ours:
        vm.methods.Resume()
        _, stream = accept(listener)
        with stream:
            stream.recv(100)
            stream.sendall(b'hello from the host')
            stream.recv(1)
        vm.methods.Kill()
        ours.settimeout(DEADLINE)
        while True:
            more = ours.recv(65536)
            if not more:
                break
            data += more
    text, records = read_capture(data)
    payloads = [payload for operation, payload in records if operation == 4]
    assert b'hello from the guest' in payloads and b'hello from the host' in payloads, payloads
    assert {1, 2, 4} <= {operation for operation, _ in records}, records
    assert re.search(rf'{cid}\.\d+ > 2\.{PORT}', text), text
    assert re.search(rf'2\.{PORT} > {cid}\.\d+', text), text
    assert len(text.splitlines()) == len(records)


@with_host
def test_a_capture_that_nobody_reads_harms_nobody(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=much:8'), start=True, paused=True)
    wait_until(lambda: vm.get('State') == 'suspended', 'the VM')
    ours, theirs = socket.socketpair()
    with ours:
        vm.methods.CaptureVsock(dbus.types.UnixFd(theirs.fileno()))
        theirs.close()
        vm.methods.Resume()
        assert vm.death()['reason'] == 'shutdown'
        ours.settimeout(DEADLINE)
        data = b''
        while True:
            more = ours.recv(1 << 20)
            if not more:
                break
            data += more
    # Whole records, but for the end: the VM died in the middle of one at most.
    at = 24
    while at + 16 <= len(data):
        seconds, microseconds, size, original = struct.unpack('<IIII', data[at:at + 16])
        assert size == original <= 32 + 44 + 65536 and microseconds < 10**6 and seconds
        at += 16 + size
    assert at > 24


@with_host
def test_a_file_that_could_block_is_no_capture(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True, paused=True)
    reader, writer = os.pipe()
    with open('/dev/null', 'wb') as null, tempfile.TemporaryFile() as regular:
        for fd in (writer, null.fileno(), regular.fileno(), reader):
            kind, sentence = refused(vm.methods.CaptureVsock, dbus.types.UnixFd(fd))
            assert kind == 'InvalidFile' and 'O_NONBLOCK' in sentence, (kind, sentence)
    os.set_blocking(writer, False)
    vm.methods.CaptureVsock(dbus.types.UnixFd(writer))
    os.close(writer)
    assert os.read(reader, 4) == struct.pack('<I', 0xa1b2c3d4)
    os.close(reader)


@with_host
def test_a_balloon_takes_memory_and_gives_it_back(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=memory', memory_mib=192,
                                  balloon=True), start=True)
    vm.wait_for('PayloadReady')

    wait_until(lambda: free_mib(vm) > 100, 'the guest to tell')
    before = free_mib(vm)
    vm.methods.SetMemoryBalloon(dbus.UInt64(80 * MIB))
    wait_until(lambda: free_mib(vm) < before - 64, 'the guest to give memory up')
    kind, sentence = refused(vm.methods.SetMemoryBalloon, dbus.UInt64(161 * MIB))
    assert kind == 'InvalidArgs' and str(160 * MIB) in sentence, (kind, sentence)
    vm.methods.SetMemoryBalloon(dbus.UInt64(0))
    wait_until(lambda: free_mib(vm) > before - 16, 'the guest to get it back')
    assert vm.get('State') == 'ready'


@with_host
def test_without_a_balloon_there_is_nothing_to_take(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    vm.wait_for('PayloadReady')
    kind, sentence = refused(vm.methods.SetMemoryBalloon, dbus.UInt64(MIB))
    assert kind == 'NotSupported' and 'balloon' in sentence, (kind, sentence)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
