#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The VMM of the distribution's backports, unpacked beside the host's own, in the same box."""
import filecmp
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import backports  # noqa: E402
import policies  # noqa: E402
from features import Features  # noqa: E402
from harness import Host, Suite  # noqa: E402

VMM = 'usr/bin/qemu-system-x86_64'


class Beside:
    """A host whose listener takes its VMM from @prefix, in a cache of its own."""

    def __init__(self, build, prefix):
        self.directory = tempfile.TemporaryDirectory(prefix='virtualizationd-beside-')
        os.chmod(self.directory.name, 0o755)
        self.cache = f'{self.directory.name}/cache'
        options = [f'--vmm-prefix={prefix}'] if prefix else ['--policy-dir=/nonexistent']
        self.host = Host(build, cache_dir=self.cache, launcher_options=options)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        ended = self.host.close()
        self.directory.cleanup()
        assert kind or ended == (0, []), ended


def prefix_of(suite):
    return backports.unpack(f'{suite.build}/backports', 'qemu-system-x86', 'qemu-system-common',
                            'qemu-system-data')


def lead_lives(build, prefix):
    """Everything that a VM can do, each to the end that it should have; any call that the policies
    have not would be another end."""
    with Beside(build, prefix) as beside:
        version = subprocess.run([f'{prefix}/{VMM}', '--version'], check=True,
                                 capture_output=True, text=True).stdout.splitlines()[0]
        print(f'# {version}')
        assert filecmp.cmp(f'{prefix}/{VMM}', f'{beside.cache}/template/root/{VMM}', False)
        features = Features(beside.host, {'accelerator': 'tcg'})
        features.use_all()
        vm = features.make_ready('wait')
        assert vm.get('SeccompAction') == 'kill'
        with open(f'/proc/{vm.get("Pid")}/status', encoding='ascii') as file:
            status = file.read()
        assert re.search('^Seccomp:\t2$', status, re.M), status
        vm.methods.Kill()
        vm.death()
        return int(re.search(r'version (\d+)', version).group(1))


def test_vms_live_and_die_with_the_vmm_of_the_backports(suite):
    assert lead_lives(suite.build, prefix_of(suite)) >= 10


def test_and_with_the_hosts_own(suite):
    lead_lives(suite.build, '')


def test_the_seal_holds_for_the_vmm_of_the_backports(suite):
    """With a policy that lacks its last call the VM dies of that."""
    prefix = prefix_of(suite)
    with tempfile.TemporaryDirectory() as directory:
        policy = policies.read_policy('qemu-tcg')
        for entry in policy['syscalls']:
            entry['names'] = [name for name in entry['names'] if name != 'exit_group']
        policy['syscalls'] = [entry for entry in policy['syscalls'] if entry['names']]
        with open(f'{directory}/qemu-tcg.json', 'w', encoding='utf-8') as file:
            file.write(policies.format_policy(policy))
        host = Host(suite.build, cache_dir=f'{directory}/cache',
                    launcher_options=[f'--vmm-prefix={prefix}', f'--policy-dir={directory}'])
        try:
            record = Features(host, {'accelerator': 'tcg'}).make('exit:0').death()
            assert record['reason'] == 'sandbox-violation', record
            assert record['denied-call'] == 'exit_group', record
        finally:
            assert not host.close()[1]


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
