#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmctl exec, connect, logs and capture without a terminal: every byte, every status."""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Suite, wait_until  # noqa: E402
import microguest  # noqa: E402
import shell_payload  # noqa: E402
from vmctl import command, run as vmctl, with_folder  # noqa: E402

MIB = 1 << 20
PORT = 6000
EXEC_PORT = 0x65786563  # protocol/exec-message.h
SESSIONS_MAX = 16       # guest/exec-service.h


def execute(host, *words, data=b''):
    return vmctl(host, 'exec', 'shell', '--', *words, data=data)


def begin(host, *arguments, **more):
    streams = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    return subprocess.Popen(command(host, *arguments), bufsize=0, **{**streams, **more})


def end(process):
    process.kill()
    process.communicate()


def read_until(stream, word):
    """Reads @stream, a pipe, until it has brought @word."""
    seen = b''
    while word not in seen:
        part = os.read(stream.fileno(), 65536)
        assert part, seen
        seen += part
    return seen


@with_folder
def test_exec_keeps_the_streams_apart_and_the_status(host, directory):
    shell_payload.start(host, directory)
    result = execute(host, 'sh', '-c', 'echo out; echo err >&2; cat; exit 7', data=b'in\n')
    assert (result.returncode, result.stdout, result.stderr) == (7, b'out\nin\n', b'err\n'), result
    # Arguments and what there is of an environment.
    result = execute(host, 'sh', '-c', 'printf "<%s>" "$@"; pwd; id -u', '-', 'a b', '', '--', '*')
    assert result.stdout == b'<a b><><--><*>/run/payload\n0\n', result
    result = execute(host, 'env')
    assert set(line.split(b'=')[0] for line in result.stdout.splitlines()) == {b'PATH', b'HOME'}
    for words, status, sentence in (
            (('no-such-program',), 127, b'No such file'),
            (('/no/such/program',), 127, b'No such file'),
            (('/run/payload/bin/no-program',), 126, b'Permission denied'),
            (('no-program',), 126, b'Permission denied'),
            (('/run',), 126, b'Permission denied')):
        result = execute(host, *words)
        assert result.returncode == status and sentence in result.stderr, (words, result)
        assert result.stdout == b'' and len(result.stderr.splitlines()) == 1, result
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        result = execute(host, 'sh', '-c', f'kill -{int(number)} $$')
        assert result.returncode == 128 + number, result
    # A command that does not read: nobody is killed for it.
    result = execute(host, 'true', data=bytes(MIB))
    assert (result.returncode, result.stderr) == (0, b''), result
    # One that closes its input and goes on.
    result = execute(host, 'sh', '-c', 'exec 0<&-; sleep 1; echo done', data=bytes(MIB))
    assert (result.returncode, result.stdout) == (0, b'done\n'), result


@with_folder
def test_100_mib_go_both_ways_whole(host, directory):
    shell_payload.start(host, directory)
    block = os.urandom(MIB)
    sent, received = hashlib.sha256(), hashlib.sha256()
    with begin(host, 'exec', 'shell', '--', 'cat', stderr=None) as process:
        def feed():
            for number in range(100):
                part = number.to_bytes(4, 'little') + block[4:]
                sent.update(part)
                process.stdin.write(part)
            process.stdin.close()
        feeder = threading.Thread(target=feed)
        feeder.start()
        size = 0
        while part := process.stdout.read(MIB):
            received.update(part)
            size += len(part)
        feeder.join()
        assert process.wait(DEADLINE) == 0
    assert size == 100 * MIB and received.digest() == sent.digest()


@with_folder
def test_signals_reach_the_command_and_its_group(host, directory):
    shell_payload.start(host, directory)
    for name in ('INT', 'TERM', 'HUP', 'QUIT'):
        number = getattr(signal, f'SIG{name}')
        script = f'trap "echo got {name}; exit 3" {name}; echo ready; while :; do sleep 1; done'
        with begin(host, 'exec', 'shell', '--', 'sh', '-c', script) as process:
            read_until(process.stdout, b'ready')
            process.send_signal(number)
            output, errors = process.communicate(timeout=DEADLINE)
            # What the shell says of its sleep is its own affair.
            assert (process.returncode, output) == (3, f'got {name}\n'.encode()), (output, errors)
    # Past input that nobody takes, and with nobody who catches it.
    with begin(host, 'exec', 'shell', '--', 'sh', '-c', 'echo ready; sleep 1000; true') as process:
        read_until(process.stdout, b'ready')
        process.stdin.write(bytes(64 * 1024))
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 128 + signal.SIGINT
        process.communicate()


def count(host, *words):
    """How many processes of the guest are these words."""
    listed = execute(host, 'ps', '-o', 'args').stdout.decode().splitlines()
    return listed.count(' '.join(words))


@with_folder
def test_what_is_left_of_a_command_ends_with_it(host, directory):
    shell_payload.start(host, directory)
    # With the command; output of what it leaves behind holds up nobody.
    result = execute(host, 'sh', '-c', 'sleep 1001 & setsid sleep 1002 & echo started')
    assert (result.returncode, result.stdout) == (0, b'started\n'), result
    wait_until(lambda: count(host, 'sleep', '1001') == 0, 'the end of what was left')
    assert count(host, 'sleep', '1002') == 1  # which has left the session
    # With the connection.
    with begin(host, 'exec', 'shell', '--', 'sh', '-c',
               'trap "" HUP TERM; sleep 1003 & echo ready; sleep 1004') as process:
        read_until(process.stdout, b'ready')
        assert count(host, 'sleep', '1003') == count(host, 'sleep', '1004') == 1
        end(process)
    wait_until(lambda: count(host, 'sleep', '1003') + count(host, 'sleep', '1004') == 0, 'the end')


@with_folder
def test_many_commands_at_a_time_and_no_more(host, directory):
    vm = shell_payload.start(host, directory)
    processes = []
    try:
        for number in range(SESSIONS_MAX):
            processes.append(begin(host, 'exec', 'shell', '--', 'sh', '-c',
                                   f'echo {number}; read line; echo $line'))
        for number, process in enumerate(processes):
            read_until(process.stdout, b'%d' % number)
        result = execute(host, 'true')
        assert result.returncode == 125 and b'as many commands' in result.stderr, result
        for number, process in enumerate(processes):
            output, errors = process.communicate(b'line %d\n' % number, timeout=DEADLINE)
            assert (process.returncode, output, errors) == (0, b'line %d\n' % number, b'')
    finally:
        for process in processes:
            end(process)
    # What the guest says then is not what the payload does.
    assert vm.get('State') == 'ready' and execute(host, 'true').returncode == 0


@with_folder
def test_a_flood_to_nobody_holds_up_nobody(host, directory):
    shell_payload.start(host, directory)
    with begin(host, 'exec', 'shell', '--', 'yes') as flood, \
            begin(host, 'exec', 'shell', '--', 'sleep', '1000') as deaf:
        read_until(flood.stdout, b'y\n')

        def fill():
            try:
                while True:
                    deaf.stdin.write(bytes(MIB))
            except OSError:
                pass  # it was ended
        filler = threading.Thread(target=fill)
        filler.start()
        assert execute(host, 'echo', 'here').stdout == b'here\n'
        end(flood)
        deaf.kill()
        filler.join()
        deaf.communicate()


@with_folder
def test_a_vm_that_ends_ends_its_commands(host, directory):
    vm = shell_payload.start(host, directory)
    with begin(host, 'exec', 'shell', '--', 'sh', '-c', 'echo ready; sleep 1000') as process:
        read_until(process.stdout, b'ready')
        vm.methods.Kill()
        errors = process.communicate(timeout=DEADLINE)[1]
        assert process.returncode == 125 and b'hung up' in errors, errors
    vm.death()
    result = execute(host, 'true')
    assert result.returncode == 125 and b'vmctl: ' in result.stderr, result


@with_folder
def test_only_the_host_of_a_debuggable_guest_runs_commands(host, directory):
    vm = shell_payload.start(host, directory)
    result = execute(host, shell_payload.TALK, 'self', str(EXEC_PORT))
    assert result.returncode == 0 and b'taken' not in result.stdout, result
    assert len(result.stdout.splitlines()) == 2, result
    vm.methods.Kill()
    vm.death()
    vm = shell_payload.start(host, directory, debug=False)
    result = execute(host, 'true')
    assert result.returncode == 125 and b'debug_level "full"' in result.stderr, result
    assert result.stdout == b'' and len(result.stderr.splitlines()) == 1, result


@with_folder
def test_app_vms_take_commands_when_their_debug_level_is_full(host, directory):
    archive = microguest.make_archive(
        host.build, f'{directory}/payload.apk', microguest.Signer(directory),
        {'bin/payload': host.payload('app-probe-static'), 'bin/busybox': shell_payload.BUSYBOX})
    for level, instance in (('full', 'one'), ('none', 'two')):
        vm = microguest.Instance(host, archive, instance).run(debug=level, name='shell')
        vm.wait_for('PayloadReady')
        result = execute(host, 'busybox', 'cat', '/proc/self/status')
        if level == 'full':
            assert result.returncode == 0 and b'CapEff:\t000001ff' in result.stdout, result
        else:
            assert result.returncode == 125 and b'debug_level "full"' in result.stderr, result
        vm.methods.Kill()
        vm.death()


@with_folder
def test_connect_keeps_half_closed_directions(host, directory):
    shell_payload.start(host, directory)
    with begin(host, 'exec', 'shell', '--', shell_payload.TALK, 'echo', str(PORT)) as server:
        read_until(server.stdout, b'listening')
        # We end first.
        data = os.urandom(8 * MIB)
        result = vmctl(host, 'connect', 'shell', str(PORT), data=data)
        assert result.returncode == 0 and result.stderr == b'', result.stderr
        assert result.stdout == data + b'%d bytes\n' % len(data), len(result.stdout)
        # As ssh's ProxyCommand: one socket for both directions.
        ours, theirs = socket.socketpair()
        with begin(host, 'connect', 'shell', str(PORT), stdin=theirs, stdout=theirs) as proxy:
            theirs.close()
            ours.settimeout(DEADLINE)
            ours.sendall(b'SSH-2.0-nobody\r\n')
            assert ours.recv(100) == b'SSH-2.0-nobody\r\n'
            ours.shutdown(socket.SHUT_WR)
            assert ours.recv(100) == b'16 bytes\n' and ours.recv(1) == b''
            assert proxy.wait(DEADLINE) == 0
            ours.close()
            proxy.communicate()
        # The guest hangs up, while nothing is typed.
        with begin(host, 'connect', 'shell', str(PORT)) as client:
            client.stdin.write(b'x')
            read_until(client.stdout, b'x')
            end(server)
            assert client.wait(DEADLINE) == 0
            client.communicate()
    # The guest ends first, and hears the rest.
    with begin(host, 'exec', 'shell', '--', shell_payload.TALK, 'greet', str(PORT)) as server:
        read_until(server.stdout, b'listening')
        with begin(host, 'connect', 'shell', str(PORT)) as client:
            assert client.stdout.read() == b'hello\n'  # to the end
            client.stdin.write(bytes(70000))
            client.stdin.close()
            assert client.wait(DEADLINE) == 0
        assert read_until(server.stdout, b'bytes') == b'70000 bytes\n'
        assert server.wait(DEADLINE) == 0
    for port, status, word in (('80', 2, b'1024'), ('x', 2, b"'x'"), ('4294967296', 2, b'port'),
                               (str(PORT), 1, b'take the connection')):
        result = vmctl(host, 'connect', 'shell', port)
        assert result.returncode == status and word in result.stderr, (port, result)
        assert result.stdout == b'' and len(result.stderr.splitlines()) == 1, result


@with_folder
def test_logs_have_the_past_and_what_comes(host, directory):
    vm = shell_payload.start(host, directory, mode='console')
    result = vmctl(host, 'logs', 'shell')
    assert result.returncode == 0 and b'console is served' in result.stdout, result
    assert b'guest-manager: ' in result.stdout
    last = vmctl(host, 'logs', 'shell', '-n', '1').stdout
    assert len(last.splitlines()) == 1 and result.stdout.endswith(last), last
    assert vmctl(host, 'logs', 'shell', '-n0').stdout == b''
    assert vmctl(host, 'logs', 'shell', '--lines=all').stdout.startswith(result.stdout)
    guest = vmctl(host, 'logs', '--guest', 'shell')
    assert b'payload is ready' in guest.stdout and b'console is served' not in guest.stdout, guest
    assert vmctl(host, 'logs', '--vmm', 'shell').returncode == 0
    with begin(host, 'logs', '-f', '-n1', 'shell') as follower:
        with begin(host, 'console', 'shell') as typist:
            typist.stdin.write(b'followed\n')
            read_until(follower.stdout, b'typed <followed>')
            end(typist)
        vm.methods.Kill()
        follower.communicate(timeout=DEADLINE)
        assert follower.returncode == 0
    vm.death()
    result = vmctl(host, 'logs', vm.get('Id'))
    assert result.returncode == 0 and b'typed <followed>' in result.stdout, result
    result = vmctl(host, 'logs', '--guest', vm.get('Id'))
    assert result.returncode == 3 and b'dead' in result.stderr, result
    for arguments, word in ((('-n', 'x'), b"'x'"), (('--vmm', '--guest'), b'at a time')):
        result = vmctl(host, 'logs', 'shell', *arguments)
        assert result.returncode == 2 and word in result.stderr, result


def dissect(path):
    """What tshark says of a capture: a line a frame, and whether it is content."""
    lines = subprocess.run(['tshark', '-n', '-r', path, '-T', 'fields', '-e', 'frame.number', '-e',
                            'vsock.op', '-e', '_ws.malformed', '-e', 'frame.protocols'],
                           check=True, capture_output=True, text=True)
    return lines.stdout.splitlines(), 'cut short' not in lines.stderr


@with_folder
def test_captures_are_read_by_tshark(host, directory):
    vm = shell_payload.start(host, directory)
    path = f'{directory}/capture.pcap'
    with begin(host, 'capture', 'shell', '-w', path) as capture:
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) >= 24, 'its beginning')
        assert execute(host, 'cat', data=bytes(4 * MIB)).stdout == bytes(4 * MIB)
        capture.send_signal(signal.SIGINT)
        errors = capture.communicate(timeout=DEADLINE)[1]
        assert (capture.returncode, errors) == (0, b''), errors
    frames, whole = dissect(path)
    assert len(frames) > 100 and whole, frames[-3:]
    for frame in frames:
        fields = frame.split('\t')
        assert fields[2] == '' and 'vsock' in fields[3], frame
    assert os.stat(path).st_mode & 0o777 == 0o600
    # To a pipe, until the VM ends.
    with begin(host, 'capture', 'shell', '--write=-') as capture:
        head = os.read(capture.stdout.fileno(), 24)
        assert execute(host, 'true').returncode == 0
        vm.methods.Kill()
        rest = capture.communicate(timeout=DEADLINE)[0]
        assert capture.returncode == 0 and len(rest) > 100
    with open(f'{directory}/piped.pcap', 'wb') as file:
        file.write(head + rest)
    assert len(dissect(f'{directory}/piped.pcap')[0]) > 3
    vm.death()
    result = vmctl(host, 'capture', vm.get('Id'), '-w', f'{directory}/none.pcap')
    assert result.returncode == 3 and not os.path.exists(f'{directory}/none.pcap'), result
    for arguments, status, word in ((('shell',), 2, b'--write'),
                                    (('nobody', '-w', f'{directory}/none.pcap'), 4, b'nobody')):
        result = vmctl(host, 'capture', *arguments)
        assert result.returncode == status and word in result.stderr, result
        assert not os.path.exists(f'{directory}/none.pcap')


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
