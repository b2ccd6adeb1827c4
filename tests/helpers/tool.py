# SPDX-License-Identifier: Apache-2.0
"""The composite-disk tool, run as its user does, and a directory for its files."""
import json
import os
import shutil
import subprocess
import tempfile

TIMEOUT = 120


def run(*words, cwd=None, status=0, data=None, **options):
    """Runs a program of others that has to end with @status; returns what it printed."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, input=data, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT,
                          env=dict(os.environ, LC_ALL='C.UTF-8'), **options)
    assert done.returncode == status, (words, done.returncode, done.stdout[-2000:])
    return done.stdout


class Tool:
    """In a directory of its own, which goes with it."""

    def __init__(self, suite):
        self.suite = suite
        self.program = os.path.abspath(f'{suite.build}/programs/composite-disk')
        self.directory = tempfile.mkdtemp(prefix='composite-disk-')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)
        return self.path(name)

    def sparse(self, name, size):
        with open(self.path(name), 'wb') as file:
            file.truncate(size)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def names(self):
        return sorted(os.listdir(self.directory))

    def call(self, *words, **options):
        return subprocess.run([self.program, *(str(word) for word in words)], cwd=self.directory,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=TIMEOUT, **options)

    def json(self, *words, status=0):
        """What the tool says as JSON."""
        done = self.call(*words, '--json=short')
        assert done.returncode == status, (words, done)
        return json.loads(done.stdout)

    def ok(self, *words, **options):
        done = self.call(*words, **options)
        assert done.returncode == 0 and done.stderr == b'', (words, done)
        return done.stdout.decode()

    def refuses(self, sentence, *words, status=1, **options):
        """Refuses with one line that has @sentence in it, and leaves no file that was not there."""
        before = self.names()
        done = self.call(*words, **options)
        error = done.stderr.decode()
        assert done.returncode == status, (words, done)
        assert sentence in error and error.count('\n') == 1, (words, sentence, error)
        assert self.names() == before, (words, self.names())
        return done
