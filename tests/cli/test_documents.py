# SPDX-License-Identifier: BSD-3-Clause
"""A new user's walk: each command that a document shows is run, in the order of the document.

`ringway` talks to one switch, which has the ports of the documents and is made what it was before
each block of commands. Each `ringwayd` is started and ended. Paths below /run become paths in a
folder of the test; interface eth1 is one end of a veth pair in a network namespace.
"""

import os
import pathlib
import re
import shlex
import signal
import subprocess

import pytest

import programs
from capture_client import Client, wait_until
from programs import ROOT, run
from test_setup_host import make_host

DOCUMENTS = [pathlib.Path(ROOT, 'README.md'), *sorted(pathlib.Path(ROOT, 'doc').glob('*.md'))]
BLOCK = re.compile(r'^```(?P<language>.*?)\n(?P<text>.*?)^```$', re.M | re.S)
PROMPT = re.compile(r'^[#$] ')
# First words of commands that this test does not run, and where they are run.
ELSEWHERE = {
    './scripts/demo': 'a part of the test run', './scripts/test': 'is the test run',
    './scripts/bench': 'measures for hours', './scripts/fuzz': 'the part "fuzz"',
    './scripts/migration-lab': 'the part "vm" with --long',
    'dpkg': 'the part "package"', 'editor': 'the part "package"',
    'journalctl': 'the part "package"',
    'kill': 'test_ringway_config.py', 'ringway-bench': 'test_ringway_bench.py',
    'qemu-system-x86_64': 'the part "vm"', 'cd': 'test_protocol_idle_storm',
    'RINGWAY_TEST_LATENCY=10000': 'test_protocol_idle_storm',
    'RINGWAY_TEST_CYCLES=1000000': 'test_protocol_idle_storm',
}
# The ports that documents speak of.
PORTS = (*(f'vm{i}' for i in range(1, 10)), 'gateway')
# What ends a command that would go on, or that waits for what no guest here does.
MORE_WORDS = {'rate': ['--count=1', '--interval=0.1'], 'monitor': ['--count=1']}

END_S = 30


class Command:
    def __init__(self, document, number, text):
        self.where = f'{document.name}:{number}'
        self.text = text
        self.words = shlex.split(text, comments=True)

    def __repr__(self):
        return f'{self.where}: {self.text}'


def is_command(line):
    first = PROMPT.sub('', line).split()[:1]
    return bool(first) and (first[0] in ('ringway', 'ringwayd', 'echo', *ELSEWHERE) or
                            first[0].startswith('scripts/'))


def blocks_of(document):
    """Lists of commands. A block is one of commands if its first line is one, or has a prompt."""
    text = document.read_text(encoding='utf-8')
    for match in BLOCK.finditer(text):
        if match['language']:
            continue
        lines = match['text'].replace('\\\n', '').splitlines()
        number = text[:match.start()].count('\n') + 2
        prompted = bool(PROMPT.match(lines[0]))
        if not prompted and not is_command(lines[0]):
            continue
        yield [Command(document, number + i, PROMPT.sub('', line)) for i, line in enumerate(lines)
               if line.strip() and not line.startswith(' ') and
               (bool(PROMPT.match(line)) if prompted else True)]


WALKS = {document.name: list(blocks_of(document)) for document in DOCUMENTS}
WALKS = {name: blocks for name, blocks in WALKS.items() if blocks}


def test_the_documents_show_commands():
    shown = [command.words[0] for blocks in WALKS.values() for block in blocks for command in block]
    assert shown.count('ringway') > 40 and shown.count('ringwayd') > 6


@pytest.fixture
def namespace():
    """The name of a network namespace with eth1, which is up."""
    name = f'rwdoc{os.getpid()}'
    subprocess.run(['ip', 'netns', 'add', name], check=True)
    try:
        for words in ('link add eth1 type veth peer name eth2', 'link set eth1 up',
                      'link set eth2 up'):
            subprocess.run(['ip', '-n', name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(['ip', 'netns', 'del', name], check=True)


class Walker:
    """Runs the commands of a document."""

    def __init__(self, launch, place, namespace, fake_root):
        self.launch = launch
        self.place = place
        self.prefix = ['ip', 'netns', 'exec', namespace]
        self.fake_root = fake_root
        # The second one is for each ringwayd that a document starts.
        for folder in 'run', 'own':
            os.makedirs(f'{place}/{folder}/ringway')
        self.switch = launch('--socket-dir=' + self.here('/run'),
                             '--socket-dir=' + self.here('/run/ringway'),
                             '--port', 'up0,device=net_null0',
                             *(f'--socket-path={place}/run/{name}.sock' for name in PORTS))
        self.before = f'{place}/before.yaml'
        self.do('ringway', 'config', 'save', self.before)

    def here(self, text, folder='run'):
        """With paths of this test in place of those of a host."""
        text = text.replace('/etc/ringway/ringway.yaml', f'{ROOT}/config/ringway.yaml')
        return re.sub(r'(?<![\w.])/run\b', f'{self.place}/{folder}', text)

    def config(self, path):
        """A copy of an example with the paths of this test, and without the control socket's."""
        text = pathlib.Path(ROOT, path).read_text(encoding='utf-8')
        copy = pathlib.Path(self.place, os.path.basename(path))
        copy.write_text(self.here(text, 'own'), encoding='utf-8')
        return str(copy)

    def do(self, program, *words):
        done = (self.switch.cli(*words) if program == 'ringway' else run(program, *words))
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def make_ready(self, block):
        """Only the ports of the documents exist, but for those that the block adds itself."""
        self.do('ringway', 'apply', self.before)
        for command in block:
            if command.words[:3] == ['ringway', 'port', 'add']:
                self.do('ringway', 'port', 'del', command.words[3])

    def ringway(self, words):
        # A document that a user has changed; here it is what holds.
        words = [f'{self.place}/before.yaml' if word in ('changed.yaml', 'config/tenants.yaml')
                 else 'vm1' if word == 'NAME' else self.here(word) for word in words]
        words = [f'{self.place}/{word}' if word == 'ringway.yaml' else word for word in words]
        if words[0] == 'monitor':
            self.watch(words)
        elif words[0] == 'capture':
            self.capture(words)
        else:
            self.do('ringway', *words, *MORE_WORDS.get(words[0], []))

    def watch(self, words):
        """Ports come and go until one of those events is printed."""
        command = [programs.RINGWAY, '-s', self.switch.control, *words, *MORE_WORDS['monitor']]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as monitor:
            while monitor.poll() is None:
                self.do('ringway', 'port', 'add', 'new', f'socket={self.place}/run/new.sock')
                self.do('ringway', 'port', 'del', 'new')
            assert monitor.returncode == 0 and 'new' in monitor.stdout.read()

    def capture(self, words):
        """It runs until it is interrupted."""
        words = [f'{self.place}/{word}' if word.endswith('.pcapng') else word for word in words]
        client = Client(self.switch.control)
        with subprocess.Popen([programs.RINGWAY, '-s', self.switch.control, *words],
                              stderr=subprocess.PIPE, text=True) as capture:
            wait_until(lambda: client.ask('capture.list')['result'] or
                       capture.poll() is not None)
            capture.send_signal(signal.SIGINT)
            assert ' frames captured, ' in capture.stderr.read()
        assert capture.returncode == 0
        wait_until(lambda: not client.ask('capture.list')['result'])
        client.close()

    def ringwayd(self, words):
        words = [self.config(word.split('=')[-1]) if word.startswith('config/') else
                 self.here(word, 'own') for word in words if word != '&']
        if '--check-config' in words:
            self.do(programs.RINGWAYD, *words)
            return
        daemon = self.launch(*words, prefix=self.prefix, cwd=self.place)
        daemon.process.terminate()
        assert daemon.process.wait(END_S) == 0, daemon.said()
        assert 'error:' not in daemon.said()

    def shell(self, text):
        # socat waits that long for an answer after it has sent all, and goes on to wait.
        text = text.replace('/run/ringway.sock', self.switch.control)
        words = ['sh', '-c', text.replace('socat', f'exec socat -t {END_S}')]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as shell:
            answer = shell.stdout.readline()
            shell.terminate()
        assert '"result"' in answer

    def step(self, command):
        first, *words = command.words
        if first in ELSEWHERE:
            return
        if first == 'scripts/setup-host':
            self.do(f'{ROOT}/scripts/setup-host', f'--root={self.fake_root}', *words)
        elif first == 'echo':
            self.shell(command.text)
        else:
            {'ringway': self.ringway, 'ringwayd': self.ringwayd}[first](words)


@pytest.mark.parametrize('name', WALKS)
def test_each_command_of_the_document_works(name, launch, place, namespace, tmp_path):
    walker = Walker(launch, place, namespace, make_host(tmp_path))
    for block in WALKS[name]:
        walker.make_ready(block)
        for command in block:
            try:
                walker.step(command)
            except (AssertionError, KeyError) as error:
                raise AssertionError(f'{command}\n{error}') from error
