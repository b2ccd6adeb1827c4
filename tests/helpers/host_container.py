# SPDX-License-Identifier: Apache-2.0
"""A whole host in a container: the tree of tests/host/build-host-image with systemd as PID 1, a system
bus, logind and polkit, up within a second. Guests in it are emulated, and where this machine has no
cgroup v2 controllers, neither has it: what needs those, or a kernel of its own, is for host_vm.py.

The tree is below an overlay: after power_off() it may boot again, as it was left.
"""
import ctypes
import os
import signal
import socket
import subprocess
import time

from whole_host import WholeHost, WholeHostError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# The mount goes with the namespace, whatever ends this. What nspawn's filter withholds the launcher
# needs: a session keyring of its own.
SCRIPT = '''
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
exec systemd-nspawn --quiet --boot --directory="$2/root" --machine="$3" --register=no --keep-unit \\
    --console=pipe --private-network --system-call-filter='@keyring bpf' --resolv-conf=off \\
    --timezone=off --bind-ro="$2/tree:/tree" --bind="$2/channel:/host-test" \\
    systemd.show_status=0
'''


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class HostContainer(WholeHost):
    """See WholeHost."""

    what = 'container'

    def _start(self):
        image = f'{self.build}/host-image/root'
        if not os.path.exists(image):
            raise WholeHostError(f'there is no {image}: `make host-image` makes it')
        for name in ('upper', 'work', 'root', 'channel', 'tree'):
            os.mkdir(f'{self.directory}/{name}')
        os.chmod(self.directory, 0o755)
        self._copy_tree(f'{self.directory}/tree')
        self.boot()

    def boot(self):
        """Starts the container, again after it was shut down."""
        self.received = b''
        path = f'{self.directory}/channel/socket'
        if os.path.exists(path):
            os.unlink(path)
        self.console = open(f'{self.directory}/console', 'w+b')
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(self.boot_deadline)
            self.process = subprocess.Popen(
                ['unshare', '--mount', 'sh', '-c', SCRIPT, 'sh', f'{self.build}/host-image/root',
                 self.directory, f'host-{os.getpid()}'],
                stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console,
                start_new_session=True,  # else it would ask for the terminal
                preexec_fn=die_with_parent,
                env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY='1'))
            self.channel = self._accept(listener)

    def _accept(self, listener):
        end = time.monotonic() + self.boot_deadline
        listener.settimeout(0.2)
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return listener.accept()[0]
            except socket.timeout:
                continue
        raise self._failed('the container does not start')

    def reboot(self):
        """After power_off()."""
        self.boot()
        self._receive('ready', time.monotonic() + self.boot_deadline, print)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()  # nspawn ends what is in it
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                pass
        super().close()
