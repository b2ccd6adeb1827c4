#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The VM is the host that the tests beside this one take it for."""
import fcntl
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402

KVM_GET_API_VERSION = 0xae00  # linux/kvm.h
VHOST_VSOCK_SET_RUNNING = 0x4004af61  # linux/vhost.h


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def mounts():
    with open('/proc/mounts', encoding='utf-8') as file:
        return [line.split() for line in file]


def test_systemd_is_pid_1_and_has_started_all(_):
    assert os.readlink('/proc/1/exe').endswith('/systemd')
    state = output('systemctl', 'is-system-running', '--wait')
    if state == 'degraded':
        for line in output('systemctl', '--failed', '--plain', '--no-legend').splitlines():
            print(f'# degraded: {line}')
    assert state in ('running', 'degraded'), state


def test_system_bus_and_polkit_answer(_):
    answer = output('busctl', '--timeout=60', 'get-property', 'org.freedesktop.PolicyKit1',
                    '/org/freedesktop/PolicyKit1/Authority',
                    'org.freedesktop.PolicyKit1.Authority', 'BackendName')
    assert answer.startswith('s '), answer


def test_cgroups_are_version_2_with_every_controller_we_need(_):
    assert [fields[1:3] for fields in mounts() if fields[2].startswith('cgroup')] == \
        [['/sys/fs/cgroup', 'cgroup2']]
    with open('/sys/fs/cgroup/cgroup.controllers', encoding='ascii') as file:
        controllers = file.read().split()
    assert {'memory', 'pids', 'cpu', 'io'} <= set(controllers), controllers


def test_kvm_is_loaded_and_usable(_):
    assert os.path.isdir('/sys/module/kvm_amd')
    fd = os.open('/dev/kvm', os.O_RDWR | os.O_CLOEXEC)
    assert fcntl.ioctl(fd, KVM_GET_API_VERSION) == 12
    os.close(fd)


def test_kvm_belongs_to_its_group_only(_):
    status = os.stat('/dev/kvm')
    assert output('stat', '-c', '%U:%G %a', '/dev/kvm') == 'root:kvm 660', status


def test_vhost_vsock_is_there(_):
    fd = os.open('/dev/vhost-vsock', os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, VHOST_VSOCK_SET_RUNNING, bytes(4))
        raise AssertionError('a device without an owner was started')
    except PermissionError:
        pass  # it is the real one: VHOST_SET_OWNER has to come first
    os.close(fd)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
