#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who means harm: clients with odd files and odd moments, a daemon that was taken over."""
import os
import socket
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, wait_until, with_host  # noqa: E402


@with_host
def test_endless_console_input_does_not_outweigh_an_end(host):
    config, files = host.config(host.payload('probe'), 'probe=wait')
    files['console-in'] = '/dev/urandom'
    vm = host.create(config, files, start=True)
    vm.wait_for('PayloadReady')
    vm.methods.Kill()
    assert vm.death()['reason'] == 'killed'


@with_host
def test_a_stop_that_overtakes_a_suspension_is_orderly(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    vm.wait_for('PayloadReady')
    vm.methods.get_dbus_method('Suspend')(reply_handler=lambda: None,
                                          error_handler=lambda error: None)
    vm.methods.Stop()
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['initiator'] == 'client', record


@with_host
def test_the_payloads_deadline_stands_still_with_its_vcpus(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0', payload_timeout_ms=1),
                     start=True, paused=True)
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    # Another VM's whole life is longer than the deadline.
    other = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
    assert other.death()['reason'] == 'shutdown'
    assert vm.get('State') == 'suspended'
    vm.methods.Resume()
    assert vm.death()['reason'] == 'hangup'


# --- a daemon that was taken over speaks to the launcher itself: protocol/launch-spec.h ---

NO_FD = 0xffff
ACCEPTED, REFUSED = 64, 65


def launch_spec(kernel, console_out, disk=None):
    spec = struct.pack('<IH32sIQIBBBBIIIH', 0x3150534c, 3, b'0' * 32, 2048, 128 << 20, 1, 0, 0, 1, 0,
                       0, 1, 1, 0)
    spec += struct.pack('<9H', kernel, NO_FD, NO_FD, console_out, *[NO_FD] * 5)
    if disk is None:
        return spec + struct.pack('<H', 0)
    return spec + struct.pack('<HBHHQQ', 1, 0, 1, disk, 0, 4096)


def launch(host, spec, fds):
    """The launcher's answer: its type, and its sentence."""
    memfd = os.memfd_create('spec', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(memfd, spec)
    import fcntl
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK |
                fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(60)
        connection.connect(f'{host.runtime_dir}/launcher/socket')
        socket.send_fds(connection, [struct.pack('<HII', 1, 1, len(fds))], [memfd])
        socket.send_fds(connection, [struct.pack('<HI', 2, len(fds))], fds)
        os.close(memfd)
        answer = connection.recv(8192)
    return struct.unpack('<H', answer[:2])[0], answer


@with_host
def test_root_opens_nothing_that_was_not_shown_to_be_open(host):
    with tempfile.TemporaryDirectory() as directory:
        fifo = f'{directory}/fifo'
        os.mkfifo(fifo, 0o600)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        kernel = os.open(host.image('vmlinux'), os.O_RDONLY)
        for flags in (os.O_PATH, os.O_RDONLY | os.O_NONBLOCK):
            shown = os.open(fifo, flags)
            kind, answer = launch(host, launch_spec(0, 1), [kernel, shown])
            assert kind == REFUSED and b'not open for writing' in answer, (flags, answer)
            os.close(shown)
        kind, answer = launch(host, launch_spec(0, NO_FD, disk=1), [kernel, reader])
        assert kind == REFUSED and b'wrong kind' in answer, answer
        # The same request with a file that is what it has to be is taken.
        with open(f'{directory}/out', 'wb') as output:
            kind, answer = launch(host, launch_spec(0, 1), [kernel, output.fileno()])
        assert kind == ACCEPTED, answer
        os.close(kernel)
        os.close(reader)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
