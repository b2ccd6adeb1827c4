# SPDX-License-Identifier: Apache-2.0
"""What a whole host of the tests is, in a VM or in a container: tests/host/agent.py runs commands in
it as root, with top_srcdir and top_builddir set. What is changed in it is thrown away."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

COMMAND_DEADLINE = 600
CONSOLE_LINES = 60  # shown when something fails
# What the tests in there need of the source tree, as far as it is there.
SOURCES = ('dbus', 'examples', 'policy', 'scripts', 'systemd', 'tests')
BUILT = ('programs', 'guest-image')


class WholeHostError(Exception):
    """The host did not do what it should; has the last lines of its console."""


def exit_on_signals():
    """Lets the usual signals end this program by way of its finally clauses."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


class WholeHost:
    """Running from start to close(), which is also the end of a `with`. A subclass sets process,
    console and channel in its _start(). The built programs and the tests are in /tree."""

    what = 'host'
    boot_deadline = 300  # seconds

    def __init__(self, source, build, more=()):
        self.more = more  # files for /tree/more
        self.source = os.path.abspath(source)
        self.build = os.path.abspath(build)
        self.process = self.channel = self.console = None
        self.received = b''
        self.directory = tempfile.mkdtemp(prefix='whole-host-')
        try:
            self._start()
            self._receive('ready', time.monotonic() + self.boot_deadline, print)
        except BaseException:
            self.close()
            raise

    def _start(self):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _copy_tree(self, tree):
        for top, names, name in ((self.source, SOURCES, 'source'), (self.build, BUILT, 'build')):
            os.makedirs(f'{tree}/{name}')
            there = [f'{top}/{folder}' for folder in names if os.path.isdir(f'{top}/{folder}')]
            subprocess.run(['cp', '-a', *there, f'{tree}/{name}'], check=True)
        if self.more:
            os.mkdir(f'{tree}/more')
            subprocess.run(['cp', *self.more, f'{tree}/more'], check=True)
        subprocess.run(['chown', '-R', 'root:root', tree], check=True)

    def _failed(self, what):
        self.console.seek(0)
        lines = self.console.read().decode(errors='replace').splitlines()[-CONSOLE_LINES:]
        return WholeHostError('\n'.join([f'{what}; the end of the console:', *lines]))

    def _receive(self, key, end, on_output):
        """Waits for a message with @key and returns its value; output is handed to @on_output."""
        while True:
            line, newline, rest = self.received.partition(b'\n')
            if newline:
                self.received = rest
                message = json.loads(line)
                if key in message:
                    return message[key]
                on_output(message['output'])
                continue
            self.channel.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.channel.recv(65536)
            except ConnectionError:
                data = b''
            except socket.timeout:
                raise self._failed(f'the {self.what} does not answer: waited for its "{key}"') \
                    from None
            if not data:
                self.process.wait()
                raise self._failed(f'the {self.what} ended, {self.process.returncode}')
            self.received += data

    def _send(self, command, deadline):
        message = json.dumps({'command': command, 'deadline': deadline})
        self.channel.settimeout(deadline)
        self.channel.sendall(message.encode() + b'\n')

    def run(self, command, deadline=COMMAND_DEADLINE, on_output=None):
        """Runs @command (a list) in the host, for @deadline seconds at most. Its output goes to
        @on_output(text) as it comes. Returns its exit status, 255 after a signal, 'deadline' when
        the time was up, and all of its output."""
        output = []

        def hear(text):
            output.append(text)
            if on_output:
                on_output(text)
        self._send(command, deadline)
        status = self._receive('status', time.monotonic() + deadline + 60, hear)
        return status, ''.join(output)

    def power_off(self, deadline=120):
        """Shuts the host down as its administrator would, and waits for the end."""
        self._send(['systemctl', 'poweroff'], deadline)  # whose answer may not come any more
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise self._failed(f'the {self.what} did not power off within {deadline} s') from None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.channel:
            self.channel.close()
        if self.console:
            self.console.close()
        shutil.rmtree(self.directory, ignore_errors=True)
