# SPDX-License-Identifier: Apache-2.0
"""A debuggable guest with a shell: a payload that waits, in a file system with busybox."""
import os
import shutil
import subprocess

BUSYBOX = '/usr/bin/busybox'
TALK = '/run/payload/bin/vsock-talk'  # tests/payloads/vsock-talk.c
DEBUG = 'virtualizationd.debug=1'


def make_image(host, path):
    """A file system for the partition "payload"."""
    root = f'{path}.root'
    os.makedirs(f'{root}/bin')
    shutil.copy(host.payload('probe'), f'{root}/payload')
    shutil.copy(host.payload('vsock-talk'), f'{root}/bin')
    shutil.copy(BUSYBOX, f'{root}/bin')
    for name in subprocess.run([BUSYBOX, '--list'], check=True, capture_output=True,
                               text=True).stdout.split():
        if name != 'busybox':
            os.symlink('busybox', f'{root}/bin/{name}')
    with open(f'{root}/bin/no-program', 'wb'):
        pass
    os.chmod(f'{root}/bin/no-program', 0o644)
    subprocess.run(['mkfs.erofs', '-zlz4', path, root], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root)
    return path


def start(host, directory, mode='wait', name='shell', debug=True, **more):
    """A VM with it that is ready."""
    image = f'{directory}/shell.erofs'
    if not os.path.exists(image):
        make_image(host, image)
    config, files = host.config(image, f'probe={mode} {DEBUG if debug else ""}', name=name, **more)
    vm = host.create(config, files, start=True)
    vm.wait_for('PayloadReady')
    return vm
