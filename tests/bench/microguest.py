#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures an app on microguest beside the kernel alone, and beside Debian's own way to boot.

All sides have the kernel and the machine of the app's VM, as the daemon's own QEMU shows it, and take
turns in each round. A line is "NAME VALUE UNIT"; nothing is asserted.
- bare: QEMU as it is, with an initramfs of one static program that prints a line: from the start of
  QEMU to that line.
- ours: from the client's Start to the signal PayloadStarted: first (a new instance, whose archive
  is verified) and second (the same instance again, which has its record). ours.init: the daemon runs
  bare's kernel and initramfs.
- debian: minbase on ext4 with the initramfs of initramfs-tools, whose init is bare's program;
  debian.systemd: the program is a service of systemd's. These need an image that takes minutes to
  build; without one they are left out, unless --peer asks for it to be built. They have 512 MiB, as
  the initramfs does not fit into less than half of it.
- *.cpu: seconds of CPU that QEMU has taken up to then, which other load changes less than the time.
- ratio.*: the medians of the rounds' ratios to bare, and what was aimed at.
- phase.*: what the steps of a debuggable guest take, first and second boot, and the second with
  storage; phase.vmm is from Start to the kernel's clock: QEMU, its firmware, and unpacking.
- rsa.*: to read and verify a vbmeta that is signed with that key.
- memory.*: the least MiB, in steps of 2, that a guest ends well with.
- image.*: what microguest's files have.

  microguest.py BUILD [--rounds N] [--peer]
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
os.environ.setdefault('top_srcdir', os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                 '..', '..'))
from bare import Bare, Guest, cpio  # noqa: E402
from figures import emit, figures, note  # noqa: E402
from harness import Host, find_kernel_package, wait_until  # noqa: E402
from microguest import MIB, Instance, Signer, install_system, make_archive  # noqa: E402

MEMORY_STEP, MEMORY_MIN, MEMORY_MAX = 2, 40, 512  # MiB
IMAGES = ('initrd_normal.img', 'initrd_debug.img', 'super.img', 'vbmeta.img')
IMAGES_AIM = 16 * MIB
SECOND_AIM, MEMORY_AIM = 1.25, 96


def cpu_seconds(pid):
    """What all threads of the process have used, as the scheduler counts it."""
    total = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/schedstat', encoding='ascii') as file:
            total += int(file.read().split()[0])
    return total / 1e9


# --- bare, and Debian ---

class Machine:
    """The options of QEMU that make an app's machine, without what it is connected to."""

    WITHOUT_VALUE = ('-nodefaults', '-no-user-config', '-no-reboot', '-S')
    KEPT = ('-display', '-machine', '-accel', '-cpu', '-smp', '-m', '-object', '-device',
            '-sandbox', '-append')

    def __init__(self, pid):
        with open(f'/proc/{pid}/cmdline', encoding='ascii') as file:
            words = file.read().rstrip('\0').split('\0')[1:]
        self.options = []
        while words:
            option = words.pop(0)
            if option in self.WITHOUT_VALUE:
                self.options.append((option,))
                continue
            value = words.pop(0)
            if option in self.KEPT and not re.search('(drive|chardev)=', value):
                self.options.append((option, value))

    def get(self, params='', memory_mib=None, disk=None):
        words = []
        for option, *value in self.options:
            value = value[0] if value else None
            if option == '-append' and params:
                value += f' {params}'
            if memory_mib and option == '-m':
                value = f'{memory_mib}M'
            if memory_mib and option == '-object':
                value = re.sub(r'size=\d+M', f'size={memory_mib}M', value)
            words += [option, value] if value else [option]
        if disk:
            words += ['-drive', f'if=none,id=root,format=raw,snapshot=on,file={disk}',
                      '-device', 'virtio-blk-pci,drive=root,disable-legacy=on']
        return words


class Side:
    """A guest that says GUEST UP on its console and ends, in QEMU as it is."""

    def __init__(self, name, guest, machine, params='', disk=None, memory_mib=None):
        self.name, self.guest, self.machine = name, guest, machine
        self.params, self.disk, self.memory_mib = params, disk, memory_mib

    def start(self, memory_mib=None):
        return Bare(self.guest, machine=self.machine.get(self.params, memory_mib or self.memory_mib,
                                                         self.disk))

    def measure(self):
        vm = self.start()
        is_up = vm.wait_up()
        cpu = cpu_seconds(vm.process.pid)
        vm.wait_gone()
        vm.close()
        return (is_up - vm.began) * 1e3, cpu * 1e3

    def ends_well_with(self, memory_mib):
        vm = self.start(memory_mib)
        try:
            vm.wait_up()
            return True
        except (EOFError, TimeoutError, ConnectionError):
            return False
        finally:
            vm.close()


# --- ours ---

class App:
    """An app of a program that ends at once, and instances of it."""

    def __init__(self, host):
        self.host = host
        self.archive = make_archive(host.build, f'{host.directory}/app.apk',
                                    Signer(host.directory), {'bin/payload': host.payload('greet')})
        self.n_instances = 0

    def new_instance(self, storage=0):
        self.n_instances += 1
        instance = Instance(self.host, self.archive, f'instance{self.n_instances}',
                            storage=storage)
        instance.make_idsig(instance.archive, 'idsig')
        return instance


def run(instance, **options):
    """Runs it to its end: milliseconds to PayloadStarted, those of QEMU's CPU, and the VM."""
    vm = instance.run(idsig=False, **options)
    vm.wait_for('PayloadStarted')
    cpu = cpu_seconds(int(vm.properties['Pid']))
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 0, record
    vm.wait_for_output_end('log')
    return (vm.find('PayloadStarted')[0] - vm.find('created')[0]) * 1e3, cpu * 1e3, vm


def run_init(host, guest, params):
    """The same of bare's guest, to its line."""
    vm = host.create({'kernel': 'kernel', 'initrd': 'initrd', 'params': params,
                      'memory_mib': 128, 'platform_version': '~1.0'},
                     {'kernel': guest.kernel, 'initrd': guest.initrd})
    vm.start()
    wait_until(lambda: b'GUEST UP' in vm.output['console-out'], 'GUEST UP')
    up = next(when for when, name, arguments in vm.events
              if name == 'output:console-out' and b'U' in arguments[0])
    vm.death()
    return (up - vm.find('created')[0]) * 1e3


def note_phases(name, milliseconds, vm):
    """The steps of a debuggable guest, whose log has the time that each was done at."""
    said = re.search(r'boot times in us: (.*)', vm.output['log'].decode())
    done = {step: int(usec) / 1e3
            for step, usec in (word.split('=') for word in said[1].split())}
    note('phase', f'{name}.vmm', [milliseconds - done['payload']], 'ms')
    before = 0
    for step, at in done.items():
        note('phase', f'{name}.{step}', [at - before], 'ms')
        before = at


def app_ends_well_with(app, memory_mib):
    vm = app.new_instance().run(idsig=False, memory_mib=memory_mib)
    return vm.death()['reason'] == 'shutdown'


def make_second_system(host, key):
    """microguest signed with another key, as the operating system of that name."""
    name = os.path.basename(key).removesuffix('.pem')
    source = os.environ['top_srcdir']
    subprocess.run([f'{source}/guest/build-image', '--microguest', '--output',
                    f'{host.directory}/os/{name}', '--cache', f'{host.build}/guest-image-cache',
                    '--programs', f'{host.build}/programs', '--tool',
                    f'{host.build}/programs/composite-disk', '--payload-library',
                    f'{host.build}/.libs/libvmpayload.so.0', '--key', f'{source}/{key}'],
                   check=True)
    return name


# --- all of it ---

def least_memory(ends_well):
    """By halving: what is above ends well, what is below does not."""
    low, high = MEMORY_MIN, MEMORY_MAX
    if not ends_well(high):
        raise RuntimeError(f'not with {high} MiB either')
    while high - low > MEMORY_STEP:
        middle = (low + high) // 2 // MEMORY_STEP * MEMORY_STEP
        if ends_well(middle):
            high = middle
        else:
            low = middle
    return high


def measure(app, sides, guest, rounds):
    host = app.host
    second, stored = app.new_instance(), app.new_instance(storage=16 * MIB)
    other_key = app.new_instance()
    other = {'payload': {'os': make_second_system(host, 'tests/keys/rsa-2048.pem')}}
    for instance, options in ((second, {}), (stored, {'debug': 'full'}),
                              (other_key, {'debug': 'full', **other})):
        run(instance, **options)  # their first
    debuggable = app.new_instance()
    run(debuggable, debug='full')
    params = dict(option for option in sides[0].machine.options if len(option) > 1)['-append']
    for number in range(rounds):
        print(f'# round {number + 1} of {rounds}', file=sys.stderr, flush=True)
        for side in sides:
            milliseconds, cpu = side.measure()
            note(side.name, 'up', [milliseconds], 'ms')
            note(side.name, 'cpu', [cpu], 'ms')
        note('ours', 'init', [run_init(host, guest, params)], 'ms')
        for name, instance in (('first', app.new_instance()), ('second', second)):
            milliseconds, cpu, _ = run(instance)
            note('ours', name, [milliseconds], 'ms')
            note('ours', f'{name}.cpu', [cpu], 'ms')
        for name, instance, options in (('first', app.new_instance(), {}),
                                        ('second', debuggable, {}), ('storage', stored, {}),
                                        ('rsa-2048', other_key, other)):
            milliseconds, _, vm = run(instance, debug='full', **options)
            note_phases(name, milliseconds, vm)


def emit_figures(sides):
    for (side, name), (unit, values) in figures.items():
        if not name.startswith('rsa-2048.'):
            emit(f'{side}.{name}', statistics.median(values), unit)
    emit('rsa.4096', statistics.median(figures['phase', 'second.vbmeta'][1]), 'ms')
    emit('rsa.2048', statistics.median(figures['phase', 'rsa-2048.vbmeta'][1]), 'ms')

    def ratio(name, other, aim=''):
        values = [a / b for a, b in zip(figures[name][1], figures[other][1])]
        emit(f'ratio.{".".join(name)}', statistics.median(values), f'of {".".join(other)}{aim}')

    for name in ('init', 'first', 'second'):
        ratio(('ours', name), ('bare', 'up'),
              f' (aim: {SECOND_AIM})' if name == 'second' else '')
    for name in ('first', 'second'):
        ratio(('ours', f'{name}.cpu'), ('bare', 'cpu'))
    for side in sides[1:]:
        ratio((side.name, 'up'), ('bare', 'up'))
        ratio(('ours', 'second'), (side.name, 'up'))


def emit_images(system):
    total = 0
    for name in IMAGES:
        size = os.path.getsize(f'{system}/{name}')
        total += size
        emit(f'image.{name}', size, 'bytes')
    emit('image.all', total, f'bytes (aim: below {IMAGES_AIM})')


def find_debian(build, package, wanted):
    directory = f'{build}/bench-debian'
    if not os.path.exists(f'{directory}/root.img') and wanted:
        subprocess.run([f'{os.path.dirname(os.path.abspath(__file__))}/build-debian-guest',
                        directory, package, f'{build}/programs/guest-up'], check=True)
    if os.path.exists(f'{directory}/root.img'):
        return directory
    print('# no debian.*: there is no image; --peer builds it, which takes minutes', flush=True)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--peer', action='store_true')
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    debian = find_debian(build, find_kernel_package(build), options.peer)
    with tempfile.TemporaryDirectory(prefix='microguest-') as directory:
        initrd = f'{directory}/initrd'
        cpio(initrd, {'init': f'{build}/programs/guest-up'})
        guest = Guest(f'{build}/microguest/vmlinux', initrd)
        host = Host(build)
        try:
            system = install_system(host)
            app = App(host)
            vm = app.new_instance().run(idsig=False)  # which has everything in memory
            vm.wait_for('PayloadStarted')
            machine = Machine(int(vm.properties['Pid']))
            vm.death()
            sides = [Side('bare', guest, machine)]
            if debian:
                peer = Guest(guest.kernel, f'{debian}/initrd')
                disk = f'{debian}/root.img'
                sides += [Side('debian', peer, machine, 'root=/dev/vda init=/sbin/guest-up', disk,
                              MEMORY_MAX),
                          Side('debian.systemd', peer, machine, 'root=/dev/vda', disk,
                              MEMORY_MAX)]
            measure(app, sides, guest, options.rounds)
            emit_figures(sides)
            emit('memory.ours', least_memory(lambda mib: app_ends_well_with(app, mib)),
                 f'MiB (aim: {MEMORY_AIM})')
            for side in sides:
                emit(f'memory.{side.name}', least_memory(side.ends_well_with), 'MiB')
            emit_images(system)
        finally:
            host.close()


if __name__ == '__main__':
    main()
