#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inside a whole host of the tests: runs the commands that tests/helpers/whole_host.py sends.

Both ways go JSON objects, one a line, over a virtio serial port in the VM, and over a socket in the
container. To here: {"command": [...],
"deadline": seconds}. From here: {"ready": true} once, then {"output": text}... and
{"status": exit status} for each command, in the order they were sent; the status is "deadline" when
the time was up, and 255 when a signal ended the command.

Each command is a service of its own: it has a cgroup that it may divide, and whatever it leaves
behind ends with it. One that provokes the kernel's out-of-memory killer goes on.
"""
import json
import os
import socket
import subprocess
import time

PORT = '/dev/virtio-ports/host-test'
SOCKET = '/host-test/socket'
PORT_DEADLINE = 60  # seconds until its driver has made it
PROPERTIES = ('Delegate=yes', 'KillSignal=SIGKILL', 'LimitNOFILE=524288', 'OOMPolicy=continue',
              'TasksMax=infinity')
ENVIRONMENT = ('top_srcdir=/tree/source', 'top_builddir=/tree/build', 'HOME=/root',
               'LC_ALL=C.UTF-8', 'PYTHONDONTWRITEBYTECODE=1', 'TEST_CACHE_DIR=/var/cache/test',
               'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')


def say(port, **message):
    port.write(json.dumps(message).encode() + b'\n')
    port.flush()


def run(port, command, deadline):
    arguments = ['systemd-run', '--quiet', '--collect', '--wait', '--pipe',
                 '--working-directory=/root', f'--property=RuntimeMaxSec={deadline}',
                 *(f'--property={text}' for text in PROPERTIES),
                 *(f'--setenv={text}' for text in ENVIRONMENT), '--',
                 *(argument.replace('$', '$$') for argument in command)]  # as in ExecStart=
    started = time.monotonic()
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        while data := os.read(process.stdout.fileno(), 65536):
            say(port, output=data.decode(errors='surrogateescape'))
    in_time = process.returncode == 0 or time.monotonic() - started < deadline
    say(port, status=process.returncode if in_time else 'deadline')


def open_channel():
    if os.path.exists(SOCKET):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(SOCKET)
            return channel.detach()
    end = time.monotonic() + PORT_DEADLINE
    while not os.path.exists(PORT) and time.monotonic() < end:
        time.sleep(0.1)
    return os.open(PORT, os.O_RDWR | os.O_CLOEXEC)  # which can be opened once only


def main():
    fd = open_channel()
    with os.fdopen(fd, 'wb') as port, os.fdopen(os.dup(fd), 'rb') as lines:
        say(port, ready=True)
        for line in lines:
            message = json.loads(line)
            run(port, message['command'], message['deadline'])


if __name__ == '__main__':
    main()
