#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CreateOrUpdateIdsig: idsigs made by a disk worker in its box, the same as the tool's."""
import fcntl
import os
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, Suite, processes, wait_until  # noqa: E402
from tool import Tool, run  # noqa: E402


def with_apk(function):
    """With a signed archive of some megabytes: enough for a tree of three levels."""
    def test(suite):
        host = Host(suite.build, config='[Limits]\nDiskJobsMax=32\n')
        try:
            with Tool(suite) as tool:
                os.chmod(tool.directory, 0o755)
                tool.write('content', os.urandom(3 << 20))
                run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-out', 'key.pem', cwd=tool.directory)
                run('zip', '-q', '-0', 'plain.zip', 'content', cwd=tool.directory)
                tool.ok('apk', 'sign', '--key=key.pem', '-o', 'a.apk', 'plain.zip')
                function(host, tool)
        finally:
            _, left = host.close()
            assert not left, left
    return test


def create(host, apk, idsig):
    host.manager().CreateOrUpdateIdsig(dbus.types.UnixFd(apk), dbus.types.UnixFd(idsig))


def refuses(host, apk, idsig, words, kind='InvalidFile'):
    try:
        create(host, apk, idsig)
    except dbus.DBusException as problem:
        assert words in problem.get_dbus_message(), problem
        assert problem.get_dbus_name().endswith('.' + kind), problem.get_dbus_name()
        return
    raise AssertionError('it was taken')


@with_apk
def test_the_idsig_is_the_tools(host, tool):
    tool.ok('idsig', 'create', '-o', 'tool.idsig', 'a.apk')
    tool.write('bus.idsig', b'junk' * 1000)
    with open(tool.path('a.apk'), 'rb') as apk, open(tool.path('bus.idsig'), 'r+b') as idsig:
        create(host, apk.fileno(), idsig.fileno())
        assert tool.read('bus.idsig') == tool.read('tool.idsig')
        before = os.stat(tool.path('bus.idsig'))
        create(host, apk.fileno(), idsig.fileno())
        after = os.stat(tool.path('bus.idsig'))
        assert after.st_mtime_ns == before.st_mtime_ns  # up to date: untouched
    tool.ok('idsig', 'verify', 'a.apk', 'bus.idsig')
    # Another APK's is renewed.
    tool.write('content', os.urandom(1 << 20))
    run('zip', '-q', '-0', 'other.zip', 'content', cwd=tool.directory)
    tool.ok('apk', 'sign', '--key=key.pem', '-o', 'b.apk', 'other.zip')
    with open(tool.path('b.apk'), 'rb') as apk, open(tool.path('bus.idsig'), 'r+b') as idsig:
        create(host, apk.fileno(), idsig.fileno())
    tool.ok('idsig', 'verify', 'b.apk', 'bus.idsig')


@with_apk
def test_what_is_wrong_is_refused_before_the_file_is_touched(host, tool):
    tool.write('idsig', b'precious')
    tool.write('empty', b'')
    tool.write('junk.apk', b'no archive' * 1000)
    with open(tool.path('a.apk'), 'rb') as apk, open(tool.path('idsig'), 'r+b') as idsig, \
            open(tool.path('idsig'), 'rb') as reading, open(tool.path('a.apk'), 'r+b') as both, \
            open(tool.path('junk.apk'), 'rb') as junk, open(tool.path('empty'), 'rb') as empty:
        directory = os.open(tool.directory, os.O_RDONLY)
        pipe = os.pipe()
        refuses(host, apk.fileno(), reading.fileno(), 'open for reading and writing')
        refuses(host, apk.fileno(), pipe[1], 'regular file')
        refuses(host, directory, idsig.fileno(), 'regular file')
        refuses(host, pipe[0], idsig.fileno(), 'regular file')
        refuses(host, apk.fileno(), both.fileno(), 'the same file')
        refuses(host, plain_fd(tool), idsig.fileno(), 'the APK is not signed',
                'ImageInvalid')
        refuses(host, junk.fileno(), idsig.fileno(), 'no zip: no end record', 'ImageInvalid')
        refuses(host, empty.fileno(), idsig.fileno(), 'a file of 0 bytes is no zip', 'ImageInvalid')
        with open(tool.path('idsig'), 'r+b') as other:
            fcntl.fcntl(other, fcntl.F_OFD_SETLK,
                        struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            refuses(host, apk.fileno(), idsig.fileno(), 'in use by another process', 'ImageBusy')
        assert tool.read('idsig') == b'precious'
        for fd in (directory, *pipe):
            os.close(fd)


def make_large(tool):
    """An APK whose tree takes seconds: what is before its signing block is a hole."""
    hole = 4000 << 20
    data = tool.read('a.apk')
    block = data.index(b'APK Sig Block 42')
    end = data.rindex(b'PK\x05\x06')
    start = struct.unpack_from('<I', data, end + 16)[0]
    size = struct.unpack_from('<Q', data, block - 8)[0] + 8
    tail = bytearray(data[start - size:])
    struct.pack_into('<I', tail, len(tail) - (len(data) - end) + 16, hole + size)
    with open(tool.sparse('large.apk', hole), 'ab') as file:
        file.write(tail)


def worker_of(path):
    """The process that has @path open and nothing of the launcher's any more."""
    for pid in processes():
        try:
            with open(f'/proc/{pid}/status', encoding='utf-8') as file:
                is_inside = len(file.read().split('\nNSpid:\t')[1].split('\n')[0].split()) > 1
            fds = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
        except OSError:
            continue
        if is_inside and path in fds and len(fds) <= 6:
            return pid
    return None


CLIENT = '''
import dbus, dbus.bus, sys
apk, idsig = open("large.apk", "rb"), open("idsig", "r+b")
manager = dbus.Interface(dbus.bus.BusConnection(sys.argv[1]).get_object(
    "org.virtualizationd1", "/org/virtualizationd1"), "org.virtualizationd1.Manager")
manager.CreateOrUpdateIdsig(dbus.types.UnixFd(apk), dbus.types.UnixFd(idsig), timeout=600)
'''


@with_apk
def test_a_job_ends_with_its_client_or_the_daemon(host, tool):
    make_large(tool)
    for end in ('client', 'daemon'):
        tool.write('idsig', b'junk')
        with subprocess.Popen([sys.executable, '-c', CLIENT, host.address], cwd=tool.directory,
                              stderr=subprocess.PIPE) as client:
            wait_until(lambda: worker_of(tool.path('idsig')), 'the worker')
            worker = worker_of(tool.path('idsig'))
            os.kill(worker, signal.SIGSTOP)  # it would not end by itself
            if end == 'client':
                client.kill()
            else:
                host.stop_daemon()
                assert host.daemon.returncode == 0, host.log()
                assert client.wait(20) != 0 and b'.Unavailable: the job was given up' in \
                    client.stderr.read()
            try:
                wait_until(lambda: worker not in processes(), 'the end of the job', 20)
            except TimeoutError:
                os.kill(worker, signal.SIGKILL)
                raise
        assert tool.read('idsig')[:4] in (b'junk', b'', bytes(4))  # as it was, or no idsig
        if end == 'client':
            with open(tool.path('a.apk'), 'rb') as apk, open(tool.path('idsig'), 'r+b') as idsig:
                create(host, apk.fileno(), idsig.fileno())
            tool.ok('idsig', 'verify', 'a.apk', 'idsig')


@with_apk
def test_a_worker_has_nothing_but_the_files(host, tool):
    make_large(tool)
    with open(tool.path('large.apk'), 'rb') as apk, \
            tempfile.NamedTemporaryFile('r+b', dir=tool.directory) as idsig:
        answers = []
        host.manager().CreateOrUpdateIdsig(
            dbus.types.UnixFd(apk.fileno()), dbus.types.UnixFd(idsig.fileno()), timeout=600,
            reply_handler=lambda: answers.append(None), error_handler=answers.append)
        wait_until(lambda: worker_of(idsig.name), 'the worker')
        worker = worker_of(idsig.name)
        os.kill(worker, signal.SIGSTOP)
        files = {os.readlink(f'/proc/{worker}/fd/{fd}') for fd in os.listdir(f'/proc/{worker}/fd')}
        with open(f'/proc/{worker}/limits', encoding='ascii') as file:
            limits = dict(line[:54].rsplit(maxsplit=2)[:2] for line in file if 'Max ' in line)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: answers, 'the answer')
        assert limits['Max processes'] == '65', limits
        assert int(limits['Max file size']) < 64 << 20, limits  # the idsig's
        assert limits['Max data size'] == ('unlimited' if tool.suite.sanitized else str(1 << 30)), limits
        assert 'ended without an answer' in str(answers[0]), answers
        sockets = {name for name in files if name.startswith('socket:')}
        assert files - sockets == {'/dev/null', tool.path('large.apk'), idsig.name}, files
        assert len(sockets) == 1, files


@with_apk
def test_there_are_so_many_jobs_at_once(host, tool):
    answers = []
    with open(tool.path('a.apk'), 'rb') as apk:
        files = [tempfile.TemporaryFile('r+b') for _ in range(33)]
        listener, = host.listener_pids()
        os.kill(listener, signal.SIGSTOP)
        try:
            for file in files:
                host.manager().CreateOrUpdateIdsig(
                    dbus.types.UnixFd(apk.fileno()), dbus.types.UnixFd(file.fileno()),
                    reply_handler=lambda: answers.append(None), error_handler=answers.append)
            wait_until(lambda: answers, 'the refusal')
            assert len(answers) == 1 and 'limit of 32 of all' in str(answers[0]), answers
            assert 'DiskJobsMax=' in str(answers[0]), answers
            assert answers.pop().get_dbus_name().endswith('.LimitsExceeded')
        finally:
            os.kill(listener, signal.SIGCONT)
        wait_until(lambda: len(answers) == 32, 'the answers')
        assert answers == [None] * 32, answers
        create(host, apk.fileno(), files[32].fileno())
        for file in files:
            file.close()


def plain_fd(tool):
    return os.open(tool.path('plain.zip'), os.O_RDONLY)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
