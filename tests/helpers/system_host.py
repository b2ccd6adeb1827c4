# SPDX-License-Identifier: Apache-2.0
"""The daemon that is installed on this host, on its system bus, and its users. For tests that run in
a whole host of theirs, as root."""
import contextlib
import json
import os
import re
import subprocess
import tempfile

import dbus
import dbus.bus

from harness import NAME, ROOT, Host, processes, wait_until

UNIT = 'virtualizationd.service'
UNITS = ('virtualizationd.service', 'virtualizationd-vm.socket', 'virtualizationd-vm@.service',
         'virtualizationd-template.service', 'virtualizationd.slice')
RULES = '/etc/polkit-1/rules.d'


def output(*command, status=0):
    """Standard output of a command that has to end with that status; None: any."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    assert status is None or done.returncode == status, (command, done.returncode, done.stdout)
    return done.stdout


def show(unit, name):
    return output('systemctl', 'show', '--value', f'--property={name}', unit).strip()


def command_of(user, *command):
    """The words that run a command as that user, who has no session."""
    return ['setpriv', f'--reuid={user}', f'--regid={user}', '--init-groups', 'env',
            f'HOME={os.path.expanduser("~" + user)}', *command]


def as_user(user, *command):
    """(exit status, output) of a command of that user's."""
    done = subprocess.run(command_of(user, *command), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def make_user(name):
    if subprocess.run(['id', name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        output('useradd', '--create-home', name)


def restart_polkit():
    """polkitd sees a new file of rules a moment later only; systemd would not start it so often."""
    output('systemctl', 'reset-failed', 'polkit.service')
    output('systemctl', 'restart', 'polkit.service')


@contextlib.contextmanager
def polkit_rule(text):
    path = f'{RULES}/10-test.rules'
    with open(path, 'w', encoding='ascii') as file:
        file.write(text)
    restart_polkit()
    try:
        yield
    finally:
        os.unlink(path)
        restart_polkit()


def launcher_units():
    """Units of launchers that are there -> their state."""
    lines = output('systemctl', 'list-units', '--all', '--plain', '--no-legend', '--full',
                   'virtualizationd-vm@*.service').splitlines()
    return {line.split()[0]: line.split()[2] for line in lines if line.strip()}


def unit_of(pid):
    with open(f'/proc/{int(pid)}/cgroup', encoding='ascii') as file:
        return re.search(r'(virtualizationd-vm@[^/]*\.service)/vm$', file.read().strip())[1]


def supervisor_of(vm):
    return int(show(unit_of(vm.get('Pid')), 'MainPID'))


class SystemHost(Host):
    """As a Host, whose bus and daemon are the system's."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.directory = tempfile.mkdtemp(prefix='system-host-')
        os.chmod(self.directory, 0o755)
        self.runtime_dir = '/run/virtualizationd'
        self.vms = []
        self.bus = self.connect()

    def connect(self):
        bus = dbus.bus.BusConnection(dbus.bus.BusConnection.TYPE_SYSTEM)
        bus.set_exit_on_disconnect(False)  # it may be restarted
        return bus

    def write_config(self, name, payload=None, params='', **more):
        """A configuration file as vmctl reads it."""
        config, files = self.config(payload, params, **more)
        config.update(kernel=files['kernel'], initrd=files['initrd'])
        if payload:
            config['disks'][0]['partitions'][0]['path'] = payload
        path = f'{self.directory}/{name}.json'
        with open(path, 'w', encoding='ascii') as file:
            json.dump(config, file)
        return path

    def create_waiting(self, mode='wait', **more):
        """A detached VM whose payload waits, and is ready."""
        vm = self.create(*self.config(self.payload('probe'), f'probe={mode}', **more), start=True,
                         lifetime='detached')
        vm.wait_for('PayloadReady')
        return vm

    def daemon_pid(self):
        return int(show(UNIT, 'MainPID'))

    def wait_for_daemon(self):
        wait_until(lambda: show(UNIT, 'ActiveState') == 'active', 'the daemon')

    def close(self):
        self.kill_vms()
        subprocess.run(['rm', '-rf', self.directory], check=False)
        wait_until(lambda: not launcher_units(), 'the end of all launchers')
