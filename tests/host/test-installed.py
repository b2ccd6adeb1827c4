#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The packages on whole hosts: in a container, where what needs systemd, D-Bus and polkit is tested
with guests that are emulated, and in a VM with KVM and cgroup v2.

Each case of each script in packaged/ is a case here. HOST_TESTS_ONLY=text runs only scripts with that
in their path, TESTS_ONLY=text only such cases.
"""
import glob
import json
import os
import sys
import time

SOURCE = os.environ.get('top_srcdir') or os.path.join(os.path.dirname(__file__), '..', '..')
BUILD = os.environ['top_builddir']
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'helpers'))
sys.dont_write_bytecode = True
from host_container import HostContainer  # noqa: E402
from host_scripts import Script, Tap  # noqa: E402
from host_vm import HostVm  # noqa: E402
from whole_host import WholeHostError, exit_on_signals  # noqa: E402

ONLY = os.environ.get('HOST_TESTS_ONLY', '')
GUEST_STOPS_IN = 5  # seconds: guest-manager kills a payload that is deaf to SIGTERM after them
# A VM whose payload is deaf, and nobody's.
START_SLOW_VM = """
import os, sys
sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
from system_host import SystemHost
host = SystemHost(os.environ['top_builddir'])
vm = host.create_waiting('deaf')
print('id', vm.get('Id'))
"""


def install(host):
    status, text = host.run(
        ['sh', '-ec', 'mkdir -p /var/log/journal && systemctl restart systemd-journald\n'
         'dpkg -i /tree/more/*.deb'])
    if status != 0:
        raise WholeHostError(f'the packages cannot be installed: {text}')


def run_scripts(host, tap, names):
    for name in names:
        path = f'tests/host/packaged/{name}.py'
        if ONLY in path:
            Script(path, tap, True).run(host)


def read_journal(host, *arguments):
    _, text = host.run(['journalctl', '--output=json', *arguments])
    return [json.loads(line) for line in text.splitlines() if line.startswith('{')]


def check_shutdown(host, tap):
    """At shutdown a guest gets its graceful stop, the daemon outlasting it."""
    if ONLY not in 'shutdown':
        return
    status, text = host.run(['python3', '-B', '-c', START_SLOW_VM])
    tap.case(status == 0, 'shutdown: a VM that takes 5 s to stop runs')
    if status != 0:
        tap.diagnose(text)
        return
    vm_id = text.split()[-1]
    begun = time.time()
    host.power_off()
    tap.diagnose(f'shutdown: {time.time() - begun:.1f} s')
    host.reboot()
    status, text = host.run(['vmctl', 'list', '--all', '--json=short'])
    tap.case((status, text.strip()) == (0, '[]'), 'shutdown: after a reboot there is no VM')
    status, text = host.run(['systemctl', 'list-units', '--failed', '--plain', '--no-legend',
                             'virtualizationd*'])
    tap.case((status, text.strip()) == (0, ''), 'shutdown: after a reboot no unit has failed')
    deaths = read_journal(host, '--boot=-1', 'MESSAGE_ID=3b3db8b2a126492da05fac778d472e90',
                          f'VM_ID={vm_id}')
    tap.case([(death['VM_REASON'], death['VM_INITIATOR']) for death in deaths] ==
             [('shutdown', 'host')], 'shutdown: the guest stopped as it was asked to')
    tap.diagnose(str([death.get('VM_REASON') for death in deaths]))
    died = [int(death['__REALTIME_TIMESTAMP']) / 1e6 for death in deaths]
    tap.case(died != [] and died[0] - begun >= GUEST_STOPS_IN,
             'shutdown: it was given the time that it took')
    stopped = read_journal(host, '--boot=-1', 'UNIT=virtualizationd.service',
                           'MESSAGE_ID=9d1aaa27d60140bd96365438aad20286')  # systemd: unit stopped
    tap.case(died != [] and stopped != [] and
             int(stopped[-1]['__REALTIME_TIMESTAMP']) / 1e6 >= died[0],
             'shutdown: the daemon was there until then')


def main():
    exit_on_signals()
    tap = Tap()
    packages = [path for path in glob.glob(f'{BUILD}/packages/*.deb') if '-dbgsym_' not in path]
    started = time.monotonic()
    try:
        with HostContainer(SOURCE, BUILD, packages) as host:
            install(host)
            tap.diagnose(f'the container is up: {time.monotonic() - started:.0f} s')
            run_scripts(host, tap, ('test-units', 'test-users'))
            check_shutdown(host, tap)
            run_scripts(host, tap, ('test-packages',))
        if ONLY in 'tests/host/packaged/test-limits.py':
            with HostVm(SOURCE, BUILD, more=packages) as host:
                install(host)
                run_scripts(host, tap, ('test-limits',))
                host.power_off()
                tap.case(True, 'the VM powers off')
    except WholeHostError as error:
        tap.case(False, 'the hosts run')
        tap.diagnose(str(error))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
