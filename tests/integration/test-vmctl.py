#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmctl as an administrator runs it: what it prints, and how it exits."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Suite, wait_until  # noqa: E402
from vmctl import command, run as vmctl, with_folder, write_config  # noqa: E402


@with_folder
def test_run_prints_the_output_and_exits_with_the_payloads_code(host, directory):
    result = vmctl(host, 'run', write_config(host, directory, 'answer:42'))
    assert (result.returncode, result.stdout) == (0, b'answer 42\n'), result
    result = vmctl(host, 'run', write_config(host, directory, 'exit:3'))
    assert (result.returncode, result.stdout) == (3, b''), result


@with_folder
def test_run_tells_a_payloads_signal(host, directory):
    result = vmctl(host, 'run', write_config(host, directory, 'signal:11'))
    assert result.returncode == 128 + signal.SIGSEGV, result
    assert b'signal 11' in result.stderr, result


@with_folder
def test_run_passes_more_files_than_a_message_takes(host, directory):
    path = write_config(host, directory, 'exit:7')
    with open(path, encoding='utf-8') as file:
        config = json.load(file)
    for number in range(20):
        with open(f'{directory}/part-{number}', 'wb') as part:
            part.write(b'%d' % number * 100)
        # Beside the file, as a person would name them.
        config['disks'][0]['partitions'].append({'label': f'part-{number}',
                                                 'path': f'part-{number}'})
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(config, file)
    result = vmctl(host, 'run', path)
    assert result.returncode == 7, result


@with_folder
def test_refusals_name_the_value(host, directory):
    path = write_config(host, directory, 'exit', changes={'colour': 'red'})
    result = vmctl(host, 'run', path)
    assert result.returncode == 125 and b'/colour' in result.stderr, result
    path = write_config(host, directory, 'exit')
    with open(path, encoding='utf-8') as file:
        text = file.read().replace('vmlinux', 'no-such-file')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    result = vmctl(host, 'run', path)
    assert result.returncode == 125 and b'no-such-file' in result.stderr, result
    for arguments, status, words in ((('stop', 'nobody'), 4, b'nobody'),
                                     (('lst',), 2, b'list'), (('--colour',), 2, b'--colour'),
                                     (('stop',), 2, b'stop')):
        result = vmctl(host, *arguments)
        assert result.returncode == status and words in result.stderr, (arguments, result)
        assert result.stdout == b'' and b'Traceback' not in result.stderr, result


@with_folder
def test_detached_vm_is_listed_watched_and_ended(host, directory):
    events = subprocess.Popen(command(host, '--json=short', 'events'), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE)
    os.set_blocking(events.stdout.fileno(), False)
    seen = b''

    def sees(word):
        nonlocal seen
        seen += events.stdout.read() or b''
        return word in seen
    try:
        # It watches once it sees what this makes happen.
        wait_until(lambda: (host.create(*host.config()).methods.Kill() or True) and sees(b'dead'),
                   'the first event')
        result = vmctl(host, 'run', '-d', write_config(host, directory, 'wait', name='long'))
        assert result.returncode == 0, result
        identity = result.stdout.decode().strip()
        wait_until(lambda: sees(b'ready'), f'readiness: {seen!r}')
        listed = json.loads(vmctl(host, '--json=short', 'list').stdout)
        assert [vm['name'] for vm in listed] == ['long'] and listed[0]['id'] == identity, listed
        assert identity in vmctl(host, 'list').stdout.decode()
        result = vmctl(host, 'run', '-d', write_config(host, directory, 'wait', name='long'))
        assert result.returncode == 6 and b"'long'" in result.stderr, result
        assert vmctl(host, 'stop', 'long').returncode == 0
        wait_until(lambda: not json.loads(vmctl(host, '--json=short', 'list').stdout), 'the end')
        result = vmctl(host, 'kill', identity)
        assert result.returncode == 3, result
        for line in seen.splitlines():
            json.loads(line)
    finally:
        events.terminate()
        events.wait()
        events.stdout.close()


@with_folder
def test_interrupt_stops_and_a_second_one_kills(host, directory):
    run = subprocess.Popen(command(host, 'run', write_config(host, directory, 'wait')),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    try:
        wait_until(lambda: [vm for vm in host.manager().ListVms(False) if vm[3] == 'ready'],
                   'the VM')
        run.send_signal(signal.SIGINT)
        run.wait(DEADLINE)
        # SIGTERM ended the payload.
        assert run.returncode == 128 + signal.SIGTERM, (run.returncode, run.stderr.read())
    finally:
        run.kill()
        run.communicate()


@with_folder
def test_a_closed_standard_output_is_nobody_elses(host, directory):
    path = write_config(host, directory, 'answer:42')
    result = subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', *command(host, 'run', path)],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=DEADLINE,
                            check=False)
    assert result.returncode == 125 and b'payload-out' in result.stderr, result


@with_folder
def test_info_tells_what_the_host_can(host, _directory):
    capabilities = json.loads(vmctl(host, '--json=short', 'info').stdout)
    assert capabilities['accelerator'] in ('kvm', 'tcg') and capabilities['accelerator-reason']
    assert b'accelerator' in vmctl(host, 'info').stdout


@with_folder
def test_a_run_goes_on_when_the_daemon_is_started_anew(host, directory):
    run = subprocess.Popen(command(host, 'run', write_config(host, directory, 'wait')),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    try:
        wait_until(lambda: [vm for vm in host.manager().ListVms(False) if vm[3] == 'ready'],
                   'the VM')
        host.daemon.kill()
        host.daemon.wait()
        host.start_daemon()
        assert run.poll() is None
        assert vmctl(host, 'stop', 'test').returncode == 0
        errors = run.communicate(timeout=DEADLINE)[1]
        assert run.returncode == 128 + signal.SIGTERM, (run.returncode, errors)
    finally:
        run.kill()
        run.communicate()


@with_folder
def test_without_a_daemon_it_says_so(host, _directory):
    host.stop_daemon()
    result = vmctl(host, 'list')
    assert result.returncode == 69 and b'vmctl: ' in result.stderr, result
    result = subprocess.run([f'{host.build}/programs/vmctl', '--bus=unix:path=/nonexistent',
                             'list'], capture_output=True, check=False)
    assert result.returncode == 69, result


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
