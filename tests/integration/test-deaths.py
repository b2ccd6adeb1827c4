#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Deaths are told apart: the reason on the bus, the events before it, the record after it."""
import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite, wait_until  # noqa: E402


def run(suite, mode, debug=False, **more):
    """The events and the death record of a VM whose payload does @mode."""
    host = Host(suite.build)
    try:
        params = f'probe={mode}' + (' virtualizationd.debug=1' if debug else '')
        vm = host.create(*host.config(host.payload('probe'), params, **more))
        vm.start()
        return vm, vm.death()
    finally:
        status, left = host.close()
        assert status == 0, status
        assert not left, left


def test_poweroff_is_shutdown(suite):
    vm, record = run(suite, 'exit:0')
    assert record['reason'] == 'shutdown' and record['initiator'] == 'guest', record
    assert record['payload-exit-code'] == 0 and record['vmm-exit-code'] == 0, record
    assert vm.properties['State'] == 'dead' and vm.properties['DeathReason'] == 'shutdown'


def test_exit_code_is_told_before_the_shutdown(suite):
    vm, record = run(suite, 'exit:3')
    names = vm.names()
    assert vm.find('PayloadFinished')[1][1] == 3, vm.events
    assert names.index('PayloadStarted') < names.index('PayloadFinished') < names.index('Died')
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 3, record


def test_event_numbers_rise_by_one(suite):
    vm, _ = run(suite, 'exit:0')
    numbers = [arguments[0] for _, name, arguments in vm.events
               if name in ('PayloadStarted', 'PayloadReady', 'PayloadFinished', 'Died')]
    # 1: created, 2: starting, 3: running
    assert numbers == list(range(4, 4 + len(numbers))), numbers


def test_payload_signal_is_unknown_runtime_error(suite):
    vm, record = run(suite, 'signal:11')
    assert vm.find('Error')[1][1] == 'unknown', vm.events
    assert record['reason'] == 'unknown-runtime-error', record
    assert record['payload-signal'] == 11 and 'signal 11' in record['message'], record


def test_errors_of_the_first_stage_have_reasons_of_their_own(suite):
    for code in ('firmware-public-key-mismatch', 'firmware-instance-image-changed'):
        vm, record = run(suite, f'error:{code}', debug=True)
        assert vm.find('Error')[1][1] == code, vm.events
        assert record['reason'] == code and record['initiator'] == 'guest', record
        assert record['message'] == "the probe's word", record


def test_guest_panic_is_crash(suite):
    _, record = run(suite, 'panic', debug=True)
    assert record['reason'] == 'crash' and record['initiator'] == 'guest', record


def test_guest_reboot_is_reboot(suite):
    _, record = run(suite, 'reboot', debug=True)
    assert record['reason'] == 'reboot', record


def kill_vmm(suite, signal_number):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
        vm.start()
        vm.wait_for('PayloadReady')
        os.kill(vm.get('Pid'), signal_number)
        return vm.death()
    finally:
        _, left = host.close()
        assert not left, left


def test_vmm_ended_by_any_signal_is_killed_with_the_signal(suite):
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM):
        record = kill_vmm(suite, number)
        assert record['reason'] == 'killed' and record['initiator'] == 'host', (number, record)
        assert record['vmm-signal'] == number, (number, record)


def test_kill_is_killed_by_the_client(suite):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
        vm.start()
        vm.wait_for('PayloadReady')
        vm.methods.Kill()
        record = vm.death()
        assert record['reason'] == 'killed' and record['initiator'] == 'client', record
    finally:
        _, left = host.close()
        assert not left, left


def test_stop_asks_the_guest(suite):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
        vm.start()
        vm.wait_for('PayloadReady')
        vm.methods.Stop()
        wait_until(lambda: 'stopping' in [a[0] for _, n, a in vm.events if n == 'property:State'],
                   'the state stopping')
        record = vm.death()
        # SIGTERM ends the payload, which the guest manager reports; but that is what was asked for.
        assert record['reason'] == 'shutdown' and record['initiator'] == 'client', record
        assert record['payload-signal'] == signal.SIGTERM, record
    finally:
        _, left = host.close()
        assert not left, left


def test_guest_that_never_reports_is_hangup(suite):
    host = Host(suite.build)
    try:
        # Without an initramfs the kernel finds no root, and waits in its panic without a device
        # that could tell.
        config, files = host.config(params='panic=0', payload_timeout_ms=8000)
        del config['initrd'], files['initrd']
        vm = host.create(config, files)
        vm.start()
        record = vm.death()
        assert record['reason'] == 'hangup' and record['initiator'] == 'limit', record
        vm.wait_for('property:StartedAt')
    finally:
        _, left = host.close()
        assert not left, left


def test_vmm_that_cannot_start_is_start_failed_with_its_words(suite):
    host = Host(suite.build)
    try:
        with tempfile.NamedTemporaryFile() as kernel:
            kernel.write(b'\x7fELF' + bytes(4092))  # neither an x86 kernel nor anything else
            kernel.flush()
            config, files = host.config()
            del config['initrd'], files['initrd']
            files['kernel'] = kernel.name
            vm = host.create(config, files)
            vm.start()
            record = vm.death()
        assert record['reason'] == 'start-failed', record
        assert 'qemu-system-x86_64' in record['vmm-tail'], record
    finally:
        _, left = host.close()
        assert not left, left


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
