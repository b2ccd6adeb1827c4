# SPDX-License-Identifier: Apache-2.0
"""A whole host in a VM: Debian with systemd as PID 1, cgroup v2 and, as QEMU emulates a processor
with SVM, a KVM that runs stock kernels. No KVM is needed outside, and no network.

The image is tests/host/build-host-image's; what is changed on it is thrown away. The built programs,
the guest image and the tests are on a second, read-only disk, /tree in the VM. Commands go to
tests/host/agent.py in there, which runs them as root with top_srcdir and top_builddir set.
"""
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MEMORY_MIB = 3072
BOOT_DEADLINE = 300  # seconds; takes 15
COMMAND_DEADLINE = 600
CONSOLE_LINES = 60  # shown when something fails
# What the tests in the VM need of the source tree, as far as it is there.
SOURCES = ('dbus', 'examples', 'policy', 'scripts', 'systemd', 'tests')
BUILT = ('programs', 'guest-image')
# highres=off and nohz=off keep the timer ticking. QEMU changes a processor's pending interrupts
# without its lock when it enters and leaves a nested guest (svm_helper.c of 7.2) and may so lose one
# that comes just then, until the next one; without a tick, that may never come.
KERNEL_COMMAND_LINE = ('root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 highres=off nohz=off '
                       'cryptomgr.notests mitigations=off systemd.show_status=0')
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class HostVmError(Exception):
    """The VM did not do what it should; has the last lines of its console."""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def exit_on_signals():
    """Lets the usual signals end this program by way of its finally clauses."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


class HostVm:
    """Running from start to close(), which is also the end of a `with`."""

    def __init__(self, source, build, cpus=1):
        self.source = os.path.abspath(source)
        self.build = os.path.abspath(build)
        self.process = self.channel = self.console = None
        self.received = b''
        self.directory = tempfile.mkdtemp(prefix='host-vm-')
        try:
            self._make_tree_disk()
            self._start(cpus)
            self._receive('ready', time.monotonic() + BOOT_DEADLINE, print)
            self._make_users()
        except BaseException:
            self.close()
            raise
        finally:
            shutil.rmtree(self.directory)  # QEMU has opened what it needs

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _make_tree_disk(self):
        tree = f'{self.directory}/tree'
        for top, names, name in ((self.source, SOURCES, 'source'), (self.build, BUILT, 'build')):
            os.makedirs(f'{tree}/{name}')
            there = [f'{top}/{folder}' for folder in names if os.path.isdir(f'{top}/{folder}')]
            subprocess.run(['cp', '-a', *there, f'{tree}/{name}'], check=True)
        subprocess.run(['chown', '-R', 'root:root', tree], check=True)
        megabytes = int(subprocess.run(['du', '-sm', tree], check=True, capture_output=True,
                                       text=True).stdout.split()[0])
        subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', tree,
                        f'{self.directory}/tree.img', f'{megabytes + megabytes // 4 + 16}M'],
                       check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)

    def _start(self, cpus):
        image = f'{self.build}/host-image'
        if not os.path.exists(f'{image}/root.img'):
            raise HostVmError(f'there is no image in {image}: `make host-vm` makes it')
        self.console = open(f'{self.directory}/console', 'w+b')
        self.channel, theirs = socket.socketpair()
        arguments = [
            'qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none',
            '-no-reboot', '-machine', 'q35,accel=tcg', '-cpu', 'max', '-smp', str(cpus),
            '-m', str(MEMORY_MIB), '-kernel', f'{image}/vmlinuz', '-append', KERNEL_COMMAND_LINE,
            '-drive', f'if=none,id=root,format=raw,file={image}/root.img,snapshot=on',
            '-device', 'nvme,drive=root,serial=root',
            '-drive', f'if=none,id=tree,format=raw,file={self.directory}/tree.img,readonly=on',
            '-device', 'nvme,drive=tree,serial=tree',
            '-chardev', f'file,id=console,path={self.directory}/console',
            '-serial', 'chardev:console',
            '-chardev', f'socket,id=channel,fd={theirs.fileno()}', '-device', 'virtio-serial-pci',
            '-device', 'virtserialport,chardev=channel,name=host-test']
        with theirs:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console,
                pass_fds=[theirs.fileno()], preexec_fn=die_with_parent,
                env=dict(os.environ, TMPDIR=self.directory))

    def _failed(self, what):
        self.console.seek(0)
        lines = self.console.read().decode(errors='replace').splitlines()[-CONSOLE_LINES:]
        return HostVmError('\n'.join([f'{what}; the end of the console:', *lines]))

    def _receive(self, key, end, on_output):
        """Waits for a message with @key and returns its value; output is handed to @on_output."""
        while True:
            line, newline, rest = self.received.partition(b'\n')
            if newline:
                self.received = rest
                message = json.loads(line)
                if key in message:
                    return message[key]
                on_output(message['output'])
                continue
            self.channel.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.channel.recv(65536)
            except ConnectionError:
                data = b''
            except socket.timeout:
                raise self._failed(f'the VM does not answer: waited for its "{key}"') from None
            if not data:
                self.process.wait()
                raise self._failed(f'QEMU ended, {self.process.returncode}')
            self.received += data

    def _send(self, command, deadline):
        message = json.dumps({'command': command, 'deadline': deadline})
        self.channel.settimeout(deadline)
        self.channel.sendall(message.encode() + b'\n')

    def _make_users(self):
        status, output = self.run(['systemd-sysusers',
                                   '/tree/source/systemd/virtualizationd.sysusers'])
        if status != 0:
            raise self._failed(f"the daemon's user cannot be made: {output}")

    def run(self, command, deadline=COMMAND_DEADLINE, on_output=None):
        """Runs @command (a list) in the VM, for @deadline seconds at most. Its output goes to
        @on_output(text) as it comes. Returns its exit status, 255 after a signal, 'deadline' when
        the time was up, and all of its output."""
        output = []

        def hear(text):
            output.append(text)
            if on_output:
                on_output(text)
        self._send(command, deadline)
        status = self._receive('status', time.monotonic() + deadline + 60, hear)
        return status, ''.join(output)

    def power_off(self, deadline=120):
        """Shuts the host down as its administrator would, and waits for the end."""
        self._send(['systemctl', 'poweroff'], deadline)  # whose answer may not come any more
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise self._failed(f'the VM did not power off within {deadline} s') from None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.channel:
            self.channel.close()
        if self.console:
            self.console.close()
