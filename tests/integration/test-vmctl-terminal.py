#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmctl console and exec as a person has them: keys are typed by tmux, and the screen is read."""
import os
import shlex
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Suite, wait_until  # noqa: E402
import shell_payload  # noqa: E402
from polkit import start_polkit  # noqa: E402
from vmctl import command, with_folder, write_config  # noqa: E402

PROMPT = 'outside>'
ASK_FOR_ALL = '''
polkit.addRule(function(action, subject) {
    return polkit.Result.AUTH_ADMIN;
});
'''


class Screen:
    """A terminal of 80 columns and 24 rows with a shell in it."""

    def __init__(self, directory, name):
        self.socket = f'{directory}/{name}.tmux'
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '24',
                  f'env PS1="{PROMPT}" bash --norc --noprofile')
        self.wait_for(PROMPT)

    def tmux(self, *arguments):
        return subprocess.run(['tmux', '-S', self.socket, *arguments], check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE).stdout

    def read(self):
        """The screen, less what is blank at its end."""
        return self.tmux('capture-pane', '-p', '-J').rstrip()

    def wait_for(self, text):
        wait_until(lambda: text in self.read(), f'{text!r} on the screen:\n{self.read()}')

    def wait_for_prompt(self):
        wait_until(lambda: self.read().endswith(PROMPT), f'the prompt:\n{self.read()}')

    def keys(self, *names):
        self.tmux('send-keys', *names)

    def line(self, text):
        self.tmux('send-keys', '-l', text)
        self.keys('Enter')

    def clear(self):
        self.line('clear')
        wait_until(lambda: self.read() == PROMPT, 'an empty screen')

    def run(self, *words):
        self.line(shlex.join(words))

    def ends_with(self, status):
        """What ran last has this exit status, and the terminal is as it was."""
        self.wait_for_prompt()
        self.line('echo "status $?, $(stty -a | grep -c -- -icanon) raw"')
        # Not just anywhere: what said it before may still be on the screen.
        wait_until(lambda: self.read().endswith(' raw\n' + PROMPT), f'the status:\n{self.read()}')
        said = [line for line in self.read().splitlines() if line.startswith('status ')][-1]
        assert said == f'status {status}, 0 raw', self.read()

    def resize(self, columns, rows):
        self.tmux('resize-window', '-x', str(columns), '-y', str(rows))

    def close(self):
        self.tmux('kill-server')


def with_screen(mode):
    """Makes tests of functions that take a host, its VM "shell" and a screen."""
    def decorator(function):
        @with_folder
        def run(host, directory):
            vm = shell_payload.start(host, directory, mode=mode)
            screen = Screen(directory, 'screen')
            try:
                function(host, vm, screen)
            finally:
                screen.close()
        return run
    return decorator


def read_until(stream, word):
    seen = b''
    while word not in seen:
        part = os.read(stream.fileno(), 4096)
        assert part, seen
        seen += part


def find(host, verb):
    """The process that is this verb of vmctl."""
    found = []

    def is_there():
        found[:] = [int(pid) for pid in os.listdir('/proc') if pid.isdigit() and is_it(pid)]
        return len(found) == 1

    def is_it(pid):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                words = file.read().split(b'\0')
        except OSError:
            return False
        return words[0].endswith(b'/vmctl') and verb.encode() in words and \
            f'--bus={host.address}'.encode() in words
    wait_until(is_there, f'vmctl {verb}')
    return found[0]


@with_screen('wait')
def test_exec_gives_the_command_a_terminal(host, _vm, screen):
    screen.run(*command(host, 'exec', 'shell', '--', 'sh', '-c', 'PS1="in> " exec sh -i'))
    screen.wait_for('in> ')
    screen.line('tty; stty size; echo $TERM')
    screen.wait_for('/dev/pts/0\n24 80\n')
    screen.resize(100, 30)
    wait_until(lambda: screen.line('stty size') or '\n30 100\n' in screen.read(), 'the new size')
    # The shell has a handler of its own, as long as it reads a line.
    screen.line('sh -c \'trap "stty size; exit" WINCH; echo armed; while :; do sleep 0.1; done\'')
    screen.wait_for('\narmed')
    screen.resize(90, 20)
    screen.wait_for('\n20 90\nin>')
    # Keys that would be signals here are the command's.
    screen.line('sleep 1000')
    screen.keys('C-c')
    screen.line('echo interrupted $?')
    screen.wait_for('interrupted 130')
    screen.line('cat')
    screen.line('echoed')
    screen.wait_for('echoed\nechoed')
    screen.keys('C-d')
    screen.line('stty -echo; echo "no-"echo; exit 5')
    screen.wait_for('no-echo')
    screen.ends_with(5)


@with_screen('wait')
def test_exec_gives_back_the_terminal_however_it_ends(host, _vm, screen):
    forever = ('sh', '-c', 'trap "" HUP INT TERM; echo running; while :; do sleep 1; done')
    for options, keys in (((), ('C-]', 'C-]', 'C-]')), (('--escape=^a',), ('C-a',))):
        screen.run(*command(host, 'exec', *options, 'shell', '--', *forever))
        screen.wait_for('\nrunning')
        screen.keys(*keys)
        screen.ends_with(128 + signal.SIGHUP)
        screen.clear()
    # From outside, once the command heeds it.
    screen.run(*command(host, 'exec', 'shell', '--', 'sleep', '1000'))
    pid = find(host, 'exec')
    wait_until(lambda: b'sleep\n' in subprocess.run(
        command(host, 'exec', 'shell', '--', 'ps', '-o', 'comm'), stdin=subprocess.DEVNULL,
        capture_output=True, check=True).stdout, 'the command')
    os.kill(pid, signal.SIGTERM)
    screen.ends_with(128 + signal.SIGTERM)
    screen.clear()
    # Whoever reads its output goes.
    screen.run('bash', '-c', shlex.join(command(host, 'exec', 'shell', '--', 'yes')) + ' | head -n1')
    screen.wait_for('\ny')
    screen.ends_with(0)
    screen.clear()
    # The shell has it while we are stopped.
    screen.run(*command(host, 'exec', 'shell', '--', 'cat'))
    pid = find(host, 'exec')
    screen.line('before')
    screen.wait_for('before\nbefore')
    os.kill(pid, signal.SIGTSTP)
    screen.ends_with(128 + signal.SIGSTOP)
    screen.line('fg')
    screen.line('after')
    screen.wait_for('after\nafter')
    screen.keys('C-d')
    screen.ends_with(0)


@with_screen('wait')
def test_output_that_goes_elsewhere_is_no_terminal(host, _vm, screen):
    script = 'test -t 0 && test ! -t 1 && test -t 2 && echo apart'
    screen.line(shlex.join(command(host, 'exec', 'shell', '--', 'sh', '-c', script)) + ' | od -c')
    screen.wait_for('0000000   a   p   a   r   t  \\n')
    screen.ends_with(0)


@with_screen('console')
def test_console_has_the_past_and_types(host, vm, screen):
    screen.run(*command(host, 'console', 'shell'))
    screen.wait_for('console is served')
    screen.wait_for('Ctrl+] three times within a second leaves it')
    screen.line('hello')
    screen.wait_for('typed <hello>')
    # Another one is refused, reads along, and takes over.
    result = subprocess.run(command(host, 'console', 'shell'), stdin=subprocess.DEVNULL,
                            capture_output=True, check=False, timeout=DEADLINE)
    assert result.returncode == 3 and b'--force' in result.stderr, result
    assert result.stdout == b'' and len(result.stderr.splitlines()) == 1, result
    with subprocess.Popen(command(host, 'console', '--read-only', 'shell'),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as reader:
        screen.line('again')
        read_until(reader.stdout, b'typed <again>')
        reader.terminate()
    with subprocess.Popen(command(host, 'console', '-f', 'shell'), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as heir:
        screen.ends_with(0)  # its stream has ended
        heir.stdin.write(b'mine\n')
        heir.stdin.flush()
        read_until(heir.stdout, b'typed <mine>')
        heir.kill()
    vm.methods.Kill()


@with_screen('console')
def test_console_gives_back_the_terminal_however_it_ends(host, vm, screen):
    for options, keys in (((), ('C-]', 'C-]', 'C-]')), (('--escape=~',), ('~',)),
                          (('--read-only',), ('C-]', 'C-]', 'C-]'))):
        screen.run(*command(host, 'console', *options, 'shell'))
        screen.wait_for('console is served')
        screen.keys(*keys)
        screen.ends_with(0)
        screen.clear()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        screen.run(*command(host, 'console', 'shell'))
        screen.wait_for('console is served')
        os.kill(find(host, 'console'), number)
        screen.ends_with(128 + number)
        screen.clear()
    screen.run(*command(host, 'console', '--read-only', 'shell'))
    screen.wait_for('console is served')
    screen.keys('C-c')
    screen.ends_with(128 + signal.SIGINT)
    screen.clear()
    screen.run(*command(host, 'console', 'shell'))
    screen.wait_for('console is served')
    vm.methods.Kill()
    screen.ends_with(0)


@with_screen('console')
def test_logs_do_not_drive_a_terminal(host, _vm, screen):
    with subprocess.Popen(command(host, 'console', 'shell'), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as typist:
        typist.stdin.write(b'\x1b]0;title\x07\n')
        typist.stdin.flush()
        read_until(typist.stdout, b'typed <')
        typist.kill()
    screen.run(*command(host, 'logs', 'shell', '-n', '1'))
    screen.wait_for('typed <')
    assert '\\x1b]0;title\\x07' in screen.read(), screen.read()
    screen.ends_with(0)


@with_folder
def test_who_needs_a_password_is_asked_for_it(host, directory):
    polkit = start_polkit(host, ASK_FOR_ALL)
    screen = Screen(directory, 'screen')
    try:
        vm = host.create({'kernel': 'kernel'}, {'kernel': host.image('vmlinux')}, lifetime='detached')
        stranger = ['env', f'DBUS_SYSTEM_BUS_ADDRESS={host.address}', 'setpriv', '--reuid=nobody',
                    '--regid=nogroup', '--clear-groups', f'{host.build}/programs/vmctl']
        words = [*stranger, 'logs', vm.path.rsplit('/', 1)[1]]
        screen.run(*words, '--no-ask-password')
        screen.ends_with(5)
        assert 'Password' not in screen.read() and 'org.virtualizationd1.debug' in screen.read()
        screen.clear()
        screen.run(*words)
        screen.wait_for('AUTHENTICATING FOR org.virtualizationd1.debug')
        screen.wait_for('Password:')
        screen.line('it is not this')
        screen.wait_for('AUTHENTICATION FAILED')
        screen.ends_with(5)
        assert 'polkit does not grant it' in screen.read(), screen.read()
        screen.clear()
        os.chmod(directory, 0o755)
        screen.run(*stranger, 'run', write_config(host, directory))  # which has its signals blocked
        screen.wait_for('Password:')
        screen.line('nor this')
        screen.ends_with(125)
        assert 'org.virtualizationd1.create-custom: polkit does not' in screen.read(), screen.read()
        # Without a terminal there is nobody to ask.
        result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=DEADLINE, check=False)
        assert result.returncode == 5 and result.stdout == b'', result
    finally:
        screen.close()
        polkit.kill()
        polkit.wait()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
