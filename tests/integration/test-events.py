#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that was away, or lost signals, is told what happened, and what it cannot be told."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import NAME, ROOT, Host, Suite, wait_until, with_host  # noqa: E402

HISTORY_MAX = 256  # protocol/event-history.h


def get_events(host, since=None):
    """[(VM id, number, name, details)]"""
    since = {vm: dbus.UInt64(number) for vm, number in (since or {}).items()}
    return [(str(vm), int(number), str(name), dict(details)) for vm, number, name, details in
            host.manager().GetEvents(dbus.Dictionary(since, signature='st'))]


def id_of(vm):
    return str(vm.get('Id'))


@with_host
def test_events_tell_a_vms_whole_life(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=exit:3'), start=True)
    vm.death()
    events = get_events(host)
    assert [(number, name) for _, number, name, _ in events] == [
        (1, 'created'), (2, 'start'), (3, 'running'), (4, 'payload-started'),
        (5, 'payload-finished'), (6, 'died')], events
    assert events[4][3]['exit-code'] == 3 and events[5][3]['reason'] == 'shutdown', events
    times = [details['time'] for *_, details in events]
    assert times == sorted(times) and times[0] == vm.get('CreatedAt')
    assert times[2] == vm.get('StartedAt')


@with_host
def test_only_what_was_not_seen_is_told(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    vm.wait_for('PayloadReady')
    seen = int(vm.get('LastEvent'))
    assert get_events(host, {id_of(vm): seen}) == []
    other = host.create(*host.config(host.payload('probe')))
    vm.methods.Kill()
    vm.death()
    told = [(event[0], event[1], event[2]) for event in get_events(host, {id_of(vm): seen})]
    assert sorted(told) == sorted([(id_of(other), 1, 'created'),
                                   (id_of(vm), seen + 1, 'died')]), told


@with_host
def test_the_object_managers_answer_is_true_at_its_number(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    names = {'starting': 'start', 'started': 'payload-started', 'ready': 'payload-ready'}
    manager = host.bus.get_object(NAME, ROOT, introspect=False)
    seen = set()

    def is_ready():
        found = manager.GetManagedObjects(dbus_interface='org.freedesktop.DBus.ObjectManager')
        properties = found[vm.path]['org.virtualizationd1.VirtualMachine']
        state, last = str(properties['State']), int(properties['LastEvent'])
        by_number = {number: name for _, number, name, _ in get_events(host)}
        if state != 'not-started':
            # The last event but the release of the vCPUs is the one that made the state.
            made = [by_number[number] for number in range(1, last + 1)
                    if by_number[number] != 'running'][-1]
            assert made == names[state], (state, last, by_number)
            assert (properties['StartedAt'] != 0) == (last >= 3), (last, properties)
        seen.add(state)
        return state == 'ready'

    wait_until(is_ready, 'the payload')
    assert len(seen) > 1


def test_a_vm_that_is_forgotten_is_said_to_be(suite):
    host = Host(suite.build, config='DeathRecordSec=1\n')
    try:
        vm = host.create(*host.config(host.payload('probe')))
        vm_id = id_of(vm)
        vm.methods.Kill()
        wait_until(lambda: not host.manager().ListVms(True), 'the VM to be forgotten')
        assert get_events(host) == []
        assert get_events(host, {vm_id: 1}) == [(vm_id, 1, 'forgotten', {'time': 0})]
    finally:
        assert host.close() == (0, [])


@with_host
def test_a_client_knows_when_it_lost_something(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True, paused=True,
                     lifetime='detached')
    wait_until(lambda: vm.get('State') == 'suspended', 'the VM')
    for _ in range(HISTORY_MAX // 2 + 10):
        vm.methods.Resume()
        wait_until(lambda: vm.get('State') != 'suspended', 'the VM to resume')
        vm.methods.Suspend()
        wait_until(lambda: vm.get('State') == 'suspended', 'the VM to be suspended')
    for restarted in (False, True):
        if restarted:
            host.daemon.kill()
            host.daemon.wait()
            host.start_daemon()
        numbers = [number for _, number, name, _ in get_events(host) if name != 'created']
        assert len(numbers) == HISTORY_MAX and numbers[0] > 2, numbers[:3]
        assert numbers == list(range(numbers[0], numbers[0] + HISTORY_MAX))
        assert numbers[-1] == vm.get('LastEvent')


@with_host
def test_bad_numbers_of_vms_are_refused(host):
    for since, error in (({'short': 1}, 'InvalidArgs'),
                         ({f'{n:032x}': 1 for n in range(4097)}, 'LimitsExceeded')):
        try:
            get_events(host, since)
            raise AssertionError('it was taken')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith(error), problem
    assert len(get_events(host, {f'{n:032x}': 1 for n in range(4096)})) == 4096


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
