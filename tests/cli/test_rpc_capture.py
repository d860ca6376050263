# SPDX-License-Identifier: BSD-3-Clause
"""capture.start with memory that is not what it should be, and readers that do what they like."""

import fcntl
import os
import struct

import pytest

from capture_client import HEAD_BYTES, RING, SEALS, TAIL, Client, Guest, memory, wait_until

ONE, TWO = b'\2\0\0\0\0\1', b'\2\0\0\0\0\2'
WISH = {'ports': ['vm1'], 'rx': True, 'ring': RING}


@pytest.fixture
def daemon(launch, place):
    return launch(*(f'--socket-path={place}/{name}.sock' for name in ('vm1', 'vm2')))


@pytest.fixture
def client(daemon):
    one = Client(daemon.control)
    yield one
    one.close()


def refusal(answer):
    return answer['error']['message']


def test_what_cannot_be_written_to_is_refused(daemon, client, tmp_path):
    assert 'the memory to write to is missing' in refusal(client.ask('capture.start', WISH))
    for seals in (0, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL, fcntl.F_SEAL_SHRINK,
                  SEALS | 0x10, SEALS | fcntl.F_SEAL_WRITE):
        fd = os.memfd_create('capture', os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, HEAD_BYTES + RING)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        assert 'seal' in refusal(client.ask('capture.start', WISH, [fd])).lower()
        os.close(fd)
    for size in 0, HEAD_BYTES, HEAD_BYTES + RING - 1, HEAD_BYTES + RING + 4096, 1 << 40:
        fd = os.memfd_create('capture', os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
        assert f'must have {HEAD_BYTES + RING} bytes' in refusal(
            client.ask('capture.start', WISH, [fd]))
        os.close(fd)
    path = tmp_path / 'file'
    path.write_bytes(bytes(HEAD_BYTES + RING))
    read_end, write_end = os.pipe()
    with open(path, 'r+b') as file:
        for fd in file.fileno(), read_end, write_end, client.socket.fileno():
            assert 'must be a memfd' in refusal(client.ask('capture.start', WISH, [fd]))
    os.close(read_end)
    os.close(write_end)
    assert client.ask('capture.list')['result'] == []
    assert daemon.process.poll() is None


def test_wishes_that_are_none_are_refused(client):
    with memory() as (fd, _):
        for change, why in (
                ({'ports': ['vm9']}, 'there is no port "vm9"'), ({'ports': []}, '"ports" must be'),
                ({'ports': [1]}, 'there is no port'), ({'rx': False}, 'must be true'),
                ({'snap': 13}, '"snap" must be from 14'), ({'sample': 0}, '"sample" must be'),
                ({'ring': RING + 1}, 'power of two'), ({'ring': 1}, '"ring" must be'),
                ({'ring': 1 << 40}, '"ring" must be'), ({'filter': [[6, 0, 0]]}, 'item 0'),
                ({'filter': [[6, 0, 0, 1 << 32]]}, 'item 0'),
                ({'filter': [[6, 0, 0, 1]] * 1025}, 'may have 1024'),
                ({'filter': [[5, 0, 0, 0xffffffff], [6, 0, 0, 0]]}, 'jumps out'),
                ({'filter': [[0x28, 0, 0, 12]]}, 'does not end with a return')):
            assert why in refusal(client.ask('capture.start', {**WISH, **change}, [fd]))
    assert client.ask('capture.list')['result'] == []


def test_captures_end_with_their_connections(daemon, client):
    others = [Client(daemon.control) for _ in range(8)]
    with memory() as (fd, _):
        for other in others:
            assert other.ask('capture.start', WISH, [fd])['result']['workers'] == 1
        assert 'there are 8 captures already' in refusal(client.ask('capture.start', WISH, [fd]))
        others[0].close()
        wait_until(lambda: len(client.ask('capture.list')['result']) == 7)
        assert 'result' in client.ask('capture.start', WISH, [fd])
        assert refusal(client.ask('capture.start', WISH, [fd])).startswith(
            'there are 8 captures')
        others[1].close()
        wait_until(lambda: len(client.ask('capture.list')['result']) == 7)
        assert 'a connection has one capture' in refusal(client.ask('capture.start', WISH, [fd]))
    for other in others[2:]:
        other.close()
    wait_until(lambda: len(client.ask('capture.list')['result']) == 1)


# What a reader may have as its position, beside where the writer is.
LIES = (1, 7, 8, -1, 1 << 63, RING, RING + 8, -RING, 1 << 32)


def test_a_reader_that_lies_or_sleeps_costs_no_frame(daemon, client, place):
    one, two = Guest(f'{place}/vm1.sock', ONE), Guest(f'{place}/vm2.sock', TWO, 256)
    two.say(two.frame(ONE))
    wait_until(lambda: one.used(0))
    # The filter reads what only the guest's buffer has, and divides by X.
    program = [[0x30, 0, 0, 70], [0x07, 0, 0, 0], [0x80, 0, 0, 0], [0x9c, 0, 0, 0],
               [0x06, 0, 0, 1]]
    other, asleep = Client(daemon.control), Client(daemon.control)
    with memory() as (fd, lying), memory() as (silent, _):
        for who, wish in ((client, WISH), (other, {**WISH, 'filter': program})):
            assert 'result' in who.ask('capture.start', wish, [fd])
        assert 'result' in asleep.ask('capture.start', WISH, [silent])
        for seq in range(230):
            head, = struct.unpack_from('=Q', lying, 0)
            struct.pack_into('=Q', lying, TAIL - 64, (head + LIES[seq % len(LIES)]) % (1 << 64))
            if seq % 10 == 0:
                lying[:] = os.urandom(len(lying))
            one.say(one.frame(TWO, seq, 1400))
        wait_until(lambda: two.used(0) == 230)
        assert two.received() == [one.frame(TWO, seq, 1400) for seq in range(230)]
        rows = Client(daemon.control).ask('capture.list')['result']
        assert [row['frames'] for row in rows][::2] == [230, 230]
        # What had room in the ring of the one that slept is there, and the others are counted.
        assert rows[2]['lost'] == 230 - RING // 1432
    other.close()
    asleep.close()
    assert daemon.cli('port', 'stats').returncode == 0
