#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A guest cannot get past the guest link's limits, and nobody else notices that it tries."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite  # noqa: E402

INTERFACE = 'org.virtualizationd1.VirtualMachineService'


def rss_kib(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))


def test_offender_gets_an_error_and_the_daemon_stays_flat(suite):
    host = Host(suite.build)
    try:
        # What any VM makes the daemon touch and allocate for the first time is not the offender's.
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
        vm.wait_for('PayloadReady')
        vm.methods.Kill()
        vm.death()
        before = rss_kib(host.daemon.pid)
        vm = host.create(*host.config(host.payload('probe'), 'probe=link virtualizationd.debug=1'),
                         start=True)
        slowest = 0
        while vm.find('Died') is None:
            began = time.monotonic()
            vm.get('State')
            slowest = max(slowest, time.monotonic() - began)
            try:
                vm.wait_for('Died', 0.1)
            except TimeoutError:
                pass
        record = vm.death()
        output = vm.wait_for_output_end().decode()
        grown = rss_kib(host.daemon.pid) - before
    finally:
        _, left = host.close()
        assert not left, left
    replies = dict(line.split(': ', 1) for line in output.splitlines() if ': ' in line)
    for what, error in (('one MiB without NUL', 'FrameTooLarge'), ('deep', 'InvalidCall'),
                        ('no JSON', 'InvalidCall'), ('unknown method', 'InvalidCall'),
                        ('unknown key', 'InvalidCall'), ('exit code', 'InvalidCall'),
                        ('stream', 'NoSuchStream'), ('backward', 'InvalidState'),
                        ('ready again', 'InvalidState'), ('too many', 'TooManyConnections')):
        assert f'"{INTERFACE}.{error}"' in replies[what], (what, output)
    assert replies['ready'] == '{}' or '"error"' not in replies['ready'], output
    assert 'abuse ends' in output, output
    assert vm.names().count('PayloadReady') == 1 and vm.names().count('PayloadStarted') == 1
    assert record['reason'] == 'shutdown', record
    print(f'# the daemon grew by {grown} KiB, its slowest answer took {slowest * 1000:.1f} ms')
    assert grown < 1024, grown


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
