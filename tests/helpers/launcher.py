# SPDX-License-Identifier: Apache-2.0
"""The launcher, spoken to as the daemon speaks to it, or one that was taken over:
protocol/launch-spec.h, protocol/supervisor-message.h."""
import fcntl
import os
import socket
import struct

MAGIC, SPEC_VERSION = 0x3150534c, 4
NO_FD = 0xffff
PROTOCOL_VERSION = 1
LAUNCH, FILES, KILL = 1, 2, 4
ACCEPTED, REFUSED, RUNNING, EVENT, DIED = 64, 65, 66, 67, 68
BY_CLIENT = 3
MESSAGE_SIZE_MAX = 65536
AUTO, TCG = 0, 2


def launch_spec(kernel=0, initrd=NO_FD, console_out=NO_FD, payload_out=NO_FD, disk=None, params=b'',
                cid=2048, accelerator=AUTO, paused=False, instance_id=None):
    """A machine of 128 MiB and one processor, whose files are indexes of descriptors; @disk: the
    index and the size of its one image, which is read-only."""
    spec = struct.pack('<IH32sIQIBBBBB', MAGIC, SPEC_VERSION, b'0' * 32, cid, 128 << 20, 1,
                       accelerator, 0, paused, 0, instance_id is not None)
    spec += (instance_id or b'') + struct.pack('<IIIH', 0, 1, 1, len(params)) + params
    spec += struct.pack('<9H', kernel, initrd, NO_FD, console_out, NO_FD, NO_FD, payload_out,
                        NO_FD, NO_FD)
    if disk is None:
        return spec + struct.pack('<H', 0)
    return spec + struct.pack('<HBHHQQ', 1, 0, 1, disk[0], 0, disk[1])


class Launch:
    """One launch and its supervisor, which ends some time after the connection."""

    def __init__(self, host, spec, fds, version=PROTOCOL_VERSION):
        memfd = os.memfd_create('spec', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(memfd, spec)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK |
                    fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(120)
        self.connection.connect(f'{host.runtime_dir}/launcher/socket')
        socket.send_fds(self.connection, [struct.pack('<HII', LAUNCH, version, len(fds))], [memfd])
        socket.send_fds(self.connection, [struct.pack('<HI', FILES, len(fds))], fds)
        os.close(memfd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def receive(self):
        """The next message: its type, and the whole of it. (0, b'') after the last."""
        message = self.connection.recv(MESSAGE_SIZE_MAX)
        return (struct.unpack('<H', message[:2])[0] if message else 0), message

    def wait_for(self, kind):
        while True:
            found, message = self.receive()
            if found == kind:
                return message
            if found in (0, REFUSED, DIED):
                raise RuntimeError(f'launch ended with {message[:300]}')

    def kill(self):
        self.connection.send(struct.pack('<HI', KILL, BY_CLIENT))
        self.wait_for(DIED)
