#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The units: what systemd says of them, activation by the bus, VMs in units of their own, and what
may be restarted under them."""
import json
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import NAME, ROOT, MANAGER, Host, Suite, vm_processes, wait_until  # noqa: E402
from system_host import (UNIT, UNITS, SystemHost, launcher_units, output, show,  # noqa: E402
                         supervisor_of, unit_of)

# What `systemd-analyze security` may say at most, times ten. docs/OPERATIONS.md says what is left.
EXPOSURE = {'virtualizationd.service': 3, 'virtualizationd-vm@test.service': 46,
            'virtualizationd-template.service': 8}
CALL = ('busctl', 'call', NAME, ROOT, MANAGER)


def with_host(function):
    def run(suite):
        host = SystemHost(suite.build)
        try:
            function(host)
        finally:
            host.close()
        assert not vm_processes(), vm_processes()
    return run


def test_units_are_without_fault(_suite):
    for options in ((), ('--user',)):
        complaints = output('env', 'XDG_RUNTIME_DIR=/run', 'systemd-analyze', 'verify', '--man=no',
                            *options, *UNITS)
        assert complaints == '', complaints


def test_units_are_exposed_no_more_than_they_need(_suite):
    for unit, limit in EXPOSURE.items():
        table = output('systemd-analyze', 'security', '--no-pager', f'--threshold={limit}', unit,
                       status=None)
        print('# ' + table.strip().splitlines()[-1])
        overall = float(table.strip().splitlines()[-1].split(':')[1].split()[0])
        assert overall * 10 <= limit, table


def test_the_first_call_starts_the_daemon(_suite):
    output('systemctl', 'stop', UNIT)
    assert show(UNIT, 'ActiveState') == 'inactive'
    started = time.monotonic()
    output(*CALL, 'GetCapabilities')
    print(f'# {1000 * (time.monotonic() - started):.0f} ms')
    assert show(UNIT, 'ActiveState') == 'active'
    pid = int(show(UNIT, 'MainPID'))
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        status = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
    assert {status[name] for name in ('CapEff', 'CapPrm', 'CapBnd')} == {'0' * 16}, status
    assert status['NoNewPrivs'] == '1' and status['Seccomp'] == '2', status
    assert status['Uid'].split()[0] == output('id', '-u', 'virtualizationd').strip()


@with_host
def test_vmctl_runs_a_vm_as_root(host):
    path = host.write_config('exit', host.payload('probe'), 'probe=exit:7')
    output('vmctl', 'run', path, status=7)


@with_host
def test_both_paths_to_a_launcher_lead_to_a_payload(host):
    """By systemd's socket and by a listener of the test's own; in turns, to be compared."""
    other = Host(host.build)
    seconds = {'systemd': [], 'direct': []}
    try:
        for _ in range(5):
            for name, side in (('systemd', host), ('direct', other)):
                vm = side.create(*side.config(side.payload('probe'), 'probe=exit:0'), start=True)
                vm.wait_for('PayloadStarted')
                seconds[name].append(vm.find('PayloadStarted')[0] - vm.find('created')[0])
                assert vm.death()['reason'] == 'shutdown'
    finally:
        status, left = other.close()
    assert status == 0 and not left, (status, left)
    print('# CreateVm to payload started, medians of 5: '
          + ', '.join(f'{name} {statistics.median(values) * 1000:.0f} ms'
                      for name, values in seconds.items()))


@with_host
def test_a_vm_is_a_unit_with_a_leaf_for_its_vmm(host):
    vm = host.create_waiting()
    unit = unit_of(vm.get('Pid'))
    assert show(unit, 'Slice') == 'virtualizationd.slice'
    assert show(unit, 'ActiveState') == 'active'
    with open(f'/proc/{supervisor_of(vm)}/cgroup', encoding='ascii') as file:
        assert file.read().strip().endswith(f'{unit}/supervisor')
    assert supervisor_of(vm) != int(vm.get('Pid'))
    vm.methods.Kill()
    assert vm.death()['reason'] == 'killed'
    wait_until(lambda: unit not in launcher_units(), 'the end of the unit')


@with_host
def test_the_journal_has_what_happened_to_a_vm(host):
    vm = host.create_waiting()
    vm.methods.Kill()
    vm.death()
    def find():
        lines = output('journalctl', '--output=json', f'--unit={UNIT}',
                       'MESSAGE_ID=3b3db8b2a126492da05fac778d472e90',
                       f'VM_ID={vm.get("Id")}').splitlines()
        return json.loads(lines[0]) if lines and lines[0].startswith('{') else None
    wait_until(find, 'the line in the journal')
    entry = find()
    assert entry['VM_REASON'] == 'killed' and entry['VM_OWNER_UID'] == '0', entry
    text = output('journalctl', '--catalog', f'VM_ID={vm.get("Id")}')
    assert 'has come to its end, for the reason killed' in text, text


def outlives(host, disturb, moved=True):
    """Whether a VM, and what is known of it, is as before once @disturb() has been."""
    vm = host.create_waiting()
    before = {name: vm.get(name) for name in ('Id', 'Cid', 'Pid', 'State', 'Owner')}
    old = host.daemon_pid()
    disturb()
    wait_until(lambda: show(UNIT, 'ActiveState') == 'active' and
               (not moved or host.daemon_pid() not in (0, old)), 'the daemon')
    host.bus = vm.bus = host.connect()
    vm.object = host.bus.get_object(NAME, vm.path, introspect=False)
    after = {name: vm.get(name) for name in before}
    assert before == after, (before, after)
    assert show(unit_of(vm.get('Pid')), 'ActiveState') == 'active'
    vm.object.Stop(dbus_interface='org.virtualizationd1.VirtualMachine')
    wait_until(lambda: vm.get('State') == 'dead', 'the end')
    assert vm.get('DeathReason') == 'shutdown', vm.get('DeathReason')


@with_host
def test_a_vm_outlives_a_restart_of_the_daemon(host):
    outlives(host, lambda: output('systemctl', 'restart', UNIT))


@with_host
def test_a_vm_outlives_a_daemon_that_is_killed(host):
    outlives(host, lambda: os.kill(host.daemon_pid(), signal.SIGKILL))


@with_host
def test_a_vm_outlives_a_stop_of_daemon_and_socket(host):
    def disturb():
        output('systemctl', 'stop', UNIT, 'virtualizationd-vm.socket')
        output(*CALL, 'GetCapabilities')
    outlives(host, disturb)


@with_host
def test_a_vm_outlives_systemd_s_reexecution(host):
    outlives(host, lambda: (output('systemctl', 'daemon-reexec'),
                            output('systemctl', 'daemon-reload')), moved=False)


@with_host
def test_a_vm_outlives_a_restart_of_the_bus(host):
    def disturb():
        output('systemctl', 'restart', 'dbus.service')
        wait_until(lambda: subprocess.run([*CALL, 'GetCapabilities'], check=False,
                                          stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL).returncode == 0, 'the daemon')
    outlives(host, disturb, moved=False)


@with_host
def test_a_supervisor_that_is_killed_takes_its_vm_along(host):
    vm = host.create_waiting()
    unit = unit_of(vm.get('Pid'))
    os.kill(supervisor_of(vm), signal.SIGKILL)
    record = vm.death()
    assert record['reason'] != 'oom', record
    print(f'# {record["reason"]}')
    wait_until(lambda: unit not in launcher_units(), 'the end of the unit')


@with_host
def test_stopping_the_unit_stops_the_guest(host):
    vm = host.create_waiting()
    output('systemctl', 'stop', unit_of(vm.get('Pid')))
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['initiator'] == 'host', record


@with_host
def test_the_watchdog_ends_a_daemon_that_hangs(host):
    assert int(show(UNIT, 'WatchdogUSec').removesuffix('min').removesuffix('s') or 0) > 0
    old = host.daemon_pid()
    drop_in = '/run/systemd/system/virtualizationd.service.d'
    os.makedirs(drop_in)
    try:
        with open(f'{drop_in}/watchdog.conf', 'w', encoding='ascii') as file:
            file.write('[Service]\nWatchdogSec=4s\n')
        output('systemctl', 'daemon-reload')
        output('systemctl', 'restart', UNIT)
        old = host.daemon_pid()
        # A loop without work feeds it, for longer than it would be let live without.
        fed = int(show(UNIT, 'WatchdogTimestampMonotonic'))
        wait_until(lambda: host.daemon_pid() != old or
                   int(show(UNIT, 'WatchdogTimestampMonotonic')) > fed + 5_000_000, 'its feeding')
        assert host.daemon_pid() == old
        os.kill(old, signal.SIGSTOP)
        wait_until(lambda: host.daemon_pid() not in (0, old), 'another daemon')
    finally:
        subprocess.run(['rm', '-r', drop_in], check=True)
        output('systemctl', 'daemon-reload')
        output('systemctl', 'restart', UNIT)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
