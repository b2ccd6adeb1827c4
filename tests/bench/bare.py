# SPDX-License-Identifier: Apache-2.0
"""QEMU without anybody around it, and the guest that all sides boot."""
import os
import select
import socket
import subprocess
import time

from harness import find_kernel_package

now = time.monotonic
MEMORY_MIB = 256
PARAMS = 'console=ttyS0 reboot=t panic=-1 quiet'
SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'


def cpio(path, files):
    """A newc archive of executable files."""
    def entry(name, mode, data):
        header = '070701' + ''.join('%08X' % field for field in (
            0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        packed = header.encode() + name.encode() + b'\0'
        packed += bytes(-len(packed) % 4) + data
        return packed + bytes(-len(packed) % 4)
    with open(path, 'wb') as file:
        for name, source in files.items():
            with open(source, 'rb') as program:
                file.write(entry(name, 0o100755, program.read()))
        file.write(entry('TRAILER!!!', 0, b''))


class Guest:
    """What is booted."""

    def __init__(self, kernel, initrd):
        self.kernel, self.initrd = kernel, initrd


def make_guests(build, directory):
    """The kernel as it is packaged, and unpacked as the guest image has it."""
    initrd, packed = f'{directory}/initrd', f'{directory}/vmlinuz'
    cpio(initrd, {'init': f'{build}/programs/guest-up'})
    package = find_kernel_package(build)
    with open(packed, 'wb') as file:
        subprocess.run(f'dpkg-deb --fsys-tarfile "{package}" | '
                       "tar -xO --wildcards './boot/vmlinuz-*'", shell=True, check=True,
                       stdout=file)
    return Guest(packed, initrd), Guest(f'{build}/guest-image/vmlinux', initrd)


def wait_readable(fd, seconds=120):
    if not select.select([fd], [], [], seconds)[0]:
        raise TimeoutError


def read_until(fd, word):
    got = b''
    while word not in got:
        wait_readable(fd)
        data = os.read(fd, 4096)
        if not data:
            raise EOFError(got)
        got += data
    return now()


class Bare:
    """QEMU without anybody around it."""

    def __init__(self, guest, paused=False, accelerator='tcg', machine=None):
        machine = machine or [
            '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-S', '-machine',
            f'q35,accel={accelerator},usb=off', '-cpu', 'max', '-m', str(MEMORY_MIB), '-append',
            PARAMS, '-sandbox', SANDBOX]
        self.control, control = socket.socketpair()
        self.console, console = socket.socketpair()
        self.began = now()
        self.process = subprocess.Popen(
            ['qemu-system-x86_64', *machine, '-kernel', guest.kernel, '-initrd', guest.initrd,
             '-chardev', f'socket,id=q,fd={control.fileno()}', '-mon', 'chardev=q,mode=control',
             '-chardev', f'socket,id=c,fd={console.fileno()}', '-serial', 'chardev:c'],
            stdin=subprocess.DEVNULL, pass_fds=[control.fileno(), console.fileno()])
        self.pidfd = os.pidfd_open(self.process.pid)
        control.close()
        console.close()
        self.command('qmp_capabilities', b'QMP')
        if not paused:
            self.command('cont', None)
        self.ready = now()

    def command(self, name, greeting):
        if greeting:
            read_until(self.control.fileno(), greeting)
        self.control.sendall(b'{"execute":"%s"}\n' % name.encode())
        read_until(self.control.fileno(), b'"return"')

    def wait_up(self):
        return read_until(self.console.fileno(), b'GUEST UP')

    def wait_gone(self):
        wait_readable(self.pidfd)
        gone = now()
        self.process.wait()
        return gone

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.pidfd)
        self.control.close()
        self.console.close()
