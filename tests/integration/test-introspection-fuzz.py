#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every method that introspection shows, of VMs in every state, with whatever values and descriptors
somebody could send, as root and as a stranger: the daemon answers each call with a result or with an
error that its documentation has, and is afterwards what it was before.

FUZZ_SEED repeats a run, as far as the other side goes along; FUZZ_SECONDS makes it longer.
"""
import importlib.machinery
import importlib.util
import json
import os
import pwd
import random
import re
import select
import socket
import struct
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import (NAME, ROOT, MANAGER, PROPERTIES, Suite, VM,  # noqa: E402
                     wait_until, with_settings)
from wire import CALL, DESTINATION, Gone, MEMBER, message, NO_REPLY, PATH, types_of, Wire  # noqa: E402

TOP = os.path.abspath(os.environ['top_srcdir'])
SECONDS = int(os.environ.get('FUZZ_SECONDS', 45))
SEED = int(os.environ.get('FUZZ_SEED', time.time_ns() % 10 ** 9))
REPLY_SECONDS = 60  # for one reply, with everything else going on
STRANGER = pwd.getpwnam('nobody').pw_uid
STANDARD = 'org.freedesktop.DBus.Error.'
# What libdbus and the service answer to calls that are no method of theirs.
UNKNOWN = {STANDARD + name for name in ('UnknownMethod', 'UnknownInterface', 'UnknownObject',
                                        'UnknownProperty', 'PropertyReadOnly')}


def load_script(name):
    loader = importlib.machinery.SourceFileLoader(name.replace('-', '_'), f'{TOP}/scripts/{name}')
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class Documentation:
    """Which errors a method may answer with, and the words that mean something."""

    def __init__(self):
        docs = load_script('make-api-docs')
        self.docs = docs
        self.full = {name.rpartition('.')[2]: name for name in docs.read_errors(TOP)}
        self.interfaces = [docs.Interface(TOP, short) for short in docs.INTERFACES]
        # What the interfaces say of every method.
        self.always = {self.full[word] for interface in self.interfaces
                       for word in re.findall(r'\w+', interface.comment) if word in self.full}
        comments = [comment for interface in self.interfaces
                    for members in interface.members.values() for comment, _ in members]
        self.words = sorted({word for comment in comments
                             for word in re.findall(r'"([^" ]+)"', comment)} |
                            {member.get('name') for interface in self.interfaces
                             for members in interface.members.values() for _, member in members})

    def allowed(self, member):
        return self.always | UNKNOWN | {
            self.full[error]
            for error in self.docs.errors_of(member, self.interfaces, self.full)}


def introspected(text):
    """(interface, method) -> signature of its arguments."""
    return {(interface.get('name'), method.get('name')):
            ''.join(argument.get('type') for argument in method.iter('arg')
                    if argument.get('direction') == 'in')
            for interface in ElementTree.fromstring(text).iter('interface')
            for method in interface.iter('method')}


# What ends a VM is called seldom, so that one gets as far as its payload. Others that do will make
# VMs live shorter, and no more.
ENDING = ('Kill', 'Stop', 'StopWithOptions')
NUMBERS = {'y': (0, 2 ** 8 - 1), 'n': (-2 ** 15, 2 ** 15 - 1), 'q': (0, 2 ** 16 - 1),
           'i': (-2 ** 31, 2 ** 31 - 1), 'u': (0, 2 ** 32 - 1), 'x': (-2 ** 63, 2 ** 63 - 1),
           't': (0, 2 ** 64 - 1)}
TEXTS = ['', ' ', '\x01\x1b[2J\x7f\t\r\n', '../../etc/passwd', '%s%n%d', '/', '\u202e\U0001f600\ufeff',
         '\ufffe', '{}', '[', '[' * 100, '{"kernel": "kernel"}', '{"name": "x", "name": "x"}', 'null',
         '-1', '1e999', '"\\ud800"', 'x' * 64, 'x' * 65, 'x' * 255, 'x' * 4096, "'", '"', '\\']


class Values:
    """Values of any type, and the descriptors that they name."""

    def __init__(self, dice, words, directory, config):
        self.dice = dice
        self.words = words
        self.directory = directory
        self.config = config
        self.fds = []
        self.n_large = 0

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.n_large = 0

    def new_fd(self):
        kind = self.dice.randrange(14)
        if kind < 2:
            ends = os.pipe()
            os.close(ends[kind])
            return ends[1 - kind]
        if kind == 2:
            left, right = socket.socketpair()
            right.close()
            return left.detach()
        if kind == 3:
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach()
        if kind == 4:
            return os.memfd_create('odd', os.MFD_ALLOW_SEALING)
        if kind == 5:
            return os.open('/dev/null', os.O_RDWR)
        if kind == 6:
            with select.epoll() as epoll:
                return os.dup(epoll.fileno())
        if kind == 7:
            return os.pidfd_open(os.getpid())
        if kind == 8:
            return os.eventfd(0)
        if kind == 9:
            return os.open('/', os.O_RDONLY | os.O_DIRECTORY)
        if kind == 10:
            return os.open('/etc/passwd', os.O_PATH)
        if kind == 11:
            return os.open('/dev/zero', os.O_RDONLY)
        with tempfile.TemporaryFile(dir=self.directory) as file:
            file.truncate(self.dice.choice([0, 1, 4096, 8192, 1 << 20]))
            return (os.dup(file.fileno()) if kind == 12 else
                    os.open(f'/proc/self/fd/{file.fileno()}', os.O_RDONLY))

    def number(self, kind):
        least, most = NUMBERS[kind]
        return self.dice.choice([least, most, 0, 1, least + 1, most - 1, min(1024, most),
                                 min(4096, most), self.dice.randint(least, most)])

    def text(self):
        dice = self.dice.random()
        if dice < 0.4:
            return self.dice.choice(self.words)
        if dice < 0.55:
            return self.some_config()
        if dice < 0.56 and self.n_large < 4:  # the bus takes 32 MiB at most
            self.n_large += 1
            return 'x' * self.dice.choice([65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
        if dice < 0.57:
            return '[' * 10000
        return self.dice.choice(TEXTS)

    def some_config(self):
        """A good configuration with something odd in one place."""
        config = json.loads(json.dumps(self.config))
        key = self.dice.choice([*config, 'name', 'disks', 'protected', 'payload', 'cpu_topology'])
        config[key] = self.dice.choice([None, True, 0, -1, 1, 2 ** 31, 2 ** 64, 1.5, '', 'kernel',
                                        [], {}, [[]], [{}], [{'image': 'odd'}] * 17, 'x' * 100])
        return json.dumps(config)

    def type(self, depth=0):
        kind = self.dice.choice('ybnqiuxtdsogvh' + ('' if depth > 3 else 'aa(({'))
        if kind == 'a':
            return 'a' + self.type(depth + 1)
        if kind == '(':
            return '(' + ''.join(self.type(depth + 1) for _ in range(self.dice.randint(1, 3))) + ')'
        if kind == '{':
            return 'a{' + self.dice.choice('sutoh') + self.type(depth + 1) + '}'
        return kind

    def value(self, kind, depth=0):
        if kind in NUMBERS:
            return self.number(kind)
        if kind == 'b':
            return self.dice.randrange(2)
        if kind == 'd':
            return self.dice.choice([0.0, -1.5, float('inf'), float('nan'), 1e308])
        if kind == 's':
            return self.text()
        if kind == 'o':
            return self.dice.choice(['/', ROOT, ROOT + '/vm/' + '0' * 32, '/' + 'x' * 1000])
        if kind == 'g':
            return self.dice.choice(['', 's', 'a{sv}', '(' * 30 + 'y' + ')' * 30])
        if kind == 'h':
            if len(self.fds) == 16 or (self.fds and self.dice.random() < 0.1):
                return self.dice.randrange(len(self.fds))  # one twice
            self.fds.append(self.new_fd())
            return len(self.fds) - 1
        if kind == 'v':
            inner = 'v' if depth < 20 and self.dice.random() < 0.2 else self.type(depth + 1)
            return inner, self.value(inner, depth + 1)
        if kind[0] == 'a':
            count = self.dice.choice([0, 1, 1, 2, 3])
            if depth == 0 and self.dice.random() < 0.02:
                count = 3000
            elements = [self.value(kind[1:], depth + 1) for _ in range(count)]
            if kind[1] == '{' and elements and self.dice.random() < 0.2:
                elements.append((elements[0][0], self.value(kind[1:], depth + 1)[1]))
            return elements
        return tuple(self.value(inner, depth + 1) for inner in types_of(kind[1:-1]))


class Fuzzer:
    """Calls at random, in a process of its own, which may be a stranger's."""

    def __init__(self, host, seed, targets, may_create):
        self.host = host
        self.dice = random.Random(seed)
        self.targets = targets  # paths that it has from elsewhere
        self.may_create = may_create
        self.documentation = Documentation()
        self.wire = Wire(f'{host.directory}/bus')
        config, self.files = host.config(host.payload('probe'), 'probe=wait')
        self.config = json.dumps(config)
        self.directory = tempfile.mkdtemp(prefix='fuzz-')
        self.values = Values(self.dice, self.documentation.words, self.directory, config)
        self.methods = {ROOT: self.introspect(ROOT)}
        self.own = {}
        self.last = None
        self.answers = {}  # (method, error) -> count
        self.n_calls = 0

    def introspect(self, path):
        self.wire.wait()
        self.wire.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect')
        (_, error, body), = self.wire.wait()
        assert error is None, (path, error)
        size, = struct.unpack_from('<I', body)
        return introspected(body[4:4 + size].decode())

    def ask(self, *arguments):
        """The error and the body of one call's answer, whatever else is under way."""
        self.collect(block=True)
        self.wire.call(*arguments)
        (_, error, body), = self.wire.wait()
        return error, body

    def make(self, kind):
        """A VM that was not started, one that runs, or one whose vCPUs stand still."""
        options = {'not-started': [], 'running': [('start', ('b', 1))],
                   'suspended': [('start', ('b', 1)), ('paused', ('b', 1))]}[kind]
        files, fds = [], []
        for key, path in self.files.items():
            fds.append(os.open(path, os.O_RDONLY))
            files.append((key, len(fds) - 1))
        error, body = self.ask(ROOT, MANAGER, 'CreateVm', 'sa{sh}a{sv}',
                               (self.config, files, options), fds)
        for fd in fds:
            os.close(fd)
        assert error is None, (kind, error, body)
        self.own[kind] = body[4:-1].decode()

    def renew(self):
        """A VM of each kind, where a call has ended it; those that died stay as dead ones."""
        for kind in ('not-started', 'running', 'suspended'):
            if kind in self.own:
                error, body = self.ask(self.own[kind], PROPERTIES, 'Get', 'ss', (VM, 'State'))
                if error is None and b'dead' not in body:
                    continue
                self.own['dead'] = self.own[kind]
            self.make(kind)
        for path in self.own.values():
            if path not in self.methods:
                try:
                    self.methods[path] = self.introspect(path)
                except AssertionError:
                    pass  # its death record was kept no longer

    def collect(self, block=False, wait=0):
        replies = self.wire.wait(REPLY_SECONDS) if block else self.wire.replies(wait)
        for (path, interface, member), error, body in replies:
            self.n_calls += 1
            key = (f'{(interface or "").rpartition(".")[2]}.{member}'[:60], error)
            self.answers[key] = self.answers.get(key, 0) + 1
            if error is not None:
                assert error in self.documentation.allowed(member), (path, interface, member, error,
                                                                     body[4:500])
        for when, what in self.wire.pending.values():
            assert time.monotonic() - when < REPLY_SECONDS, f'no reply to {what}'

    def one_call(self):
        paths = [ROOT, *self.targets, *self.own.values()]
        path = self.dice.choice(paths)
        methods = self.methods.get(path) or next(iter(
            methods for known, methods in self.methods.items() if known != ROOT), self.methods[ROOT])
        interface, member = self.dice.choice(sorted(methods))
        if member in ENDING and path == self.own.get('running') and self.dice.random() < 0.98:
            return
        signature = methods[interface, member]
        oddity = self.dice.random()
        if oddity < 0.1:
            signature = ''.join(self.values.type() for _ in range(self.dice.randrange(4)))
        elif oddity < 0.15:
            interface = self.dice.choice([None, 'a.b', MANAGER, VM, PROPERTIES,
                                          'org.freedesktop.DBus.ObjectManager',
                                          'org.freedesktop.DBus.Peer'])
        elif oddity < 0.18:
            member = self.dice.choice(['Explode', 'x' * 255, 'Get', 'Start', 'CreateVm'])
        elif oddity < 0.2:
            path = self.dice.choice(['/', '/org', ROOT + '/vm', ROOT + '/vm/x', '/' + 'a/' * 100 + 'b'])
        values = [self.value_for(interface, kind) for kind in types_of(signature)]
        try:
            self.wire.call(path, interface, member, signature, values, self.values.fds,
                           flags=NO_REPLY if self.dice.random() < 0.02 else 0)
        except Gone:
            raise AssertionError(f'the bus hangs up: {self.last}') from None
        self.last = str((path, interface, member, signature, values, self.values.fds))[:3000]
        self.values.close()

    def value_for(self, interface, kind):
        if kind == 's' and interface == PROPERTIES and self.dice.random() < 0.5:
            return self.dice.choice([VM, MANAGER, ''])
        return self.values.value(kind)

    def run(self, seconds):
        end = time.monotonic() + seconds
        for path in self.targets:
            self.methods[path] = self.introspect(path)
        while time.monotonic() < end:
            if self.may_create:
                self.renew()
            for _ in range(40):
                for _ in range(self.dice.choice([1, 8])):
                    self.one_call()
                self.collect()
                while len(self.wire.pending) > 64:  # the bus has a limit of 128 for one connection
                    self.collect(wait=0.1)
        self.collect(block=True)


def begin(host, uid, seed, targets, seconds):
    """Runs a fuzzer in a child: (pid, descriptor of its report). The report is a JSON object."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    report = {}
    try:
        if uid:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        fuzzer = Fuzzer(host, seed, targets, may_create=not uid)
        try:
            fuzzer.run(seconds)
        finally:
            os.rmdir(fuzzer.directory)
        report = {'calls': fuzzer.n_calls,
                  'answers': [[*key, count] for key, count in sorted(
                      fuzzer.answers.items(), key=lambda item: str(item[0]))]}
    except BaseException:
        report = {'problem': traceback.format_exc()}
    finally:
        os.write(writer, json.dumps(report).encode()[:65536])
        os._exit(0)


def end(child):
    """The report of a child that has written it."""
    with os.fdopen(child[1], 'rb') as file:
        report = json.loads(file.read())
    os.waitpid(child[0], 0)
    return report


def memory_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as file:
        return int(re.search(r'^Pss:\s+(\d+)', file.read(), re.M).group(1))


def open_fds(pid):
    return sorted(os.readlink(f'/proc/{pid}/fd/{fd}').partition(':')[0]
                  for fd in os.listdir(f'/proc/{pid}/fd'))


class Watch:
    """The daemon and a VM of another client's, which nothing that is done may disturb."""

    def __init__(self, host, name='undisturbed'):
        self.host = host
        self.vm = host.create(*host.config(host.payload('probe'), 'probe=echo:5000', name=name),
                              start=True)
        self.vm.wait_for('PayloadReady')
        self.n_events = len(self.vm.events)
        self.settle()
        self.fds, self.memory = open_fds(host.daemon.pid), memory_kib(host.daemon.pid)
        self.pid, self.slowest = host.daemon.pid, 0

    def settle(self):
        """Ends every VM but the one, and waits until none is remembered."""
        manager = self.host.manager()
        for path, *_ in manager.ListVms(False):
            if path != self.vm.path:
                try:
                    self.host.bus.get_object(NAME, path, introspect=False).Kill(dbus_interface=VM)
                except Exception:  # it has just died
                    pass
        wait_until(lambda: len(manager.ListVms(True)) == 1, 'the records of the dead to go')

    def look(self):
        began = time.monotonic()
        assert self.vm.get('State') == 'ready', self.vm.get('State')
        self.host.manager().ListVms(True)
        self.slowest = max(self.slowest, time.monotonic() - began)
        assert self.host.daemon.poll() is None, self.host.log()[-3000:]

    def check(self, slack_kib=8192):
        self.look()
        assert self.slowest < 20, self.slowest
        assert self.host.daemon.pid == self.pid
        assert len(self.vm.events) == self.n_events, self.vm.events[self.n_events:]
        stream = self.vm.methods.ConnectVsock(dbus.UInt32(5000)).take()
        with socket.socket(fileno=stream) as echo:
            echo.settimeout(60)
            echo.sendall(b'still here')
            assert echo.recv(100) == b'still here'
        self.settle()
        # Sockets of this check itself go a moment later.
        wait_until(lambda: len(open_fds(self.pid)) <= len(self.fds) + 2,
                   f'{open_fds(self.pid)} to become {self.fds}', 30)
        grown = memory_kib(self.pid) - self.memory
        print(f'# the slowest answer to others took {self.slowest * 1000:.0f} ms; the daemon grew '
              f'by {grown} KiB to {memory_kib(self.pid)}', flush=True)
        assert self.sanitized() or grown < slack_kib, (grown, self.memory)

    def sanitized(self):
        return Suite().sanitized


def watched(function):
    def run(host):
        print(f'# FUZZ_SEED={SEED}', flush=True)
        function(host)
    # What floods is to reach everything: test-limits has the limits.
    return with_settings('DeathRecordSec=1\n[Limits]\nCreationRate=infinity\n')(run)


def fuzz(host, watch, seed, seconds):
    children = [begin(host, uid, f'{seed} {uid}', targets, seconds)
                for uid, targets in ((0, []), (STRANGER, [watch.vm.path]))]
    waiting = [child[1] for child in children]
    until = time.monotonic() + seconds + 2 * REPLY_SECONDS
    while len(select.select(waiting, [], [], 0.2)[0]) < len(waiting):
        watch.look()
        assert time.monotonic() < until, 'the fuzzers do not end'
    return [end(child) for child in children]


@watched
def test_every_method_with_everything(host):
    # What a first time allocates for good is no leak: it is measured after one.
    watch = Watch(host)
    reports = fuzz(host, watch, f'{SEED} first', 5)
    for report in reports:
        assert 'problem' not in report, report['problem']
    watch.settle()
    watch.memory, watch.fds = memory_kib(watch.pid), open_fds(watch.pid)
    reports = fuzz(host, watch, SEED, SECONDS)
    for report in reports:
        assert 'problem' not in report, report['problem']
        kinds = {}
        for _, error, count in report['answers']:
            short = error.rpartition('.')[2] if error else 'answered'
            kinds[short] = kinds.get(short, 0) + count
        print(f'# {report["calls"]} calls: {kinds}', flush=True)
        assert report['calls'] > 200, report
    called = {name for name, error, _ in reports[0]['answers'] if error is None}
    print(f'# {len(called)} methods have succeeded', flush=True)
    watch.check()


def in_batches(dice, data):
    while data:
        size = dice.choice([1, 7, 100, 10000])
        yield data[:size]
        data = data[size:]


@watched
def test_garbage_on_the_bus_harms_nobody(host):
    dice = random.Random(SEED)
    watch = Watch(host)
    good = message(2, [(PATH, 'o', ROOT), (MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)], 's', ['x'])
    bad_values = [
        message(2, [(PATH, 'o', 'no/path'), (MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)]),
        message(2, [(PATH, 'o', ROOT), (MEMBER, 's', 'no member'), (DESTINATION, 's', NAME)]),
        message(2, [(PATH, 'o', ROOT), (MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)], 's',
                [b'\xff\xfe']),
        message(2, [(PATH, 'o', ROOT), (MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)], 's',
                [b'a\0b']),
        message(2, [(PATH, 'o', ROOT), (MEMBER, 's', 'ListVms'), (DESTINATION, 's', NAME)], 'b', [2]),
        message(2, [(PATH, 'o', ROOT), (MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)], 'h', [9]),
        message(2, [(MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)]),
        message(0, [(PATH, 'o', ROOT), (MEMBER, 's', 'GetVm'), (DESTINATION, 's', NAME)]),
        message(2, [], kind=CALL), b'l\1\0\1' + b'\xff' * 12, b'B' + good[1:]]
    for number in range(120):
        if number % 3 == 0:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(0.05)
                connection.connect(f'{host.directory}/bus')
                try:
                    connection.sendall(dice.randbytes(dice.choice([1, 100, 5000])))
                    connection.recv(100)
                except OSError:
                    pass
            continue
        wire = Wire(f'{host.directory}/bus')
        data = (bytearray(good) if number % 3 == 1 else
                bytearray(bad_values[number // 3 % len(bad_values)]))
        if number % 3 == 1:
            for _ in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            for part in in_batches(dice, bytes(data)):
                wire.send(part)
            wire.receive(0.02)
        except (Gone, UnicodeDecodeError):
            pass
        wire.close()
        if number % 10 == 0:
            watch.look()
    watch.check()


@watched
def test_a_client_that_does_not_listen_holds_up_nobody(host):
    watch = Watch(host)
    deaf = Wire(f'{host.directory}/bus')
    deaf.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'AddMatch', 's',
              [f"type='signal',sender='{NAME}'"], destination='org.freedesktop.DBus')
    deaf.wait()
    maker = Wire(f'{host.directory}/bus')
    until = time.monotonic() + 6
    n_vms = 0
    while time.monotonic() < until:
        for _ in range(20):
            maker.call(ROOT, MANAGER, 'CreateVm', 'sa{sh}a{sv}', ('{"kernel": "kernel"}', [], []))
        for what, error, body in maker.wait():
            assert error is None, (what, error, body)
            maker.call(body[4:-1].decode(), VM, 'Kill')
            n_vms += 1
        maker.wait()
        watch.look()
    print(f'# {n_vms} VMs came and went', flush=True)
    assert n_vms > 100
    maker.close()
    watch.check()
    deaf.close()


@watched
def test_a_client_that_floods_and_reads_nothing_holds_up_nobody(host):
    watch = Watch(host)
    flooders = [Wire(f'{host.directory}/bus') for _ in range(4)]
    methods = [('org.freedesktop.DBus.ObjectManager', 'GetManagedObjects', '', ()),
               (MANAGER, 'GetEvents', 'a{st}', ([],)), (MANAGER, 'ListVms', 'b', (1,)),
               (MANAGER, 'GetVm', 's', ('x' * 100000,))]
    for flooder in flooders:
        flooder.socket.setblocking(False)
    until, n_calls = time.monotonic() + 8, 0
    while time.monotonic() < until:
        for flooder, (interface, member, signature, values) in zip(flooders, methods):
            data = message(9, [(PATH, 'o', ROOT), (MEMBER, 's', member), (DESTINATION, 's', NAME),
                               (2, 's', interface)], signature, values)
            for _ in range(50):
                # What the socket took half of is finished first.
                rest = getattr(flooder, 'rest', b'') or data
                try:
                    flooder.rest = rest[flooder.socket.send(rest):]
                    n_calls += not flooder.rest
                except BlockingIOError:
                    flooder.rest = rest
                    break
                except (BrokenPipeError, ConnectionResetError):
                    break  # the bus has had enough of it
        watch.look()
    print(f'# {n_calls} calls were sent', flush=True)
    for flooder in flooders:
        flooder.close()
    watch.look()
    watch.check()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
