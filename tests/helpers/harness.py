# SPDX-License-Identifier: Apache-2.0
"""A private bus and virtualizationd on it, VMs made over the bus, and what is left behind.

Waits are for events, with a deadline generous enough for a machine under load.
"""
import glob
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time

import dbus
import dbus.bus
import dbus.mainloop.glib
from gi.repository import GLib

dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)

NAME = 'org.virtualizationd1'
ROOT = '/org/virtualizationd1'
MANAGER = 'org.virtualizationd1.Manager'
VM = 'org.virtualizationd1.VirtualMachine'
PROPERTIES = 'org.freedesktop.DBus.Properties'
DEADLINE = int(os.environ.get('TEST_DEADLINE', 120))  # seconds
# For runs of all tests in another way, as scripts/trace-policies makes them: options of every VM, as
# a JSON object; words for the guest kernel's command line; a file that gets what daemons and
# launchers logged.
PARAMS = os.environ.get('TEST_PARAMS', '')
VM_OPTIONS = json.loads(os.environ.get('TEST_VM_OPTIONS', '{}'))
LOG = os.environ.get('TEST_LOG')
UID_MIN, UID_COUNT = 0x70000000, 4096  # vmm-launcher/vm-uid.h

BUS_CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={directory}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <limit name="max_message_unix_fds">16</limit>
</busconfig>
'''


def wait_until(condition, what, deadline=DEADLINE):
    """Runs the main loop until condition() is true."""
    context = GLib.MainContext.default()
    end = time.monotonic() + deadline
    ticker = GLib.timeout_add(50, lambda: True)  # for conditions that no event announces
    try:
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f'waited {deadline} s for {what}')
            context.iteration(True)
    finally:
        GLib.source_remove(ticker)


def processes():
    """pid -> (uid, state, command line) of every process but kernel threads."""
    found = {}
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            with open(f'/proc/{entry}/status', encoding='ascii', errors='replace') as file:
                fields = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
            with open(f'/proc/{entry}/cmdline', 'rb') as file:
                command = file.read().replace(b'\0', b' ').decode(errors='replace')
        except (FileNotFoundError, ProcessLookupError):
            continue
        uid = int(fields['Uid'].split()[0])
        found[int(entry)] = (uid, fields['State'][0], command)
    return found


def find_kernel_package(build):
    """The newest kernel that guest images were made of; apt gives a file the archive's time."""
    return max(glob.glob(f'{build}/guest-image-cache/linux-image-*.deb'), key=os.path.getmtime)


def vm_processes():
    """The living processes of any VM on this machine: those with a uid of the reserved range."""
    return {pid: command for pid, (uid, state, command) in processes().items()
            if UID_MIN <= uid < UID_MIN + UID_COUNT and state not in 'ZX'}


class Host:
    """A private bus with virtualizationd on it.

    With launcher options, a listener with them is there before the daemon, which then starts none;
    and with the name of another launcher, that one. For a test that does not run as root, the
    daemon is the user's own.
    """

    def __init__(self, build, config='', launcher=None, launcher_options=(), cache_dir=None,
                 daemon_options=(), daemon_program='virtualizationd', daemon_prefix=()):
        self.daemon_prefix = list(daemon_prefix)
        self.daemon_program = daemon_program
        self.build = os.path.abspath(build)
        self.launcher = launcher or 'vmm-launcher'
        self.launcher_options = list(launcher_options)
        self.cache_dir = cache_dir or os.environ.get('TEST_CACHE_DIR', f'{self.build}/cache')
        self.directory = tempfile.mkdtemp(prefix='virtualizationd-')
        os.chmod(self.directory, 0o755)
        self.daemon_options = list(daemon_options)
        if os.geteuid() != 0:
            self.daemon_options = ['--user']
            self.cache_dir = f'{self.directory}/cache'
        self.runtime_dir = os.path.join(self.directory, 'run')
        self.log_path = os.path.join(self.directory, 'daemon.log')
        self.address = f'unix:path={self.directory}/bus'
        self.dbus_daemon = self.daemon = None
        self.vms = []
        with open(f'{self.directory}/daemon.conf', 'w', encoding='ascii') as file:
            file.write('[Daemon]\n' + config)
        try:
            self._start_bus()
            if self.launcher_options or launcher:
                self.start_listener()
            self.start_daemon()
            self.bus = self.connect()
        except BaseException:
            self.close()
            raise

    def _start_bus(self):
        path = f'{self.directory}/bus.conf'
        with open(path, 'w', encoding='ascii') as file:
            file.write(BUS_CONFIG.format(directory=self.directory))
        self.dbus_daemon = subprocess.Popen(
            ['dbus-daemon', f'--config-file={path}', '--nofork', '--nopidfile',
             '--print-address=1'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        if not self.dbus_daemon.stdout.readline():
            raise RuntimeError('dbus-daemon does not start')

    def start_listener(self):
        os.makedirs(self.runtime_dir, exist_ok=True)
        user = pwd.getpwnam('virtualizationd').pw_uid
        ready, ready_write = os.pipe()
        with open(self.log_path, 'ab') as log:
            subprocess.Popen(
                [f'{self.build}/programs/{self.launcher}', f'--cache-dir={self.cache_dir}',
                 f'--state-dir={self.directory}/state-launcher',
                 *self.launcher_options, f'--listen={self.runtime_dir}/launcher',
                 f'--user={user}', f'--ready-fd={ready_write}'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[ready_write],
                start_new_session=True)
        os.close(ready_write)
        with open(ready, 'rb') as file:
            if not file.readline():
                raise RuntimeError('the listener does not start:\n' + self.log())

    def start_daemon(self, *options):
        """Starts virtualizationd and waits until it says READY=1."""
        notify_path = f'{self.directory}/notify'
        if os.path.exists(notify_path):
            os.unlink(notify_path)  # of a start that failed
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                open(self.log_path, 'ab') as log:
            notify.bind(notify_path)
            os.chmod(notify_path, 0o666)
            environment = dict(os.environ, NOTIFY_SOCKET=notify_path)
            self.daemon = subprocess.Popen(
                [*self.daemon_prefix, f'{self.build}/programs/{self.daemon_program}',
                 *self.daemon_options, *options,
                 f'--bus={self.address}',
                 f'--runtime-dir={self.runtime_dir}', f'--cache-dir={self.cache_dir}',
                 f'--state-dir={self.directory}/state', f'--os-dir={self.directory}/os',
                 f'--config={self.directory}/daemon.conf'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            notify.settimeout(1)
            end = time.monotonic() + DEADLINE
            while True:
                try:
                    if b'READY=1' in notify.recv(4096):
                        break
                except socket.timeout:
                    pass
                if self.daemon.poll() is not None or time.monotonic() > end:
                    raise RuntimeError('virtualizationd does not start:\n' + self.log())
        os.unlink(notify_path)

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as file:
            return file.read()

    def connect(self):
        return dbus.bus.BusConnection(self.address)

    def manager(self, bus=None):
        return dbus.Interface((bus or self.bus).get_object(NAME, ROOT, introspect=False), MANAGER)

    def image(self, name):
        return f'{self.build}/guest-image/{name}'

    def params(self, extra=''):
        with open(self.image('params'), encoding='ascii') as file:
            return ' '.join([file.read().strip(), PARAMS, extra]).strip()

    def config(self, payload=None, params='', **more):
        """A raw configuration with microguest's kernel, and files for it."""
        config = {'kernel': 'kernel', 'initrd': 'initrd', 'params': self.params(params),
                  'memory_mib': 128, 'platform_version': '~1.0'}
        files = {'kernel': self.image('vmlinux'), 'initrd': self.image('initramfs')}
        if payload:
            config['disks'] = [{'partitions': [{'label': 'payload', 'path': 'payload'}]}]
            files['payload'] = payload
        config.update(more)
        return config, files

    def payload(self, name):
        return f'{self.build}/programs/payloads/{name}'

    def create(self, config, files, bus=None, **options):
        return Vm(self, config, files, bus or self.bus, {**VM_OPTIONS, **options})

    def listener_pids(self):
        return [pid for pid, (_, state, command) in processes().items()
                if f'--listen={self.runtime_dir}' in command and state not in 'ZX']

    def vm_processes(self):
        """pid -> command line of the living processes of this host's VMs."""
        parents = {}
        for entry in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{entry}/stat', encoding='utf-8', errors='replace') as file:
                    parents[int(entry)] = int(file.read().rpartition(')')[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
        family, size = set(self.listener_pids()), 0
        while len(family) != size:
            size = len(family)
            family |= {pid for pid, parent in parents.items() if parent in family}
        return {pid: command for pid, command in vm_processes().items() if pid in family}

    def directories_in_use(self):
        """The directories of VMs that hold more than what a dead VM leaves for the next daemon."""
        vms = f'{self.runtime_dir}/vm'
        return [name for name in os.listdir(vms)
                if sorted(os.listdir(f'{vms}/{name}')) not in (['death', 'record'],
                                                               ['death-told', 'record'])]

    def left_behind(self):
        """What should not be there once all VMs and the daemon have ended."""
        left = [f'process {pid}: {command}' for pid, (_, state, command) in processes().items()
                if self.directory in command and state not in 'ZX'
                and pid not in (os.getpid(), self.dbus_daemon.pid)]
        for directory in ('.', 'launcher'):
            if os.path.isdir(f'{self.runtime_dir}/{directory}'):
                left += [f'{self.runtime_dir}/{directory}/{name}'
                         for name in os.listdir(f'{self.runtime_dir}/{directory}')
                         if name not in ('vm', 'launcher')]
        if os.path.isdir(f'{self.runtime_dir}/vm'):
            left += [f'{self.runtime_dir}/vm/{name}' for name in self.directories_in_use()]
        left += [path for pid in self.listener_pids()
                 for root in ('/sys/fs/cgroup', '/sys/fs/cgroup/*')
                 for path in glob.glob(f'{root}/virtualizationd/vm-{pid}-*')]
        with open('/proc/mounts', encoding='utf-8') as file:
            left += [line.strip() for line in file if self.directory in line]
        return left

    def kill_vms(self):
        """VMs outlive their daemon: ends those that live."""
        manager = self.manager()
        for path in [vm[0] for vm in manager.ListVms(False)]:
            try:
                self.bus.get_object(NAME, path, introspect=False).Kill(dbus_interface=VM)
            except dbus.DBusException:
                pass  # it has just died
        wait_until(lambda: not manager.ListVms(False), 'the end of all VMs')

    def end_vms_without_daemon(self):
        for path in glob.glob(f'{self.runtime_dir}/vm/*/stub.socket'):
            with socket.socket(socket.AF_UNIX) as last_way:
                try:
                    last_way.connect(path)
                except ConnectionRefusedError:
                    pass  # nobody is there

    def stop_daemon(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()

    def close(self):
        """Ends everything. Returns the daemon's exit status and what was left behind."""
        left = []
        try:
            if self.daemon and self.daemon.poll() is None:
                self.kill_vms()
            else:
                self.end_vms_without_daemon()
            self.stop_daemon()
            if self.dbus_daemon:
                try:
                    wait_until(lambda: not self.left_behind(), 'nothing to be left behind', 30)
                except TimeoutError:
                    left = self.left_behind()
        finally:
            for pid in self.listener_pids():
                os.kill(pid, signal.SIGTERM)
            if self.dbus_daemon:
                self.dbus_daemon.terminate()
                self.dbus_daemon.wait()
                self.dbus_daemon.stdout.close()
            if LOG and os.path.exists(self.log_path):
                with open(LOG, 'a', encoding='utf-8') as file:
                    file.write(self.log())
            subprocess.run(['rm', '-rf', '--one-file-system', self.directory], check=False)
        return (self.daemon.returncode if self.daemon else None), left


class Vm:
    """A VM made over the bus, its events and its output as they came."""

    def __init__(self, host, config, files, bus, options):
        self.bus = bus
        self.events = []     # (seconds since CreateVm, name, arguments)
        self.output = {'payload-out': b'', 'console-out': b'', 'log': b''}
        self.outputs_open = set()
        self.properties = {}
        passed = {}
        sources = {}
        self.match = bus.add_signal_receiver(self._on_signal, member_keyword='member',
                                             path_keyword='path', sender_keyword='sender')
        for key in self.output:
            sources[key], passed[key] = os.pipe()
        for key, path in files.items():
            if isinstance(path, str):
                passed[key] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            else:
                passed[key] = os.dup(path)
        self.path = None
        self.early = []
        self.created = time.monotonic()
        try:
            dictionary = dbus.Dictionary({key: dbus.types.UnixFd(fd)
                                          for key, fd in passed.items()}, signature='sh')
            self.path = host.manager(bus).CreateVm(
                config if isinstance(config, str) else json.dumps(config), dictionary,
                dbus.Dictionary(options, signature='sv'))
        finally:
            for fd in passed.values():
                os.close(fd)
            if self.path is None:
                for fd in sources.values():
                    os.close(fd)
                self.match.remove()
        self._record('created', [])
        for key, fd in sources.items():
            self.outputs_open.add(key)
            GLib.io_add_watch(fd, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP,
                              self._on_output, key)
        self.object = bus.get_object(NAME, self.path, introspect=False,
                                     follow_name_owner_changes=True)  # over a restart
        self.methods = dbus.Interface(self.object, VM)
        for event in self.early:
            self._on_signal(*event[0], **event[1])
        self.early = None

    def _record(self, name, arguments):
        self.events.append((time.monotonic() - self.created, name, arguments))

    def _on_output(self, fd, _condition, key):
        data = os.read(fd, 65536)
        if not data:
            os.close(fd)
            self.outputs_open.discard(key)
            return False
        self.output[key] += data
        self._record(f'output:{key}', [data])
        return True

    def _on_signal(self, *arguments, member, path, sender):
        if self.path is None or self.early:
            if self.path is None:
                self.early.append((arguments, {'member': member, 'path': path, 'sender': sender}))
                return
        if path != self.path:
            return
        if member == 'PropertiesChanged':
            self.properties.update(arguments[1])
            for key, value in arguments[1].items():
                if key in ('State', 'StartedAt', 'Pid', 'DeathReason', 'StopStep'):
                    self._record(f'property:{key}', [value])
        else:
            self._record(member, list(arguments))

    def start(self):
        self.methods.Start()

    def names(self):
        return [name for _, name, _ in self.events]

    def find(self, name):
        return next(((when, arguments) for when, event, arguments in self.events
                     if event == name), None)

    def wait_for(self, name, deadline=DEADLINE):
        wait_until(lambda: self.find(name) is not None, f'{name} of {self.path}, events so far: '
                   f'{self.names()}, console: {self.output["console-out"][-500:]!r}', deadline)
        return self.find(name)[1]

    def wait_until_ready_or_dead(self):
        wait_until(lambda: self.find('PayloadReady') or self.find('Died'), 'ready, or the end')

    def wait_for_output_end(self, key='payload-out'):
        wait_until(lambda: key not in self.outputs_open, f'the end of {key}')
        return self.output[key]

    def get(self, name):
        return self.object.Get(VM, name, dbus_interface=PROPERTIES)

    def death(self, deadline=DEADLINE):
        """Waits for the end and returns the death record."""
        self.wait_for('Died', deadline)
        return {str(key): value for key, value in self.methods.GetDeathRecord().items()}


def with_settings(settings):
    """Makes tests of functions that take a Host, which must end well and leave nothing; its daemon
    has these @settings."""
    def decorator(function):
        def run(suite):
            host = Host(suite.build, config=settings)
            try:
                function(host)
            finally:
                status, left = host.close()
                assert not left, left
                assert status == 0, status
        return run
    return decorator


with_host = with_settings('')


class Suite:
    """Runs functions named test_* of a module and prints TAP."""

    def __init__(self):
        self.build = os.environ.get('top_builddir') or (sys.argv[1] if len(sys.argv) > 1 else '')
        self.only = os.environ.get('TESTS_ONLY', '')

    @property
    def sanitized(self):
        with open(f'{self.build}/Makefile', encoding='utf-8') as file:
            return '\nSANITIZER_CFLAGS = -f' in file.read()

    def run(self, module):
        tests = [(name, function) for name, function in vars(module).items()
                 if name.startswith('test_') and self.only in name]
        failed = 0
        print(f'1..{len(tests)}')
        for number, (name, function) in enumerate(tests, 1):
            try:
                function(self)
                print(f'ok {number} - {name[5:]}', flush=True)
            except BaseException as problem:  # whatever it is: the next test wants its turn
                import traceback
                failed += 1
                print(f'not ok {number} - {name[5:]}')
                print('# ' + traceback.format_exc().replace('\n', '\n# '), flush=True)
                if isinstance(problem, KeyboardInterrupt):
                    break
        return 1 if failed else 0
