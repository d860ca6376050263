# SPDX-License-Identifier: BSD-3-Clause
"""Ringway against DPDK's virtio-user: frames go round between two ports, and none may be lost.

DPDK has a receive and a transmit function for each kind of ring, chosen by what was negotiated;
each test says which ones it means and looks at which ones were taken.
"""

import itertools
import os
import time

import pytest

from testpmd import HUGE_PAGES_WANTED, Pmd, free_huge_pages

FRAMES = 1_000_000
# Frames that go round: as many as fit into a single ring, wherever they pile up.
BURSTS_IN_FLIGHT = 16
BURST = 32
# A million frames take a second or two; on a machine that is busy otherwise, 40 and more.
RUN_S = 600
IN_ORDER = 1 << 35
RING_PACKED = 1 << 34
MRG_RXBUF = 1 << 15

# name: (device options, receive function, transmit function, features: wanted, unwanted)
KINDS = {
    'split-mergeable':
        ('mrg_rxbuf=1,in_order=0', 'mergeable buffer', 'standard',
         MRG_RXBUF, RING_PACKED | IN_ORDER),
    'split-nonmergeable':
        ('mrg_rxbuf=0,in_order=0', 'standard', 'standard',
         0, RING_PACKED | IN_ORDER | MRG_RXBUF),
    'split-inorder':
        ('mrg_rxbuf=1,in_order=1', 'inorder', 'inorder',
         MRG_RXBUF | IN_ORDER, RING_PACKED),
    'split-inorder-nonmergeable':
        ('mrg_rxbuf=0,in_order=1', 'inorder', 'inorder',
         IN_ORDER, RING_PACKED | MRG_RXBUF),
    'split-vectorized':
        ('mrg_rxbuf=0,in_order=0,vectorized=1', 'vectorized', 'standard',
         0, RING_PACKED | IN_ORDER | MRG_RXBUF),
    'packed-mergeable':
        ('packed_vq=1,mrg_rxbuf=1,in_order=0', 'packed ring mergeable buffer',
         'packed ring standard', RING_PACKED | MRG_RXBUF, IN_ORDER),
    'packed-nonmergeable':
        ('packed_vq=1,mrg_rxbuf=0,in_order=0', 'packed ring standard', 'packed ring standard',
         RING_PACKED, IN_ORDER | MRG_RXBUF),
    'packed-inorder':
        ('packed_vq=1,mrg_rxbuf=1,in_order=1', 'packed ring mergeable buffer',
         'packed ring standard', RING_PACKED | MRG_RXBUF | IN_ORDER, 0),
    'packed-inorder-nonmergeable':
        ('packed_vq=1,mrg_rxbuf=0,in_order=1', 'packed ring standard', 'packed ring standard',
         RING_PACKED | IN_ORDER, MRG_RXBUF),
    'packed-vectorized':
        ('packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1', 'packed ring vectorized',
         'packed ring vectorized', RING_PACKED | IN_ORDER, MRG_RXBUF),
}


# Each kind with one pair and with two, with small frames and with large ones; every combination
# with --long.
LOOPS = [(kind, pairs, frame_bytes) for i, kind in enumerate(KINDS)
         for pairs, frame_bytes in itertools.product((1, 2), (64, 1518))
         if os.environ.get('RINGWAY_TEST_LONG') or (pairs + i) % 2 == (frame_bytes == 64)]


def cpu_has(*flags):
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as info:
        words = next((line.split() for line in info if line.startswith('flags')), [])
    return all(flag in words for flag in flags)


@pytest.fixture
def testpmd(folder):
    processes = []

    def start(sockets, device, pairs, frame_bytes):
        processes.append(Pmd(folder, sockets, device, pairs, frame_bytes))
        return processes[0]

    yield start
    for process in processes:
        process.close()


def check_negotiated(switch, name, kind, pairs):
    """What the switch knows of a port agrees with what the test asked for."""
    _, _, _, wanted, unwanted = KINDS[kind]
    port = switch.port(name)
    features = int(port['features'], 16)
    assert features & (wanted | unwanted) == wanted, f'negotiated {port["features"]}'
    assert port['ring_format'] == kind.split('-', maxsplit=1)[0]
    assert port['pairs'] == pairs
    assert port['broken_rings'] == 0
    check_driven(switch, name)


def check_driven(switch, name):
    """virtio-user has said how far its driver is (STATUS), and where its memory is."""
    page = switch.cli('port', 'show', name)
    assert 'STATUS' in page['protocol_features']
    assert page['status'] == ['ACKNOWLEDGE', 'DRIVER', 'DRIVER_OK', 'FEATURES_OK']
    assert page['memory'] and all(region['size'] > 0 for region in page['memory'])
    assert {ring['state'] for ring in page['rings']} == {'enabled'}


def run_until(pmd, frames):
    """Waits until each port has received that many frames."""
    deadline = time.monotonic() + RUN_S
    while True:
        received, _, _ = pmd.counters()
        if min(received) >= frames:
            return
        assert time.monotonic() < deadline, f'only {received} frames in {RUN_S} s'
        time.sleep(0.1)


def receive_the_rest(pmd):
    """Takes what is still in the rings, without sending any of it again."""
    pmd.command('set fwd rxonly')
    pmd.command('start')
    before = None
    while True:
        received, sent, lost = pmd.counters()
        if received == before:
            break
        before = received
        time.sleep(0.2)
    pmd.command('stop')
    return received, sent, lost


@pytest.mark.parametrize('kind, pairs, frame_bytes', LOOPS)
def test_closed_loop(ringwayd, testpmd, kind, pairs, frame_bytes):
    device, rx_path, tx_path, _, _ = KINDS[kind]
    if kind == 'packed-vectorized' and not cpu_has('avx512f', 'avx512bw', 'avx512vl'):
        pytest.skip('this CPU has no AVX-512, which DPDK wants for vectorized packed rings')
    switch = ringwayd('g0', 'g1')
    pmd = testpmd([switch.sockets['g0'], switch.sockets['g1']], device, pairs, frame_bytes)
    assert pmd.paths() == [(rx_path, tx_path)] * 2
    for name in 'g0', 'g1':
        check_negotiated(switch, name, kind, pairs)

    # One burst more would come from each queue of each port.
    bursts = BURSTS_IN_FLIGHT // (2 * pairs)
    pmd.command(f'start tx_first {bursts}')
    run_until(pmd, FRAMES)
    dropped = pmd.dropped_by_forwarding(pmd.command('stop'))
    assert dropped == 0, 'testpmd could not send what it had received'
    received, sent, lost = receive_the_rest(pmd)

    # testpmd sends again what it receives, so a lost frame would only make the loop thinner. But
    # after the last drop of it is drained, what was sent has been received.
    assert lost == 0
    assert sum(sent) - sum(received) == 0, f'sent {sent}, received {received}'
    assert received == sent[::-1]
    assert switch.drops() == {}
    for name, port in ('g0', 0), ('g1', 1):
        stats = switch.stats(name)
        assert stats['rx']['frames'] == sent[port]
        assert stats['tx']['frames'] == received[port]
        assert stats['tx']['bytes'] == received[port] * frame_bytes
        if pairs == 2:
            used = [(queue['rx']['frames'], queue['tx']['frames'])
                    for queue in stats['queues']]
            assert len(used) == 2 and all(min(frames) > 0 for frames in used), used


@pytest.mark.parametrize('kind', ('split-mergeable', 'packed-mergeable'))
def test_memory_is_shared_again_as_it_grows(ringwayd, testpmd, kind):
    """DPDK takes huge pages as it needs them: virtio-user sends a new table while its rings run."""
    if free_huge_pages() < HUGE_PAGES_WANTED:
        pytest.skip('without huge pages, DPDK takes all memory at the start')
    switch = ringwayd('g0', 'g1', options=['--log-level=debug'])
    pmd = testpmd([switch.sockets['g0'], switch.sockets['g1']], KINDS[kind][0], 1, 64)
    told = switch.log()
    for name in 'g0', 'g1':
        check_negotiated(switch, name, kind, 1)
        _, _, running = told.partition(f'{name}: SET_STATUS (39) 0xf ')
        assert f'{name}: SET_MEM_TABLE (5)' in running
    pmd.command('start tx_first 4')
    run_until(pmd, FRAMES // 100)
    pmd.command('stop')
    assert switch.drops() == {}
