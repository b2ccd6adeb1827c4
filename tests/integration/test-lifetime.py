#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who a VM lives with: its client, or nobody; pausing; streams to it; its output."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import (NAME, PROPERTIES, Suite, VM, wait_until,  # noqa: E402
                     with_host)


def state_seen(vm, state):
    return state in [arguments[0] for _, name, arguments in vm.events if name == 'property:State']


def start_waiting(host, mode='wait', bus=None, **options):
    vm = host.create(*host.config(host.payload('probe'), f'probe={mode}'), bus=bus, **options)
    vm.start()
    vm.wait_for('PayloadReady')
    return vm


@with_host
def test_client_vm_dies_with_its_connection(host):
    other = host.connect()
    vm = start_waiting(host, bus=other)
    watcher = host.bus.get_object(NAME, vm.path, introspect=False)
    vm.match.remove()
    other.close()
    wait_until(lambda: watcher.Get(VM, 'State', dbus_interface=PROPERTIES) == 'dead', 'the death')
    record = watcher.GetDeathRecord(dbus_interface=VM)
    assert record['reason'] == 'killed' and record['initiator'] == 'client', record


@with_host
def test_vm_that_was_not_started_dies_with_its_client_too(host):
    other = host.connect()
    vm = host.create(*host.config(host.payload('probe')), bus=other)
    watcher = host.bus.get_object(NAME, vm.path, introspect=False)
    vm.match.remove()
    other.close()
    wait_until(lambda: watcher.Get(VM, 'State', dbus_interface=PROPERTIES) == 'dead', 'the death')


@with_host
def test_detached_vm_lives_on(host):
    other = host.connect()
    vm = start_waiting(host, bus=other, lifetime='detached')
    watcher = host.bus.get_object(NAME, vm.path, introspect=False)
    vm.match.remove()
    other.close()
    # A later client's end is proof that the daemon has seen the first one's.
    late = host.connect()
    doomed = start_waiting(host, bus=late)
    doomed.match.remove()
    doomed_watcher = host.bus.get_object(NAME, doomed.path, introspect=False)
    late.close()
    wait_until(lambda: doomed_watcher.Get(VM, 'State', dbus_interface=PROPERTIES) == 'dead',
               'the other VM to die')
    assert watcher.Get(VM, 'State', dbus_interface=PROPERTIES) == 'ready'
    watcher.Kill(dbus_interface=VM)
    wait_until(lambda: watcher.Get(VM, 'State', dbus_interface=PROPERTIES) == 'dead', 'the kill')


@with_host
def test_paused_vm_waits_for_resume(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'),
                     start=True, paused=True)
    wait_until(lambda: state_seen(vm, 'suspended') or vm.get('State') == 'suspended',
               'the suspension')
    assert vm.get('StartedAt') > 0 and vm.find('PayloadStarted') is None
    vm.methods.Resume()
    record = vm.death()
    assert record['reason'] == 'shutdown', record


@with_host
def test_suspend_and_resume_return_to_the_state_before(host):
    vm = start_waiting(host)
    vm.methods.Suspend()
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    vm.methods.Resume()
    wait_until(lambda: vm.get('State') == 'ready', 'the state before')
    vm.methods.Kill()
    vm.death()


@with_host
def test_vsock_stream_reaches_the_guest_both_ways(host):
    vm = start_waiting(host, 'echo:5000')
    stream = vm.methods.ConnectVsock(dbus.UInt32(5000)).take()
    sent = os.urandom(1 << 20)
    received = bytearray()
    os.set_blocking(stream, False)
    rest = memoryview(sent)

    def step():
        nonlocal rest
        try:
            if rest:
                rest = rest[os.write(stream, rest[:65536]):]
        except BlockingIOError:
            pass
        try:
            received.extend(os.read(stream, 65536))
        except BlockingIOError:
            pass
        return len(received) >= len(sent)
    wait_until(step, 'the echo')
    assert bytes(received) == sent
    os.close(stream)
    try:
        vm.methods.ConnectVsock(dbus.UInt32(5001))
        raise AssertionError('a port where nobody listens was connected')
    except dbus.DBusException as error:
        assert error.get_dbus_name().endswith('.ConnectionRefused'), error
    try:
        vm.methods.ConnectVsock(dbus.UInt32(1023))
        raise AssertionError('a port of the guest system was connected')
    except dbus.DBusException as error:
        assert '1024' in str(error), error
    vm.methods.Kill()
    vm.death()


@with_host
def test_output_arrives_whole_when_the_client_reads(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=much:8'), start=True)
    record = vm.death()
    output = vm.wait_for_output_end()
    lines = output.split(b'\n')
    assert record['payload-out-dropped'] == 0, record['payload-out-dropped']
    assert len(output) == 8 * 16384 * 63, len(output)
    assert lines[-2] == b'%062d' % (8 * 16384 - 1), lines[-2:]


@with_host
def test_client_that_does_not_read_stops_nobody(host):
    reader, writer = os.pipe()
    config, files = host.config(host.payload('probe'), 'probe=much:1')
    files['payload-out'] = writer
    vm = host.create(config, files, start=True)
    os.close(writer)
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 0, record
    os.close(reader)


@with_host
def test_a_vm_has_a_uid_of_its_own(host):
    before = set(host.vm_processes())
    first = start_waiting(host)
    mine = set(host.vm_processes()) - before
    assert first.get('Pid') in mine
    status = open(f'/proc/{first.get("Pid")}/status', encoding='ascii').read()
    assert 'NoNewPrivs:\t1' in status and 'CapBnd:\t0000000000000000' in status, status
    first.methods.Kill()
    first.death()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
