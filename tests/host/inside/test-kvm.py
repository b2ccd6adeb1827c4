#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where there is KVM, VMs run under it: chosen by itself, and when asked for."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite, processes, wait_until  # noqa: E402


def links(pid):
    """What the descriptors of a process stand for."""
    directory = f'/proc/{pid}/fd'
    return [os.readlink(f'{directory}/{fd}') for fd in os.listdir(directory)]


def run_under_kvm(suite, **more):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0', **more),
                         start=True, paused=True)
        wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
        pid = vm.get('Pid')
        assert ' -accel kvm ' in processes()[pid][2], processes()[pid]
        assert 'anon_inode:kvm-vm' in links(pid), links(pid)
        vm.methods.Resume()
        record = vm.death()
        assert vm.find('PayloadFinished')[1][1] == 0, vm.events
        assert record['reason'] == 'shutdown' and record['initiator'] == 'guest', record
    finally:
        status, left = host.close()
        assert status == 0, status
        assert not left, left


def test_capabilities_name_kvm(suite):
    host = Host(suite.build)
    try:
        capabilities = host.manager().GetCapabilities()
        assert capabilities['accelerator'] == 'kvm', capabilities
    finally:
        host.close()


def test_kvm_is_chosen_without_being_asked_for(suite):
    run_under_kvm(suite)


def test_kvm_is_used_when_asked_for(suite):
    run_under_kvm(suite, accelerator='kvm')


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
