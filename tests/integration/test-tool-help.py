#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tool's help, manual page and completion tell of the same verbs and options."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

TOP = os.path.abspath(os.environ['top_srcdir'])
PAGE = f'{TOP}/man/composite-disk.1'
COMPLETION = f'{TOP}/composite-disk/completion/composite-disk'


def verbs_of(tool):
    text = tool.ok('--help').split('Verbs:\n')[1].split('\n\n')[0]
    verbs = [re.match(r'  (\S+(?: \S+)?)  ', line).group(1) for line in text.splitlines()]
    assert len(verbs) > 10
    return verbs


def options_of(tool, verb):
    return set(re.findall(r'^  .{3} (--[a-z0-9-]+)', tool.ok(*verb.split(), '--help'), re.M))


def complete(tool, *words):
    """What bash offers for the last of the words."""
    script = f'''source {COMPLETION}
        PATH={os.path.dirname(tool.program)}:$PATH
        compopt() {{ :; }}
        COMP_WORDS=(composite-disk "$@"); COMP_CWORD=$#
        _composite_disk; printf '%s\\n' "${{COMPREPLY[@]}}"'''
    return set(run('bash', '-c', script, 'bash', *words, cwd=tool.directory).decode().split())


def render():
    """The page as a terminal shows it, without words that are cut."""
    done = subprocess.run(['man', '-l', '--nh', '--nj', '--warnings', PAGE], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL='C', MANWIDTH='160', MAN_KEEP_FORMATTING=''))
    assert done.stderr == b'', done.stderr
    return run('col', '-b', data=done.stdout).decode()


def test_every_verb_and_option_is_in_the_manual_page(suite):
    with Tool(suite) as tool:
        verbs = verbs_of(tool)
        heading = re.compile(rf'^ {{7}}({"|".join(verbs)}) ', re.M)
        parts = heading.split(render().split('COMMON OPTIONS')[0])
        sections = dict(zip(parts[1::2], parts[2::2]))
        assert set(sections) == set(verbs), set(verbs) ^ set(sections)
        for verb in verbs:
            for option in options_of(tool, verb) - {'--json', '--help', '--version'}:
                assert re.search(rf'{option}\b', sections[verb]), (verb, option, sections[verb])


def test_bash_completes_every_verb_and_option(suite):
    with Tool(suite) as tool:
        verbs = verbs_of(tool)
        assert complete(tool, '') >= {verb.split()[0] for verb in verbs}
        assert complete(tool, 'inf') == {'info'}
        for verb in verbs:
            words = verb.split()
            if len(words) == 2:
                assert words[1] in complete(tool, words[0], '')
            offered = {word.rstrip('=') for word in complete(tool, *words, '--')}
            assert offered == options_of(tool, verb), (verb, offered ^ options_of(tool, verb))
        tool.write('part.img', bytes(4096))
        tool.ok('create', '-o', 'd.img', 'first=part.img', 'second=part.img')
        assert complete(tool, 'extract', 'd.img', '') == {'first', 'second'}
        assert complete(tool, 'info', 'd.i') == {'d.img'}


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
