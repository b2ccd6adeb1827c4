#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""InitializeWritablePartition: partition images made by a disk worker in its box."""
import fcntl
import os
import signal
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, Suite, wait_until  # noqa: E402

HEADERS = {'raw': b'', 'android-vm-instance': b'Android-VM-instance\x01\x00',
           'encryptedstore': b'UNFORMATTED-STORAGE'}


def with_file(function):
    def run(suite):
        host = Host(suite.build)
        try:
            with tempfile.NamedTemporaryFile('r+b', buffering=0) as file:
                file.write(b'old' * 4096)
                function(host, file)
        finally:
            _, left = host.close()
            assert not left, left
    return run


def initialize(host, fd, size, kind):
    host.manager().InitializeWritablePartition(dbus.types.UnixFd(fd), dbus.UInt64(size), kind)


def refuses(host, fd, size, kind, words):
    try:
        initialize(host, fd, size, kind)
    except dbus.DBusException as problem:
        assert words in problem.get_dbus_message(), problem
        return problem
    raise AssertionError(f'{kind} of {size} bytes was taken')


@with_file
def test_each_type_has_its_beginning_and_nothing_else(host, file):
    for kind, header in HEADERS.items():
        for size, rounded in ((10 << 20, 10 << 20), (1, 4096), (8193, 12288)):
            initialize(host, file.fileno(), size, kind)
            data = os.pread(file.fileno(), 16 << 20, 0)
            assert len(data) == rounded, (kind, len(data))
            assert data == header + bytes(rounded - len(header)), kind
    assert os.fstat(file.fileno()).st_blocks * 512 <= 4096  # sparse


@with_file
def test_a_guest_writes_a_partition_made_like_this(host, file):
    initialize(host, file.fileno(), 1 << 20, 'raw')
    config, files = host.config(host.payload('probe'), 'probe=exit:0')
    config['disks'].append({'partitions': [{'label': 'store', 'path': 'store', 'writable': True}],
                            'writable': True})
    with open(file.name, 'r+b') as again:
        files['store'] = again.fileno()
        vm = host.create(config, files)
        refuses(host, file.fileno(), 4096, 'raw', 'is used by VM')
        vm.start()
        assert vm.death()['reason'] == 'shutdown'
    initialize(host, file.fileno(), 4096, 'raw')


@with_file
def test_what_is_wrong_is_refused_before_the_file_is_touched(host, file):
    before = os.pread(file.fileno(), 1 << 20, 0)
    refuses(host, file.fileno(), 4096, 'qcow2', "not 'qcow2'")
    refuses(host, file.fileno(), 0, 'raw', 'cannot have 0 bytes')
    refuses(host, file.fileno(), 2 ** 63, 'raw', 'cannot have')
    for flags in (os.O_RDONLY, os.O_WRONLY):
        fd = os.open(file.name, flags)
        refuses(host, fd, 4096, 'raw', 'open for reading and writing')
        os.close(fd)
    fd = os.open(file.name, os.O_RDWR | os.O_APPEND)
    refuses(host, fd, 4096, 'encryptedstore', 'must not be open for appending')
    os.close(fd)
    pipe = os.pipe()
    refuses(host, pipe[1], 4096, 'raw', 'regular file')
    for fd in pipe:
        os.close(fd)
    with open(file.name, 'r+b') as other:
        fcntl.fcntl(other, fcntl.F_OFD_SETLK,
                    struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        problem = refuses(host, file.fileno(), 4096, 'raw', 'in use by another process')
        assert problem.get_dbus_name().endswith('.ImageBusy'), problem
    assert os.pread(file.fileno(), 1 << 20, 0) == before


@with_file
def test_a_sealed_file_is_refused_before_it_is_touched(host, _file):
    for seal in (fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE):
        fd = os.memfd_create('image', os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.write(fd, b'precious')
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seal)
        problem = refuses(host, fd, 4096, 'encryptedstore', 'must have no seals')
        assert problem.get_dbus_name().endswith('.InvalidFile'), problem
        assert os.pread(fd, 5000, 0) == b'precious'
        os.close(fd)


@with_file
def test_a_lease_on_the_file_is_not_waited_for(host, file):
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        start = time.monotonic()
        problem = refuses(host, file.fileno(), 4096, 'raw', 'has a lease on a disk image')
        assert problem.get_dbus_name().endswith('.ImageBusy'), problem
        assert time.monotonic() - start < 20
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        initialize(host, file.fileno(), 4096, 'raw')
    finally:
        signal.signal(signal.SIGIO, before)


@with_file
def test_a_disk_that_is_full_is_told(host, _file):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        with open(f'{directory}/file', 'w+b') as file:
            file.write(b'precious')
            file.flush()
            # Larger than what any file system here can hold.
            refuses(host, file.fileno(), 2 ** 62, 'raw', 'cannot make a partition image of')
            assert os.pread(file.fileno(), 100, 0) == b'precious'


@with_file
def test_many_at_once_are_all_answered(host, file):
    answers = []
    files = [tempfile.TemporaryFile('r+b') for _ in range(20)]
    for each in files:
        host.manager().InitializeWritablePartition(
            dbus.types.UnixFd(each.fileno()), dbus.UInt64(1 << 20), 'android-vm-instance',
            reply_handler=lambda: answers.append(None), error_handler=answers.append)
    wait_until(lambda: len(answers) == len(files), 'the answers')
    assert answers == [None] * len(files), answers
    for each in files:
        assert os.pread(each.fileno(), 19, 0) == b'Android-VM-instance'
        each.close()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
