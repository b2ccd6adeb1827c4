# SPDX-License-Identifier: Apache-2.0
"""A whole host in a VM: Debian with systemd as PID 1, cgroup v2 and, as QEMU emulates a processor
with SVM, a KVM that runs stock kernels. No KVM is needed outside, and no network.

The image is tests/host/build-host-image's; what is changed on it is thrown away. The built programs,
the guest image and the tests are on a second, read-only disk, /tree in the VM.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess

from whole_host import WholeHost, WholeHostError

MEMORY_MIB = 3072
# highres=off and nohz=off keep the timer ticking. QEMU changes a processor's pending interrupts
# without its lock when it enters and leaves a nested guest (svm_helper.c of 7.2) and may so lose one
# that comes just then, until the next one; without a tick, that may never come.
KERNEL_COMMAND_LINE = ('root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 highres=off nohz=off '
                       'cryptomgr.notests mitigations=off systemd.show_status=0')
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class HostVm(WholeHost):
    """See WholeHost."""

    what = 'VM'

    def __init__(self, source, build, cpus=1, more=()):
        self.cpus = cpus
        super().__init__(source, build, more)
        try:
            self._make_users()
        except BaseException:
            self.close()
            raise
        shutil.rmtree(self.directory)  # QEMU has opened what it needs

    def _make_tree_disk(self):
        tree = f'{self.directory}/tree'
        self._copy_tree(tree)
        megabytes = int(subprocess.run(['du', '-sm', tree], check=True, capture_output=True,
                                       text=True).stdout.split()[0])
        subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', tree,
                        f'{self.directory}/tree.img', f'{megabytes + megabytes // 4 + 16}M'],
                       check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)

    def _start(self):
        self._make_tree_disk()
        image = f'{self.build}/host-image'
        if not os.path.exists(f'{image}/root.img'):
            raise WholeHostError(f'there is no image in {image}: `make host-vm` makes it')
        self.console = open(f'{self.directory}/console', 'w+b')
        self.channel, theirs = socket.socketpair()
        arguments = [
            'qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none',
            '-no-reboot', '-machine', 'q35,accel=tcg', '-cpu', 'max', '-smp', str(self.cpus),
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

    def _make_users(self):
        status, output = self.run(['systemd-sysusers',
                                   '/tree/source/systemd/virtualizationd.sysusers'])
        if status != 0:
            raise self._failed(f"the daemon's user cannot be made: {output}")
