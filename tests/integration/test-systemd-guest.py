#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that has systemd in guest-manager's place: it tells its VMM when it is up, and how it ended,
by the socket that a credential names."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, find_kernel_package, with_host  # noqa: E402
import systemd_guest  # noqa: E402

DEADLINE = 300


@with_host
def test_systemd_reports_without_our_agent(host):
    initramfs = systemd_guest.build(f'{host.build}/systemd-guest', find_kernel_package(host.build))
    vm = host.create({'kernel': 'kernel', 'initrd': 'initrd', 'memory_mib': 1024,
                      'params': 'console=ttyS0 panic=-1 reboot=t cryptomgr.notests no_timer_check',
                      'platform_version': '~1.0'},
                     {'kernel': f'{host.build}/guest-image/vmlinux', 'initrd': initramfs},
                     start=True)
    vm.wait_for('PayloadReady', DEADLINE)
    record = vm.death(DEADLINE)
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 42, record
    names = [name for name in vm.names() if name.startswith('Payload')]
    assert names == ['PayloadStarted', 'PayloadReady', 'PayloadFinished'], names
    assert b'systemd: ' in vm.wait_for_output_end('log'), vm.output['log']


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
