# SPDX-License-Identifier: Apache-2.0
"""Operating systems for apps, made up of the raw guest's kernel and initramfs, and apps for them.
Such a system has a third partition, "payload", whose probe the guest runs in place of the app: what
it does is on the kernel's command line; as root, for the disks."""
import json
import os
import shutil
import subprocess

import dbus

MIB = 1 << 20


class System:
    """An operating system in the directory of @host's, with the files that its vbmeta is of."""

    def __init__(self, host, name='microguest', probe='partitions virtualizationd.debug=1'):
        self.host = host
        self.directory = f'{host.directory}/os/{name}'
        os.makedirs(self.directory)
        shutil.copyfile(host.image('vmlinux'), self.path('vmlinux'))
        for level in ('normal', 'debug'):
            shutil.copyfile(host.image('initramfs'), self.path(f'initrd_{level}.img'))
            with open(self.path(f'initrd_{level}.img'), 'ab') as file:
                file.write(bytes(4 if level == 'debug' else 8))  # none is the other
        self.write('super.img', b'no file system' + bytes(MIB))
        shutil.copyfile(host.payload('probe'), self.path('payload.img'))
        self.sign()
        self.describe(probe)

    def path(self, name):
        return f'{self.directory}/{name}'

    def write(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)

    def sign(self, *options, key='rsa-2048.pem'):
        key = os.path.join(os.environ['top_srcdir'], 'tests', 'keys', key)
        subprocess.run([f'{self.host.build}/programs/composite-disk', 'vbmeta', 'make', '--force',
                        '-o', self.path('vbmeta.img'), f'--key={key}',
                        f'--hash=boot:{self.path("vmlinux")}',
                        f'--hash=initrd_normal:{self.path("initrd_normal.img")}',
                        f'--hash=initrd_debug:{self.path("initrd_debug.img")}', *options],
                       check=True, stdout=subprocess.DEVNULL)

    def describe(self, probe='partitions virtualizationd.debug=1', **more):
        partitions = [{'label': 'vbmeta_a', 'path': 'vbmeta.img'},
                      {'label': 'super', 'path': 'super.img'},
                      {'label': 'payload', 'path': 'payload.img'}]
        self.write('os.json', json.dumps({
            'kernel': 'vmlinux', 'params': self.host.params(f'probe={probe}'), 'memory_mib': 128,
            'disks': [{'partitions': partitions}], 'console_input_device': 'ttyS0',
            'platform_version': '~1.0', **more}).encode())

    def flip(self, name, offset=-1):
        """Changes a byte; again, and it is as before."""
        with open(self.path(name), 'r+b') as file:
            place = file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))


class App:
    """What a client brings for an app: files in @directory, and an instance of the caller's."""

    def __init__(self, host, directory, bus=None):
        self.directory = directory
        self.manager = host.manager(bus)
        self.instance_id = bytes(self.manager.AllocateInstanceId()).hex()
        for name in ('apk', 'idsig'):
            with open(self.path(name), 'wb') as file:
                file.write(b'what the daemon does not read' * 200)
        self.make_partition('instance', 'android-vm-instance')

    def path(self, name):
        return f'{self.directory}/{name}'

    def make_partition(self, name, kind, size=10 * MIB):
        with open(self.path(name), 'w+b') as file:
            self.manager.InitializeWritablePartition(dbus.types.UnixFd(file.fileno()),
                                                     dbus.types.UInt64(size), kind)

    def config(self, payload=(), **more):
        """A configuration, and its files; None takes a key out."""
        app = {'apk': 'apk', 'idsig': 'idsig', 'instance_image': 'instance', 'binary': 'libmain.so',
               'instance_id': self.instance_id, **dict(payload)}
        return {'payload': {key: value for key, value in app.items() if value is not None}, **more}

    def open(self, config):
        """Descriptors of what the configuration names; the caller closes them."""
        app = config['payload']
        files = {app[key]: 'rb' for key in ('apk', 'idsig') if key in app}
        files |= {app[key]: 'r+b' for key in ('instance_image', 'encrypted_storage') if key in app}
        for extra in app.get('extra_apks', []):
            files |= {extra['apk']: 'rb', extra['idsig']: 'rb'}
        files |= {apex['image']: 'rb' for apex in app.get('apexes', [])}
        return {key: open(self.path(key), mode) for key, mode in files.items()}
