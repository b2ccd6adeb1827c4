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
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
import dbus.lowlevel  # noqa: E402
from bare import MEMORY_MIB, PARAMS, Bare, make_guests, now, read_until  # noqa: E402
from figures import cpu_seconds, note, pss_kib, report, run_peer  # noqa: E402
from harness import Host, MANAGER, NAME, ROOT, VM, wait_until  # noqa: E402

FLEET = 20


# --- bare QEMU ---

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
    """Of the daemon, the listener and every process of its VMs."""
    return cpu_seconds([host.daemon.pid, *host.listener_pids(), *host.vm_processes()])


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
    helpers = [pid for pid in host.vm_processes() if pid not in vmms]
    note('ours', f'fleet{FLEET}.{kind}.helpers.pss_per_vm',
         [sum(pss_kib(pid, MEMORY_MIB) for pid in helpers) / FLEET], 'KiB')
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
    service = subprocess.Popen([f'{host.build}/programs/bus-echo', host.address, 'bench.Echo',
                                'libdbus'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
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
                out = subprocess.run([program, host.address, str(count), str(depth),
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
