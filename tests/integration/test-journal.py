#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of VMs is in the journal, with ids and fields to search for."""
import os
import re
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Host, Suite  # noqa: E402

# The daemon sees the journal's socket where it is in every host; the directory is the first
# argument. systemd tells a service by this variable that its stderr is the journal.
PREFIX = ['unshare', '--mount', 'sh', '-euc', '''
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
mount --bind "$1" /run/systemd/journal
shift
export JOURNAL_STREAM="$(stat -L -c %d:%i /dev/stderr)"
exec "$@"''', 'sh']


def ids():
    path = os.path.join(os.environ['top_srcdir'], 'common', 'log-fields.h')
    with open(path, encoding='utf-8') as file:
        return dict(re.findall(r'MESSAGE_(VM_\w+) +"(\w+)"', file.read()))


class Journal:
    """Entries as the journal gets them by its native protocol, of lines without newlines."""

    def __init__(self, directory):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f'{directory}/socket')
        os.chmod(directory, 0o755)
        os.chmod(f'{directory}/socket', 0o666)
        self.socket.settimeout(DEADLINE)

    def wait_for(self, message_id):
        while True:
            entry = dict(line.split('=', 1)
                         for line in self.socket.recv(65536).decode().splitlines() if line)
            if entry.get('MESSAGE_ID') == message_id:
                return entry


def with_journal(function):
    def run(suite):
        with tempfile.TemporaryDirectory() as directory:
            journal = Journal(directory)
            # The launcher has the host's own /run.
            host = Host(suite.build, launcher='vmm-launcher', daemon_prefix=[*PREFIX, directory])
            try:
                function(host, journal)
            finally:
                status, left = host.close()
                assert (status, left) == (0, []), (status, left)
    return run


@with_journal
def test_a_vms_life_is_in_the_journal(host, journal):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait', name='searched'),
                     start=True, lifetime='detached')
    started = journal.wait_for(ids()['VM_STARTED'])
    assert started['VM_ID'] == vm.get('Id') and started['VM_NAME'] == 'searched', started
    assert started['VM_CID'] == str(vm.get('Cid')) and started['VM_OWNER_UID'] == '0', started
    assert started['PRIORITY'] == '6' and 'searched' in started['MESSAGE'], started
    ready = journal.wait_for(ids()['VM_READY'])
    assert ready['VM_ID'] == vm.get('Id') and ready['VM_STATE'] == 'ready', ready
    host.daemon.kill()
    host.daemon.wait()
    host.start_daemon()
    found = journal.wait_for(ids()['VM_FOUND'])
    assert found['VM_ID'] == vm.get('Id') and found['VM_STATE'] == 'ready', found
    vm.methods.Kill()
    died = journal.wait_for(ids()['VM_DIED'])
    assert died['VM_REASON'] == 'killed' and died['VM_INITIATOR'] == 'client', died
    assert int(died['VM_EVENT']) > int(ready['VM_EVENT']), died


@with_journal
def test_what_is_lost_is_in_the_journal(host, journal):
    host.stop_daemon()
    os.mkdir(f'{host.runtime_dir}/vm/{"f" * 32}')
    host.start_daemon()
    assert journal.wait_for(ids()['VM_LOST'])['VM_ID'] == 'f' * 32


def test_every_id_is_in_the_catalog(_suite):
    path = os.path.join(os.environ['top_srcdir'], 'systemd', 'virtualizationd.catalog')
    with open(path, encoding='utf-8') as file:
        explained = re.findall(r'^-- (\w{32})$', file.read(), re.M)
    assert sorted(explained) == sorted(ids().values()), explained


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
