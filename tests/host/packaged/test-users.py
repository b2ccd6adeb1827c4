#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what on a host: ordinary users by polkit, and the daemon's user, taken over, by what the
launcher checks."""
import os
import pty
import re
import select
import sys
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import (DEADLINE, NAME, UID_COUNT, UID_MIN, Suite, processes, vm_processes,  # noqa: E402
                     wait_until)
from system_host import (UNIT, SystemHost, as_user, command_of, launcher_units, make_user, output,  # noqa: E402
                         polkit_rule, supervisor_of, unit_of)

RULE = '''polkit.addRule(function(action, subject) {
    if (action.id == "org.virtualizationd1.%s" && subject.user == "alice")
        return polkit.Result.YES;
});
'''
VM_INTERFACE = 'org.virtualizationd1.VirtualMachine'


def with_host(function):
    def run(suite):
        for name in ('alice', 'bob'):
            make_user(name)
        host = SystemHost(suite.build)
        try:
            function(host)
        finally:
            host.close()
        assert not vm_processes(), vm_processes()
    return run


def call(user, path, method, *arguments):
    """By gdbus, as busctl says "Access denied" and nothing else."""
    return as_user(user, 'gdbus', 'call', '--system', f'--dest={NAME}', f'--object-path={path}',
                   f'--method={VM_INTERFACE}.{method}', *arguments)


@with_host
def test_polkit_says_no_and_the_message_says_to_what(host):
    path = host.write_config('exit', host.payload('probe'), 'probe=exit:7')
    status, text = as_user('alice', 'vmctl', 'run', path)
    assert status not in (0, 7) and 'org.virtualizationd1.create-custom' in text, (status, text)


@with_host
def test_polkit_says_yes_and_an_ordinary_user_runs_a_vm(host):
    path = host.write_config('exit', host.payload('probe'), 'probe=exit:7')
    with polkit_rule(RULE % 'create-custom'):
        status, text = as_user('alice', 'vmctl', 'run', path)
        assert status == 7, (status, text)
        status, text = as_user('bob', 'vmctl', 'run', path)
        assert status not in (0, 7) and 'create-custom' in text, (status, text)


@with_host
def test_of_another_s_vm_a_user_sees_what_is_public_and_no_more(host):
    path = host.write_config('wait', host.payload('probe'), 'probe=wait')
    with polkit_rule(RULE % 'create-custom'):
        status, text = as_user('alice', 'vmctl', 'run', '--detach', '--name=hers', path)
        assert status == 0, text
        vm, = [vm[0] for vm in host.manager().ListVms(False)]
        status, text = as_user('bob', 'vmctl', 'list')
        assert status == 0 and 'hers' in text, text
        for method in (['Stop'], ['Kill'], ['Suspend'], ['GetConfig'], ['GetDeathRecord'],
                       ['ConnectVsock', '80'], ['OpenConsole', 'read'], ['OpenLog', 'guest']):
            status, text = call('bob', vm, *method)
            assert status != 0 and re.search('org.virtualizationd1.(manage-others|debug)', text), \
                (method, status, text)
    with polkit_rule(RULE.replace('alice', 'bob') % 'manage-others'):
        status, text = call('bob', vm, 'Kill')
        assert status == 0, text


# In the user's home: makes an app of a folder, and runs an instance of it twice.
APP = """
cd "$(mktemp -d -p "$HOME")"
mkdir -p app/bin
cp "$1" app/bin/greet
vmctl create-payload app -o app.apk
vmctl run-app app.apk --work-dir=instance
vmctl run-app app.apk --work-dir=instance
"""


@with_host
def test_an_app_runs_for_root_and_for_an_ordinary_user(host):
    greet = host.payload('greet')
    status, text = as_user('alice', 'sh', '-ec', APP, 'sh', greet)
    assert status != 0 and 'org.virtualizationd1.create' in text, (status, text)
    output('systemctl', 'stop', UNIT)
    begun = time.monotonic()
    status, text = as_user('root', 'sh', '-ec', APP, 'sh', greet)
    print(f'# an app made, and run twice, the first with no daemon: {time.monotonic() - begun:.1f} s')
    assert status == 0, text
    with polkit_rule(RULE % 'create'):
        status, text = as_user('alice', 'sh', '-ec', APP, 'sh', greet)
    assert status == 0, text


def on_terminal(command, answer):
    """(exit status, what the screen had) of a command that asks for a password and gets @answer."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    text, end, answered = b'', time.monotonic() + DEADLINE, False
    try:
        while True:
            assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], text
            text += os.read(fd, 4096)
            if b'Password:' in text and not answered:
                answered = True
                os.write(fd, answer.encode() + b'\n')
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(fd)  # which hangs up on a command that is still there
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode(errors='replace')


@with_host
def test_a_password_gives_the_right(host):
    output('sh', '-c', 'echo alice:it-is-this | chpasswd')
    vm = host.create_waiting()
    kill = command_of('alice', 'vmctl', 'kill', vm.get('Id'))
    with polkit_rule(RULE.replace('Result.YES', 'Result.AUTH_SELF') % 'manage-others'):
        status, text = on_terminal(kill, 'it-is-not-this')
        assert status == 5 and 'AUTHENTICATION FAILED' in text, (status, text)
        assert vm.get('State') == 'ready', vm.get('State')
        status, text = on_terminal(kill, 'it-is-this')
        assert status == 0 and 'AUTHENTICATION COMPLETE' in text, (status, text)
    assert vm.get('State') == 'dead', vm.get('State')


# What the daemon's user, whose program somebody else's may be, tries as itself.
TAKEN_OVER = r'''
import os, socket, subprocess, sys
sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
from launcher import ACCEPTED, REFUSED, RUNNING, Launch, launch_spec

class Host:
    runtime_dir = '/run/virtualizationd'

image = os.environ['top_builddir'] + '/guest-image/'
supervisor, unit = int(sys.argv[1]), sys.argv[2]

def report(what, good):
    print('ok' if good else 'NOT', what, flush=True)

def raises(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return True
    return False

def fails(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode != 0

def refused(spec, *fds):
    with Launch(Host, spec, list(fds)) as launch:
        return launch.receive()[0] in (REFUSED, 0)

kernel = os.open(image + 'vmlinux', os.O_RDONLY)
initrd = os.open(image + 'initramfs', os.O_RDONLY)
with Launch(Host, launch_spec(initrd=1, paused=True), [kernel, initrd]) as launch:
    launch.wait_for(RUNNING)
    report('may have a VM started', True)
    launch.kill()

# Files that it cannot read are not opened for it.
shadow = os.open('/etc/shadow', os.O_PATH)
report('a file that it cannot read, as a kernel', refused(launch_spec(), shadow))
report('the same as a disk', refused(launch_spec(disk=(1, 512)), kernel, shadow))
report('a directory as a kernel', refused(launch_spec(), os.open('/etc', os.O_RDONLY)))
report('a device as a kernel', refused(launch_spec(), os.open('/dev/zero', os.O_RDONLY)))
report('a file that is not there', refused(launch_spec(kernel=7), kernel))
report('a file to write to that is open for reading',
       refused(launch_spec(console_out=1), kernel, initrd))
report('a spec of another kind', refused(b'/usr/bin/id\0' * 8, kernel))
report('a spec that is cut', refused(launch_spec()[:-3], kernel))
report('a spec with more behind it', refused(launch_spec() + b'--vmm-prefix=/tmp', kernel))
for path in ('/run/virtualizationd', '/run/virtualizationd/launcher', '/var/cache/virtualizationd',
             '/var/cache/virtualizationd/template/policy', '/etc', '/usr/libexec/virtualizationd',
             '/run/virtualizationd-uids', '/var/lib/virtualizationd-launcher', '/run/systemd/system',
             '/var/lib/virtualizationd'):
    report('writes to ' + path, raises(open, path + '/mine', 'w'))
for path in ('/run/virtualizationd/launcher/socket',
             '/var/cache/virtualizationd/template'):
    report('replaces ' + path, raises(os.rename, path, path + '.old'))
report('reads the host secret', raises(open, '/var/lib/virtualizationd-launcher/host-secret'))
report('reads /etc/shadow', raises(open, '/etc/shadow'))
report('signals a supervisor', raises(os.kill, supervisor, 9))
report('looks into a supervisor', raises(open, '/proc/%d/mem' % supervisor))
report('starts a unit', fails('systemctl', '--no-ask-password', 'start', 'emergency.target'))
report('starts a launcher unit of its own', fails(
    'systemctl', '--no-ask-password', 'start', 'virtualizationd-vm@mine.service'))
report('stops a unit', fails('systemctl', '--no-ask-password', 'stop', 'systemd-journald.service'))
report('stops a launcher by its unit', fails('systemctl', '--no-ask-password', 'stop', unit))
report('runs a unit of its own', fails('systemd-run', '--no-ask-password', '--wait', 'true'))
report('becomes root', raises(os.setuid, 0))
'''


@with_host
def test_the_daemon_s_user_can_start_vms_and_nothing_else(host):
    vm = host.create_waiting()
    script = f'{host.directory}/taken-over.py'
    with open(script, 'w', encoding='ascii') as file:
        file.write(TAKEN_OVER)
    os.chmod(script, 0o644)
    status, text = as_user('virtualizationd', 'python3', '-B', script,
                           str(supervisor_of(vm)), unit_of(vm.get('Pid')))
    print('# ' + text.strip().replace('\n', '\n# '))
    assert status == 0 and 'NOT' not in text and text.count('ok ') >= 30, (status, text)
    assert vm.get('State') == 'ready', vm.get('State')


@with_host
def test_nobody_else_may_have_a_launcher(host):
    for user in ('alice', 'nobody'):
        status, text = as_user(
            'alice', 'python3', '-c', 'import socket; socket.socket(socket.AF_UNIX, '
            'socket.SOCK_SEQPACKET).connect("/run/virtualizationd/launcher/socket")')
        assert status == 1 and 'Permission denied' in text, (user, status, text)


@with_host
def test_a_vm_has_a_uid_of_the_range(host):
    vms = [host.create(*host.config(), start=True, paused=True, lifetime='detached')
           for _ in range(2)]
    for vm in vms:
        wait_until(lambda vm=vm: vm.get('State') == 'suspended', 'the VMM to stand still')
    uids = [processes()[int(vm.get('Pid'))][0] for vm in vms]
    assert len(set(uids)) == 2 and all(UID_MIN <= uid < UID_MIN + UID_COUNT for uid in uids), uids
    assert len(launcher_units()) == 2, launcher_units()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
