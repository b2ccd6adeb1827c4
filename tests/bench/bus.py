#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the daemon on its bus, with no, some and many VMs, beside floors and peers.

The VMs are paused before their first instruction: what is measured is the daemon, not guests.
Every figure is taken in turn with its floors, in each round; a ratio is the median of the rounds'
ratios. Nothing is asserted. The sides:
- ours: this daemon
- libdbus, sdbus: services on the same bus that answer at once, with each library (bus-echo.c)
- reply: one on libdbus that puts a reply of as many entries together, with no VM behind it
- bare: QEMU without anybody around it
- and each --peer NAME=COMMAND: a bench that prints lines "PREFIX.FIGURE VALUE UNIT" with the names
  in PEER_FIGURES below and finds the guest in $KERNEL and $INITRD.

Lines "SIDE.FIGURE VALUE UNIT" come first; then a table of each figure, the median of each side,
how much ours is of it, and what was aimed at.

  bus.py BUILD [--rounds N] [--vms N,...] [--peer NAME=COMMAND]...
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
from bare import MEMORY_MIB, PARAMS, Bare, make_guests, now  # noqa: E402
from figures import cpu_seconds, emit, figures, note, pss_kib, run_peer  # noqa: E402
from harness import Host, MANAGER, NAME, ROOT, VM, wait_until  # noqa: E402

CLIENTS = 8
SLICES = 3  # of a series of calls, in turn with the other sides'
IDLE_VMS, IDLE_SECONDS = 20, 40  # longer than anything here that comes again and again
KILLS = 8
OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager'

# What a peer's bench calls our figure, and how to come from its unit to ours.
PEER_FIGURES = {
    'dbus.vms1.get_state.median': ('dbus.get_state', float),
    'dbus.vms1.get_state.p99': ('dbus.get_state.p99', float),
    'dbus.vms1.get_state.depth64.rate': ('dbus.get_state_depth64.rate', float),
    'dbus.vms1.list_vms.median': ('dbus.list_domains', float),
    'dbus.vms1.list_vms.p99': ('dbus.list_domains.p99', float),
    'vms0.sigkill_to_signal': ('dbus.sigkill_to_signal', float),
    'create.clients1.rate': ('fleet20.seq.create_paused.per_vm', lambda ms: 1000 / ms),
    f'create.clients{CLIENTS}.rate': ('fleet20.par.create_paused.per_vm', lambda ms: 1000 / ms),
    'vms0.pss': ('idle.daemon.pss', float),
    'vms20.pss': ('fleet20.seq.daemon.pss', float),
}
# Without the number of VMs, where it is the same for all: the most, or with '>' the least, that
# ours is to be of that side; a peer stands for all of them.
AIMS = {
    'get_state.median': [('libdbus', 1.25), ('peer', 1 / 5)],
    'get_state.p99': [('libdbus', 1.5)],
    'get_state.depth64.rate': [('>libdbus', 0.8), ('>peer', 6)],
    'dbus.vms20.list_vms.median': [('libdbus', 2)],
    'dbus.vms1.list_vms.median': [('peer', 1 / 2.5)],
    'sigkill_to_signal': [('bare', 1.3), ('peer', 1 / 30)],
    'create.clients1.rate': [('>bare', 1 / 1.3), ('>peer', 6)],
    f'create.clients{CLIENTS}.rate': [('>bare', 1 / 1.3), ('>peer', 6)],
    'vms0.pss': [('sdbus', 2.5), ('peer', 1 / 12)],
}
# The same in the figure's own unit.
AIMS_ABSOLUTE = {'pss_per_vm': 56}


class Echo:
    """The floors on the bus."""

    def __init__(self, host):
        self.services = {}
        for side, library in (('libdbus', 'libdbus'), ('sdbus', 'sd-bus')):
            service = subprocess.Popen(
                [f'{host.build}/programs/bus-echo', host.address, f'bench.{side}', library],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.services[side] = service
            if not service.stdout.readline():
                raise RuntimeError(f'the echo service of {library} does not start')

    def close(self):
        for service in self.services.values():
            service.terminate()
            service.wait()
            service.stdout.close()


# --- VMs ---

class Fleet:
    """Paused VMs of the daemon, which it does not take along when it ends."""

    def __init__(self, host, guest):
        self.host = host
        config = {'kernel': 'kernel', 'initrd': 'initrd', 'params': PARAMS,
                  'memory_mib': MEMORY_MIB}
        self.arguments = [json.dumps(config), f'kernel={guest.kernel}', f'initrd={guest.initrd}']
        self.paths = []

    def create(self, counts):
        """One client for each of @counts, all at once. Returns the seconds that it takes."""
        began = now()
        clients = [subprocess.Popen([f'{self.host.build}/programs/bus-create', self.host.address,
                                     str(count), *self.arguments],
                                    stdout=subprocess.PIPE, text=True) for count in counts]
        outputs = [client.communicate()[0] for client in clients]
        seconds = now() - began
        if any(client.returncode for client in clients):
            raise RuntimeError('a VM was not created:\n' + self.host.log()[-2000:])
        self.paths += [line.split()[1] for output in outputs for line in output.splitlines()]
        return seconds

    def get(self, path, name):
        return self.host.bus.get_object(NAME, path, introspect=False).Get(
            VM, name, dbus_interface='org.freedesktop.DBus.Properties')

    def cpu_seconds(self):
        host = self.host
        return cpu_seconds([host.daemon.pid, *host.listener_pids(), *host.vm_processes()])

    def vmms(self):
        return {int(self.get(path, 'Pid')) for path in self.paths}


def shares(total, count):
    return [total // count + (i < total % count) for i in range(count)]


class BareFleet:
    """As Fleet, without the daemon."""

    def __init__(self, guest):
        self.guest = guest
        self.vms = []

    def create(self, counts):
        def client(count):
            for _ in range(count):
                self.vms.append(Bare(self.guest, paused=True))

        began = now()
        threads = [threading.Thread(target=client, args=(count,)) for count in counts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return now() - began

    def cpu_seconds(self):
        return cpu_seconds([vm.process.pid for vm in self.vms])

    def close(self):
        for vm in self.vms:
            vm.close()


def grow(fleet, guest, wanted):
    """Few are made by one client, many by several, in turn with bare ones."""
    missing = wanted - len(fleet.paths)
    if missing < SLICES:
        fleet.create([max(missing, 0)])
        return
    clients = 1 if missing < 2 * CLIENTS * CLIENTS else CLIENTS
    bare = BareFleet(guest)
    sides = {'bare': bare, 'ours': fleet}
    cpu = {side: each.cpu_seconds() for side, each in sides.items()}
    rates = {side: [] for side in sides}
    for count in shares(missing, SLICES):
        for side, each in sides.items():
            rates[side].append(count / each.create(shares(count, clients)))
    for side, each in sides.items():
        note(side, f'create.clients{clients}.rate', rates[side], '1/s')
        note(side, f'create.clients{clients}.cpu_per_vm',
             [(each.cpu_seconds() - cpu[side]) * 1e3 / missing], 'ms')
    bare.close()


# --- calls ---

def call(host, count, depth, target):
    out = subprocess.run([f'{host.build}/programs/bus-calls', host.address, str(count), str(depth),
                          *target], check=True, stdout=subprocess.PIPE).stdout.split()
    return [float(value) for value in out]


def measure_calls(host, figure, count, targets):
    """All sides in turn, one call at a time and 64 in flight."""
    got = {}
    for _ in range(SLICES):
        for side, target in targets.items():
            for depth in (1, 64):
                got.setdefault((side, depth), []).append(
                    call(host, max(count // SLICES, depth), depth, target))
    for (side, depth), values in got.items():
        median, p99, rate = zip(*values)
        if depth == 1:
            note(side, f'{figure}.median', median, 'us')
            note(side, f'{figure}.p99', p99, 'us')
        else:
            note(side, f'{figure}.depth{depth}.rate', rate, '1/s')


def measure_bus(host, fleet, calls):
    n_vms = len(fleet.paths)
    name = f'dbus.vms{n_vms}'
    echo = {'libdbus': ['bench.libdbus', '/echo', 'bench.Echo', 'Ping'],
            'sdbus': ['bench.sdbus', '/echo', 'bench.Echo', 'Ping']}
    many = max(calls // max(n_vms, 1), calls // 20)
    measure_calls(host, f'{name}.get_state', calls, {
        **echo, 'ours': [NAME, fleet.paths[n_vms // 2], 'org.freedesktop.DBus.Properties', 'Get',
                         f's:{VM}', 's:State']})
    for method, ours in (('list_vms', [NAME, ROOT, MANAGER, 'ListVms', 'b:0']),
                         ('managed_objects', [NAME, ROOT, OBJECT_MANAGER, 'GetManagedObjects'])):
        member = ours[3]
        measure_calls(host, f'{name}.{method}', many, {
            **echo, 'reply': ['bench.libdbus', '/echo', 'bench.Echo', member, f'u:{n_vms}'],
            'ours': ours})


# --- events ---

def measure_kills(host, guest, fleet):
    """Of VMs beside those that there are, one at a time."""
    name = f'vms{len(fleet.paths)}'
    program = f'{host.build}/programs/bus-kill'
    bare, ended, told, added = [], [], [], []
    for _ in range(KILLS):
        vm = Bare(guest, paused=True)
        bare.append(float(subprocess.check_output([program, str(vm.process.pid)])) / 1e3)
        vm.close()
        fleet.create([1])
        path = fleet.paths.pop()
        out = subprocess.check_output([program, str(int(fleet.get(path, 'Pid'))), host.address,
                                       path]).split()
        ended.append(float(out[0]) / 1e3)
        told.append(float(out[1]) / 1e3)
        added.append(told[-1] - ended[-1])
    note('bare', f'{name}.sigkill_to_signal', bare, 'ms')
    note('ours', f'{name}.sigkill_to_signal', told, 'ms')
    note('bare', f'{name}.sigkill_to_exit', bare, 'ms')
    note('ours', f'{name}.sigkill_to_exit', ended, 'ms')
    note('ours', f'{name}.exit_to_signal', added, 'ms')


# --- memory, idleness, restart ---

def helpers(host, fleet):
    vmms = fleet.vmms()
    return [pid for pid in host.vm_processes() if pid not in vmms]


def measure_memory(host, fleet, echo, idle):
    """@idle: the figure without VMs, or None to take it."""
    n_vms = len(fleet.paths)
    daemon = pss_kib(host.daemon.pid)
    listener = sum(map(pss_kib, host.listener_pids()))
    note('ours', f'vms{n_vms}.pss', [daemon + listener], 'KiB')
    for side, service in echo.services.items():
        note(side, f'vms{n_vms}.pss', [pss_kib(service.pid)], 'KiB')
    if n_vms:
        note('ours', f'vms{n_vms}.pss_per_vm', [(daemon + listener - idle) / n_vms], 'KiB')
        note('ours', f'vms{n_vms}.helpers.pss_per_vm',
             [sum(pss_kib(pid, MEMORY_MIB) for pid in helpers(host, fleet)) / n_vms], 'KiB')
    return daemon + listener


def wakeups(pids):
    """How often the threads of these processes went to sleep or were put off the processor."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/status', encoding='ascii',
                      errors='replace') as file:
                total += sum(int(line.split()[1]) for line in file if 'ctxt_switches' in line)
    return total


def measure_idleness(host, fleet):
    sides = {'daemon': [host.daemon.pid], 'listener': host.listener_pids(),
             'helpers': helpers(host, fleet), 'vmms': fleet.vmms()}
    before = {side: wakeups(pids) for side, pids in sides.items()}
    began = now()
    time.sleep(IDLE_SECONDS)  # the figure is of this time
    for side, pids in sides.items():
        note('ours', f'vms{len(fleet.paths)}.idle_wakeups.{side}',
             [(wakeups(pids) - before[side]) / (now() - began)], '1/s')


def measure_restart(host, fleet):
    """From the start of a daemon after kill -9 until all VMs are there on the bus again."""
    host.daemon.kill()
    host.daemon.wait()
    began = now()
    host.start_daemon()
    ready = now()
    note('ours', f'vms{len(fleet.paths)}.restart_to_ready', [(ready - began) * 1e3], 'ms')
    found = {str(vm[0]) for vm in host.manager().ListVms(False)}
    assert found == set(fleet.paths), (len(found), len(fleet.paths))


# --- the end ---

def kill_fleet(host, fleet):
    for path in fleet.paths:
        host.bus.get_object(NAME, path, introspect=False).Kill(dbus_interface=VM)
    wait_until(lambda: not host.manager().ListVms(False), 'the end of all VMs')


def run_round(build, guest, levels, calls):
    host = Host(build, config='DeathRecordSec=0\n')  # the dead would be listed
    with contextlib.ExitStack() as stack:
        stack.callback(host.close)
        echo = Echo(host)
        stack.callback(echo.close)
        fleet = Fleet(host, guest)
        idle = measure_memory(host, fleet, echo, None)
        measure_kills(host, guest, fleet)
        measure_restart(host, fleet)
        for level in levels:
            print(f'# {level} VMs', file=sys.stderr, flush=True)
            grow(fleet, guest, level)
            measure_memory(host, fleet, echo, idle)
            if level == IDLE_VMS:
                measure_idleness(host, fleet)
            measure_bus(host, fleet, calls)
            if level > 1:
                measure_kills(host, guest, fleet)
                measure_restart(host, fleet)
        kill_fleet(host, fleet)


def adopt_peer_names(peers):
    for peer in peers:
        for ours, (theirs, convert) in PEER_FIGURES.items():
            if (peer, theirs) in figures:
                unit, values = figures[peer, theirs]
                figures[peer, ours] = (figures.get(('ours', ours), (unit,))[0],
                                       [convert(value) for value in values])


def ratio(figure, side):
    """How much ours is of that side, round by round."""
    ours, other = (figures.get((each, figure), (None, []))[1] for each in ('ours', side))
    ratios = [a / b for a, b in zip(ours, other) if b]
    return statistics.median(ratios) if ratios else None


def judge(figure, peers):
    """What was aimed at, and whether it was met, where there is something to compare with."""
    said = []
    for end, limit in AIMS_ABSOLUTE.items():
        if figure.endswith(end) and 'helpers' not in figure:
            value = statistics.median(figures['ours', figure][1])
            said.append(f'<= {limit}: {"met" if value <= limit else "MISSED"}')
    for end, aims in AIMS.items():
        if not figure.endswith(end):
            continue
        for side, limit in aims:
            least, name = side.startswith('>'), side.lstrip('>')
            sides = peers if name == 'peer' else [name]
            for each in sides:
                got = ratio(figure, each)
                if got is not None:
                    met = got >= limit if least else got <= limit
                    said.append(f'{">=" if least else "<="} {limit:.3g} of {each}: '
                                f'{"met" if met else "MISSED"}')
    return '; '.join(said)


def report(peers):
    adopt_peer_names(peers)
    for (side, name), (unit, values) in figures.items():
        emit(f'{side}.{name}', statistics.median(values), unit)
    sides = ['libdbus', 'sdbus', 'reply', 'bare', *peers]
    print('# figure\tunit\tours\t' + '\t'.join(f'{side}\tratio' for side in sides) + '\taim')
    for side, name in list(figures):
        if side != 'ours':
            continue
        unit, values = figures['ours', name]
        row = [name, unit, f'{statistics.median(values):.4g}']
        for other in sides:
            got = figures.get((other, name))
            row.append(f'{statistics.median(got[1]):.4g}' if got else '-')
            of = ratio(name, other)
            row.append('-' if of is None else f'{of:.3g}')
        print('# ' + '\t'.join([*row, judge(name, peers)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--vms', default='1,20,200')
    parser.add_argument('--calls', type=int, default=6000)
    parser.add_argument('--peer', action='append', default=[], metavar='NAME=COMMAND')
    options = parser.parse_args()
    levels = [int(level) for level in options.vms.split(',')]
    peers = dict(peer.split('=', 1) for peer in options.peer)
    with tempfile.TemporaryDirectory(prefix='bench-') as directory:
        os.chmod(directory, 0o755)
        guest, _ = make_guests(os.path.abspath(options.build), directory)
        os.environ.update(KERNEL=guest.kernel, INITRD=guest.initrd)
        for number in range(options.rounds):
            print(f'# round {number + 1} of {options.rounds}', file=sys.stderr, flush=True)
            run_round(options.build, guest, levels, options.calls)
            for peer, command in peers.items():
                run_peer(peer, command)
    report(list(peers))


if __name__ == '__main__':
    main()
