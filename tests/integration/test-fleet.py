#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Twenty VMs at once, each with its own answer; afterwards everything is as it was."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite, wait_until  # noqa: E402

COUNT = 20


def open_fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def test_twenty_vms_at_once_answer_for_themselves(suite):
    host = Host(suite.build)
    try:
        host.create(*host.config()).methods.Kill()  # the first death makes a timer
        fds_before = open_fds(host.daemon.pid)
        vms = []
        for number in range(COUNT):
            config, files = host.config(host.payload('probe'), f'probe=answer:{number}',
                                        name=f'vm-{number}')
            vms.append(host.create(config, files, start=True))
        cids = {int(vm.get('Cid')) for vm in vms}
        assert len(cids) == COUNT, cids
        listed = host.manager().ListVms(False)
        assert {str(entry[2]) for entry in listed} == {f'vm-{n}' for n in range(COUNT)}, listed
        for number, vm in enumerate(vms):
            record = vm.death(600)
            assert record['reason'] == 'shutdown', (number, record)
            assert vm.wait_for_output_end() == b'answer %d\n' % number, vm.output
        assert not host.manager().ListVms(False)
        assert len(host.manager().ListVms(True)) == COUNT + 1
        wait_until(lambda: open_fds(host.daemon.pid) <= fds_before,
                   f'the {open_fds(host.daemon.pid)} descriptors to become {fds_before}')
        assert not host.directories_in_use()
    finally:
        status, left = host.close()
        assert not left, left
        assert status == 0, status


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
