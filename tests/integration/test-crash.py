#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Any process may be killed at any moment: the VM's end is told, and nothing of it stays."""
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, Suite, processes, wait_until  # noqa: E402


def name_of(pid):
    try:
        with open(f'/proc/{pid}/comm', encoding='utf-8') as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ''


def processes_of(vm):
    """name -> pid of the VM's processes: they share a uid that is nobody else's."""
    uid = processes()[int(vm.get('Pid'))][0]
    return {name_of(pid): pid for pid, (owner, state, _) in processes().items()
            if owner == uid and state not in 'ZX'}


def gone(pids):
    living = processes()
    return all(pid not in living or living[pid][1] in 'ZX' for pid in pids)


def with_vm(function):
    def run(suite):
        host = Host(suite.build)
        try:
            vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
            vm.wait_for('PayloadReady')
            found = processes_of(vm)
            assert set(found) == {'vm-supervisor', 'vm-stub', 'qemu-system-x86',
                                  'vsock-device'}, found
            function(host, vm, found)
            wait_until(lambda: gone(found.values()), f'the end of {found}')
        finally:
            _, left = host.close()
            assert not left, left
    return run


@with_vm
def test_killed_supervisor_takes_its_vm_along(_host, vm, found):
    os.kill(found['vm-supervisor'], signal.SIGKILL)
    record = vm.death()
    assert record['reason'] == 'infrastructure-error', record


@with_vm
def test_killed_stub_is_a_killed_vm(_host, vm, found):
    os.kill(found['vm-stub'], signal.SIGKILL)
    record = vm.death()
    assert record['reason'] == 'killed' and record['initiator'] == 'host', record
    assert record['vmm-signal'] == signal.SIGKILL, record


@with_vm
def test_killed_vsock_device_is_an_infrastructure_error(_host, vm, found):
    os.kill(found['vsock-device'], signal.SIGKILL)
    record = vm.death()
    assert record['reason'] == 'infrastructure-error', record
    assert 'vsock-device' in record['message'] and 'signal 9' in record['message'], record


@with_vm
def test_a_vm_ends_past_its_supervisor(host, vm, found):
    os.kill(found['vm-supervisor'], signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX) as last_way:
            last_way.connect(f'{host.runtime_dir}/vm/{vm.path.rsplit("/", 1)[1]}/stub.socket')
            wait_until(lambda: gone([found['qemu-system-x86']]), 'the end of the VMM')
    finally:
        os.kill(found['vm-supervisor'], signal.SIGCONT)
    assert vm.death()['reason'] == 'killed'


@with_vm
def test_without_a_listener_start_fails_and_vms_live_on(host, vm, found):
    listener = host.listener_pids()
    for pid in listener:
        os.kill(pid, signal.SIGKILL)
    # One that ends loses its command line before it closes its socket.
    wait_until(lambda: gone(listener), 'the end of the listener')
    other = host.create(*host.config(host.payload('probe')))
    try:
        other.start()
        raise AssertionError('it started without a launcher')
    except dbus.DBusException as problem:
        assert problem.get_dbus_name().endswith('.Unavailable'), problem
        assert 'launcher' in str(problem), problem
    other.methods.Kill()
    assert vm.get('State') == 'ready' and not gone(found.values())
    vm.methods.Kill()
    vm.death()
    # What a killed listener leaves, nobody else removes.
    for name in ('socket', 'presence', 'lock'):
        os.unlink(f'{host.runtime_dir}/launcher/{name}')


def test_a_kill_while_it_starts_is_not_lost(suite):
    host = Host(suite.build)
    try:
        for _ in range(10):
            vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
            vm.methods.Kill()
            assert vm.death()['reason'] == 'killed'
    finally:
        _, left = host.close()
        assert not left, left


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
