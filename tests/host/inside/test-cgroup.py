#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each VM's cgroup: what its limits are, that they hold against a VMM which takes what it can get,
and that nothing of it stays. Where a guest is not needed, VMs are suspended before its start."""
import contextlib
import errno
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite, processes, vm_processes, wait_until  # noqa: E402

ROOT = '/sys/fs/cgroup'
PARENT = f'{ROOT}/virtualizationd'
MIB = 1 << 20


@contextlib.contextmanager
def new_host(suite, greedy=False):
    """A Host after which nothing is left; its VMM may be one that takes what it can get."""
    with tempfile.TemporaryDirectory(prefix='virtualizationd-vmm-') as directory:
        os.chmod(directory, 0o755)
        more = {}
        if greedy:
            os.makedirs(f'{directory}/usr/bin')
            shutil.copy(f'{suite.build}/programs/escape/stand-in',
                        f'{directory}/usr/bin/qemu-system-x86_64')
            more = {'launcher_options': [f'--vmm-prefix={directory}'],
                    'cache_dir': f'{directory}/cache'}
        host = Host(suite.build, **more)
        try:
            yield host
        finally:
            status, left = host.close()
        assert status == 0 and not left, (status, left)


def create(host, **more):
    """A VM whose guest has not run yet."""
    vm = host.create(*host.config(**more), start=True, paused=True)
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    return vm


def create_greedy(host, greed):
    """A VM whose VMM takes that as soon as its guest should run."""
    config, files = host.config()
    config['params'] = f'turn-on={greed}'
    vm = host.create(config, files, start=True)
    wait_until(lambda: vm.get('Pid') != 0, 'the start')
    return vm


def cgroup_of(pid):
    with open(f'/proc/{pid}/cgroup', encoding='ascii') as file:
        line, = file.read().splitlines()
    assert line.startswith('0::/'), line
    return ROOT + line[len('0::'):]


def read(*path):
    with open(os.path.join(*path), encoding='ascii') as file:
        return file.read().strip()


def write(text, *path):
    with open(os.path.join(*path), 'w', encoding='ascii') as file:
        file.write(text)


def read_number(directory, name, key):
    return int(re.search(rf'^{key} (\d+)$', read(directory, name), re.MULTILINE)[1])


def names_of(directory):
    """pid -> name of the processes in a cgroup, but for the threads that KVM itself makes there."""
    return {int(pid): read(f'/proc/{pid}/comm') for pid in read(directory, 'cgroup.procs').split()
            if read(f'/proc/{pid}/cmdline')}


def run_in(directory, script):
    """What a Python script prints that root runs in a cgroup. It may leave processes there."""
    join = f'open("{directory}/cgroup.procs", "w").write("0")\n'
    with tempfile.TemporaryFile('w+') as output:
        subprocess.run([sys.executable, '-c', join + script], stdin=subprocess.DEVNULL,
                       stdout=output, check=True)
        output.seek(0)
        return output.read()


def supervisor_of(vm):
    uid = processes()[int(vm.get('Pid'))][0]
    pid, = [pid for pid, (owner, _, _) in processes().items()
            if owner == uid and read(f'/proc/{pid}/comm') == 'vm-supervisor']
    return pid


def expected_limits(memory_mib, cpus):
    """What vm-cgroup.c, launch.c and qemu-command.c say of a VM under KVM."""
    memory = memory_mib * MIB + 192 * MIB + memory_mib * MIB // 64 + cpus * 8 * MIB
    return {'memory.max': f'{memory}', 'memory.swap.max': '0', 'memory.oom.group': '1',
            'pids.max': f'{128 + cpus}', 'cpu.max': f'{(cpus + 1) * 100000} 100000'}


def check_limits(directory, expected):
    # A kernel without accounting of swap has no file for it.
    found = {name: read(directory, name) for name in expected
             if name != 'memory.swap.max' or os.path.exists(f'{directory}/{name}')}
    assert found == {name: expected[name] for name in found}, (found, expected)


def test_capabilities_name_every_controller(suite):
    with new_host(suite) as host:
        layers = set(host.manager().GetCapabilities()['sandbox-layers'])
        assert layers >= {f'cgroup-{name}' for name in ('memory', 'pids', 'cpu')}, layers


def test_a_vm_is_in_a_cgroup_with_its_limits(suite):
    with new_host(suite) as host:
        vms = [create(host), create(host, memory_mib=320)]
        directories = [cgroup_of(vm.get('Pid')) for vm in vms]
        listener, = host.listener_pids()
        for vm, directory, memory_mib in zip(vms, directories, (128, 320)):
            assert re.fullmatch(rf'{PARENT}/vm-{listener}-\d+', directory), directory
            assert sorted(names_of(directory).values()) == ['qemu-system-x86', 'vm-stub',
                                                            'vsock-device'], names_of(directory)
            check_limits(directory, expected_limits(memory_mib, int(vm.get('Cpus'))))
            assert set(read(directory, 'cgroup.controllers').split()) >= {'memory', 'pids', 'cpu',
                                                                         'io'}
            # What supervises a VM is not limited with it.
            for pid in (supervisor_of(vm), listener, host.daemon.pid):
                assert cgroup_of(pid) == cgroup_of(os.getpid()), (pid, cgroup_of(pid))
        assert directories[0] != directories[1]


def test_a_vm_with_too_much_memory_dies_of_it_alone(suite):
    with new_host(suite) as host, new_host(suite, greedy=True) as greedy:
        neighbour = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
        neighbour.wait_for('PayloadReady')
        record = create_greedy(greedy, 'memory').death()
        assert record['reason'] == 'oom' and record['initiator'] == 'limit', record
        assert record['oom'] and record['vmm-signal'] == signal.SIGKILL, record
        # The next one of that daemon may start, and the neighbour has noticed nothing.
        other = create(greedy)
        assert other.get('State') == 'suspended'
        assert neighbour.get('State') == 'ready'
        neighbour.methods.Stop()
        record = neighbour.death()
        assert record['reason'] == 'shutdown' and not record['oom'], record
    assert subprocess.run(['systemctl', 'is-active', 'dbus.service', 'host-agent.service'],
                          check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_a_vm_has_no_more_threads_than_its_limit(suite):
    with new_host(suite, greedy=True) as greedy:
        vm = create_greedy(greedy, 'threads')
        directory = cgroup_of(vm.get('Pid'))
        limit = int(read(directory, 'pids.max'))
        wait_until(lambda: b'TURNED' in vm.output['console-out'], 'the last thread')
        assert limit - 16 < int(read(directory, 'pids.current')) <= limit
        vm.methods.Kill()
        record = vm.death()
        assert record['reason'] == 'killed', record
        assert f'TURNED threads {-errno.EAGAIN}' in record['vmm-tail'], record


def test_the_limit_of_threads_is_one_for_all_uids(suite):
    """RLIMIT_NPROC counts what a uid has; here it is root's, which has none."""
    script = ('import os, sys, time\n'
              'n = 1\n'
              'try:\n'
              '    while n < 1000 and os.fork():\n'
              '        n += 1\n'
              '    if n < 1000:\n'
              '        time.sleep(1000)\n'
              'except BlockingIOError:\n'
              '    print(n)\n')
    with new_host(suite) as host:
        vm = create(host)
        directory = cgroup_of(vm.get('Pid'))
        room = int(read(directory, 'pids.max')) - int(read(directory, 'pids.current'))
        result = run_in(directory, script)
        assert int(result) == room, (result, room)
        assert read_number(directory, 'pids.events', 'max') > 0
        vm.methods.Kill()
        vm.death()
        wait_until(lambda: not os.path.exists(directory), 'the end of what was started there')


def test_a_vm_gets_no_more_of_the_processors_than_its_limit(suite):
    with new_host(suite, greedy=True) as greedy:
        vm = create_greedy(greedy, 'processor')
        directory = cgroup_of(vm.get('Pid'))
        check_limits(directory, expected_limits(128, 1))
        # This host has not as many processors as the limit, so that only a lower one shows.
        write('20000 100000', directory, 'cpu.max')
        before = {key: read_number(directory, 'cpu.stat', key)
                  for key in ('nr_periods', 'nr_throttled', 'usage_usec')}
        wait_until(lambda: read_number(directory, 'cpu.stat', 'nr_periods') >=
                   before['nr_periods'] + 30, '30 periods')
        after = {key: read_number(directory, 'cpu.stat', key) for key in before}
        periods, throttled, used = (after[key] - before[key] for key in before)
        print(f'# throttled in {throttled} of {periods} periods, used {used} usec')
        assert throttled > periods // 2, (before, after)
        assert used < 2 * 20000 * periods, (before, after)


def try_devices(directory):
    """device -> errno of its opening, 0 when it opens, by a root who is in the cgroup."""
    script = ('import os\n'
              'for name in ("null", "zero", "kvm", "vhost-vsock", "nvme0n1"):\n'
              '    try:\n'
              '        os.close(os.open(f"/dev/{name}", os.O_RDWR))\n'
              '        print(name, 0)\n'
              '    except OSError as problem:\n'
              '        print(name, problem.errno)\n'
              'try:\n'
              '    os.mknod("/run/test-device", 0o600 | 0o020000, os.makedev(1, 3))\n'
              '    print("mknod", 0)\n'
              'except OSError as problem:\n'
              '    print("mknod", problem.errno)\n')
    return {name: int(number) for name, number in map(str.split,
                                                      run_in(directory, script).splitlines())}


def test_in_the_cgroup_no_device_opens_but_the_one_of_kvm(suite):
    everything = {name: 0 for name in ('null', 'zero', 'kvm', 'vhost-vsock', 'nvme0n1', 'mknod')}
    with new_host(suite) as host:
        for accelerator, expected in (('kvm', {'kvm': 0}), ('tcg', {})):
            vm = create(host, accelerator=accelerator)
            found = try_devices(cgroup_of(vm.get('Pid')))
            assert found == {**dict.fromkeys(everything, errno.EPERM), **expected}, found
    found = try_devices(cgroup_of(os.getpid()))
    os.unlink('/run/test-device')
    assert found == everything, found


def test_a_cgroup_goes_with_its_vm(suite):
    with new_host(suite) as host:
        vms = [create(host) for _ in range(3)]
        directories = [cgroup_of(vm.get('Pid')) for vm in vms]
        vms[0].methods.Kill()
        os.kill(supervisor_of(vms[1]), signal.SIGKILL)
        for vm, directory in zip(vms[:2], directories):
            vm.death()
            wait_until(lambda path=directory: not os.path.exists(path), f'the end of {directory}')
        assert os.path.exists(directories[2])
    wait_until(lambda: not os.path.exists(PARENT), f'the end of {PARENT}')


def test_the_next_listener_removes_what_a_killed_one_left(suite):
    with new_host(suite) as host:
        vms = [create(host) for _ in range(2)]
        directories = [cgroup_of(vm.get('Pid')) for vm in vms]
        listener, = host.listener_pids()
        os.kill(listener, signal.SIGKILL)
        wait_until(lambda: not host.listener_pids(), 'the end of the listener')
        vms[0].methods.Kill()
        vms[0].death()
        wait_until(lambda: not read(directories[0], 'cgroup.procs'), 'the end of the first VM')
        assert os.path.exists(directories[0])

        # The other VM has its supervisor, and lives on.
        host.start_listener()
        assert not os.path.exists(directories[0])
        assert len(names_of(directories[1])) == 3, names_of(directories[1])
        assert vms[1].get('State') == 'suspended'
        third = create(host)
        vms[1].methods.Kill()
        assert vms[1].death()['reason'] == 'killed'
        third.methods.Kill()
        third.death()
    wait_until(lambda: not glob.glob(f'{PARENT}/*{listener}*'), 'the end of the cgroup')


def test_nobody_else_s_listener_harms_a_vm_whose_own_is_dead(suite):
    with new_host(suite) as host:
        vm = create(host)
        directory = cgroup_of(vm.get('Pid'))
        listener, = host.listener_pids()
        os.kill(listener, signal.SIGKILL)
        wait_until(lambda: not host.listener_pids(), 'the end of the listener')
        with new_host(suite) as other:
            create(other)
            assert len(names_of(directory)) == 3, names_of(directory)
        vm.methods.Kill()
        vm.death()
        wait_until(lambda: not vm_processes(), 'the end of the VM')
        host.start_listener()
        assert not os.path.exists(directory)


def test_a_hierarchy_that_systemd_changes_keeps_the_limits(suite):
    """systemd takes a controller away from below a cgroup when no unit of its needs it."""
    state = subprocess.run(['systemctl', 'is-system-running'], check=False,
                           stdout=subprocess.PIPE).stdout
    with new_host(suite) as host:
        vm = create(host)
        directory = cgroup_of(vm.get('Pid'))
        expected = expected_limits(128, int(vm.get('Cpus')))
        for command in (['daemon-reload'], ['set-property', '--runtime', 'system.slice',
                                            'CPUWeight=50', 'IOWeight=50'],
                        ['revert', 'system.slice'], ['daemon-reexec']):
            subprocess.run(['systemctl', *command], check=True, stderr=subprocess.DEVNULL)
            subprocess.run(['systemd-run', '--quiet', '--wait', '--property=CPUWeight=20',
                            'true'], check=True)
            check_limits(directory, expected)
            assert len(names_of(directory)) == 3, names_of(directory)
        tree = subprocess.run(['systemd-cgls', '--no-pager'], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        assert 'virtualizationd' in tree and os.path.basename(directory) in tree, tree
        assert create(host).get('State') == 'suspended'
    assert subprocess.run(['systemctl', 'status', '--no-pager'], check=False,
                          stdout=subprocess.DEVNULL).returncode == 0
    assert subprocess.run(['systemctl', 'is-system-running'], check=False,
                          stdout=subprocess.PIPE).stdout == state


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
