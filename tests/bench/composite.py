#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures composite disks: what making one costs, and reading through it.

A line is "NAME VALUE UNIT"; nothing is asserted. All in one run, in turn:
- composite.SIZE.*: a disk of three sparse partition files of SIZE in all. floor: the same bytes
  (head, tail, descriptor) into new files, in this process, as they are (.build) and each flushed
  to the disk (.build_synced). ours.library: libcomposite-disk in this process, which flushes.
  ours.tool: the tool, with the start of a process; process: such a start alone, of a program
  that does nothing.
- composite.read.*: QEMU's block layer over a disk of --read-mib, page cache warm, each beside the
  raw file in turn: ours as VMDK, and as NBD from nbdkit's partitioning plugin (when installed);
  by blocks of 64 KiB, 32 at once, and of 4 KiB, one at a time.
- composite.copy.*: the same disk by copying with dd, and by qemu-img convert.

  composite.py BUILD [--runs N] [--read-mib N]
"""
import argparse
import contextlib
import ctypes
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time
import uuid
import zlib

GIB = 1 << 30
HEAD = TAIL = 20480
now = time.perf_counter


def emit(name, value, unit):
    print(f'composite.{name} {value:.6g} {unit}', flush=True)


def emit_series(name, values, unit):
    emit(f'{name}.median', statistics.median(values), unit)
    emit(f'{name}.min', min(values), unit)
    emit(f'{name}.max', max(values), unit)


class Part(ctypes.Structure):
    """CompositeDiskPart of composite-disk.h."""
    _fields_ = [('label', ctypes.c_char_p), ('file', ctypes.c_char_p), ('writable', ctypes.c_bool),
                ('type', ctypes.c_char_p), ('guid', ctypes.c_char_p),
                ('attributes', ctypes.c_uint64)]


def library_disk(library, directory, files):
    parts = (Part * len(files))(*[Part(f'p{i}'.encode(), name.encode())
                                  for i, name in enumerate(files)])
    message = ctypes.c_char_p()
    path = os.path.join(directory, 'd.img').encode()
    begin = now()
    if library.composite_disk_create(path, parts, len(files), 0, ctypes.byref(message)) < 0:
        raise RuntimeError(message.value)
    return now() - begin


def floor_disk(directory, files, sync):
    """The least that anybody has to do: the sizes, two checksummed tables, three small files."""
    begin = now()
    entries, at = b'', HEAD
    for name in files:
        size = -(-os.stat(name).st_size // 4096) * 4096
        entries += struct.pack('<16s16sQQQ72s', uuid.UUID(int=1).bytes_le, os.urandom(16), at // 512,
                               (at + size) // 512 - 1, 0, 'p'.encode('utf-16le'))
        at += size
    entries = entries.ljust(16384, b'\0')
    last = (at + TAIL) // 512 - 1

    def header(own, other, table):
        text = struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, 92, 0, 0, own, other, 40,
                           last - 33, os.urandom(16), table, 128, 128, zlib.crc32(entries))
        return (text[:16] + struct.pack('<I', zlib.crc32(text)) + text[20:]).ljust(512, b'\0')
    contents = {'head': (bytes(512) + header(1, last, 2) + entries).ljust(HEAD, b'\0'),
                'tail': bytes(TAIL - 33 * 512) + entries + header(last, 1, last - 32),
                'descriptor': '\n'.join(files).encode()}
    for name, data in contents.items():
        fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, data)
        if sync:
            os.fsync(fd)
        os.close(fd)
    return now() - begin


def run(*words, **options):
    begin = now()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **options)
    return now() - begin


def tool_disk(tool, directory, files):
    return run(tool, 'create', '-o', os.path.join(directory, 'd.img'),
               *(f'p{i}={name}' for i, name in enumerate(files)))


def measure_making(build, scratch, label, size, runs):
    tool = f'{build}/programs/composite-disk'
    library = ctypes.CDLL(f'{build}/.libs/libcomposite-disk.so.0')
    files = [os.path.join(scratch, name) for name in 'abc']
    for name, share in zip(files, (4, 4, 2)):
        with open(name, 'wb') as file:
            file.truncate(size // share)
    ways = {'floor.build': lambda d: floor_disk(d, files, False),
            'floor.build_synced': lambda d: floor_disk(d, files, True),
            'ours.library.build_synced': lambda d: library_disk(library, d, files),
            'ours.tool.build_synced': lambda d: tool_disk(tool, d, files),
            'process': lambda d: run('/bin/true')}
    series = {name: [] for name in ways}
    written = 0
    for number in range(runs):
        for name, way in ways.items():
            directory = os.path.join(scratch, f'{number}-{name}')
            os.mkdir(directory)
            series[name].append(way(directory) * 1e3)
            if name.startswith('ours.tool'):
                written = sum(entry.stat().st_size for entry in os.scandir(directory))
            shutil.rmtree(directory)
    for name, values in series.items():
        emit_series(f'{label}.{name}', values, 'ms')
    synced = series['floor.build_synced']
    for name in ('ours.library.build_synced', 'ours.tool.build_synced'):
        ratios = [ours / floor for ours, floor in zip(series[name], synced)]
        emit(f'{label}.{name}.over_floor', statistics.median(ratios), 'ratio')
    emit(f'{label}.ours.written', written, 'bytes')
    for name in files:
        os.unlink(name)


@contextlib.contextmanager
def nbdkit(scratch, files):
    path = os.path.join(scratch, 'nbd.sock')
    server = subprocess.Popen(['nbdkit', '-f', '-r', '-U', path, 'partitioning', *files])
    try:
        while not os.path.exists(path) and server.poll() is None:
            time.sleep(0.001)
        yield f'nbd+unix:///?socket={path}'
    finally:
        server.terminate()
        server.wait()


def read_rate(image, image_format, block, depth, count, step):
    """MiB a second, of @count blocks, which are @step bytes apart."""
    seconds = run('qemu-img', 'bench', '-q', '-f', image_format, '-c', str(count), '-d', str(depth),
                  '-s', str(block), '-S', str(step), image)
    return count * block / seconds / (1 << 20)


def measure_reading(tool, scratch, mib, runs):
    files = [os.path.join(scratch, name) for name in 'abc']
    block = os.urandom(1 << 20)
    for name, share in zip(files, (4, 4, 2)):
        with open(name, 'wb') as file:
            for i in range(mib // share):
                file.write(i.to_bytes(8, 'big') + block[8:])
    vmdk, raw = os.path.join(scratch, 'd.vmdk'), os.path.join(scratch, 'raw')
    run(tool, 'create', '--format=vmdk', '-o', vmdk, *(f'{i}={f}' for i, f in enumerate(files)))
    run('cat', *files)  # into the page cache
    emit('copy.qemu_img_convert', 1e3 * run('qemu-img', 'convert', '-O', 'raw', vmdk, raw), 'ms')
    emit('copy.dd', 1e3 * sum(run('dd', f'if={name}', f'of={scratch}/copy', 'bs=4M', 'oflag=append',
                                  'conv=notrunc', 'status=none') for name in files), 'ms')
    os.unlink(f'{scratch}/copy')
    run('cat', raw)
    with contextlib.ExitStack() as stack:
        sources = {'ours.vmdk': (vmdk, 'vmdk')}
        if shutil.which('nbdkit'):
            sources['nbdkit'] = (stack.enter_context(nbdkit(scratch, files)), 'raw')
        for label, *how in (('64k_depth32', 65536, 32, mib * 15, 65536),
                            ('4k_depth1', 4096, 1, 20000, 1052672)):
            rates = {name: [] for name in ('raw', *sources)}
            for _ in range(runs):
                rates['raw'].append(read_rate(raw, 'raw', *how))
                for name, (image, image_format) in sources.items():
                    rates[name].append(read_rate(image, image_format, *how))
            for name, values in rates.items():
                emit_series(f'read.{name}.{label}', values, 'MiB/s')
                if name != 'raw':
                    emit(f'read.{name}.{label}.over_raw', statistics.median(
                        a / b for a, b in zip(values, rates['raw'])), 'ratio')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--runs', type=int, default=30)
    parser.add_argument('--read-mib', type=int, default=1024)
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    with tempfile.TemporaryDirectory(prefix='bench-composite-') as scratch:
        measure_making(build, scratch, '4gib', 4 * GIB, arguments.runs)
        measure_making(build, scratch, '4tib', 4096 * GIB, arguments.runs)
        measure_reading(f'{build}/programs/composite-disk', scratch, arguments.read_mib,
                        max(3, arguments.runs // 6))


if __name__ == '__main__':
    main()
