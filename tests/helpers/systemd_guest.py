# SPDX-License-Identifier: Apache-2.0
"""A guest of Debian's packages alone, with the systemd of the backports as its PID 1 and nothing of
ours in it: a whole root as an initramfs, which is slow to unpack and needs no disk."""
import glob
import os
import shutil
import subprocess
import tempfile

import backports

PACKAGES = 'dbus,kmod,systemd,systemd-sysv,udev'
# What the kernel cannot load without: the credential is in SMBIOS, and the socket is a vsock one.
MODULES = ('dmi-sysfs', 'virtio_pci', 'virtio-rng', 'vmw_vsock_virtio_transport')
NOT_NEEDED = ('usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/info', 'usr/share/i18n',
              'usr/share/zoneinfo', 'usr/share/perl5', 'usr/lib/udev/hwdb.bin', 'usr/lib/udev/hwdb.d',
              'usr/lib/x86_64-linux-gnu/perl-base', 'usr/lib/x86_64-linux-gnu/gconv',
              'var/cache', 'var/lib/apt', 'var/lib/dpkg')
# Ends the guest once it is up, which does not wait for it.
WORK = ('[Service]\nExecStart=/bin/sh -c "systemctl is-system-running --wait; systemctl exit 42"\n'
        '[Install]\nWantedBy=multi-user.target\n')


def run(*command, **more):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            check=False, **more)
    if result.returncode != 0:
        raise RuntimeError(f'{" ".join(command)}: {result.stderr or result.stdout}')
    return result.stdout


def bootstrap(root, work):
    """The packages, systemd's own from the backports."""
    suite = backports.codename()
    os.mkdir(f'{work}/sources')
    backports.write_sources(work)
    with open(f'{work}/sources/host.list', encoding='utf-8') as file:
        sources = [f'{work}/sources/host.list'] if file.read().strip() else []
    with open(f'{work}/sources/host.sources', encoding='utf-8') as file:
        sources += [f'{work}/sources/host.sources'] if file.read().strip() else []
    with open(f'{work}/preferences', 'w', encoding='utf-8') as file:
        for package in ('systemd*', 'libsystemd*', 'udev', 'libudev1', 'libpam-systemd'):
            file.write(f'Package: {package}\nPin: release n={suite}-backports\nPin-Priority: 900\n\n')
    with open(f'{work}/apt.conf', 'w', encoding='utf-8') as file:
        file.write('\n'.join(line for line in run('apt-config', 'dump', 'Acquire').splitlines()
                             if 'IndexTargets' not in line)
                   + f'\nDir::Etc::Preferences "{work}/preferences";\n')
    run('mmdebstrap', '--quiet', '--mode=root', '--variant=minbase', '--format=directory',
        f'--aptopt={work}/apt.conf', '--dpkgopt=force-unsafe-io', f'--include={PACKAGES}', suite,
        root, *sources)


def add_modules(root, kernel_package, work):
    run('dpkg-deb', '-x', kernel_package, f'{work}/kernel')
    release = os.listdir(f'{work}/kernel/lib/modules')[0]
    run('depmod', '-b', f'{work}/kernel', release)
    where = f'{root}/usr/lib/modules/{release}'
    os.makedirs(where)
    for module in MODULES:
        for line in run('modprobe', '-d', f'{work}/kernel', '-S', release, '--show-depends',
                        module).splitlines():
            if line.startswith('insmod'):
                shutil.copy(line.split()[1], where)
    for path in glob.glob(f'{work}/kernel/lib/modules/*/modules.*'):
        if os.path.basename(path) in ('modules.builtin', 'modules.builtin.modinfo', 'modules.order'):
            shutil.copy(path, where)
    run('depmod', '-b', root, release)


def build(directory, kernel_package):
    """Makes it in @directory, once for each kernel. Returns the path of its initramfs."""
    initramfs = f'{directory}/{os.path.basename(kernel_package)}.initramfs'
    if os.path.exists(initramfs):
        return initramfs
    os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='work-', dir=directory) as work:
        os.chmod(work, 0o755)
        root = f'{work}/root'
        bootstrap(root, work)
        for name in NOT_NEEDED:
            run('rm', '-rf', f'{root}/{name}')
        add_modules(root, kernel_package, work)
        with open(f'{root}/etc/machine-id', 'w', encoding='ascii') as file:
            file.write('0123456789abcdef0123456789abcdef\n')
        os.symlink('sbin/init', f'{root}/init')
        with open(f'{root}/etc/systemd/system/work.service', 'w', encoding='ascii') as file:
            file.write(WORK)
        run('systemctl', f'--root={root}', '--quiet', 'enable', 'work.service')
        run('systemctl', f'--root={root}', '--quiet', 'set-default', 'multi-user.target')
        run('sh', '-ec', 'find . -print0 | sort -z | cpio -0 -o -H newc -R 0:0 --quiet >"$1"', 'sh',
            f'{work}/initramfs', cwd=root)
        os.rename(f'{work}/initramfs', initramfs)  # last: what is interrupted is begun anew
    return initramfs
