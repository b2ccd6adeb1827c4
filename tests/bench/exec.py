#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A command in a guest by vmctl exec, beside ssh to this host by loopback where there is an sshd: how
long the shortest one takes, and how fast bytes go out and come back."""
import argparse
import getpass
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
from figures import emit  # noqa: E402
from harness import Host, wait_until  # noqa: E402
import shell_payload  # noqa: E402

MIB = 1 << 20


class Sshd:
    """An sshd of our own at a port of 127.0.0.1, with keys made for it."""

    def __init__(self, program, directory):
        self.directory = directory
        for name in ('host', 'user'):
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
                            f'{directory}/{name}'], check=True)
        shutil.copy(f'{directory}/user.pub', f'{directory}/authorized')
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.port = probe.getsockname()[1]
        with open(f'{directory}/sshd.conf', 'w', encoding='ascii') as file:
            file.write(f'ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {directory}/host\n'
                       f'AuthorizedKeysFile {directory}/authorized\nStrictModes no\nUsePAM no\n'
                       f'PidFile none\nPermitRootLogin yes\n')
        os.makedirs('/run/sshd', exist_ok=True)
        self.process = subprocess.Popen([program, '-D', '-f', f'{directory}/sshd.conf'],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 'sshd')

    def answers(self):
        try:
            socket.create_connection(('127.0.0.1', self.port)).close()
            return True
        except ConnectionRefusedError:
            return False

    def command(self, *words):
        return ['ssh', '-q', '-F', 'none', '-p', str(self.port), '-i', f'{self.directory}/user',
                '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null',
                f'{getpass.getuser()}@127.0.0.1', *words]

    def close(self):
        self.process.terminate()
        self.process.wait()


def time_of(command, **more):
    begin = time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, **more)
    return time.monotonic() - begin


def measure(name, command, rounds, size):
    trips = [1000 * time_of(command('true'), stdin=subprocess.DEVNULL) for _ in range(rounds)]
    emit(f'{name}.trip', statistics.median(trips), 'ms')
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(MIB) * size)
        rates = []
        for _ in range(3):
            file.seek(0)
            rates.append(size / time_of(command('cat'), stdin=file, stdout=subprocess.DEVNULL))
    emit(f'{name}.through-cat', statistics.median(rates), 'MiB/s')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--mib', type=int, default=64)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        host = Host(options.build)
        try:
            shell_payload.start(host, directory)
            measure('exec', lambda *words: [
                f'{host.build}/programs/vmctl', f'--bus={host.address}', 'exec', 'shell', '--',
                *words], options.rounds, options.mib)
        finally:
            host.close()
        program = shutil.which('sshd', path=f'{os.environ["PATH"]}:/usr/sbin')
        if not program or not shutil.which('ssh'):
            print('ssh: not here')
            return
        sshd = Sshd(program, directory)
        try:
            measure('ssh', sshd.command, options.rounds, options.mib)
        finally:
            sshd.close()


if __name__ == '__main__':
    main()
