#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""VMs of apps: their configuration, the operating system of the host that they run on, and what is
checked before it runs. The system is a made-up one, whose guest says what disks it sees."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from apps import App, MIB, System  # noqa: E402
from harness import Host, Suite, wait_until  # noqa: E402

OWN = 'org.virtualizationd1.Error.'


def with_app(function):
    """With a system and an app, and nothing left of any VM."""
    def run(suite):
        host = Host(suite.build)
        try:
            os.makedirs(f'{host.directory}/app')
            function(host, System(host), App(host, f'{host.directory}/app'))
            if host.daemon.poll() is None:
                host.kill_vms()
            assert not host.directories_in_use(), host.directories_in_use()
        finally:
            status, left = host.close()
            assert not left, left
            assert status == 0, status
    return run


def create(host, app, config, files=None, **options):
    opened = app.open(config) if files is None else files
    try:
        return host.create(config, {key: file.fileno() for key, file in opened.items()}, **options)
    finally:
        for file in opened.values():
            file.close()


def fd_count(host):
    return len(os.listdir(f'/proc/{host.daemon.pid}/fd'))


def refused(kind, words, function, *arguments, **options):
    try:
        result = function(*arguments, **options)
    except dbus.DBusException as problem:
        assert problem.get_dbus_name() == OWN + kind, (words, problem)
        for word in words:
            assert word in str(problem), (word, str(problem))
        return
    raise AssertionError(f'{words}: {result}')


def not_created(host, app, config, kind, *words, **options):
    before, n_vms = fd_count(host), len(host.manager().ListVms(True))
    refused(kind, words, create, host, app, config, **options)
    assert len(host.manager().ListVms(True)) == n_vms
    wait_until(lambda: fd_count(host) <= before, 'the daemon to close what it has opened')


def console_of(vm):
    return vm.output['console-out'].decode(errors='replace')


@with_app
def test_an_app_is_launched_on_its_system(host, _system, app):
    app.make_partition('storage', 'encryptedstore', MIB)
    config = app.config({'encrypted_storage': 'storage'}, name='app')
    vm = create(host, app, config)
    assert vm.get('Memory') == 128 * MIB  # the system's
    vm.start()
    record = vm.death()
    print(record, console_of(vm), vm.names(), file=sys.stderr)
    # It came up with these disks, and the raw guest's payload is on none of them.
    assert "no partition" in record['message'] or 'payload' in console_of(vm), (record,
                                                                                console_of(vm))


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
