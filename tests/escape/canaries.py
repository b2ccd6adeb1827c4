# SPDX-License-Identifier: Apache-2.0
"""Things on the host for the stand-in to reach: they exist, so not finding them means something."""
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
IPC_CREAT, IPC_RMID = 0o1000, 0
SYS_ADD_KEY, SYS_KEYCTL = 248, 250
KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING = 1, 5, -3
SYS_MQ_OPEN, SYS_MQ_UNLINK = 240, 241
KEY_ALL = 0x3f3f3f3f


def check(value, what):
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')
    return value


class Canaries:
    """Made once; what an attempt could change is made anew for each launch by scratch()."""

    def __init__(self, stand_in):
        self.directory = tempfile.mkdtemp(prefix='escape-')
        os.chmod(self.directory, 0o755)
        self.stand_in = stand_in
        self.n_scratch = 0
        self.open_sockets = []
        self.ipc = []
        self.queue = f'escape-{os.getpid()}'
        self.sleeper = subprocess.Popen(['sleep', '100000'], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._make_files()
            self._make_sockets()
            self._make_ipc()
        except BaseException:
            self.close()
            raise

    def _path(self, name):
        return f'{self.directory}/{name}'

    def _write(self, name, content, mode):
        with open(self._path(name), 'wb') as file:
            file.write(content)
        os.chmod(self._path(name), mode)
        return self._path(name)

    def _make_files(self):
        self.secret = self._write('secret', b'secret\n', 0o600)
        self.others_disk = self._write('others-disk', bytes(4096), 0o600)
        with open(self.stand_in, 'rb') as file:
            program = file.read()
        self.program = self._write('program', program, 0o755)
        self.set_uid = self._write('set-uid', program, 0o4755)
        self.script = self._write('script', f'#!{self.program} --executed\n'.encode(), 0o755)
        # The kernel and the read-only disk are programs, for row 12.
        self.kernel = self._write('kernel', program, 0o755)
        self.initrd = self._write('initrd', bytes(4096), 0o644)
        self.read_only = self._write('read-only', program + bytes(-len(program) % 512), 0o755)
        handle = (ctypes.c_char * 136)()
        ctypes.c_uint.from_buffer(handle).value = 128
        mount_id = ctypes.c_int()
        check(LIBC.name_to_handle_at(AT_FDCWD, self.secret.encode(), handle,
                                     ctypes.byref(mount_id), 0), 'name_to_handle_at')
        size = ctypes.c_uint.from_buffer(handle).value
        self.handle_type = ctypes.c_int.from_buffer(handle, 4).value
        self.handle = handle.raw[8:8 + size].hex()

    def _listen(self, family, address, kind=socket.SOCK_STREAM):
        opened = socket.socket(family, kind)
        self.open_sockets.append(opened)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(1000)
        return opened

    def _make_sockets(self):
        self.port = self._listen(socket.AF_INET, ('0.0.0.0', 0)).getsockname()[1]
        try:
            self._listen(socket.AF_INET6, ('::1', self.port))
        except OSError:
            pass  # no IPv6 here: the attempt fails without any layer, and the table says so
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(('192.0.2.1', 9))
                self.address = probe.getsockname()[0]
            except OSError:
                self.address = '127.0.0.1'
        self._listen(socket.AF_UNIX, self._path('socket'))
        os.chmod(self._path('socket'), 0o777)
        self.abstract = f'escape-{os.getpid()}'
        self._listen(socket.AF_UNIX, '\0' + self.abstract)

    def _make_ipc(self):
        self.key = 0x65000000 | os.getpid() & 0xffffff
        self.ipc.append((LIBC.shmctl, check(LIBC.shmget(self.key, 4096, IPC_CREAT | 0o600), 'shm')))
        self.ipc.append((lambda number, *_: LIBC.semctl(number, 0, IPC_RMID),
                         check(LIBC.semget(self.key, 1, IPC_CREAT | 0o600), 'sem')))
        self.ipc.append((LIBC.msgctl, check(LIBC.msgget(self.key, IPC_CREAT | 0o600), 'msg')))
        check(LIBC.syscall(SYS_MQ_OPEN, self.queue.encode(), os.O_RDWR | os.O_CREAT, 0o600, None),
              'mq_open')
        # What the launcher is started with.
        check(LIBC.syscall(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None), 'keyctl')
        key = check(LIBC.syscall(SYS_ADD_KEY, b'user', b'escape-canary', b'x', 1,
                                 KEY_SPEC_SESSION_KEYRING), 'add_key')
        check(LIBC.syscall(SYS_KEYCTL, KEYCTL_SETPERM, key, KEY_ALL), 'setperm')

    def scratch(self):
        """A directory for one launch: with what the box's root has, and a disk."""
        self.n_scratch += 1
        path = self._path(f's{self.n_scratch}')
        os.makedirs(f'{path}/empty')
        os.symlink('usr/lib64', f'{path}/lib64')
        with open(f'{path}/disk', 'wb') as file:
            file.truncate(1 << 20)
        return path

    def words(self, host, scratch, in_box):
        """What the stand-in is told: where in its root, or on the host, things are."""
        root = '' if in_box else f'{host.cache_dir}/template/root'
        words = {
            'secret': self.secret,
            'others-disk': self.others_disk,
            'others-pid': self.sleeper.pid,
            'link': f'{scratch}/link',
            'handle': self.handle,
            'handle-type': self.handle_type,
            'dirs': '/:/vm:/usr:/dev:/empty' if in_box else scratch,
            'firmware': f'{root}/usr/share/seabios/bios-256k.bin',
            'kernel': '/vm/kernel' if in_box else self.kernel,
            'initrd': '/vm/initrd' if in_box else self.initrd,
            'program': f'{root}/usr/bin/qemu-system-x86_64',
            'executable': self.program,
            'script': self.script,
            'set-uid': self.set_uid,
            'limit': 64 << 20,
            'port': self.port,
            'address': self.address,
            'socket': self._path('socket'),
            'bus': f'{host.directory}/bus',
            'launcher': f'{host.runtime_dir}/launcher/socket',
            'abstract': self.abstract,
            'ipc-key': self.key,
            'queue': self.queue,
            'cgroup': next(path for path in ('/sys/fs/cgroup/unified/cgroup.procs',
                                             '/sys/fs/cgroup/cgroup.procs', '/proc/self/comm')
                           if os.path.exists(path)),
        }
        return ' '.join(f'{key}={value}' for key, value in words.items())

    def close(self):
        self.sleeper.kill()
        self.sleeper.wait()
        for opened in self.open_sockets:
            opened.close()
        for remove, number in self.ipc:
            remove(number, IPC_RMID, None)
        LIBC.syscall(SYS_MQ_UNLINK, self.queue.encode())
        shutil.rmtree(self.directory)
