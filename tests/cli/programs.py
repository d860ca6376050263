# SPDX-License-Identifier: BSD-3-Clause
"""The programs under test and how to run them.

RINGWAY_BUILD names the build directory, <repository>/build by default.
"""

import os
import pwd
import re
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('RINGWAY_BUILD', os.path.join(ROOT, 'build')))
RINGWAYD = os.path.join(BUILD, 'app', 'ringwayd')
RINGWAY = os.path.join(BUILD, 'app', 'ringway')
RINGWAY_BENCH = os.path.join(BUILD, 'app', 'ringway-bench')

START_S = 120
STOP_S = 60
NOBODY = pwd.getpwnam('nobody')
AS_NOBODY = ['setpriv', f'--reuid={NOBODY.pw_uid}', f'--regid={NOBODY.pw_gid}', '--clear-groups']


def run(*command, **options):
    """A finished program, with its output as text."""
    options.setdefault('stdout', subprocess.PIPE)
    return subprocess.run(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          timeout=120, check=False, **options)


def the_line(text):
    """`text`, which must be one line, without its newline.

    A kernel, or an emulator of one, without seccomp or Landlock is worth a line of its own.
    """
    text = re.sub('^warning: this kernel has no (seccomp|Landlock): .*\n', '', text, flags=re.M)
    assert text.endswith('\n') and text.count('\n') == 1, f'not one line:\n{text}'
    return text[:-1]


class Daemon:
    """A ringwayd that runs in `folder` without huge pages, with a control socket and a pid file."""

    def __init__(self, folder, words, prefix=(), **options):
        self.folder = folder
        self.control = os.path.join(folder, 'c')
        self.pidfile = os.path.join(folder, 'pid')
        self.log = os.path.join(folder, 'log')
        with open(self.log, 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(
                [*prefix, RINGWAYD, '--no-huge', '--seccomp=kill', f'--control={self.control}',
                 f'--pidfile={self.pidfile}', *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=options.pop('stderr', log), **options)

    def wait_until_ready(self):
        """The pid file is the last thing that a start writes."""
        deadline = time.monotonic() + START_S
        while not (os.path.exists(self.pidfile) and os.path.getsize(self.pidfile)):
            assert self.process.poll() is None, f'ended at once:\n{self.said()}'
            assert time.monotonic() < deadline, f'not ready:\n{self.said()}'
            time.sleep(0.01)

    def said(self):
        with open(self.log, encoding='utf-8') as log:
            return log.read()

    def wait_until_said(self, text):
        """What was said, when `text` is in it: a thread of its own writes the log."""
        deadline = time.monotonic() + START_S
        while text not in self.said():
            assert time.monotonic() < deadline, f'no "{text}" in:\n{self.said()}'
            time.sleep(0.01)
        return self.said()

    def cli(self, *words, prefix=()):
        return run(*prefix, RINGWAY, '-s', self.control, *words)

    def stop(self, sig=signal.SIGTERM):
        """Send `sig`; the exit status, which must come within STOP_S."""
        self.process.send_signal(sig)
        return self.process.wait(STOP_S)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
