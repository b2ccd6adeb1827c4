#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon may die and come back at any time: VMs do not notice, and clients miss nothing."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import (Host, Suite, NAME, PROPERTIES, VM,  # noqa: E402
                     wait_until, with_host)


def kill_daemon(host):
    host.daemon.kill()
    host.daemon.wait()


def restart_daemon(host):
    kill_daemon(host)
    host.start_daemon()


def properties(host, path):
    return dict(host.bus.get_object(NAME, path, introspect=False)
                .GetAll(VM, dbus_interface=PROPERTIES))


def death_record(host, path):
    return dict(host.bus.get_object(NAME, path, introspect=False)
                .GetDeathRecord(dbus_interface=VM))


def start_waiting(host, **options):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True, **options)
    vm.wait_for('PayloadReady')
    return vm


def names_of(vm):
    return [name for name in vm.names() if name.startswith('Payload') or name == 'Died']


@with_host
def test_a_killed_daemon_finds_its_vms_again(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait', name='kept'),
                     start=True, lifetime='detached')
    vm.wait_for('PayloadReady')
    before = properties(host, vm.path)
    pids = set(host.vm_processes())
    kill_daemon(host)
    assert set(host.vm_processes()) == pids
    host.start_daemon()
    assert set(host.vm_processes()) == pids
    assert properties(host, vm.path) == before
    assert host.manager().GetVm('kept') == vm.path
    vm.methods.Stop()
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['initiator'] == 'client', record
    assert record['created'] == before['CreatedAt'] and record['started'] == before['StartedAt']
    # What clients had been told before is not told again, and nothing is left out.
    assert names_of(vm) == ['PayloadStarted', 'PayloadReady', 'Died'], vm.events


@with_host
def test_sigterm_stops_no_vm(host):
    vm = start_waiting(host, lifetime='detached')
    pids = set(host.vm_processes())
    host.stop_daemon()
    assert host.daemon.returncode == 0
    host.start_daemon()
    assert set(host.vm_processes()) == pids and vm.get('State') == 'ready'


@with_host
def test_a_daemon_short_of_descriptors_harms_no_vm(host):
    vm = start_waiting(host, lifetime='detached')
    pids = set(host.vm_processes())
    ways = set()
    kill_daemon(host)
    for most in range(8, 20):
        host.daemon_prefix = ['prlimit', f'--nofile={most}:{most}']
        try:
            host.start_daemon()
        except RuntimeError:
            ways.add('not started')
        else:
            found = vm.path in [entry[0] for entry in host.manager().ListVms(False)]
            ways.add('found' if found else 'left alone')
            kill_daemon(host)
        assert set(host.vm_processes()) == pids, f'{most} descriptors'
    assert ways == {'not started', 'left alone', 'found'}
    host.daemon_prefix = []
    host.start_daemon()
    assert vm.get('State') == 'ready'
    assert 'not to be saved' not in host.log(), host.log()


@with_host
def test_a_suspended_vm_goes_on_where_it_was(host):
    vm = start_waiting(host, lifetime='detached')
    vm.methods.Suspend()
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    restart_daemon(host)
    assert vm.get('State') == 'suspended'
    vm.methods.Resume()
    wait_until(lambda: vm.get('State') == 'ready', 'the state of before')


@with_host
def test_a_client_that_is_still_there_keeps_its_vm(host):
    vm = start_waiting(host)
    restart_daemon(host)
    assert vm.get('State') == 'ready'
    other = host.connect()
    guest = start_waiting_for(host, other)
    other.close()
    wait_until(lambda: properties(host, guest)['State'] == 'dead', 'the end of its VM')
    assert vm.get('State') == 'ready'


def start_waiting_for(host, bus):
    """The path of a VM of the client @bus."""
    config, files = host.config(host.payload('probe'), 'probe=wait')
    vm = host.create(config, files, bus=bus, start=True)
    wait_until(lambda: properties(host, vm.path)['State'] == 'ready', 'its payload')
    return vm.path


@with_host
def test_a_client_that_left_meanwhile_takes_its_vm_along(host):
    client = host.connect()
    path = start_waiting_for(host, client)
    kill_daemon(host)
    client.close()
    host.start_daemon()
    wait_until(lambda: properties(host, path)['State'] == 'dead', 'the end of its VM')
    record = death_record(host, path)
    assert record['reason'] == 'killed' and record['initiator'] == 'client', record


def test_a_clients_vm_ends_by_itself_when_no_daemon_comes_back(suite):
    host = Host(suite.build, config='OrphanSec=1\n')
    try:
        clients = start_waiting(host)
        detached = start_waiting(host, lifetime='detached')
        kill_daemon(host)
        pid = int(detached.properties['Pid'])
        wait_until(lambda: sum('qemu' in command for command in host.vm_processes().values()) == 1,
                   'the end of the VM')
        assert pid in host.vm_processes()
        host.start_daemon()
        record = clients.death()
        assert record['reason'] == 'killed' and record['initiator'] == 'daemon', record
        assert 'did not come back' in record['message'], record
        assert detached.get('State') == 'ready'
    finally:
        assert host.close() == (0, [])


@with_host
def test_a_death_that_no_daemon_saw_is_told_by_the_next(host):
    exits = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                        lifetime='detached')
    exits.wait_for('PayloadReady')
    killed = start_waiting(host, lifetime='detached')
    pid = int(killed.get('Pid'))
    kill_daemon(host)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in host.vm_processes(), 'the end of the VMM')
    host.start_daemon()
    record = killed.death()
    assert record['reason'] == 'killed' and record['vmm-signal'] == signal.SIGKILL, record
    assert record['initiator'] == 'host' and record['console-tail'], record
    assert names_of(killed) == ['PayloadStarted', 'PayloadReady', 'Died'], killed.events
    assert exits.get('State') == 'ready'


@with_host
def test_a_death_record_outlives_the_daemon(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=exit:3'), start=True)
    record = vm.death()
    before = properties(host, vm.path)
    restart_daemon(host)
    assert properties(host, vm.path) == before
    assert vm.methods.GetDeathRecord() == record
    assert vm.path in [entry[0] for entry in host.manager().ListVms(True)]
    restart_daemon(host)
    assert vm.methods.GetDeathRecord() == record


def test_a_record_is_forgotten_in_time_over_a_restart(suite):
    host = Host(suite.build, config='DeathRecordSec=1\n')
    try:
        vm = host.create(*host.config(host.payload('probe')))
        vm.start()
        vm.methods.Kill()
        vm.wait_for('Died')
        restart_daemon(host)
        wait_until(lambda: not host.manager().ListVms(True), 'the VM to be forgotten')
        assert not os.listdir(f'{host.runtime_dir}/vm')
    finally:
        assert host.close() == (0, [])


@with_host
def test_a_vm_without_its_supervisor_is_reported_and_cleaned_up(host):
    vm = start_waiting(host, lifetime='detached')
    supervisors = [pid for pid in host.vm_processes()
                   if open(f'/proc/{pid}/comm', encoding='utf-8').read() == 'vm-supervisor\n']
    kill_daemon(host)
    for pid in supervisors:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not host.vm_processes(), 'the end of the VM')
    host.start_daemon()
    record = vm.death()
    assert record['reason'] == 'infrastructure-error', record
    assert 'supervisor' in record['message'], record


@with_host
def test_what_never_got_as_far_as_a_record_is_cleaned_up(host):
    kill_daemon(host)
    stale = f'{host.runtime_dir}/vm/{"0" * 32}'
    os.mkdir(stale)
    host.start_daemon()
    assert not os.path.exists(stale)
    assert '0' * 32 in host.log()
    assert not host.manager().ListVms(True)


@with_host
def test_names_cids_and_images_stay_taken(host):
    config, files = host.config(host.payload('probe'), 'probe=wait', name='holder')
    image = f'{host.directory}/image'
    with open(image, 'wb') as file:
        file.truncate(1 << 20)
    config['disks'].append({'image': 'image', 'writable': True})
    writable = os.open(image, os.O_RDWR)
    vm = host.create(config, {**files, 'image': writable}, start=True, lifetime='detached')
    vm.wait_for('PayloadReady')
    restart_daemon(host)
    other = host.create(*host.config(host.payload('probe')))
    assert other.get('Cid') > vm.get('Cid')
    for name, error in (('holder', 'VmExists'), ('other', 'ImageBusy')):
        try:
            host.create({**config, 'name': name}, {**files, 'image': writable})
            raise AssertionError(f'{name} was created')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith(error), problem
            assert 'holder' in str(problem), problem
    os.close(writable)


@with_host
def test_a_second_daemon_is_kept_away(host):
    vm = start_waiting(host, lifetime='detached')
    first = host.daemon
    try:
        host.start_daemon()
        raise AssertionError('two daemons run')
    except RuntimeError as problem:
        assert 'another virtualizationd has' in str(problem), problem
    finally:
        host.daemon = first
    assert vm.get('State') == 'ready'
    vm.methods.Stop()
    assert vm.death()['reason'] == 'shutdown'


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
