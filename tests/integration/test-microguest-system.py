#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The operating system of app VMs as it is built, installed, and replaced by another version."""
import filecmp
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, find_kernel_package, with_host  # noqa: E402
from microguest import (Instance, RawInstance, Signer, fails, install_system,  # noqa: E402
                        make_archive, run)

IMAGES = ('vmlinux', 'initrd_normal.img', 'initrd_debug.img', 'vbmeta.img', 'super.img', 'os.json')
SIZE_MAX = 16 << 20  # of all but the kernel


def build_image(host, target, *options, key=None, environment=None):
    """Builds the system once more, of the same programs."""
    build = host.build
    subprocess.run(
        [f'{os.environ["top_srcdir"]}/guest/build-image', '--microguest', '--output', target,
         '--kernel-package', find_kernel_package(build), '--programs', f'{build}/programs',
         '--tool', f'{build}/programs/composite-disk',
         '--payload-library', f'{build}/.libs/libvmpayload.so.0',
         '--key', key or f'{build}/microguest-key.pem', *options],
        check=True, cwd=host.directory, env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL)


def make_probe(host):
    return make_archive(host.build, f'{host.directory}/probe.apk', Signer(host.directory),
                        {'bin/payload': host.payload('app-probe-static')})


@with_host
def test_a_build_is_reproducible(host):
    """Elsewhere, in another time zone and locale, under another umask."""
    install_system(host)
    again = f'{host.directory}/again'
    old = os.umask(0o077)
    try:
        build_image(host, again, environment={'TZ': 'Asia/Tokyo', 'LC_ALL': 'C.UTF-8'})
    finally:
        os.umask(old)
    for name in IMAGES:
        assert filecmp.cmp(f'{host.build}/microguest/{name}', f'{again}/{name}', False), name


@with_host
def test_it_is_small(host):
    sizes = {name: os.path.getsize(f'{host.build}/microguest/{name}') for name in IMAGES[1:]}
    assert sum(sizes.values()) < SIZE_MAX, sizes


@with_host
def test_it_is_listed_when_it_is_installed(host):
    assert list(host.manager().GetSupportedOsList()) == []
    install_system(host)
    assert list(host.manager().GetSupportedOsList()) == ['microguest']


@with_host
def test_there_is_neither_a_shell_nor_a_network_nor_a_place_to_write(host):
    instance = Instance(host, make_probe(host))
    programs, early, interfaces, mounts = run(
        instance, 'list /usr/lib/microguest', 'list /usr/lib/microguest/boot',
        'read /proc/net/dev', 'read /proc/mounts')
    assert set(programs.split()) == {'apk-verify', 'boot', 'crash-reporter', 'payload-launcher',
                                     'seccomp'}, programs
    assert set(early.split()) == {'microguest-init', 'zipfuse'}, early  # of the initramfs
    names = [line.split(':')[0].strip() for line in interfaces.splitlines()[2:]]
    assert names in ([], ['lo']), names
    for line in mounts.splitlines():
        _, where, kind, flags = line.split()[:4]
        if kind not in ('proc', 'sysfs', 'devtmpfs', 'tmpfs', 'cgroup2'):
            assert 'ro' in flags.split(','), line
    # The whole of it, unpacked: programs only that are known.
    unpacked = f'{host.directory}/unpacked'
    subprocess.run(['fsck.erofs', f'--extract={unpacked}', f'{host.build}/microguest/super.img'],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    executables = {os.path.relpath(os.path.join(folder, name), unpacked)
                   for folder, _, names in os.walk(unpacked) for name in names
                   if os.access(os.path.join(folder, name), os.X_OK)
                   and '.so' not in name}
    assert executables == {'sbin/mke2fs'} | {
        f'usr/lib/microguest/{name}' for name in programs.split()
        if name not in ('boot', 'seccomp')}, executables


@with_host
def test_another_version_keeps_the_secrets_and_there_is_no_way_back(host):
    instance = Instance(host, make_probe(host))
    secret, = run(instance, 'secret a')
    system = f'{host.directory}/os/microguest'
    os.rename(system, f'{host.directory}/old')
    build_image(host, system, '--rollback-index', '1')
    assert run(instance, 'secret a') == [secret]
    os.rename(system, f'{host.directory}/new')
    shutil.copytree(f'{host.directory}/old', system)
    fails(instance, 'firmware-instance-image-changed',
            "the system's rollback index is 0, and 1 was booted before")


@with_host
def test_a_system_of_somebody_else_has_no_secret_of_ours(host):
    archive = make_probe(host)
    instance = RawInstance(host, archive)
    run(instance, 'new')
    other = f'{host.directory}/other'
    build_image(host, other, key=f'{os.environ["top_srcdir"]}/tests/keys/rsa-2048.pem')
    # Signed by another key than first-stage knows ...
    fails(instance, 'firmware-public-key-mismatch', 'key', vbmeta_a=f'{other}/vbmeta.img')
    # ... and all of it another's, with its own first-stage.
    instance.use_system(other)
    fails(instance, 'firmware-instance-image-changed', 'signed with another key')


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
