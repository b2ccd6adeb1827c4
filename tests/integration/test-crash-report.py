#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a guest sends of its payload's crash is in the death record, bounded and harmless."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import vmctl  # noqa: E402
from harness import Suite, wait_until, with_host  # noqa: E402

# tests/payloads/probe.c writes this again and again; the other is what becomes of it.
LINE = b'frame \x1b[31m in \xc3\xa4\\b\xff \x9b\x07\r\n'
ESCAPED = b'frame \\x1b[31m in \xc3\xa4\\x5cb\\xff \\x9b\\x07\n'
MAX = 32768  # protocol/guest-message.h


def escaped_report(size):
    """The text of a report of @size bytes, a multiple of a line's, and how many were too many."""
    lines = min(size // len(LINE), MAX // len(ESCAPED))
    assert size % len(LINE) == 0 or lines < size // len(LINE)
    text, taken = ESCAPED * lines, lines * len(LINE)
    # And of the line that does not fit what does: the pieces are the characters and escapes.
    pieces = [(b'%c' % byte, 1) for byte in b'frame '] + [(b'\\x1b', 1)] + \
        [(b'%c' % byte, 1) for byte in b'[31m in '] + [(b'\xc3\xa4', 2), (b'\\x5c', 1)]
    for piece, length in pieces:
        if taken == size or len(text) + len(piece) > MAX:
            break
        text += piece
        taken += length
    return text.decode(), size - taken


def mode(size):
    return f'probe=crash:{size} virtualizationd.debug=1'  # it dials by itself


def kill_daemon(host):
    host.daemon.kill()
    host.daemon.wait()


@with_host
def test_report_is_in_the_record_escaped(host):
    vm = host.create(*host.config(host.payload('probe'), mode(10 * len(LINE))),
                     start=True)
    record = vm.death()
    assert vm.wait_for_output_end().endswith(b'the host has it: yes\n'), vm.output
    assert record['payload-signal'] == signal.SIGSEGV, record
    assert record['crash-report'] == (10 * ESCAPED).decode(), record
    assert 'crash-report-dropped' not in record, record


@with_host
def test_of_a_large_report_the_first_part_is_kept_over_daemons(host):
    text, dropped = escaped_report(40960)
    assert MAX - 4 < len(text.encode()) <= MAX and dropped > 40960 - MAX
    vm = host.create(*host.config(host.payload('probe'), mode(40960)), start=True,
                     lifetime='detached')
    record = vm.death()
    assert record['crash-report'] == text, record['crash-report'][-200:]
    assert record['crash-report-dropped'] == dropped, record['crash-report-dropped']
    for _ in range(2):  # told, and read from the file that the first of them has found
        kill_daemon(host)
        host.start_daemon()
        assert {str(key): value for key, value in vm.methods.GetDeathRecord().items()} == record


@with_host
def test_report_that_no_daemon_saw_waits_for_the_next(host):
    vm = host.create(*host.config(host.payload('probe'), mode(40960)), start=True,
                     paused=True, lifetime='detached')
    wait_until(lambda: vm.get('State') == 'suspended', 'the VMM to stand still')
    vmm = int(vm.get('Pid'))
    vm.methods.Resume()
    kill_daemon(host)
    # All that is left of the VM then is the supervisor, which has the record.
    wait_until(lambda: vmm not in host.vm_processes(), 'the end of the VMM')
    host.start_daemon()
    record = vm.death()
    assert (record['crash-report'], record['crash-report-dropped']) == escaped_report(40960)


@with_host
def test_vmctl_shows_the_report(host):
    config, files = host.config(host.payload('probe'), mode(40960), name='crashes')
    for key in ('kernel', 'initrd'):
        config[key] = files[key]
    config['disks'][0]['partitions'][0]['path'] = files['payload']
    path = f'{host.directory}/crashes.json'
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(config, file)
    result = vmctl.run(host, 'run', path)
    text, dropped = escaped_report(40960)
    assert result.returncode == 128 + signal.SIGSEGV, result
    said = result.stderr.decode()
    assert f"vmctl: the payload's crash report:\n{text}\n" in said, said
    assert f"vmctl: {dropped} bytes of the payload's crash report were too many\n" in said, said


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
