#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The limits of a VM's leaf, on a host that has the controllers: a VM that takes what it can get dies
alone. And KVM, where the launcher's unit has to let it through, for users' own daemons as well."""
import contextlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, processes, wait_until  # noqa: E402
from system_host import (UNIT, SystemHost, as_user, launcher_units, make_user,  # noqa: E402
                         output, show, supervisor_of, unit_of)

DROP_IN = '/run/systemd/system/virtualizationd-vm@.service.d'
PREFIX = '/var/lib/greedy-vmm'
MIB = 1 << 20


@contextlib.contextmanager
def greedy_vmm(suite):
    """Launchers take the VMM from a directory where it is one that takes what it can get."""
    os.makedirs(f'{PREFIX}/usr/bin')
    os.makedirs(DROP_IN)
    shutil.copy(f'{suite.build}/programs/escape/stand-in',
                f'{PREFIX}/usr/bin/qemu-system-x86_64')
    with open(f'{DROP_IN}/greedy.conf', 'w', encoding='ascii') as file:
        file.write('[Service]\nExecStart=\nExecStart=/usr/libexec/virtualizationd/vmm-launcher '
                   f'--connection-fd=3 --own-cgroup --vmm-prefix={PREFIX} '
                   '--cache-dir=/var/cache/virtualizationd/greedy\n')
    output('systemctl', 'daemon-reload')
    try:
        yield
    finally:
        shutil.rmtree(DROP_IN)
        shutil.rmtree(PREFIX)
        shutil.rmtree('/var/cache/virtualizationd/greedy', ignore_errors=True)
        output('systemctl', 'daemon-reload')


def with_host(function):
    def run(suite):
        host = SystemHost(suite.build)
        try:
            function(suite, host)
        finally:
            host.close()
    return run


@with_host
def test_kvm_runs_vms_in_their_units(_suite, host):
    assert host.manager().GetCapabilities()['accelerator'] == 'kvm'
    vm = host.create_waiting(accelerator='kvm')
    assert ' -accel kvm ' in processes()[int(vm.get('Pid'))][2]
    vm.methods.Stop()
    record = vm.death()
    assert record['reason'] == 'shutdown', record


@with_host
def test_the_leaf_has_the_limits(_suite, host):
    vm = host.create(*host.config(), start=True, paused=True)
    wait_until(lambda: vm.get('State') == 'suspended', 'the VMM to stand still')
    unit = unit_of(vm.get('Pid'))
    leaf = '/sys/fs/cgroup' + show(unit, 'ControlGroup') + '/vm'
    values = {}
    for name in ('memory.max', 'pids.max', 'cpu.max', 'memory.swap.max', 'memory.oom.group'):
        with open(f'{leaf}/{name}', encoding='ascii') as file:
            values[name] = file.read().strip()
    assert 128 * MIB < int(values['memory.max']) < 1024 * MIB, values
    assert values['pids.max'] == '129' and values['cpu.max'] == '200000 100000', values
    assert values['memory.swap.max'] == '0' and values['memory.oom.group'] == '1', values


@with_host
def test_a_vm_that_eats_memory_dies_oom_and_nothing_else(suite, host):
    other = host.create_waiting()
    with greedy_vmm(suite):
        config, files = host.config()
        config['params'] = 'turn-on=memory'
        vm = host.create(config, files, start=True, lifetime='detached')
        record = vm.death()
        assert record['reason'] == 'oom' and record['initiator'] == 'limit' and record['oom'], record
    assert other.get('State') == 'ready'
    assert int(show(UNIT, 'NRestarts')) == 0
    failed = output('systemctl', 'list-units', '--failed', '--plain', '--no-legend',
                    'virtualizationd*').strip()
    assert failed == '', failed


@with_host
def test_a_launcher_that_is_killed_is_no_oom(_suite, host):
    vm = host.create_waiting()
    unit = unit_of(vm.get('Pid'))
    os.kill(supervisor_of(vm), 9)
    record = vm.death()
    assert record['reason'] != 'oom' and not record['oom'], record
    wait_until(lambda: unit not in launcher_units(), 'the end of the unit')


@with_host
def test_a_user_s_own_daemon_runs_vms(_suite, host):
    """By the units of the user's manager, which lingers, as the user has no session. Not in a
    container, which lets nobody but root set what forbids user namespaces."""
    make_user('alice')
    output('usermod', '--append', '--groups=kvm', 'alice')
    output('loginctl', 'enable-linger', 'alice')
    uid = output('id', '-u', 'alice').strip()
    path = host.write_config('exit', host.payload('probe'), 'probe=exit:7')
    try:
        environment = ('env', f'XDG_RUNTIME_DIR=/run/user/{uid}',
                       f'DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus')
        subprocess.run(['systemctl', 'start', f'user@{uid}.service'], check=True)
        status, text = as_user('alice', *environment, 'vmctl', '--bus=session', 'run', path)
        assert status == 7, (status, text, output('journalctl', '-n', '60', f'_UID={uid}'))
    finally:
        output('loginctl', 'disable-linger', 'alice')
        output('systemctl', 'stop', f'user@{uid}.service')


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
