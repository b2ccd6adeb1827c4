#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the guest of an instance is given to derive its keys from, and that nobody else has it."""
import hashlib
import hmac
import os
import re
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite, processes, with_host  # noqa: E402
from launcher import ACCEPTED, NO_FD, REFUSED, RUNNING, TCG, Launch, launch_spec  # noqa: E402

DEBUG = 'virtualizationd.debug=1'  # the payload is root: guest/guest-manager.h
SHADOW_SIZE = 1 << 40  # of a mapping that holds no data, but the address sanitizer's notes
ID, OTHER_ID = bytes(range(64)), bytes(range(1, 65))


def derive(host_secret, instance_id):
    """RFC 5869 with SHA-512, in two steps."""
    key = hmac.new(bytes(64), host_secret, hashlib.sha512).digest()
    info = b'virtualizationd instance secret' + instance_id
    return hmac.new(key, info + b'\1', hashlib.sha512).digest()


def state_path(host):
    return f'{host.directory}/state-launcher/host-secret'


def read_host_secret(host):
    with open(state_path(host), 'rb') as file:
        return file.read()


def make_disk(host):
    """An image with the probe in a partition "payload"."""
    path, program = f'{host.directory}/disk', host.payload('probe')
    if not os.path.exists(path):
        with open(path, 'wb') as file:
            file.truncate(os.path.getsize(program) // 512 * 512 + (4 << 20))
        subprocess.run(['sgdisk', '--new=1:2048:0', '--change-name=1:payload', path], check=True,
                       stdout=subprocess.DEVNULL)
        with open(path, 'r+b') as file, open(program, 'rb') as payload:
            file.seek(2048 * 512)
            file.write(payload.read())
    return path


class Guest:
    """A guest of an instance, with the probe, whose payload's output is to be read."""

    def __init__(self, host, words, instance_id, paused=False):
        disk = make_disk(host)
        fds = [os.open(path, os.O_RDONLY | os.O_CLOEXEC)
               for path in (host.image('vmlinux'), host.image('initramfs'), disk)]
        self.output, write_end = os.pipe()
        fds.append(write_end)
        spec = launch_spec(initrd=1, payload_out=3, disk=(2, os.path.getsize(disk)), paused=paused,
                           params=host.params(words).encode(), instance_id=instance_id,
                           accelerator=TCG)
        self.launch = Launch(host, spec, fds)
        for fd in fds:
            os.close(fd)

    def read(self):
        """What the payload has printed, at its end."""
        with self.launch, open(self.output, 'rb') as file:
            self.launch.wait_for(RUNNING)
            return file.read().decode()


def boot(host, words, instance_id):
    return Guest(host, f'probe=secret {words}', instance_id).read()


@with_host
def test_guest_finds_the_secret_of_its_instance(host):
    assert not os.path.exists(state_path(host))
    output = boot(host, DEBUG, ID)
    host_secret = read_host_secret(host)
    assert output == 'mode 100400 uid 0 gid 0 size 64 time 0\n' \
        f'secret {derive(host_secret, ID).hex()}\n', output
    status = os.stat(state_path(host))
    assert len(host_secret) == 64 and stat.S_IMODE(status.st_mode) == 0o400
    status = os.stat(os.path.dirname(state_path(host)))
    assert status.st_uid == 0 and stat.S_IMODE(status.st_mode) == 0o700
    # At the next start it is the same, and another instance's is another.
    assert boot(host, DEBUG, ID) == output
    other = boot(host, DEBUG, OTHER_ID)
    assert f'secret {derive(host_secret, OTHER_ID).hex()}\n' in other, other


@with_host
def test_payload_of_the_guest_may_not_read_it(host):
    assert '/instance-secret: Permission denied' in boot(host, '', ID)


@with_host
def test_guest_without_an_instance_has_none(host):
    assert '/instance-secret: No such file' in boot(host, DEBUG, None)
    assert not os.path.exists(state_path(host))


def readable_memory(pid):
    """The parts of a process's memory, less those that are another's devices."""
    with open(f'/proc/{pid}/maps', encoding='ascii') as maps, open(f'/proc/{pid}/mem', 'rb') as memory:
        for line in maps:
            begin, end, mode, name = re.match(r'(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)', line).groups()
            begin, end = int(begin, 16), int(end, 16)
            if mode[0] != 'r' or name in ('[vvar]', '[vsyscall]') or end - begin >= SHADOW_SIZE:
                continue
            try:
                memory.seek(begin)
                yield memory.read(end - begin)
            except OSError:
                pass  # behind the end of a file


def who_knows(pids, secret):
    """Those who have a part of it that no chance makes."""
    return [pid for pid in pids
            if any(secret[8:24] in part or secret[40:56] in part for part in readable_memory(pid))]


@with_host
def test_nobody_but_the_vmm_has_it(host):
    """The host's secret nobody has, whose memory is looked at while the guest is about to run."""
    guest = Guest(host, 'probe=secret', ID, paused=True)
    with guest.launch:
        guest.launch.wait_for(ACCEPTED)
        guest.launch.wait_for(RUNNING)
        host_secret = read_host_secret(host)
        secret = derive(host_secret, ID)
        pids = {pid: command for pid, (_, state, command) in processes().items()
                if pid in host.vm_processes() or pid in host.listener_pids()
                or pid == host.daemon.pid}
        assert len(pids) >= 5, pids
        assert not who_knows(pids, host_secret)
        knowing = who_knows(pids, secret)
        assert all('qemu-system' in pids[pid] for pid in knowing), [pids[pid] for pid in knowing]
        assert knowing, 'not even QEMU has it: this test looks for it in the wrong way'
        for pid in pids:
            for name in ('cmdline', 'environ'):
                with open(f'/proc/{pid}/{name}', 'rb') as file:
                    content = file.read()
                for value in (secret, host_secret):
                    assert value[:16] not in content and value.hex()[:32].encode() not in content
        guest.launch.kill()
    os.close(guest.output)
    for value in (secret, host_secret):
        assert value.hex()[:16] not in host.log()
    for directory, _, names in os.walk(host.directory):
        for name in names:
            path = f'{directory}/{name}'
            if not os.path.isfile(path) or path == state_path(host):
                continue
            with open(path, 'rb') as file:
                content = file.read()
            assert secret[:16] not in content and host_secret[:16] not in content, path


def with_named_secret(mode, size, function):
    """Runs function(host, secret) on a host whose launcher is given a file."""
    def run(suite):
        secret = os.urandom(size)
        path = f'/run/test-host-secret-{os.getpid()}-{mode:o}-{size}'
        with open(path, 'wb') as file:
            os.fchmod(file.fileno(), mode)
            file.write(secret)
        try:
            host = Host(suite.build, launcher_options=[f'--host-secret={path}'])
            try:
                function(host, secret)
            finally:
                status, left = host.close()
                assert not left and status == 0, (left, status)
        finally:
            os.unlink(path)
    return run


def take_named(host, secret):
    assert f'secret {derive(secret, ID).hex()}\n' in boot(host, DEBUG, ID)
    assert not os.path.exists(state_path(host))


def refuse_named(host, secret):
    guest = Guest(host, 'probe=secret', ID)
    with guest.launch:
        kind, answer = guest.launch.receive()
    os.close(guest.output)
    assert kind == REFUSED and b'has to belong to uid 0' in answer and b'chmod 0400' in answer, answer
    assert secret.hex()[:16] not in host.log()


test_secret_that_is_named_is_taken = with_named_secret(0o400, 32, take_named)
test_secret_that_others_may_read_is_refused = with_named_secret(0o440, 64, refuse_named)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
