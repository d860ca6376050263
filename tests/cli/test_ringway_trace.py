# SPDX-License-Identifier: BSD-3-Clause
"""ringway trace and ringway explain: three guests whose frames do not arrive, and how a user finds
out why from the operating guide alone.
"""

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import time

import pytest

from front_end import VERSION_1, FrontEnd
from programs import RINGWAY, ROOT

WAIT_S = 30
MACS = {'vm1': '52:54:00:00:00:01', 'vm2': '52:54:00:00:00:02'}


def mac_bytes(text):
    return bytes.fromhex(text.replace(':', ''))


class Guest(FrontEnd):
    """Both rings run; it has buffers to receive into if it posts some."""

    def __init__(self, place, name):
        super().__init__(os.path.join(place, f'{name}.sock'))
        self.mac = MACS[name]
        self.negotiate(VERSION_1)
        self.share_memory(2)
        self.start_ring(0)
        self.start_ring(1)

    def send(self, dst, src=None, tag=b''):
        super().send(mac_bytes(dst) + mac_bytes(src or self.mac) + tag + b'\x88\xb5' + bytes(46))


@contextlib.contextmanager
def tracing(daemon, *words):
    """A ringway trace of vm1, which does not outlive the block."""
    with subprocess.Popen([RINGWAY, '-s', daemon.control, 'trace', 'vm1', *words],
                          stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


class Walk:
    """A switch with two guests, and what a user asks it."""

    def __init__(self, launch, place, first, second):
        self.daemon = launch(f'--port=vm1,socket={place}/vm1.sock{first}',
                             f'--port=vm2,socket={place}/vm2.sock{second}')
        self.guests = {name: Guest(place, name) for name in MACS}

    def ask(self, *words):
        done = self.daemon.cli(*words)
        assert (done.stderr, done.returncode) == ('', 0)
        return done.stdout

    def drops(self, name, way):
        counters = json.loads(self.ask('port', 'stats', name, '--json'))[0][way]
        return {reason: n for reason, n in counters['drops'].items() if n}

    def trace(self, send, *words):
        """What a trace of one frame says; `send` is called until it has seen one."""
        deadline = time.monotonic() + WAIT_S
        with tracing(self.daemon, '-n', '1', *words) as process:
            while process.poll() is None:
                assert time.monotonic() < deadline
                send()
                time.sleep(0.1)
            return process.stdout.read().decode()


@pytest.fixture
def walk(launch, place):
    return lambda first='', second='': Walk(launch, place, first, second)


def guide_says(reason):
    """The row of the guide's table of reasons: what it means, and what to do."""
    with open(os.path.join(ROOT, 'doc/operation.md'), encoding='utf-8') as guide:
        text = guide.read()
    assert '### Why a frame is dropped' in text
    row = re.search(rf'^\|[^|]*`{reason}`[^|]*\|(.*)\|$', text, re.M)
    assert row, f'{reason} is not in the table'
    return row[1]


def test_a_frame_of_another_vlan(walk):
    walk = walk(',trunk=10+20', ',vlan=20')
    sender = walk.guests['vm1']
    sender.send(MACS['vm2'], tag=b'\x81\x00\x00\x1e')
    said = walk.trace(lambda: sender.send(MACS['vm2'], tag=b'\x81\x00\x00\x1e'))
    assert re.search(r'domain +none: the port is not in the frame\'s VLAN', said)
    assert re.search(r'DROP +vlan_not_member, counted at vm1, rx', said)
    assert 'vlan_not_member' in walk.drops('vm1', 'rx')
    assert '`trunk=`' in guide_says('vlan_not_member')
    # The same without a frame; and that VLAN 20 would do.
    assert 'DROP' in walk.ask('explain', 'vm1', f'dst={MACS["vm2"]}', 'vlan=30')
    good = walk.ask('explain', 'vm1', f'dst={MACS["vm2"]}', 'vlan=20')
    assert re.search(r'deliver +to vm2, .* its VLAN tag removed', good)
    assert 'DROP' not in good


def test_a_guest_that_pretends_to_be_another(walk):
    walk = walk(f',macs={MACS["vm1"]}')
    sender = walk.guests['vm1']
    walk.guests['vm2'].post(64)
    said = json.loads(walk.trace(lambda: sender.send(MACS['vm2'], '52:54:00:00:00:99'), '--json'))
    drop = said['steps'][-1]
    assert (drop['step'], drop['reason'], drop['port'], drop['direction']) == (
        'drop', 'spoofed_mac', 'vm1', 'rx')
    assert said['src'] == '52:54:00:00:00:99'
    assert 'spoofed_mac' in walk.drops('vm1', 'rx')
    assert '`macs=`' in guide_says('spoofed_mac')
    words = ['explain', 'vm1', f'dst={MACS["vm2"]}']
    assert 'DROP       spoofed_mac' in walk.ask(*words, 'src=52:54:00:00:00:99')
    assert 'deliver    to vm2' in walk.ask(*words, f'src={MACS["vm1"]}')


def test_a_guest_without_buffers(walk):
    walk = walk()
    sender = walk.guests['vm1']
    said = walk.trace(lambda: sender.send(MACS['vm2']), f'dst={MACS["vm2"]}')
    assert re.search(r'DROP +no_buffer, counted at vm2, tx', said)
    assert 'no_buffer' in walk.drops('vm2', 'tx')
    assert 'rx_queue_size' in guide_says('no_buffer')
    # With buffers it arrives: each step takes some cycles.
    walk.guests['vm2'].post(64)
    said = json.loads(walk.trace(lambda: sender.send(MACS['vm2']), '--json'))
    assert [step['step'] for step in said['steps']] == ['domain', 'learn', 'lookup', 'flood',
                                                        'deliver']
    cycles = [step['cycles'] for step in said['steps']]
    assert cycles == sorted(cycles) and cycles[0] > 0
    assert said['steps'][-1]['port'] == 'vm2'


def test_what_a_filter_does_not_want_is_not_followed(walk):
    walk = walk()
    sender = walk.guests['vm1']
    walk.guests['vm2'].post(200)

    def send():
        sender.send(MACS['vm2'])
        sender.send('52:54:00:00:00:77')
    said = json.loads(walk.trace(send, '--json', 'dst=52:54:00:00:00:77', 'type=0x88b5', 'vlan=0'))
    assert said['dst'] == '52:54:00:00:00:77'


def test_mistakes_are_explained(launch, place):
    daemon = launch(f'--port=vm1,socket={place}/vm1.sock')
    for words, complaint in (
            (('explain', 'vm1'), 'to which address is the frame? Give dst=MAC'),
            (('explain', 'vm1', 'dst=1'), 'dst=1: an address is like 52:54:00:00:00:01'),
            (('explain', 'vm1', 'dest=1'), 'unexpected word "dest=1"'),
            (('explain', 'vm9', 'dst=52:54:00:00:00:01'), 'there is no port "vm9"'),
            (('trace', 'vm1', 'len=60'), 'unexpected word "len=60"'),
            (('trace', 'vm9'), 'there is no port "vm9"')):
        done = daemon.cli(*words)
        assert done.returncode and complaint in done.stderr and done.stderr.count('\n') == 1


def test_an_interrupted_trace_ends(walk):
    walk = walk()
    deadline = time.monotonic() + WAIT_S
    with tracing(walk.daemon) as process:
        while not select.select([process.stdout], [], [], 0.1)[0]:
            assert time.monotonic() < deadline
            walk.guests['vm1'].send(MACS['vm2'])
        process.terminate()
        assert process.wait(WAIT_S) == 0


def test_traces_end_with_their_clients(launch, place):
    daemon = launch(f'--port=vm1,socket={place}/vm1.sock')

    def begin():
        request = {'jsonrpc': '2.0', 'id': 1, 'method': 'trace.start', 'params': {'port': 'vm1'}}
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(WAIT_S)
            client.connect(daemon.control)
            client.sendall(json.dumps(request).encode() + b'\n')
            return json.loads(client.makefile().readline())
    deadline = time.monotonic() + WAIT_S
    # Nobody reads them: as if their clients had gone. They stay for a while, and not for ever.
    answers = [begin() for _ in range(5)]
    assert ['error' in answer for answer in answers] == [False] * 4 + [True]
    assert '4 traces run already' in answers[4]['error']['message']
    while 'error' in begin():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert daemon.stop() == 0
