#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An orderly stop: its steps, their times, and what comes between."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Suite, wait_until, with_host  # noqa: E402

SECOND = 1000000  # in the unit of the bus
HOUR = 3600 * SECOND
# Before guest-manager loses its patience with a payload that is deaf, and kills it.
SHORT = SECOND // 2


def start(host, mode):
    vm = host.create(*host.config(host.payload('probe'), f'probe={mode}'), start=True)
    vm.wait_for('PayloadReady')
    return vm


def stop(vm, guest=None, acpi=None, **options):
    for name, usec in (('guest-timeout', guest), ('acpi-timeout', acpi)):
        if usec is not None:
            options[name] = dbus.UInt64(usec)
    vm.methods.StopWithOptions(dbus.Dictionary(options, signature='sv'))


def steps(vm):
    return [str(arguments[0]) for _, name, arguments in vm.events if name == 'property:StopStep']


def wait_for_step(vm, step):
    wait_until(lambda: step in steps(vm), f'the step {step!r}')


def time_of(vm, name, value):
    return next(when for when, event, arguments in vm.events
                if event == name and arguments == [value])


def killed(vm, expected_steps):
    record = vm.death()
    assert record['reason'] == 'killed' and record['initiator'] == 'client', record
    assert record['stop-step'] == 'kill', record
    assert steps(vm)[:-1] == expected_steps, steps(vm)
    assert vm.get('StopStep') == ''


def refused(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except dbus.DBusException as problem:
        return problem.get_dbus_name().rsplit('.', 1)[1], problem.get_dbus_message()
    raise AssertionError('not refused')


@with_host
def test_a_guest_that_listens_ends_at_the_first_step(host):
    vm = start(host, 'wait')
    vm.methods.Stop()
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['initiator'] == 'client', record
    assert record['stop-step'] == 'guest' and steps(vm) == ['guest', ''], (record, steps(vm))


@with_host
def test_each_step_has_its_time_and_is_seen(host):
    vm = start(host, 'deaf')
    stop(vm, SHORT, 2 * SHORT)
    killed(vm, ['guest', 'acpi', 'kill'])
    times = [time_of(vm, 'property:StopStep', step) for step in ('guest', 'acpi', 'kill')]
    # The loop may be late with an event, and not early; the first may be late itself.
    assert times[1] - times[0] > 0.6 * SHORT / SECOND, times
    assert times[2] - times[1] > 0.6 * 2 * SHORT / SECOND, times


@with_host
def test_steps_are_left_out(host):
    vm, other = start(host, 'deaf'), start(host, 'deaf')
    stop(vm, 0, SHORT)
    killed(vm, ['acpi', 'kill'])
    stop(other, SHORT, 0)
    killed(other, ['guest', 'kill'])


@with_host
def test_a_stop_begins_with_the_step_that_it_names(host):
    vm, other = start(host, 'wait'), start(host, 'wait')
    stop(vm, acpi=SHORT, mode='acpi')
    killed(vm, ['acpi', 'kill'])
    stop(other, mode='kill')
    killed(other, ['kill'])


@with_host
def test_without_a_kill_the_vm_lives_until_it_is_told_again(host):
    vm = start(host, 'wait')
    stop(vm, 0, 1, kill=False)
    wait_until(lambda: steps(vm) == ['acpi', ''], 'the end of the steps')
    assert vm.get('State') == 'stopping' and vm.get('StopStep') == '' and vm.get('Pid') > 0
    vm.methods.Stop()
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['stop-step'] == 'guest', record


@with_host
def test_a_second_stop_shortens_the_first(host):
    vm = start(host, 'deaf')
    stop(vm, HOUR, HOUR)
    wait_for_step(vm, 'guest')
    stop(vm, SHORT, SHORT)
    killed(vm, ['guest', 'acpi', 'kill'])


@with_host
def test_a_second_stop_goes_on_to_its_step(host):
    vm = start(host, 'deaf')
    stop(vm, HOUR, HOUR)
    wait_for_step(vm, 'guest')
    stop(vm, acpi=SHORT, mode='acpi')
    killed(vm, ['guest', 'acpi', 'kill'])


@with_host
def test_a_second_stop_is_never_milder(host):
    vm = start(host, 'deaf')
    stop(vm, SHORT, SHORT)
    stop(vm, HOUR, HOUR, kill=False)
    killed(vm, ['guest', 'acpi', 'kill'])


@with_host
def test_a_kill_cuts_a_stop_short(host):
    vm = start(host, 'deaf')
    stop(vm, HOUR, HOUR)
    wait_for_step(vm, 'guest')
    vm.methods.Kill()
    killed(vm, ['guest', 'kill'])


@with_host
def test_a_vm_that_starts_has_no_guest_to_ask(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    vm.start()
    stop(vm, HOUR, SHORT)
    killed(vm, ['acpi', 'kill'])


@with_host
def test_a_suspended_vm_is_resumed_to_end(host):
    vm = start(host, 'wait')
    vm.methods.Suspend()
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    stop(vm)
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['stop-step'] == 'guest', record


@with_host
def test_a_vm_that_was_not_started_is_dead_at_once(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    stop(vm, HOUR, HOUR, kill=False)
    record = vm.death()
    assert record['reason'] == 'killed' and 'stop-step' not in record, record
    assert refused(stop, vm)[0] == 'InvalidState'


@with_host
def test_options_that_are_wrong_are_refused_by_name(host):
    vm = start(host, 'wait')
    for options, words in (({'timeout': dbus.UInt64(1)}, ("'timeout'", "'guest-timeout'")),
                           ({'guest-timeout': dbus.UInt32(1)}, ("'guest-timeout'", 'type t')),
                           ({'acpi-timeout': dbus.UInt64(HOUR + 1)},
                            ("'acpi-timeout'", str(HOUR), str(HOUR + 1))),
                           ({'kill': 'no'}, ("'kill'", 'boolean')),
                           ({'mode': 'gently'}, ("'gently'", "'acpi'")),
                           ({'mode': True}, ("'mode'", 'string')),
                           ({'mode': 'kill', 'kill': False}, ("'kill'", 'false'))):
        kind, sentence = refused(stop, vm, **options)
        assert kind == 'InvalidArgs' and all(word in sentence for word in words), sentence
    assert vm.get('State') == 'ready' and steps(vm) == []
    stop(vm, HOUR, HOUR)
    assert vm.death()['reason'] == 'shutdown'


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
