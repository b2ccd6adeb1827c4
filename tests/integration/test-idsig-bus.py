#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CreateOrUpdateIdsig: idsigs made by a disk worker in its box, the same as the tool's."""
import fcntl
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, Suite  # noqa: E402
from tool import Tool, run  # noqa: E402


def with_apk(function):
    """With a signed archive of some megabytes: enough for a tree of three levels."""
    def test(suite):
        host = Host(suite.build)
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


def plain_fd(tool):
    return os.open(tool.path('plain.zip'), os.O_RDONLY)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
