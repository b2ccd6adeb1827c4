# SPDX-License-Identifier: Apache-2.0
"""Apps on the real microguest: archives made of payloads, and instances of them."""
import json
import os
import shutil
import socket
import subprocess

import dbus

from harness import DEADLINE

MIB = 1 << 20


PROBE_PORT = 5000


def ask(vm, command):
    """Has app-probe do the command; returns its answer."""
    fd = vm.methods.ConnectVsock(dbus.types.UInt32(PROBE_PORT)).take()
    with socket.socket(fileno=fd) as stream:
        stream.setblocking(True)
        stream.settimeout(DEADLINE)
        stream.sendall(command.encode() + b'\n')
        answer = b''
        while part := stream.recv(65536):
            answer += part
    assert not answer.startswith(b'no command'), answer  # a probe of an earlier build
    return answer.decode()


def start(instance, **options):
    """Runs the instance up to where app-probe listens."""
    vm = instance.run(**options)
    vm.wait_for('PayloadReady')
    return vm


def run(instance, *commands, **options):
    """Runs the instance, gives app-probe the commands, and ends it; returns the answers."""
    vm = start(instance, **options)
    answers = [ask(vm, command) for command in commands]
    ask(vm, 'exit 0')
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 0, record
    return answers


def fails(instance, reason, message, **options):
    """That the instance dies of @reason, with nothing of the payload having run."""
    vm = instance.run(**options)
    record = vm.death()
    assert record['reason'] == reason, (reason, record['reason'], record['message'])
    assert message in record['message'], record['message']
    vm.wait_for_output_end()
    assert vm.output['payload-out'] == b'' and not vm.find('PayloadStarted'), vm.names()


class Signer:
    """A key with a certificate, which is the identity of what is signed with it."""

    def __init__(self, directory, name='signer'):
        self.key, self.certificate = f'{directory}/{name}.pem', f'{directory}/{name}.crt'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                        'ec_paramgen_curve:P-256', '-nodes', '-keyout', self.key, '-out',
                        self.certificate, '-subj', f'/CN={name}', '-days', '3650'], check=True,
                       stderr=subprocess.DEVNULL)


def make_archive(build, path, signer, files, version=1, package='org.example.probe'):
    """Makes and signs an archive of @files (name in it: what is copied there, a path or bytes)."""
    folder = f'{path}.folder'
    for name, source in files.items():
        target = f'{folder}/{name}'
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if isinstance(source, bytes):
            with open(target, 'wb') as file:
                file.write(source)
        else:
            shutil.copy(source, target)
    subprocess.run([f'{build}/programs/composite-disk', 'payload', 'create', '-f', '-o', path,
                    f'--key={signer.key}', f'--cert={signer.certificate}',
                    f'--package={package}', f'--version-code={version}', folder], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)
    return path


def install_system(host):
    """Makes microguest one of the host's operating systems."""
    system = f'{host.directory}/os/microguest'
    if not os.path.isdir(system):
        os.makedirs(os.path.dirname(system), exist_ok=True)
        shutil.copytree(f'{host.build}/microguest', system)
    return system


class Instance:
    """An instance of an archive: its id, its image and its idsig, in a directory of its own."""

    def __init__(self, host, archive, name='instance', storage=0):
        install_system(host)
        self.host = host
        self.archive = archive
        self.directory = f'{host.directory}/{name}'
        os.makedirs(self.directory)
        self.manager = host.manager()
        self.instance_id = bytes(self.manager.AllocateInstanceId()).hex()
        self.extras = []
        self.make_partition('instance', 'android-vm-instance', 10 * MIB)
        self.storage = bool(storage)
        if storage:
            self.make_partition('storage', 'encryptedstore', storage)

    def path(self, name):
        return f'{self.directory}/{name}'

    def make_partition(self, name, kind, size):
        with open(self.path(name), 'w+b') as file:
            self.manager.InitializeWritablePartition(dbus.types.UnixFd(file.fileno()),
                                                     dbus.types.UInt64(size), kind)

    def make_idsig(self, archive, name):
        with open(archive, 'rb') as apk, open(self.path(name), 'a+b') as idsig:
            pass
        with open(archive, 'rb') as apk, open(self.path(name), 'r+b') as idsig:
            self.manager.CreateOrUpdateIdsig(dbus.types.UnixFd(apk.fileno()),
                                             dbus.types.UnixFd(idsig.fileno()))
        return self.path(name)

    def run(self, idsig=True, debug='none', payload=(), **more):
        """Makes and starts a VM of it."""
        files = {'apk': self.archive}
        app = {'apk': 'apk', 'idsig': 'idsig', 'instance_image': 'instance', 'debug_level': debug,
               'instance_id': self.instance_id}
        if idsig:
            self.make_idsig(self.archive, 'idsig')
        files['idsig'] = self.path('idsig')
        writable = {'instance': 'instance'}
        if self.storage:
            app['encrypted_storage'] = 'storage'
            writable['storage'] = 'storage'
        for i, extra in enumerate(self.extras):
            files[f'extra-apk-{i}'] = extra
            files[f'extra-idsig-{i}'] = self.make_idsig(extra, f'extra-idsig-{i}')
        if self.extras:
            app['extra_apks'] = [{'apk': f'extra-apk-{i}', 'idsig': f'extra-idsig-{i}'}
                                 for i in range(len(self.extras))]
        app.update(dict(payload))
        if 'binary' not in app and 'config_path' not in app:
            app['binary'] = 'payload'
        opened = {key: os.open(self.path(name), os.O_RDWR | os.O_CLOEXEC)
                  for key, name in writable.items()}
        late = dict(list({**files, **opened}.items())[10:])
        early = {key: value for key, value in {**files, **opened}.items() if key not in late}
        try:
            vm = self.host.create({'payload': app, **more}, early)
            self._add(vm, late)
        finally:
            for fd in opened.values():
                os.close(fd)
        vm.start()
        return vm

    @staticmethod
    def _add(vm, files):
        """What a message of the bus has no room for."""
        items = list(files.items())
        while items:
            part, items = items[:15], items[15:]
            fds = {key: os.open(value, os.O_RDONLY) if isinstance(value, str) else os.dup(value)
                   for key, value in part}
            try:
                vm.methods.AddFiles(dbus.Dictionary(
                    {key: dbus.types.UnixFd(fd) for key, fd in fds.items()}, signature='sh'))
            finally:
                for fd in fds.values():
                    os.close(fd)


def secret_archive(secret):
    """The cpio archive (newc) that brings an instance's secret, as the launcher makes it."""
    archive = b''
    for number, mode, name, data in ((1, 0o100400, b'instance-secret\0', secret),
                                     (0, 0, b'TRAILER!!!\0', b'')):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        archive += b'070701' + b''.join(b'%08X' % field for field in fields) + name
        archive += bytes(-len(archive) % 4) + data
        archive += bytes(-len(archive) % 4)
    return archive + bytes(-len(archive) % 512)


class RawInstance(Instance):
    """An instance that is run from a raw configuration, where the host checks nothing: any file of
    its VM can be put in another's place."""

    def __init__(self, host, archive, **more):
        super().__init__(host, archive, **more)
        self.make_idsig(archive, 'idsig')
        subprocess.run([f'{host.build}/programs/composite-disk', 'payload', 'metadata',
                        '--binary=payload', self.path('metadata')], check=True,
                       stdout=subprocess.DEVNULL)
        self.secret = os.urandom(64)
        # What a VM is made of, by the labels of the partitions.
        self.files = {'vm-instance': self.path('instance'),
                      'payload-metadata': self.path('metadata'), 'microdroid-apk': archive,
                      'microdroid-apk-idsig': self.path('idsig')}
        self.use_system(install_system(host))

    def use_system(self, system):
        with open(self.path('initrd'), 'wb') as file:
            file.write(secret_archive(self.secret))
            with open(f'{system}/initrd_normal.img', 'rb') as initrd:
                file.write(initrd.read())
        with open(f'{system}/os.json', encoding='ascii') as file:
            self.params = json.load(file)['params']
        self.files.update({'vbmeta_a': f'{system}/vbmeta.img', 'super': f'{system}/super.img'})

    def run(self, **replaced):
        """@replaced: paths of other files, by labels with underscores for hyphens."""
        files = {**self.files, **{key.replace('_', '-') if key != 'vbmeta_a' else key: path
                                  for key, path in replaced.items()}}
        disks = [{'partitions': [{'label': label, 'path': label, 'writable': writable}
                                 for label in labels], 'writable': writable}
                 for labels, writable in ((('vbmeta_a', 'super'), False),
                                          (('vm-instance',), True),
                                          (('payload-metadata', 'microdroid-apk',
                                            'microdroid-apk-idsig'), False))]
        config = {'kernel': 'kernel', 'initrd': 'initrd', 'params': self.params,
                  'memory_mib': 128, 'platform_version': '~1.0', 'disks': disks}
        instance = os.open(files['vm-instance'], os.O_RDWR | os.O_CLOEXEC)
        try:
            vm = self.host.create(config, {**files, 'vm-instance': instance,
                                           'kernel': f'{self.host.directory}/os/microguest/vmlinux',
                                           'initrd': self.path('initrd')})
        finally:
            os.close(instance)
        vm.start()
        return vm
