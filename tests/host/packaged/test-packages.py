#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The packages, last of all on this host: an upgrade leaves VMs alone, removal ends them by their
graceful stop, and purging leaves nothing."""
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import NAME, Suite, vm_processes, wait_until  # noqa: E402
from system_host import UNIT, SystemHost, output, show, unit_of  # noqa: E402

PACKAGES = '/tree/more'
OURS = ('virtualizationd', 'vmctl', 'composite-disk', 'libcomposite-disk0', 'libcomposite-disk-dev',
        'libvmpayload0', 'libvmpayload-dev', 'virtualizationd-microguest',
        'virtualizationd-image-builder', 'virtualizationd-doc')


def dpkg(*arguments):
    print('# ' + output('dpkg', *arguments).strip().replace('\n', '\n# '))


def make_newer(package, directory):
    """The same package under a higher version."""
    path, = glob.glob(f'{PACKAGES}/{package}_*.deb')
    tree = f'{directory}/{package}'
    output('dpkg-deb', '-R', path, tree)
    with open(f'{tree}/DEBIAN/control', encoding='utf-8') as file:
        text = re.sub(r'(?m)^Version: (.*)$', r'Version: \1+newer', file.read())
    with open(f'{tree}/DEBIAN/control', 'w', encoding='utf-8') as file:
        file.write(text)
    output('dpkg-deb', '-Znone', '-b', tree, f'{directory}/{package}.deb')
    return f'{directory}/{package}.deb'


def test_an_upgrade_leaves_vms_alone(suite):
    host = SystemHost(suite.build)
    try:
        vm = host.create_waiting()
        before = {name: vm.get(name) for name in ('Id', 'Cid', 'Pid', 'State')}
        old = host.daemon_pid()
        with tempfile.TemporaryDirectory() as directory:
            dpkg('-i', make_newer('virtualizationd', directory))
        assert '+newer' in output('dpkg-query', '-W', 'virtualizationd')
        wait_until(lambda: host.daemon_pid() not in (0, old), 'the new daemon')
        host.wait_for_daemon()
        vm.object = host.bus.get_object(NAME, vm.path, introspect=False)
        assert {name: vm.get(name) for name in before} == before
        other = host.create_waiting()
        other.methods.Kill()
        other.death()
        vm.object.Kill(dbus_interface='org.virtualizationd1.VirtualMachine')
    finally:
        host.close()


def test_removal_stops_vms_and_purging_leaves_nothing(suite):
    host = SystemHost(suite.build)
    host.create_waiting()
    host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                lifetime='detached').wait_for('PayloadReady')
    assert len(vm_processes()) > 0
    dpkg('--remove', 'virtualizationd')
    wait_until(lambda: not vm_processes(), 'the end of all VMs')
    reasons = output('journalctl', '--output=verbose', '--unit=' + UNIT, '-n', '40')
    assert reasons.count('VM_REASON=shutdown') >= 2, reasons
    # Its state stays until it is purged.
    assert os.path.isdir('/var/lib/virtualizationd')
    dpkg('--purge', *OURS)
    left = [path for pattern in ('/usr/*/*virtualizationd*', '/usr/*/*/*virtualizationd*',
                                 '/usr/lib/systemd/*/*virtualizationd*', '/etc/*virtualizationd*',
                                 '/etc/systemd/*/*virtualizationd*', '/var/*/*virtualizationd*',
                                 '/run/*virtualizationd*', '/usr/share/*/*/*virtualizationd*',
                                 '/run/systemd/*/*virtualizationd*')
            for path in glob.glob(pattern)]
    left += [path for path in glob.glob('/usr/*/*composite-disk*') + glob.glob('/usr/*/*/*vmpayload*')]
    assert not left, left
    assert subprocess.run(['getent', 'passwd', 'virtualizationd'], check=False).returncode != 0
    assert output('systemctl', 'list-units', '--all', '--plain', '--no-legend',
                  'virtualizationd*').strip() == ''
    state = show(UNIT, 'LoadState')
    assert state == 'not-found', state


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
