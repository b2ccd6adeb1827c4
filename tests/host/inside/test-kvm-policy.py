#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The seccomp policy of a VMM under KVM fits what QEMU does: it lacks nothing, and has nothing that
is neither used nor justified. All VMs have two vCPUs."""
import grp
import json
import os
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import policies  # noqa: E402
from features import Features  # noqa: E402
from harness import Host, Suite, processes, wait_until  # noqa: E402

ROLE = 'qemu-kvm'
CONFIG = {'accelerator': 'kvm', 'cpu_topology': 'match_host'}
KVM_RUN = 0xae80  # linux/kvm.h


def with_host(suite, function, **more):
    """Runs function(host); returns what the daemon and the supervisors logged."""
    host = Host(suite.build, **more)
    try:
        function(host)
    except BaseException:
        print('# ' + host.log().replace('\n', '\n# '), flush=True)
        raise
    finally:
        log = host.log()
        status, left = host.close()
    assert status == 0 and not left, (status, left)
    return log


def use(host, **options):
    """Nearly all that VMs do, each with its proper end."""
    features = Features(host, CONFIG, **options)
    with tempfile.TemporaryDirectory() as directory:
        disks = features.begin_disks(directory)
        assert {vm.get('Cpus') for vm, _ in disks} == {2}
        features.pause_and_stop()
        features.streams_and_console()
        features.reboot_and_panic()
        for vm, line in disks:
            features.ended(vm, 'shutdown')
            assert vm.wait_for_output_end() == line, vm.output


def test_kvm_in_the_box_is_the_vm_s_own(suite):
    def check(host):
        vm = host.create(*host.config(**CONFIG), start=True, paused=True)
        wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
        pid = int(vm.get('Pid'))
        uid = processes()[pid][0]
        root = f'/proc/{pid}/root'
        assert os.listdir(f'{root}/dev') == ['kvm']
        assert os.readlink(f'{root}/dev/kvm') == '/vm/kvm'
        status = os.stat(f'{root}/vm/kvm')
        assert stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(10, 232), status
        assert stat.S_IMODE(status.st_mode) == 0o600 and status.st_uid == uid, status
        with open(f'/proc/{pid}/status', encoding='ascii') as file:
            fields = dict(line.rstrip('\n').split(':\t', 1) for line in file)
        assert fields['Gid'].split() == [str(uid)] * 4 and not fields['Groups'].strip(), fields
        assert grp.getgrnam('kvm').gr_gid != uid
        host_device = os.stat('/dev/kvm')
        assert (host_device.st_uid, stat.S_IMODE(host_device.st_mode)) == (0, 0o660), host_device
    with_host(suite, check)


def test_every_life_has_its_proper_end(suite):
    def check(host):
        features = Features(host, CONFIG)
        deaf = features.begin_guest_that_is_deaf_but_for_acpi()
        use(host)
        features.firmware()
        features.vmm_told_to_end()
        features.ended(deaf, 'killed')
    log = with_host(suite, check)
    assert 'seccomp' not in log and 'violation' not in log, log


def test_an_action_that_only_tells_has_nothing_to_tell(suite):
    def check(host):
        Features(host, CONFIG, **{'seccomp-action': 'log'}).streams_and_console()
    log = with_host(suite, check)
    assert 'seccomp: the VMM' not in log, log


def trace_all_but_running(suite):
    """A trace of everything but of the call that runs a vCPU, which are nearly all of the calls."""
    policy = policies.read_policy(ROLE)
    policy['syscalls'] = [entry for entry in policy['syscalls'] if entry['names'] == ['execveat'] or
                          entry['action'] == policies.ERRNO]
    before_exec = [name for name in policies.BEFORE_EXEC if name != 'execveat']
    policy['syscalls'] += [
        {'names': before_exec, 'action': policies.ALLOW},
        {'names': ['ioctl'], 'action': policies.ALLOW,
         'args': [{'index': 1, 'value': KVM_RUN, 'op': 'SCMP_CMP_EQ'}]}]
    trace = policies.Trace()
    with tempfile.TemporaryDirectory(prefix='virtualizationd-policies-') as directory:
        os.chmod(directory, 0o755)
        os.mkdir(f'{directory}/seccomp')
        with open(f'{directory}/seccomp/{ROLE}.json', 'w', encoding='utf-8') as file:
            json.dump(policy, file)
        log = with_host(suite, lambda host: use(host, **{'seccomp-action': 'log'}),
                        cache_dir=f'{directory}/cache',
                        launcher_options=[f'--policy-dir={directory}/seccomp'])
    trace.add_supervisors_words(log, ROLE)
    return trace


def test_the_policy_is_what_a_trace_shows_and_its_reasons(suite):
    trace = trace_all_but_running(suite)
    for phase in ('before', 'after'):
        print(f'# {phase} the seal: {" ".join(sorted(trace.seen(ROLE, phase)))}')
    policy = policies.read_policy(ROLE)
    lacking = policies.find_lacking(ROLE, policy, trace)
    # Calls that are refused are the same under TCG, whose test tells whether they are tried.
    unused = {(name, why) for name, why in policies.find_unused(ROLE, policy, trace, trace)
              if why != 'not tried'}
    assert not lacking and not unused, f'lacking: {sorted(lacking)}, unused: {sorted(unused)}'


def main():
    # A VM has as many vCPUs as the host has processors, and this one, for the daemon, has two.
    if 'TWO_PROCESSORS' in os.environ:
        return Suite().run(sys.modules[__name__])
    with tempfile.NamedTemporaryFile('w') as online:
        online.write('0-1\n')
        online.flush()
        return subprocess.run(
            ['unshare', '--mount', '--propagation=private', 'sh', '-c',
             f'mount --bind {online.name} /sys/devices/system/cpu/online && exec "$@"', 'sh',
             sys.executable, '-B', __file__],
            env=dict(os.environ, TWO_PROCESSORS='1'), check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
