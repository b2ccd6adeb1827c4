#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many VMs, many clients, many lives: answers stay quick, a new daemon finds everything, and nothing
grows. LOAD_VMS, LOAD_CLIENTS and LOAD_CYCLES say how many; a soak takes 10000 cycles."""
import glob
import os
import re
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import (Host, MANAGER, NAME, PROPERTIES, ROOT, Suite, UID_COUNT, UID_MIN,  # noqa: E402
                     VM, processes, wait_until)
from wire import Gone, Wire  # noqa: E402

N_VMS = int(os.environ.get('LOAD_VMS', 200))
N_CLIENTS = int(os.environ.get('LOAD_CLIENTS', 50))
N_CYCLES = int(os.environ.get('LOAD_CYCLES', 500))
# The heap grows by 0.7 MiB in the first 1600 lives and then stands still, but for single steps.
SLACK_KIB = 1024 if N_CYCLES <= 500 else 3072
ADOPTION_SECONDS = 60
ANSWER_SECONDS = 20  # the slowest answer to a client that polls, with two processors for everything
CALLS_AT_ONCE = 64  # before a new daemon has answered the first
CALLS = 40  # of a client: two rounds of all that Poller.ask knows
BUS = 'org.freedesktop.DBus'


def string(body):
    size, = struct.unpack_from('<I', body)
    return body[4:4 + size].decode()


class Maker:
    """Makes VMs by a connection of its own, many calls at a time."""

    def __init__(self, host):
        self.wire = Wire(f'{host.directory}/bus')
        self.config = '{"kernel": "kernel", "memory_mib": 16, "platform_version": "~1.0"}'
        self.kernel = os.open(host.image('vmlinux'), os.O_RDONLY)

    def begin(self, *, start):
        options = [('lifetime', ('s', 'detached'))]
        if start:
            options += [('start', ('b', 1)), ('paused', ('b', 1))]
        self.wire.call(ROOT, MANAGER, 'CreateVm', 'sa{sh}a{sv}',
                       (self.config, [('kernel', 0)], options), [self.kernel])

    def finish(self, deadline=300):
        """The paths of those that were begun."""
        paths = []
        for what, error, body in self.wire.wait(deadline):
            assert error is None, (what, error, string(body))
            paths.append(string(body))
        return paths

    def kill(self, paths):
        for path in paths:
            self.wire.call(path, VM, 'Kill')
        for what, error, body in self.wire.wait(300):
            assert error is None, (what, error, string(body))

    def close(self):
        self.wire.close()
        os.close(self.kernel)


class Poller(threading.Thread):
    """A client that is told every signal and asks now this, now that, until it is stopped."""

    def __init__(self, host, number, paths):
        super().__init__(daemon=True)
        self.paths = paths
        self.number = number
        self.stopped = threading.Event()
        self.slowest = self.n_calls = 0
        self.problem = None
        self.errors = {}
        self.wire = Wire(f'{host.directory}/bus')
        self.wire.call('/org/freedesktop/DBus', BUS, 'AddMatch', 's',
                       (f"type='signal',sender='{NAME}'",), destination=BUS)
        self.wire.wait()

    def ask(self, step):
        if step % 20 == 0:
            self.wire.call(ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
        elif step % 20 == 1:
            self.wire.call(ROOT, MANAGER, 'GetEvents', 'a{st}', ([],))
        elif step % 5 == 2:
            self.wire.call(ROOT, MANAGER, 'ListVms', 'b', (1,))
        else:
            self.wire.call(self.paths[(step * 7 + self.number) % len(self.paths)], PROPERTIES, 'Get',
                           'ss', (VM, 'State'))

    def run(self):
        try:
            step = self.number
            while not self.stopped.is_set():
                began = time.monotonic()
                self.ask(step)
                for _, error, _ in self.wire.wait(120):
                    if error is not None:
                        self.errors[error] = self.errors.get(error, 0) + 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.n_calls += 1
                step += 1
                self.stopped.wait(0.05)
        except (Gone, TimeoutError, OSError) as problem:
            self.problem = repr(problem)

    def stop(self):
        self.stopped.set()
        self.join(150)
        self.wire.close()
        assert self.problem is None, (self.number, self.problem)


def states(host):
    return {str(vm[0]): str(vm[3]) for vm in host.manager().ListVms(False)}


def are_suspended(host, paths):
    now = states(host)
    return all(now.get(path) == 'suspended' for path in paths)


def pss_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as file:
        return int(re.search(r'^Pss:\s+(\d+)', file.read(), re.M).group(1))


def check_pollers(pollers, allowed=()):
    """Lets each ask as often again as gives it every call, and ends them."""
    before = [poller.n_calls for poller in pollers]
    wait_until(lambda: all(poller.n_calls >= n_calls + CALLS or poller.problem
                           for poller, n_calls in zip(pollers, before)),
               'clients to have polled', 300)
    for poller in pollers:
        poller.stop()
        assert set(poller.errors) <= set(allowed), (poller.number, poller.errors)
    n_calls, slowest = sum(p.n_calls for p in pollers), max(p.slowest for p in pollers)
    print(f'# {len(pollers)} clients made {n_calls} calls; the slowest took {slowest * 1000:.0f} ms',
          flush=True)
    assert slowest < ANSWER_SECONDS, slowest


def identity(host, path):
    found = host.bus.get_object(NAME, path, introspect=False).GetAll(VM, dbus_interface=PROPERTIES)
    return {str(key): value for key, value in found.items()}


def make_many(host, maker):
    """Half of them one after the other, half at once."""
    paths, began = [], time.monotonic()
    for _ in range(N_VMS // 2):
        maker.begin(start=True)
        paths += maker.finish()
    one_by_one = time.monotonic() - began
    began = time.monotonic()
    for _ in range(N_VMS - N_VMS // 2):
        maker.begin(start=True)
    paths += maker.finish()
    print(f'# {N_VMS // 2} VMs one after the other: {one_by_one:.1f} s, the rest at once: '
          f'{time.monotonic() - began:.1f} s', flush=True)
    wait_until(lambda: are_suspended(host, paths), 'all to stand still', 300)
    return paths


def test_many_vms_and_many_clients_and_a_new_daemon(suite):
    host = Host(suite.build, config='DeathRecordSec=1\n')
    try:
        maker = Maker(host)
        paths = make_many(host, maker)
        assert len(set(paths)) == N_VMS
        pids = set(host.vm_processes())
        print(f'# {len(pids)} processes of VMs; the daemon has {pss_kib(host.daemon.pid)} KiB',
              flush=True)
        before = {path: identity(host, path) for path in paths}
        for name in ('Cid', 'Id', 'Pid'):
            assert len({vm[name] for vm in before.values()}) == N_VMS, name

        pollers = [Poller(host, number, paths) for number in range(N_CLIENTS)]
        for poller in pollers:
            poller.start()
        check_pollers(pollers)

        # Clients go on while a daemon goes and another comes; then nobody has the name for a while.
        pollers = [Poller(host, number, paths) for number in range(N_CLIENTS)]
        for poller in pollers:
            poller.start()
        host.daemon.kill()
        host.daemon.wait()
        began = time.monotonic()
        host.start_daemon()
        took = time.monotonic() - began
        wait_until(lambda: are_suspended(host, paths), 'all to be found again', ADOPTION_SECONDS)
        print(f'# a new daemon is ready after {took:.1f} s, and has found all after '
              f'{time.monotonic() - began:.1f} s', flush=True)
        check_pollers(pollers, [f'{BUS}.Error.{name}' for name in
                                ('ServiceUnknown', 'NoReply', 'NameHasNoOwner')])
        assert set(host.vm_processes()) == pids
        for path in paths:
            assert identity(host, path) == before[path], (before[path], identity(host, path))

        began = time.monotonic()
        for at in range(0, len(paths), CALLS_AT_ONCE):
            maker.kill(paths[at:at + CALLS_AT_ONCE])
        wait_until(lambda: not states(host), 'all to die', 300)
        print(f'# all died in {time.monotonic() - began:.1f} s', flush=True)
        maker.close()
    finally:
        status, left = host.close()
        assert not left, left
        assert status == 0, status


def uids_in_use():
    return sorted({uid for uid, state, _ in processes().values()
                   if UID_MIN <= uid < UID_MIN + UID_COUNT and state not in 'ZX'})


class Growth:
    """What daemon and listener have: memory, descriptors; and what VMs have left in the system."""

    def __init__(self, host):
        listener, = host.listener_pids()
        self.pids = {'daemon': host.daemon.pid, 'listener': listener}
        self.memory = {name: pss_kib(pid) for name, pid in self.pids.items()}
        self.fds = {name: len(os.listdir(f'/proc/{pid}/fd')) for name, pid in self.pids.items()}
        self.left = {
            'directories': len(os.listdir(f'{host.runtime_dir}/vm')),
            'locks': len(os.listdir(f'{host.runtime_dir}/launcher')),
            'cgroups': len([path for root in ('/sys/fs/cgroup', '/sys/fs/cgroup/*')
                            for path in glob.glob(f'{root}/virtualizationd/vm-{listener}-*')])}

    def beyond(self, before):
        """What is more than @before."""
        grown = {}
        for name in self.pids:
            if self.memory[name] > before.memory[name] + SLACK_KIB:
                grown[f'KiB of {name}'] = (before.memory[name], self.memory[name])
            if self.fds[name] > before.fds[name] + 1:  # a launcher that is ready may be a step ahead
                grown[f'descriptors of {name}'] = (before.fds[name], self.fds[name])
        for name, count in self.left.items():
            if count > before.left[name] + 1:
                grown[name] = (before.left[name], count)
        return grown


def live_and_die(host, maker, n_cycles, at_once=20):
    for _ in range(0, n_cycles, at_once):
        for number in range(at_once):
            maker.begin(start=number % 2 == 0)
        maker.kill(maker.finish())
    wait_until(lambda: not host.manager().ListVms(True), 'all to be forgotten', 300)
    wait_until(lambda: not host.vm_processes(), 'all processes to end', 300)


def test_many_lives_leave_nothing(suite):
    host = Host(suite.build, config='DeathRecordSec=1\n')
    try:
        maker = Maker(host)
        # What is kept at its peak stays allocated: as many dead VMs as there are in DeathRecordSec=.
        live_and_die(host, maker, 500)
        wait_until(lambda: Growth(host).left['directories'] == 0, 'the last directory to go', 60)
        before, uids = Growth(host), uids_in_use()
        began = time.monotonic()
        live_and_die(host, maker, N_CYCLES)
        took = time.monotonic() - began
        wait_until(lambda: not Growth(host).beyond(before),
                   LazyText(lambda: Growth(host).beyond(before)), 60)
        after = Growth(host)
        print(f'# {N_CYCLES} lives in {took:.1f} s; KiB before {before.memory}, after '
              f'{after.memory}; left {after.left}', flush=True)
        wait_until(lambda: len(uids_in_use()) <= len(uids), 'the uids to be free', 60)
        maker.close()
    finally:
        status, left = host.close()
        assert not left, left
        assert status == 0, status


class LazyText:
    """A text that is made when it is read."""

    def __init__(self, function):
        self.function = function

    def __str__(self):
        return str(self.function())


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
