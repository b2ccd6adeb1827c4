#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""org.virtualizationd1(5) is what the interfaces say, and the check of that notices what it is there for."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402

TOP = os.path.abspath(os.environ['top_srcdir'])
VM_XML = 'dbus/org.virtualizationd1.VirtualMachine.xml'


def check(top):
    result = subprocess.run([f'{TOP}/scripts/make-api-docs', '--check', top], check=False,
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return result.returncode, result.stderr


def check_changed(path, old, new):
    """What the check says about a tree where @old is @new in the file @path."""
    with tempfile.TemporaryDirectory() as top:
        for folder in ('dbus', 'common', 'man'):
            shutil.copytree(f'{TOP}/{folder}', f'{top}/{folder}')
        assert check(top) == (0, '')
        with open(f'{top}/{path}', encoding='utf-8') as file:
            text = file.read()
        assert old in text, (path, old)
        os.chmod(f'{top}/{path}', 0o644)
        with open(f'{top}/{path}', 'w', encoding='utf-8') as file:
            file.write(text.replace(old, new, 1))
        return check(top)


def test_the_page_is_what_the_interfaces_say(_suite):
    assert check(TOP) == (0, '')


def test_a_page_of_before_is_noticed(_suite):
    for path, old, new in ((VM_XML, '. -->', ', or not. -->'),
                           (VM_XML, '<arg name="port" type="u"', '<arg name="port" type="t"'),
                           ('common/error.h', 'somebody else uses', 'another uses'),
                           ('man/org.virtualizationd1.5', 'The service is', 'A service is')):
        status, said = check_changed(path, old, new)
        assert status == 1 and 'run scripts/make-api-docs' in said, (path, old, status, said)


def test_what_lacks_a_comment_is_noticed(_suite):
    for path, old, new, words in (
            (VM_XML, '<property name="Cid"', '<property name="Odd"/><property name="Cid"',
             'property Cid'),
            (VM_XML, '<method name="Start"/>', '<method name="Start"/><method name="Explode"/>',
             'method Explode'),
            (VM_XML, '<signal name="Died">', '<signal name="Born"/><signal name="Died">',
             'signal Died'),
            ('common/error.h', '/* a living VM has that name */', '', 'ERROR_VM_EXISTS')):
        status, said = check_changed(path, old, new)
        assert status == 1 and words in said, (path, old, status, said)


def test_an_error_that_nobody_knows_is_noticed(_suite):
    status, said = check_changed(VM_XML, 'Errors: ', 'Errors: OddFile, ')
    assert status == 1 and 'OddFile' in said, (status, said)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
