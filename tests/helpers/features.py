# SPDX-License-Identifier: Apache-2.0
"""One VM a feature, so that everything which the VM's processes do for a guest happens once."""
import os
import re
import signal
import socket
import subprocess
import tempfile

import dbus

from harness import wait_until

FIRMWARE = '/usr/share/seabios/bios-256k.bin'
IDLE = 12  # seconds: QEMU's disk threads end after ten
# A VMM whose every call somebody is asked about is late with its timer: a guest that tests it panics.
PARAMS = 'no_timer_check'


def seen_state(vm, state):
    return state in [arguments[0] for _, name, arguments in vm.events if name == 'property:State']


def free_mib(vm):
    """What the payload that watches its memory has said last."""
    seen = re.findall(rb'free (\d+)\n', vm.output['payload-out'])
    return int(seen[-1]) if seen else 0


class Features:
    """VMs on @host, each made with @options and with @config in its configuration."""

    def __init__(self, host, config=None, **options):
        self.host = host
        self.config = config or {}
        self.options = options

    def make(self, mode, files=None, **more):
        config, all_files = self.host.config(self.host.payload('probe'), f'probe={mode} {PARAMS}',
                                             **self.config, **more)
        all_files.update(files or {})
        return self.host.create(config, all_files, start=True, **self.options)

    def make_ready(self, mode, files=None, **more):
        vm = self.make(mode, files, **more)
        vm.wait_for('PayloadReady')
        return vm

    @staticmethod
    def ended(vm, *reasons):
        record = vm.death()
        assert record['reason'] in reasons, record
        return record

    def use_all(self):
        """Slow ones begin first, and the others run beside them."""
        with tempfile.TemporaryDirectory() as directory:
            disks = self.begin_disks(directory)
            deaf = self.begin_guest_that_is_deaf_but_for_acpi()
            self.power_off()
            self.reboot_and_panic()
            self.pause_and_stop()
            self.streams_and_console()
            self.listen_and_capture()
            self.balloon()
            self.abuse()
            self.firmware()
            self.two_vcpus()
            self.kernel_in_memory()
            self.vmm_told_to_end()
            self.stub_that_stands_still()
            self.partition_images(directory)
            self.idsig(directory)
            self.instance_ids()
            for vm, line in disks:
                self.ended(vm, 'shutdown')
                assert vm.wait_for_output_end() == line, vm.output
            self.ended(deaf, 'killed')

    def begin_disks(self, directory):
        """VMs with a read-only image, with a writable one, and with a writable disk made of
        partitions; and the line that each prints in the end."""
        def image(name):
            path = f'{directory}/{name}'
            with open(path, 'wb') as file:
                file.truncate(4 << 20)
            return os.open(path, os.O_RDWR)

        payload = {'partitions': [{'label': 'payload', 'path': 'payload'}]}
        vms = []
        for disk, names, line in (
                ({'image': 'a'}, 'a', b'/dev/vdb used, read-only\n'),
                ({'image': 'a', 'writable': True}, 'a', b'/dev/vdb used, writable\n'),
                ({'writable': True,
                  'partitions': [{'label': name, 'path': name, 'writable': True}
                                 for name in 'ab']}, 'ab', b'/dev/vdb1 used, writable\n')):
            files = {name: image(f'{len(vms)}{name}') for name in names}
            try:
                vms.append((self.make(f'disk:{IDLE} virtualizationd.debug=1', files,
                                      disks=[payload, disk]), line))
            finally:
                for fd in files.values():
                    os.close(fd)
        return vms

    def partition_images(self, directory):
        """One of each type, by a disk worker; and one that is larger than a file can be."""
        with open(f'{directory}/partition', 'w+b') as file:
            for kind in ('raw', 'android-vm-instance', 'encryptedstore'):
                self.host.manager().InitializeWritablePartition(
                    dbus.types.UnixFd(file.fileno()), dbus.UInt64(1 << 20), kind)
            try:
                self.host.manager().InitializeWritablePartition(
                    dbus.types.UnixFd(file.fileno()), dbus.UInt64(2 ** 62), 'raw')
                raise AssertionError('taken')
            except dbus.DBusException as problem:
                assert 'cannot make' in problem.get_dbus_message(), problem

    def idsig(self, directory):
        """Of an archive of some megabytes, so that there is work for every thread; and of none."""
        tool = f'{self.host.build}/programs/composite-disk'
        with open(f'{directory}/content', 'wb') as file:
            file.write(os.urandom(8 << 20))
        for words in (['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt',
                       'ec_paramgen_curve:P-256', '-out', 'key.pem'],
                      ['zip', '-q', '-0', 'plain.zip', 'content'],
                      [tool, 'apk', 'sign', '--key=key.pem', '-o', 'a.apk', 'plain.zip']):
            subprocess.run(words, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        with open(f'{directory}/a.apk', 'rb') as apk, open(f'{directory}/a.idsig', 'w+b') as idsig:
            for _ in range(2):  # made, and found to be up to date
                self.host.manager().CreateOrUpdateIdsig(dbus.types.UnixFd(apk.fileno()),
                                                        dbus.types.UnixFd(idsig.fileno()))

    def instance_ids(self):
        manager = self.host.manager()
        manager.RemoveInstance(manager.AllocateInstanceId())

    def begin_guest_that_is_deaf_but_for_acpi(self):
        """Without an initramfs the kernel waits in its panic: nothing hears the power button."""
        config, files = self.host.config(params=f'panic=0 {PARAMS}', **self.config)
        del config['initrd'], files['initrd']
        vm = self.host.create(config, files, start=True, **self.options)
        vm.wait_for('property:StartedAt')
        vm.methods.Stop()
        vm.methods.StopWithOptions(dbus.Dictionary({'acpi-timeout': dbus.UInt64(2000000)},
                                                   signature='sv'))
        return vm

    def power_off(self):
        self.ended(self.make('exit:0'), 'shutdown')

    def reboot_and_panic(self):
        self.ended(self.make('reboot virtualizationd.debug=1'), 'reboot')
        self.ended(self.make('panic virtualizationd.debug=1'), 'crash')

    def pause_and_stop(self):
        vm = self.make_ready('wait')
        vm.methods.Suspend()
        wait_until(lambda: seen_state(vm, 'suspended'), 'the suspension')
        vm.methods.Resume()
        wait_until(lambda: vm.get('State') == 'ready', 'the state before')
        vm.methods.Stop()
        self.ended(vm, 'shutdown')

    def streams_and_console(self):
        console, console_write = os.pipe()
        vm = self.make_ready('echo:5000', {'console-in': console})
        os.close(console)
        os.write(console_write, b'typed\n')
        self.read_along(vm)
        stream = vm.methods.ConnectVsock(dbus.UInt32(5000)).take()
        os.set_blocking(stream, False)
        sent, received = os.urandom(1 << 20), bytearray()
        rest = memoryview(sent)

        def step():
            nonlocal rest
            try:
                if rest:
                    rest = rest[os.write(stream, rest[:65536]):]
            except BlockingIOError:
                pass
            try:
                received.extend(os.read(stream, 65536))
            except BlockingIOError:
                pass
            return len(received) == len(sent)
        wait_until(step, 'the echo')
        assert bytes(received) == sent
        os.close(stream)
        os.close(console_write)
        try:
            vm.methods.ConnectVsock(dbus.UInt32(5001))
            raise AssertionError('a port where nobody listens was connected')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith('.ConnectionRefused'), problem
        vm.methods.Kill()
        self.ended(vm, 'killed')

    def listen_and_capture(self):
        """A guest that is listened to, and one capture in another's place, which nobody reads."""
        vm = self.make('greet:5000')
        listener = socket.socket(fileno=vm.methods.ListenVsock(dbus.UInt32(5000)).take())
        ends = [socket.socketpair() for _ in range(2)]
        for _, end in ends:
            vm.methods.CaptureVsock(dbus.types.UnixFd(end.fileno()))
        with listener:
            _, fds, _, _ = socket.recv_fds(listener, 16, 1)
        with socket.socket(fileno=fds[0]) as stream:
            stream.recv(100)
        for pair in ends:
            for end in pair:
                end.close()
        vm.methods.Kill()
        self.ended(vm, 'killed')

    def balloon(self):
        vm = self.make_ready('memory', balloon=True)
        wait_until(lambda: free_mib(vm), 'the guest to tell')
        before = free_mib(vm)
        vm.methods.SetMemoryBalloon(dbus.UInt64(32 << 20))
        wait_until(lambda: free_mib(vm) < before - 16, 'the guest to give memory up')
        vm.methods.SetMemoryBalloon(dbus.UInt64(0))
        wait_until(lambda: free_mib(vm) > before - 8, 'the guest to get it back')
        vm.methods.Kill()
        self.ended(vm, 'killed')

    @staticmethod
    def read_along(vm):
        """Streams of the console and the logs; one in the place of another, and one that goes."""
        fds = [vm.methods.OpenConsole(mode).take() for mode in ('read-write', 'take-over')]
        fds += [vm.methods.OpenLog(which).take() for which in ('console', 'guest', 'vmm')]
        os.write(fds[1], b'typed here\n')
        for fd in fds[:2] + fds[3:]:
            os.close(fd)
        with os.fdopen(fds[2], 'rb') as stream:
            assert stream.read(1)

    def abuse(self):
        """Everything that the guest link has a limit for; much output."""
        self.ended(self.make('link'), 'shutdown')
        self.ended(self.make('much:1'), 'shutdown')

    def firmware(self):
        """It finds nothing to boot: that it ran shows in the state."""
        config = {'bootloader': 'bootloader', 'platform_version': '~1.0', **self.config}
        vm = self.host.create(config, {'bootloader': FIRMWARE}, start=True, **self.options)
        vm.wait_for('property:StartedAt')
        vm.methods.Kill()
        self.ended(vm, 'killed')

    def two_vcpus(self):
        self.ended(self.make('exit:0', cpu_topology='match_host'), 'shutdown')

    def kernel_in_memory(self):
        kernel = os.memfd_create('kernel')
        with open(self.host.image('vmlinux'), 'rb') as file:
            while os.sendfile(kernel, file.fileno(), None, 1 << 30) > 0:
                pass
        self.ended(self.make('exit:0', {'kernel': kernel}), 'shutdown')
        os.close(kernel)

    def stub_that_stands_still(self):
        vm = self.make_ready('wait')
        with open(f'/proc/{vm.get("Pid")}/stat', encoding='ascii') as file:
            stub = int(file.read().rpartition(')')[2].split()[1])
        os.kill(stub, signal.SIGSTOP)
        vm.methods.Kill()
        self.ended(vm, 'killed')

    def vmm_told_to_end(self):
        vm = self.make_ready('wait')
        os.kill(vm.get('Pid'), signal.SIGTERM)
        self.ended(vm, 'killed')
