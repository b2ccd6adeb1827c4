#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The console and the logs of a VM: the past, many readers, one who types, and nobody who blocks."""
import errno
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Suite, wait_until, with_host  # noqa: E402

READERS_MAX = 16
PAST_MAX = 65536


class Stream:
    """One end of a stream that a method gave, and what came from it."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd.take())
        self.socket.setblocking(False)
        self.received = b''
        self.ended = False

    def read(self):
        try:
            while not self.ended:
                data = self.socket.recv(65536)
                self.received += data
                self.ended = not data
        except BlockingIOError:
            pass
        return self.received

    def type(self, text):
        self.socket.sendall(text)

    def wait_for(self, text):
        wait_until(lambda: text in self.read(), f'{text!r}, have {self.received[-300:]!r}')

    def wait_for_end(self):
        wait_until(lambda: self.read() is not None and self.ended, 'the end of the stream')

    def refuses_to_be_typed_to(self):
        try:
            self.socket.send(b'x')
        except OSError as problem:
            return problem.errno == errno.EPIPE
        return False

    def close(self):
        self.socket.close()


def open_console(vm, mode):
    return Stream(vm.methods.OpenConsole(mode))


def open_log(vm, which):
    return Stream(vm.methods.OpenLog(which))


def make_console(host, **more):
    config, files = host.config(host.payload('probe'), 'probe=console virtualizationd.debug=1')
    files.update(more)
    vm = host.create(config, files, start=True)
    vm.wait_for('PayloadReady')
    return vm


def open_when_free(vm):
    """The stream of a writer, as soon as the supervisor has seen that the one before is gone."""
    streams = []

    def is_open():
        try:
            streams.append(open_console(vm, 'read-write'))
        except dbus.DBusException:
            return False
        return True
    wait_until(is_open, 'room for a writer')
    return streams[0]


def refused(function, *arguments):
    """The name and the sentence of the error."""
    try:
        function(*arguments)
    except dbus.DBusException as problem:
        return problem.get_dbus_name().rsplit('.', 1)[1], problem.get_dbus_message()
    raise AssertionError('not refused')


def end(vm):
    vm.methods.Kill()
    return vm.death()


@with_host
def test_an_input_that_is_always_ready_is_none(host):
    vm = make_console(host, **{'console-in': '/dev/null'})
    console = open_console(vm, 'read-write')
    console.type(b'typed beside it\n')
    console.wait_for(b'typed beside it')
    console.close()


@with_host
def test_a_late_reader_gets_the_past_and_then_what_comes(host):
    vm = make_console(host)
    writer = open_console(vm, 'read-write')
    writer.wait_for(b'console is served')
    assert b'starting the payload' in writer.received, writer.received[:300]
    writer.type(b'first\n')
    writer.wait_for(b'typed <first>')
    late = open_console(vm, 'read-only')
    late.wait_for(b'typed <first>')
    writer.type(b'second\n')
    late.wait_for(b'typed <second>')
    writer.wait_for(b'typed <second>')
    assert late.received == writer.received
    wait_until(lambda: late.received in vm.output['console-out'], 'the same at console-out')
    end(vm)
    for stream in (writer, late):
        stream.wait_for_end()
        stream.close()


@with_host
def test_there_is_one_who_types(host):
    vm = make_console(host)
    writer = open_console(vm, 'read-write')
    reader = open_console(vm, 'read-only')
    assert reader.refuses_to_be_typed_to()
    kind, sentence = refused(vm.methods.OpenConsole, 'read-write')
    assert kind == 'InvalidState' and 'taken' in sentence and 'take-over' in sentence, sentence
    heir = open_console(vm, 'take-over')
    writer.wait_for_end()
    assert writer.refuses_to_be_typed_to()
    heir.type(b'mine\n')
    reader.wait_for(b'typed <mine>')
    assert not reader.ended
    # One that goes makes room.
    heir.close()
    second = open_when_free(vm)
    second.type(b'next\n')
    reader.wait_for(b'typed <next>')
    # One that only stops typing does as well, and reads on.
    second.socket.shutdown(socket.SHUT_WR)
    open_when_free(vm).type(b'last\n')
    second.wait_for(b'typed <last>')
    end(vm)


@with_host
def test_console_in_types_beside_the_streams(host):
    source, sink = os.pipe()
    vm = make_console(host, **{'console-in': source})
    os.close(source)
    writer = open_console(vm, 'read-write')
    os.write(sink, b'piped\n')
    writer.wait_for(b'typed <piped>')
    writer.type(b'typed\n')
    writer.wait_for(b'typed <typed>')
    os.close(sink)
    end(vm)


@with_host
def test_readers_have_a_limit(host):
    vm = make_console(host)
    streams = [open_console(vm, 'read-only') for _ in range(READERS_MAX - 1)]
    streams.append(open_log(vm, 'console'))
    kind, sentence = refused(vm.methods.OpenConsole, 'read-only')
    assert kind == 'LimitsExceeded' and str(READERS_MAX) in sentence, sentence
    assert refused(vm.methods.OpenLog, 'console')[0] == 'LimitsExceeded'
    open_log(vm, 'guest').close()  # each has a limit of its own
    streams.pop().close()

    def room():
        try:
            streams.append(open_console(vm, 'read-only'))
            return True
        except dbus.DBusException:
            return False
    wait_until(room, 'room after one has gone')
    for stream in streams:
        stream.wait_for(b'console is served')
    end(vm)


@with_host
def test_a_reader_that_stops_holds_up_nobody(host):
    vm = make_console(host)
    stopped = open_console(vm, 'read-only')
    writer = open_console(vm, 'read-write')
    writer.type(b'flood\n')
    # More than its socket takes and what is kept for it.
    wait_until(lambda: len(writer.read()) > (1 << 20) and b'%062d' % 16000 in writer.received,
               'a MiB of lines')
    wait_until(lambda: b'%062d' % 16000 in vm.output['console-out'], 'the same at console-out')
    late = open_console(vm, 'read-only')
    wait_until(lambda: len(late.read()) >= PAST_MAX, 'all of the past')
    assert end(vm)['reason'] == 'killed'
    writer.wait_for_end()
    stopped.wait_for_end()
    assert PAST_MAX < len(stopped.received) < len(writer.received), len(stopped.received)


@with_host
def test_words_and_states_that_are_wrong_are_refused(host):
    config, files = host.config(host.payload('probe'), 'probe=wait')
    vm = host.create(config, files)
    assert refused(vm.methods.OpenConsole, 'read-only') == (
        'InvalidState', f"VM '{vm.get('Name')}' has no output before Start")
    vm.start()
    early = open_console(vm, 'read-only')  # while it starts
    vm.wait_for('PayloadReady')
    kind, sentence = refused(vm.methods.OpenConsole, 'force')
    assert kind == 'InvalidArgs' and "'force'" in sentence and "'take-over'" in sentence, sentence
    kind, sentence = refused(vm.methods.OpenLog, 'kernel')
    assert kind == 'InvalidArgs' and "'kernel'" in sentence and "'guest'" in sentence, sentence
    early.wait_for(b'starting the payload')
    vm.methods.Suspend()
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    open_console(vm, 'read-only').wait_for(b'starting the payload')
    end(vm)
    for method, word in ((vm.methods.OpenConsole, 'read-only'), (vm.methods.OpenLog, 'vmm')):
        kind, sentence = refused(method, word)
        assert kind == 'InvalidState' and 'GetDeathRecord' in sentence, sentence


@with_host
def test_logs_have_their_past_and_end_with_the_vm(host):
    config, files = host.config(host.payload('probe'), 'probe=wait')
    vm = host.create(config, files, start=True)
    vm.wait_for('PayloadReady')
    wait_until(lambda: vm.output['log'], 'the log that the client brought')
    logs = {which: open_log(vm, which) for which in ('console', 'guest', 'vmm')}
    logs['console'].wait_for(b'starting the payload')
    wait_until(lambda: vm.output['log'] in logs['guest'].read(), 'the past of the log')
    assert logs['guest'].refuses_to_be_typed_to()
    vm.methods.Stop()
    assert vm.death()['reason'] == 'shutdown'
    for stream in logs.values():
        stream.wait_for_end()
    assert b'stopping the payload' in logs['guest'].received, logs['guest'].received
    assert vm.wait_for_output_end('log') == logs['guest'].received


@with_host
def test_a_log_is_there_without_a_file_for_it(host):
    config, files = host.config(host.payload('probe'), 'probe=wait')
    vm = host.manager().CreateVm(
        json.dumps(config),
        dbus.Dictionary({key: dbus.types.UnixFd(os.open(path, os.O_RDONLY))
                         for key, path in files.items()}, signature='sh'),
        dbus.Dictionary({'start': True}, signature='sv'))
    methods = dbus.Interface(host.bus.get_object('org.virtualizationd1', vm, introspect=False),
                             'org.virtualizationd1.VirtualMachine')
    log = Stream(methods.OpenLog('guest'))
    wait_until(log.read, 'what guest-manager logs')
    vmm = Stream(methods.OpenLog('vmm'))
    methods.Kill()
    log.wait_for_end()
    vmm.wait_for_end()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
