#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""zipfuse on the kernel's FUSE, mounted as guest-manager mounts it; unzip for a second opinion."""
import concurrent.futures
import ctypes
import errno
import hashlib
import mmap
import os
import random
import resource
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import run  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 1, 2, 4, 0x4000, 1 << 18
MNT_DETACH = 2
PAYLOAD, ZIPFUSE, STRANGER = 6000, 6001, 6010  # user and group ids
TIMEOUT = 120
RSS_MAX_KIB = 16 << 10
STREAMS = 32  # guest/zip-files.h
COMPLAINTS = 16  # guest/zipfuse.c


def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def path(*names):
    return os.path.join(DIRECTORY, *names)


def make_zip(name, entries, method=zipfile.ZIP_DEFLATED):
    """entries: (name or ZipInfo, content), or with a method of its own. Names get no mode."""
    with zipfile.ZipFile(path(name), 'w', method) as archive:
        for entry, content, *own in entries:
            if isinstance(entry, str):
                entry = zipfile.ZipInfo(entry)
                entry.create_system = 0  # made by MS-DOS
            archive.writestr(entry, content, *(own or [method]))
    return path(name)


def with_mode(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def entry_offset(archive, name):
    """Where the data of an entry begin."""
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo(name).header_offset
    with open(archive, 'rb') as file:
        file.seek(start + 26)
        return start + 30 + sum(struct.unpack('<HH', file.read(4)))


def patch(file_path, offset, data):
    with open(file_path, 'r+b') as file:
        file.seek(offset)
        file.write(data)


class Mounted:
    """zipfuse over an archive: what guest-manager does, less the virtual machine."""

    def __init__(self, archive, ready=True):
        self.path = tempfile.mkdtemp(dir=DIRECTORY)
        self.errors = tempfile.TemporaryFile()
        self.process = None
        fuse = os.open('/dev/fuse', os.O_RDWR)
        ready_read, ready_write = os.pipe()
        archive_fd = os.open(archive, os.O_RDONLY)
        options = (f'fd={fuse},rootmode=40555,user_id={ZIPFUSE},group_id={ZIPFUSE},allow_other,'
                   'default_permissions')
        try:
            check(LIBC.mount(b'zipfuse', self.path.encode(), b'fuse',
                             MS_RDONLY | MS_NOSUID | MS_NODEV, options.encode()))
            self.process = subprocess.Popen(
                [PROGRAM, f'--archive-fd={archive_fd}', f'--fuse-fd={fuse}',
                 f'--ready-fd={ready_write}', '--uid=0', f'--gid={PAYLOAD}'],
                pass_fds=[archive_fd, fuse, ready_write], user=ZIPFUSE, group=ZIPFUSE,
                extra_groups=[], stdin=subprocess.DEVNULL, stderr=self.errors)
            os.close(ready_write)
            ready_write = -1
            with open(ready_read, 'rb', closefd=False) as file:
                self.said = file.read()  # until it is closed
            if ready:
                assert self.said == b'\0', (self.said, self.log())
        except BaseException:
            self.close()
            raise
        finally:
            for fd in (fuse, ready_read, ready_write, archive_fd):
                if fd >= 0:
                    os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        LIBC.umount2(self.path.encode(), MNT_DETACH)
        if self.process:
            try:
                self.process.wait(TIMEOUT)
            finally:
                self.process.kill()
                self.process.wait()
        os.rmdir(self.path)

    def of(self, *names):
        return os.path.join(self.path, *names)

    def read(self, *names):
        with open(self.of(*names), 'rb') as file:
            return file.read()

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def status(self, field):
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as file:
            return next(line for line in file if line.startswith(field + ':')).split()[1]

    def tree(self):
        return snapshot(self.path)


def snapshot(top):
    """Relative path -> content, None for a directory."""
    found = {}
    for directory, directories, files in os.walk(top, onerror=fail):
        for name in directories:
            found[os.path.relpath(os.path.join(directory, name), top)] = None
        for name in files:
            # Buffered, Python would ask whether it is a terminal.
            with open(os.path.join(directory, name), 'rb', buffering=0) as file:
                found[os.path.relpath(os.path.join(directory, name), top)] = file.read()
    return found


def fail(problem):
    raise problem


def fails_with(number, function, *arguments):
    try:
        function(*arguments)
    except OSError as problem:
        assert problem.errno == number, problem
    else:
        raise AssertionError(f'{arguments} did not fail')


def make_text(size, seed=1):
    """Deflates to about half of its size."""
    return random.Random(seed).randbytes(size // 2).hex().encode()


def test_files_are_those_that_unzip_sees(_suite):
    folder, unzipped = path('folder'), path('unzipped')
    for name, content in (('empty', b''), ('small', b'x'), ('assets/vm_config.json', b'{}'),
                          ('lib/x86_64/libx.so', os.urandom(100000)), ('text', make_text(1 << 20)),
                          ('a/b/c/d/e/f', b'deep'), ('a/b.c', b'beside'), ('a-b', b'before'),
                          ('page', os.urandom(4096)), ('ünï/çödé', 'ñ'.encode()),
                          ('with space and \'"', b'quoted')):
        os.makedirs(os.path.dirname(f'{folder}/{name}'), exist_ok=True)
        with open(f'{folder}/{name}', 'wb') as file:
            file.write(content)
    os.mkdir(f'{folder}/nothing')
    for words in (['-r'], ['-r', '-0'], ['-r', '-9', '-D']):  # deflated; stored; no directories
        archive = path('made.zip')
        run('zip', '-q', *words, archive, '.', cwd=folder)
        run('unzip', '-q', archive, '-d', unzipped)
        with Mounted(archive) as mounted:
            assert mounted.tree() == snapshot(unzipped), words
        shutil.rmtree(unzipped)
        os.unlink(archive)


def test_attributes_are_the_entrys_and_the_payloads_group(_suite):
    archive = make_zip('modes.zip', [
        ('assets/config', b'12345', zipfile.ZIP_STORED), ('bin/tool', b''), ('bin/sub/tool', b''),
        (with_mode('private', stat.S_IFREG | 0o600), b''),
        (with_mode('setuid', stat.S_IFREG | 0o6777), b''),
        (with_mode('own/', stat.S_IFDIR | 0o700), b''), (with_mode('own/x', 0o750), b'')])
    expected = {'.': 0o40550, 'assets': 0o40550, 'assets/config': 0o100440, 'bin/tool': 0o100550,
                'bin/sub': 0o40550, 'bin/sub/tool': 0o100550, 'private': 0o100440,
                'setuid': 0o100555, 'own': 0o40550, 'own/x': 0o100550}
    with Mounted(archive) as mounted:
        for name, mode in expected.items():
            status = os.stat(mounted.of(name))
            assert status.st_mode == mode, (name, oct(status.st_mode))
            assert (status.st_uid, status.st_gid) == (0, PAYLOAD)
        status = os.stat(mounted.of('assets/config'))
        assert (status.st_size, status.st_blocks, status.st_mtime) == (5, 1, 0)
        # Inodes tell files apart, and ".." leads back.
        inodes = [os.stat(mounted.of(name)).st_ino for name in expected]
        assert len(set(inodes)) == len(expected)
        assert os.stat(mounted.of('bin/sub/..')).st_ino == os.stat(mounted.of('bin')).st_ino
        listed = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(mounted.path)}
        for name, (inode, is_directory) in listed.items():
            status = os.stat(mounted.of(name))
            assert (status.st_ino, stat.S_ISDIR(status.st_mode)) == (inode, is_directory)

        def as_user(user, program, *words):
            return subprocess.run([program, *words], user=user, group=user, extra_groups=[],
                                  capture_output=True, check=False, cwd='/').returncode
        assert as_user(PAYLOAD, 'cat', mounted.of('assets/config')) == 0
        assert as_user(STRANGER, 'cat', mounted.of('assets/config')) != 0
        assert as_user(STRANGER, 'ls', mounted.path) != 0


def test_nothing_can_be_written(_suite):
    with Mounted(make_zip('ro.zip', [('file', b'x'), ('d/', b'')])) as mounted:
        for function, *arguments in ((os.open, mounted.of('file'), os.O_WRONLY),
                                     (os.open, mounted.of('new'), os.O_CREAT | os.O_WRONLY),
                                     (os.mkdir, mounted.of('new')), (os.unlink, mounted.of('file')),
                                     (os.rmdir, mounted.of('d')), (os.chmod, mounted.of('file'), 0),
                                     (os.symlink, 'file', mounted.of('link')),
                                     (os.truncate, mounted.of('file'), 0)):
            fails_with(errno.EROFS, function, *arguments)
        fails_with(errno.ENOENT, os.stat, mounted.of('missing'))
        fails_with(errno.ENOENT, os.stat, mounted.of('missing'))  # this one from the cache
        fails_with(errno.ENOTDIR, os.stat, mounted.of('file/x'))
        fails_with(errno.EISDIR, mounted.read, 'd')


def test_any_part_can_be_read_and_mapped(_suite):
    text = make_text(3 << 20)
    generator = random.Random(5)
    archive = make_zip('parts.zip', [('stored', text, zipfile.ZIP_STORED), ('deflated', text)])
    for name in ('stored', 'deflated'):
        with Mounted(archive) as mounted, open(mounted.of(name), 'rb', buffering=0) as file:
            for offset in [len(text) - 1, 0, len(text), len(text) + 5] + [
                    generator.randrange(len(text)) for _ in range(300)]:
                size = generator.randrange(1, 20000)
                assert os.pread(file.fileno(), size, offset) == text[offset:offset + size], offset
        with Mounted(archive) as mounted, open(mounted.of(name), 'rb') as file:  # nothing cached
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                for offset in range(len(text) - 1, 0, -99999):
                    assert mapped[offset] == text[offset]
                assert mapped[:] == text


def test_more_files_are_read_at_once_than_there_are_streams(_suite):
    """In small steps by turns, so that streams are taken away from readers."""
    texts = {f'f{i}': make_text(300000, i) for i in range(STREAMS + 8)}
    with Mounted(make_zip('many.zip', texts.items())) as mounted:
        with concurrent.futures.ThreadPoolExecutor(len(texts)) as pool:
            read = dict(zip(texts, pool.map(mounted.read, texts)))
        assert read == texts


def test_what_the_kernel_has_seen_it_does_not_ask_for_again(_suite):
    """Neither for names, also those that are not there, nor for directories, nor for contents."""
    archive = make_zip('cached.zip', [('d/file', make_text(500000)), ('d/e/f', b'x')])

    def look(mounted):
        fails_with(errno.ENOENT, os.stat, mounted.of('d/missing'))
        return mounted.tree()
    with Mounted(archive) as mounted:
        look(mounted)
        look(mounted)  # it has told now which requests it does not know
        with open(f'/proc/{mounted.process.pid}/io', encoding='ascii') as file:
            before = file.read()
        look(mounted)
        with open(f'/proc/{mounted.process.pid}/io', encoding='ascii') as file:
            assert file.read() == before


def build(source, name, *options):
    with open(path(f'{name}.c'), 'w', encoding='ascii') as file:
        file.write(source)
    run('cc', '-O1', *options, '-o', path(name), path(f'{name}.c'))
    with open(path(name), 'rb') as file:
        return file.read()


def test_a_payload_is_executed_and_loaded_from_it(_suite):
    """By the payload's user; of archives with modes and without any, where bin/ counts."""
    library = build('int answer(void);\nint answer(void) { return 42; }\n', 'libanswer.so',
                    '-shared', '-fPIC')
    program = build('int main(void) { return 43; }\n', 'program')
    script = b'#!/bin/sh\nexit 44\n'
    load = 'import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).answer())'
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for made in (lambda name: name, lambda name: with_mode(name, stat.S_IFREG | 0o755),
                     lambda name: with_mode(name, 0)):  # Python makes that 0600
            archive = make_zip('payload.zip', [
                (made('lib/x86_64/libanswer.so'), library), (made('bin/program'), program),
                (made('bin/script'), script), ('other/program', program)], method)
            with Mounted(archive) as mounted:
                for status, *command in (
                        (42, sys.executable, '-c', load, mounted.of('lib/x86_64/libanswer.so')),
                        (43, mounted.of('bin/program')), (44, mounted.of('bin/script'))):
                    run(*command, status=status, user=PAYLOAD, group=PAYLOAD, extra_groups=[])
                assert os.stat(mounted.of('other/program')).st_mode & 0o111 == 0


def test_ten_thousand_entries_are_listed_and_found(_suite):
    names = {f'd{i % 7}/{i:05}' for i in range(5000)} | {f'flat/{i}' for i in range(5000)}
    archive = make_zip('wide.zip', [(name, name.encode()) for name in sorted(names, key=hash)])
    with Mounted(archive) as mounted:
        assert {name for name, content in mounted.tree().items() if content is not None} == names
        for name in list(names)[:200]:
            assert mounted.read(name) == name.encode()
        listed = os.listdir(mounted.of('flat'))
        assert sorted(listed) == sorted(str(i) for i in range(5000))
        assert int(mounted.status('VmHWM')) < RSS_MAX_KIB


def test_memory_does_not_grow_with_a_file(_suite):
    """100 MiB deflated, and as many zeros in next to nothing."""
    size, archive = 100 << 20, path('large.zip')
    text = make_text(1 << 20)
    digest = hashlib.sha256(text * 100).hexdigest()
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        with made.open('text', 'w') as file:
            for _ in range(100):
                file.write(text)
        made.writestr('zeros', bytes(size))
    with Mounted(archive) as mounted:
        with open(mounted.of('text'), 'rb') as file:
            assert hashlib.file_digest(file, 'sha256').hexdigest() == digest
        for offset in (size - 5, 70 << 20, 35 << 20):
            os.posix_fadvise(fd := os.open(mounted.of('text'), os.O_RDONLY), 0, 0,
                             os.POSIX_FADV_DONTNEED)
            assert os.pread(fd, 5, offset) == (text[offset % len(text):] + text)[:5]
            os.close(fd)
        with open(mounted.of('zeros'), 'rb') as file:
            file.seek(size - 10)
            assert file.read() == bytes(10)
        assert int(mounted.status('VmHWM')) < RSS_MAX_KIB, mounted.status('VmHWM')


def test_damaged_data_are_an_error_and_nothing_else_suffers(_suite):
    text = make_text(1 << 20)
    archive = make_zip('damaged.zip', [('good', text), ('bad', text), ('checksum', text)])
    with zipfile.ZipFile(archive) as opened:
        middle = entry_offset(archive, 'bad') + opened.getinfo('bad').compress_size // 2
    patch(archive, middle, b'\xff' * 1000)
    with open(archive, 'rb') as file:
        data = file.read()
    for start in (data.index(b'PK\3\4', entry_offset(archive, 'bad')) + 14,
                  data.rindex(b'PK\1\2') + 16):  # where a local header and a record have it
        patch(archive, start, bytes([data[start] ^ 1]))
    with Mounted(archive) as mounted:
        fails_with(errno.EIO, mounted.read, 'bad')
        with open(mounted.of('bad'), 'rb', buffering=0) as file:
            assert file.read(4096) == text[:4096]  # before the damage
        fails_with(errno.EIO, mounted.read, 'checksum')
        for _ in range(COMPLAINTS):
            fails_with(errno.EIO, mounted.read, 'bad')
        assert mounted.read('good') == text
        lines = mounted.log().splitlines()
        assert len(lines) == COMPLAINTS, lines
        assert any("zip entry 'bad': it" in line for line in lines), lines
        assert any("zip entry 'checksum': its checksum is wrong" in line for line in lines), lines


def refuses(archive, words):
    """Ends with an error before it is ready, and what is mounted is of no use."""
    with Mounted(archive, ready=False) as mounted:
        assert mounted.process.wait(TIMEOUT) == 1
        assert mounted.said == b''
        assert words in mounted.log() and mounted.log().count('\n') == 1, (words, mounted.log())
        fails_with(errno.ENOTCONN, os.listdir, mounted.path)


def test_what_no_file_system_can_show_is_refused(_suite):
    for name, words in (('/etc/passwd', 'absolute'), ('../x', "'..'"), ('a/../../x', "'..'"),
                        ('a//b', 'an empty part'), ('./a', "'.'"), ('a\\b', 'backslash'),
                        ('n' * 256, 'too long'), ('a\nb', 'control'), ('x' * 4096, '4095')):
        refuses(make_zip('name.zip', [('good', b''), (name, b'x')]), words)
    for entries, words in (
            ([('twice', b'1'), ('twice', b'2')], 'twice'),
            ([('a', b'1'), ('a/b', b'2')], 'as in a directory'),
            ([('a/b', b'2'), ('a', b'1')], 'as in a directory'),
            ([('a', b'1'), ('a/', b'')], 'as in a directory'),
            ([(with_mode('link', stat.S_IFLNK | 0o777), b'/etc/passwd')], 'symbolic link'),
            ([(with_mode('node', stat.S_IFCHR | 0o666), b'')], 'neither a file nor a directory')):
        with warnings.catch_warnings(action='ignore'):  # Python's, of a name that is there twice
            refuses(make_zip('entries.zip', entries), words)
    for length, words in ((0, 'empty'), (2, 'UTF-8')):
        archive = make_zip('raw.zip', [('ab', b'')])
        with open(archive, 'rb') as file:
            data = file.read()
        if length == 2:
            data = data.replace(b'ab', b'\xff\xfe')
        else:
            data = bytearray(data.replace(b'ab', b''))
            record = data.index(b'PK\1\2')
            data[26], data[record + 28] = 0, 0
            end = data.index(b'PK\5\6')
            struct.pack_into('<II', data, end + 12, end - record, record)
        patch(archive, 0, data)
        os.truncate(archive, len(data))
        refuses(archive, words)
    with open(path('no.zip'), 'wb') as file:
        file.write(b'nothing' * 100)
    refuses(path('no.zip'), 'no zip')


def test_a_partition_is_larger_than_its_archive(_suite):
    archive = make_zip('tail.zip', [('file', b'content')])
    size = os.path.getsize(archive)
    os.truncate(archive, -(-size // 4096) * 4096)
    with Mounted(archive) as mounted:
        assert mounted.read('file') == b'content'
    device = run('losetup', '--read-only', '--find', '--show', archive).decode().strip()
    try:
        with Mounted(device) as mounted:
            assert mounted.read('file') == b'content'
    finally:
        run('losetup', '--detach', device)
    os.truncate(archive, size + 4096)
    refuses(archive, 'behind the zip')


def test_it_has_no_privilege_and_ends_with_its_mount(_suite):
    archive = make_zip('end.zip', [('file', b'x' * 10000)])
    with Mounted(archive) as mounted:
        assert mounted.status('NoNewPrivs') == '1'
        assert mounted.status('Uid') == str(ZIPFUSE) and int(mounted.status('CapEff'), 16) == 0
        check(LIBC.umount2(mounted.path.encode(), 0))
        assert mounted.process.wait(TIMEOUT) == 0
        assert mounted.log() == ''
    with Mounted(archive) as mounted:
        mounted.process.kill()
        mounted.process.wait(TIMEOUT)
        fails_with(errno.ENOTCONN, mounted.read, 'file')


def test_nobody_has_to_wait_for_it(_suite):
    """Without a reader of the descriptor that says it is ready, and without that descriptor."""
    archive = make_zip('ready.zip', [('file', b'x')])
    for ready in (True, False):
        mount_path = tempfile.mkdtemp(dir=DIRECTORY)
        fuse, archive_fd = os.open('/dev/fuse', os.O_RDWR), os.open(archive, os.O_RDONLY)
        read_end, write_end = os.pipe()
        os.close(read_end)
        check(LIBC.mount(b'zipfuse', mount_path.encode(), b'fuse', MS_RDONLY,
                         f'fd={fuse},rootmode=40555,user_id=0,group_id=0'.encode()))
        try:
            with subprocess.Popen(
                    [PROGRAM, f'--archive-fd={archive_fd}', f'--fuse-fd={fuse}',
                     *([f'--ready-fd={write_end}'] if ready else [])],
                    pass_fds=[archive_fd, fuse, write_end]) as process:
                os.close(fuse)
                assert os.listdir(mount_path) == ['file']
                check(LIBC.umount2(mount_path.encode(), 0))
                assert process.wait(TIMEOUT) == 0
        finally:
            LIBC.umount2(mount_path.encode(), MNT_DETACH)
            os.close(archive_fd)
            os.close(write_end)


def test_wrong_usage_is_told(_suite):
    for words in ([], ['--archive-fd=0'], ['--fuse-fd=0'], ['--archive-fd=x', '--fuse-fd=0'],
                  ['--archive-fd=0', '--fuse-fd=0', 'more'], ['--what'],
                  ['--archive-fd=0', '--fuse-fd=0', '--uid=4294967295'],
                  ['--archive-fd=0', '--fuse-fd=2147483648'], ['--archive-fd']):
        assert b'Usage: zipfuse' in run(PROGRAM, *words, status=2)
    # A pipe is no archive, and what is no /dev/fuse ends it too.
    assert b'a pipe' in run(PROGRAM, '--archive-fd=0', '--fuse-fd=1', data=b'x', status=1)
    with open(make_zip('usage.zip', [('file', b'x')]), 'rb') as file:
        run(PROGRAM, '--archive-fd=0', '--fuse-fd=99', stdin=file, status=1)


if __name__ == '__main__':
    suite = Suite()
    PROGRAM = os.path.abspath(f'{suite.build}/programs/zipfuse')
    # In a mount namespace of its own: whatever happens here, nothing stays mounted.
    check(LIBC.unshare(CLONE_NEWNS))
    check(LIBC.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix='test-zipfuse-') as DIRECTORY:
        os.chmod(DIRECTORY, 0o755)
        sys.exit(suite.run(sys.modules[__name__]))
