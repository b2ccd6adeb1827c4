#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at each of its own steps, with VMs in every state: nothing is lost, nothing is
left over, no VM is disturbed, no event number is missing, and a repeat has the number of before."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import (DEADLINE, Host, NAME, ROOT, Suite, VM,  # noqa: E402
                     wait_until)


def kill_points():
    """name -> number, out of the one list."""
    path = os.path.join(os.environ['top_srcdir'], 'virtualizationd', 'kill-point.h')
    with open(path, encoding='utf-8') as file:
        names = re.findall(r'^    (KILL_\w+)(?: = 1)?,', file.read(), re.M)
    assert names.pop() == 'KILL_POINT_MAX' and len(names) > 10, names
    return {name: number for number, name in enumerate(names, 1)}


# What is passed for each event: the start, the release of the vCPUs, the payload's start, its
# readiness, and the end.
FOR_EACH_EVENT = {'KILL_EVENT_NOTED': 4, 'KILL_ANNOUNCED': 5, 'KILL_ACKNOWLEDGING': 4,
                  'KILL_ACKNOWLEDGED': 4}
# Where the bus may know of something and the supervisor not that it does.
REPEATING = {'KILL_ANNOUNCED', 'KILL_ACKNOWLEDGING', 'KILL_DEATH_UNWRITTEN', 'KILL_DEATH_WRITTEN'}


class Listener:
    """Every signal with a number that any VM sent, as (path, number) -> name."""

    def __init__(self, bus):
        self.heard = {}
        self.repeats = 0
        bus.add_signal_receiver(self._on_signal, dbus_interface=VM, member_keyword='member',
                                path_keyword='path')

    def _on_signal(self, *arguments, member, path):
        key = (str(path), int(arguments[0]))
        self.repeats += key in self.heard
        assert self.heard.setdefault(key, member) == member, (key, self.heard[key], member)

    def signals_of(self, path):
        return [name for (vm, _), name in sorted(self.heard.items()) if vm == path]


def last_events(host):
    return {path: interfaces[VM]['LastEvent'] for path, interfaces in
            host.bus.get_object(NAME, ROOT, introspect=False).GetManagedObjects(
                dbus_interface='org.freedesktop.DBus.ObjectManager').items() if VM in interfaces}


def events_of(host):
    """path -> [(number, name)] of every VM, without gaps; one may be forgotten meanwhile."""
    at_least = last_events(host)
    found = {}
    for vm, number, name, _ in host.manager().GetEvents(dbus.Dictionary({}, signature='st')):
        found.setdefault(f'/org/virtualizationd1/vm/{vm}', []).append((int(number), str(name)))
    at_most = last_events(host)
    for path, events in found.items():
        last = events[-1][0]
        assert [number for number, _ in events] == list(range(1, len(events) + 1)), (path, events)
        assert at_least.get(path, 1) <= last <= at_most.get(path, last), (
            path, events, at_least, at_most)
    return found


def live_a_life(host, name):
    """What the daemon dies of somewhere: a VM from its creation until it is forgotten."""
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait', name=name), start=True,
                     lifetime='detached')
    wait_until(lambda: vm.find('PayloadReady') or host.daemon.poll() is not None, 'the payload')
    vm.methods.Kill()
    wait_until(lambda: vm.find('Died') or host.daemon.poll() is not None, 'the end')
    wait_until(lambda: host.daemon.poll() is not None, 'the VM to be forgotten', DEADLINE)


def passages():
    """(point, which passage of it, a name for the VM)"""
    for name, number in kill_points().items():
        for nth in range(1, FOR_EACH_EVENT.get(name, 1) + 1):
            yield name, f'{number}:{nth}', f'{name}.{nth}'


def die_at(host, point, name):
    """Lets the daemon die at @point, whether that is on its start or later."""
    host.daemon.kill()
    host.daemon.wait()
    try:
        host.start_daemon(f'--kill-at={point}')
        live_a_life(host, name)
    except (dbus.DBusException, RuntimeError):
        pass  # it has died under our hands
    assert host.daemon.wait(DEADLINE) == 137, (name, host.daemon.returncode)


def check_new_vm(host, listener, name):
    """The VM that was under way has a whole story, or there never was one."""
    paths = [vm[0] for vm in host.manager().ListVms(True) if vm[2] == name]
    assert len(paths) <= 1, paths
    if not paths:
        return
    path = str(paths[0])
    vm = host.bus.get_object(NAME, path, introspect=False)
    try:
        vm.Kill(dbus_interface=VM)
    except dbus.DBusException as problem:
        assert problem.get_dbus_name().endswith('InvalidState'), problem
    wait_until(lambda: 'Died' in listener.signals_of(path), f'the end of {name} to be told')
    record = vm.GetDeathRecord(dbus_interface=VM)
    assert record['reason'] in ('killed', 'infrastructure-error'), record
    names = [event for _, event in events_of(host)[path]]
    signals = listener.signals_of(path)
    for event, member in (('payload-started', 'PayloadStarted'), ('payload-ready', 'PayloadReady'),
                          ('died', 'Died')):
        assert (event in names) == (member in signals), (name, names, signals)


def test_the_daemon_dies_at_every_step(suite):
    # Records are kept for long enough to look, and short enough that the last step comes.
    host = Host(suite.build, daemon_program='virtualizationd-for-tests',
                config='DeathRecordSec=3\n')
    try:
        ready = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                            lifetime='detached')
        suspended = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                                paused=True, lifetime='detached')
        finishing = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
        for vm in (ready, finishing):
            vm.wait_for('PayloadReady')
        listener = Listener(host.bus)
        kept = {vm: (vm.get('State'), vm.get('Pid'), events_of(host)[vm.path])
                for vm in (ready, suspended, finishing)}
        pids = set(host.vm_processes())
        for point, passage, name in passages():
            started, repeats = time.monotonic(), listener.repeats
            unstarted = host.create(*host.config(host.payload('probe')), lifetime='detached')
            die_at(host, passage, name)
            assert pids <= set(host.vm_processes()), name
            host.start_daemon()
            assert unstarted.path not in [vm[0] for vm in host.manager().ListVms(True)]
            for vm, (state, pid, events) in kept.items():
                assert (vm.get('State'), vm.get('Pid')) == (state, pid), name
                assert events_of(host)[vm.path] == events, name
            check_new_vm(host, listener, name)
            wait_until(lambda: set(host.vm_processes()) == pids, f'the end of the VM of {name}')
            assert listener.repeats == repeats or point in REPEATING, (name, listener.repeats)
            print(f'# {name}: {time.monotonic() - started:.1f} s, '
                  f'{listener.repeats - repeats} signals heard twice')
        for vm in kept:
            assert vm.names().count('Died') == 0
    finally:
        status, left = host.close()
        assert not left, left
        assert status == 0, status


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
