#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures virtualizationd beside QEMU started bare, in turns, and prints medians.

Every figure is a line "NAME VALUE UNIT": bare.* is the floor, ours.* this daemon, ratio.* the
median of ours over bare round by round. Nothing is asserted. The guest is the same on both sides:
Debian's cloud kernel as it is packaged (bzImage), which prints "GUEST UP" on its serial port and
powers off; the figures named vmlinux.* are those of the same kernel unpacked, which boots sooner
under TCG but costs more to load. Other benches that print the same names may be put beside it, and
find the guest in $KERNEL and $INITRD: --peer NAME=COMMAND.

  bench.py BUILD [--rounds N] [--peer NAME=COMMAND]...
"""
import argparse
import glob
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
import dbus.lowlevel  # noqa: E402
from harness import Host, MANAGER, NAME, ROOT, VM, vm_processes, wait_until  # noqa: E402

now = time.monotonic
MEMORY_MIB = 256
PARAMS = 'console=ttyS0 reboot=t panic=-1 quiet'
SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'
FLEET = 20
figures = {}  # (side, name) -> values by round


def emit(name, value, unit):
    print(f'{name} {value:.6g} {unit}', flush=True)


def note(side, name, values, unit):
    """One round's values of a figure: their median is what counts."""
    figures.setdefault((side, name), (unit, []))[1].append(statistics.median(values))


def cpio(path, files):
    """A newc archive of executable files."""
    def entry(name, mode, data):
        header = '070701' + ''.join('%08X' % field for field in (
            0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        packed = header.encode() + name.encode() + b'\0'
        packed += bytes(-len(packed) % 4) + data
        return packed + bytes(-len(packed) % 4)
    with open(path, 'wb') as file:
        for name, source in files.items():
            with open(source, 'rb') as program:
                file.write(entry(name, 0o100755, program.read()))
        file.write(entry('TRAILER!!!', 0, b''))


class Guest:
    """What is booted."""

    def __init__(self, kernel, initrd):
        self.kernel, self.initrd = kernel, initrd


def make_guests(build, directory):
    """The kernel as it is packaged, and unpacked as the guest image has it."""
    initrd, packed = f'{directory}/initrd', f'{directory}/vmlinuz'
    cpio(initrd, {'init': f'{build}/programs/guest-up'})
    package = sorted(glob.glob(f'{build}/guest-image-cache/linux-image-*.deb'))[-1]
    with open(packed, 'wb') as file:
        subprocess.run(f'dpkg-deb --fsys-tarfile "{package}" | '
                       "tar -xO --wildcards './boot/vmlinuz-*'", shell=True, check=True,
                       stdout=file)
    return Guest(packed, initrd), Guest(f'{build}/guest-image/vmlinux', initrd)


def wait_readable(fd, seconds=120):
    if not select.select([fd], [], [], seconds)[0]:
        raise TimeoutError


def read_until(fd, word):
    got = b''
    while word not in got:
        wait_readable(fd)
        data = os.read(fd, 4096)
        if not data:
            raise EOFError(got)
        got += data
    return now()


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as file:
                fields = file.read().rsplit(')', 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / os.sysconf('SC_CLK_TCK')


def pss_kib(pid, guest_mib=MEMORY_MIB):
    """Proportional set size of a process, without the guest's memory."""
    total = size = 0
    with open(f'/proc/{pid}/smaps', encoding='ascii', errors='replace') as file:
        for line in file:
            head = line.split(None, 1)[0]
            if not head.endswith(':'):
                low, high = head.split('-')
                size = int(high, 16) - int(low, 16)
            elif head == 'Pss:' and size != guest_mib << 20:
                total += int(line.split()[1])
    return total


# --- bare QEMU ---

class Bare:
    """QEMU without anybody around it."""

    def __init__(self, guest, paused=False, accelerator='tcg'):
        self.control, control = socket.socketpair()
        self.console, console = socket.socketpair()
        self.began = now()
        self.process = subprocess.Popen(
            ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-no-reboot', '-display',
             'none', '-S', '-machine', f'q35,accel={accelerator},usb=off', '-cpu', 'max', '-m',
             str(MEMORY_MIB), '-kernel', guest.kernel, '-initrd', guest.initrd, '-append',
             PARAMS, '-sandbox', SANDBOX, '-chardev', f'socket,id=q,fd={control.fileno()}',
             '-mon', 'chardev=q,mode=control', '-chardev', f'socket,id=c,fd={console.fileno()}',
             '-serial', 'chardev:c'], stdin=subprocess.DEVNULL,
            pass_fds=[control.fileno(), console.fileno()])
        self.pidfd = os.pidfd_open(self.process.pid)
        control.close()
        console.close()
        self.command('qmp_capabilities', b'QMP')
        if not paused:
            self.command('cont', None)
        self.ready = now()

    def command(self, name, greeting):
        if greeting:
            read_until(self.control.fileno(), greeting)
        self.control.sendall(b'{"execute":"%s"}\n' % name.encode())
        read_until(self.control.fileno(), b'"return"')

    def wait_up(self):
        return read_until(self.console.fileno(), b'GUEST UP')

    def wait_gone(self):
        wait_readable(self.pidfd)
        gone = now()
        self.process.wait()
        return gone

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.pidfd)
        self.control.close()
        self.console.close()


def bare_lifecycle(guest, runs, kind=''):
    ready, up, stopped = [], [], []
    for _ in range(runs):
        vm = Bare(guest)
        is_up = vm.wait_up()
        ready.append((vm.ready - vm.began) * 1e3)
        up.append((is_up - vm.began) * 1e3)
        stopped.append((vm.wait_gone() - is_up) * 1e3)
        vm.close()
    note('bare', f'{kind}create_to_return', ready, 'ms')
    note('bare', f'{kind}create_to_guest_up', up, 'ms')
    note('bare', f'{kind}guest_up_to_stopped_event', stopped, 'ms')


def bare_kill(guest, runs):
    times = []
    for _ in range(runs):
        vm = Bare(guest)
        began = now()
        vm.process.send_signal(signal.SIGKILL)
        times.append((vm.wait_gone() - began) * 1e3)
        vm.close()
    note('bare', 'sigkill_to_stopped_event', times, 'ms')
    note('bare', 'destroy_running_to_return', times, 'ms')


def bare_fleet(guest):
    began = now()
    fleet = [Bare(guest, paused=True) for _ in range(FLEET)]
    note('bare', f'fleet{FLEET}.seq.create_paused.per_vm', [(now() - began) * 1e3 / FLEET], 'ms')
    note('bare', f'fleet{FLEET}.seq.create_paused.cpu_per_vm',
         [cpu_seconds([vm.process.pid for vm in fleet]) * 1e3 / FLEET], 'ms')
    began = now()
    for vm in fleet:
        vm.process.send_signal(signal.SIGKILL)
        vm.wait_gone()
    note('bare', f'fleet{FLEET}.seq.destroy.per_vm', [(now() - began) * 1e3 / FLEET], 'ms')
    for vm in fleet:
        vm.close()


# --- ours ---

class Ours:
    """A VM of the daemon, driven with as little in between as Python allows."""

    def __init__(self, host, guest, **options):
        self.host = host
        self.console, console = os.pipe()
        self.events = {}
        self.path = None
        self.early = []
        fds = {'kernel': os.open(guest.kernel, os.O_RDONLY),
               'initrd': os.open(guest.initrd, os.O_RDONLY), 'console-out': console}
        config = (f'{{"kernel": "kernel", "initrd": "initrd", "params": "{PARAMS}", '
                  f'"memory_mib": {MEMORY_MIB}}}')
        self.filter = self.on_message  # one object: it is removed by identity
        host.bus.add_message_filter(self.filter)
        self.began = now()
        self.path = host.manager().CreateVm(
            config, dbus.Dictionary({key: dbus.types.UnixFd(fd) for key, fd in fds.items()},
                                    signature='sh'),
            dbus.Dictionary(dict(options, start=True), signature='sv'))
        for fd in fds.values():
            os.close(fd)
        for event in self.early:
            self.record(*event)

    def on_message(self, _connection, message):
        when = now()
        if message.get_type() == 4:  # a signal
            if self.path is None:
                self.early.append((when, message))
            else:
                self.record(when, message)
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED

    def record(self, when, message):
        if message.get_path() != self.path:
            return
        if message.get_member() == 'PropertiesChanged':
            for key, value in message.get_args_list()[1].items():
                self.events.setdefault(str(key) if key != 'State' else f'State:{value}', when)
        else:
            self.events.setdefault(message.get_member(), when)

    def wait(self, name):
        wait_until(lambda: name in self.events, f'{name}, events: {self.events}')
        return self.events[name]

    def call(self, method):
        self.host.bus.get_object(NAME, self.path, introspect=False).get_dbus_method(method, VM)()

    def get(self, name):
        return self.host.bus.get_object(NAME, self.path, introspect=False).Get(
            VM, name, dbus_interface='org.freedesktop.DBus.Properties')

    def close(self):
        self.host.bus.remove_message_filter(self.filter)
        os.close(self.console)


def ours_lifecycle(host, guest, runs, kind=''):
    ready, up, stopped = [], [], []
    for _ in range(runs):
        vm = Ours(host, guest)
        ready.append((vm.wait('StartedAt') - vm.began) * 1e3)
        is_up = read_until(vm.console, b'GUEST UP')
        up.append((is_up - vm.began) * 1e3)
        stopped.append((vm.wait('Died') - is_up) * 1e3)
        vm.close()
    note('ours', f'{kind}create_to_return', ready, 'ms')
    note('ours', f'{kind}create_to_guest_up', up, 'ms')
    note('ours', f'{kind}guest_up_to_stopped_event', stopped, 'ms')


def ours_kill(host, guest, runs):
    by_signal, by_call = [], []
    for _ in range(runs):
        vm = Ours(host, guest)
        vm.wait('StartedAt')
        pid = int(vm.get('Pid'))
        began = now()
        os.kill(pid, signal.SIGKILL)
        by_signal.append((vm.wait('Died') - began) * 1e3)
        vm.close()
        vm = Ours(host, guest)
        vm.wait('StartedAt')
        began = now()
        vm.call('Kill')
        by_call.append((vm.wait('Died') - began) * 1e3)
        vm.close()
    note('ours', 'sigkill_to_stopped_event', by_signal, 'ms')
    note('ours', 'destroy_running_to_return', by_call, 'ms')


def fleet_cpu(host):
    """Of the daemon, the listener and every process of a VM."""
    return cpu_seconds([host.daemon.pid, *host.listener_pids(), *vm_processes()])


def ours_fleet(host, guest, at_once):
    kind = 'par' if at_once else 'seq'
    name = f'fleet{FLEET}.{kind}.create_paused'
    before = fleet_cpu(host)
    began = now()
    fleet = []
    for _ in range(FLEET):
        fleet.append(Ours(host, guest, paused=True))
        if not at_once:
            fleet[-1].wait('StartedAt')
    for vm in fleet:
        vm.wait('StartedAt')
    note('ours', f'{name}.per_vm', [(now() - began) * 1e3 / FLEET], 'ms')
    note('ours', f'{name}.cpu_per_vm', [(fleet_cpu(host) - before) * 1e3 / FLEET], 'ms')
    note('ours', f'fleet{FLEET}.{kind}.daemon.pss', [pss_kib(host.daemon.pid)], 'KiB')
    vmms = {int(vm.get('Pid')) for vm in fleet}
    helpers = [pid for pid in vm_processes() if pid not in vmms]
    note('ours', f'fleet{FLEET}.{kind}.helpers.pss_per_vm',
         [sum(pss_kib(pid) for pid in helpers) / FLEET], 'KiB')
    began = now()
    for vm in fleet:
        vm.call('Kill')
        if not at_once:
            vm.wait('Died')
    for vm in fleet:
        vm.wait('Died')
        vm.close()
    note('ours', f'fleet{FLEET}.{kind}.destroy.per_vm', [(now() - began) * 1e3 / FLEET], 'ms')


# --- bus and vsock ---

def bus_calls(host, count):
    program = f'{host.build}/programs/bus-calls'
    service = subprocess.Popen([program, host.address, 'serve', 'bench.Echo'],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    service.stdout.readline()
    made = host.create(*host.config())
    targets = {
        ('bare', 'get_state'): ['bench.Echo', '/echo', 'bench.Echo', 'Ping'],
        ('ours', 'get_state'): [NAME, made.path, 'org.freedesktop.DBus.Properties', 'Get',
                                f's:{VM}', 's:State'],
        ('bare', 'list_domains'): ['bench.Echo', '/echo', 'bench.Echo', 'Ping'],
        ('ours', 'list_domains'): [NAME, ROOT, MANAGER, 'ListVms', 'b:0'],
        ('bare', 'peer_ping'): ['bench.Echo', '/echo', 'bench.Echo', 'Ping'],
        ('ours', 'peer_ping'): [NAME, ROOT, 'org.freedesktop.DBus.Peer', 'Ping'],
    }
    try:
        for (side, name), target in targets.items():
            for depth, suffix in ((1, ''), (64, '_depth64')):
                out = subprocess.run([program, host.address, 'call', str(count), str(depth),
                                      *target], check=True, stdout=subprocess.PIPE).stdout.split()
                if depth == 1:
                    note(side, f'dbus.{name}.median', [float(out[0])], 'us')
                    note(side, f'dbus.{name}.p99', [float(out[1])], 'us')
                else:
                    note(side, f'dbus.{name}{suffix}.rate', [float(out[2])], 'calls/s')
    finally:
        service.terminate()
        service.wait()
        service.stdout.close()
        made.methods.Kill()
        made.death()


def vsock(host, round_trips, megabytes):
    vm = host.create(*host.config(host.payload('probe'), 'probe=echo:5000'), start=True)
    vm.wait_for('PayloadReady')
    stream = socket.socket(fileno=vm.methods.ConnectVsock(dbus.UInt32(5000)).take())
    times = []
    for _ in range(round_trips):
        began = now()
        stream.sendall(b'x')
        stream.recv(1)
        times.append((now() - began) * 1e6)
    note('ours', 'vsock.round_trip', times, 'us')
    left, received = megabytes << 20, 0
    chunk = bytes(65536)
    stream.setblocking(False)
    began = now()
    while received < megabytes << 20:
        readable, writable, _ = select.select([stream], [stream] if left else [], [], 120)
        if writable:
            try:
                left -= stream.send(chunk[:left])
            except BlockingIOError:
                pass
        if readable:
            received += len(stream.recv(65536))
    note('ours', 'vsock.echo_throughput', [megabytes / (now() - began)], 'MiB/s')
    stream.close()
    vm.methods.Kill()
    vm.death()


def run_peer(name, command):
    out = subprocess.run(['sh', '-c', command], stdout=subprocess.PIPE, text=True,
                         check=False).stdout
    for line in out.splitlines():
        parts = line.split()
        if len(parts) == 3 and not line.startswith('#') and '.' in parts[0] and \
                parts[0].rsplit('.', 1)[1] not in ('n', 'p25', 'p75', 'min', 'max'):
            metric = parts[0].split('.', 1)[1].removesuffix('.median')
            note(name, metric, [float(parts[1])], parts[2])


def report():
    for (side, name), (unit, values) in figures.items():
        emit(f'{side}.{name}', statistics.median(values), unit)
    for (side, name), (_, values) in figures.items():
        floor = figures.get(('bare', name))
        if side != 'bare' and floor and len(floor[1]) == len(values):
            ratios = [value / base for value, base in zip(values, floor[1]) if base]
            if ratios:
                emit(f'ratio.{side}.{name}', statistics.median(ratios), 'of bare')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--peer', action='append', default=[], metavar='NAME=COMMAND')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='bench-') as directory:
        os.chmod(directory, 0o755)
        packed, unpacked = make_guests(os.path.abspath(options.build), directory)
        os.environ.update(KERNEL=packed.kernel, INITRD=packed.initrd)
        for number in range(options.rounds):
            print(f'# round {number + 1} of {options.rounds}', file=sys.stderr, flush=True)
            host = Host(options.build)
            host.bus.add_match_string(f"type='signal',sender='{NAME}'")
            try:
                note('ours', 'idle.daemon.pss', [pss_kib(host.daemon.pid)], 'KiB')
                note('ours', 'idle.listener.pss', [sum(map(pss_kib, host.listener_pids()))], 'KiB')
                bare_lifecycle(packed, options.runs)
                ours_lifecycle(host, packed, options.runs)
                bare_lifecycle(unpacked, options.runs, 'vmlinux.')
                ours_lifecycle(host, unpacked, options.runs, 'vmlinux.')
                bare_kill(packed, options.runs)
                ours_kill(host, packed, options.runs)
                bare_fleet(packed)
                ours_fleet(host, packed, at_once=False)
                ours_fleet(host, packed, at_once=True)
                bus_calls(host, 5000)
                vsock(host, 1000, 16)
            finally:
                host.close()
            for peer in options.peer:
                run_peer(*peer.split('=', 1))
    report()


main()
