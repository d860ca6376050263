# SPDX-License-Identifier: BSD-3-Clause
"""Guests with two CPUs and two queue pairs. Linux sends what a process on CPU n sends by pair n.

And what QEMU and Linux make of the features that Ringway offers.
"""

from network import PATIENCE_S, rows

MTU = 1400
# Those of QEMU 7.2. It takes each one that is offered, though a network device uses not all.
# PAGEFAULT is offered if the operator allows post-copy.
PROTOCOL_FEATURES = {
    'MQ', 'LOG_SHMFD', 'RARP', 'REPLY_ACK', 'NET_MTU', 'BACKEND_REQ',
    'CONFIGURE_MEM_SLOTS', 'STATUS',
}
PAIRS = 2
ECHOES = 20
# Besides the echoes: ARP, and what IPv6 sends to all.
NOISE = 6
MEBIBYTES = 4
# Bytes: more than noise, less than TCP's first window, which a process sends from its own CPU. Most
# of the rest leaves by the CPU that the device interrupts: there TCP learns that it may go on.
SHARE = 10000


def counters(switch, guest, unit):
    """[{'rx': count, 'tx': count} of each pair], of 'frames' or 'bytes'"""
    return [{direction: queue[direction][unit] for direction in ('rx', 'tx')}
            for queue in switch.stats(guest.name)['queues']]


def difference(new, old):
    assert len(new) == len(old) == PAIRS
    return [{direction: n[direction] - o[direction] for direction in n} for n, o in zip(new, old)]


def check_replies_follow_requests(switch, sender, receiver):
    """The same flow, sent by one pair and then by the other: its replies come on that pair."""
    for pair in range(PAIRS):
        before = counters(switch, sender, 'frames')
        sender.check(f'taskset {1 << pair:x} ping -c {ECHOES} -i 0.05 -W 30 {receiver.ip}',
                     PATIENCE_S)
        after = counters(switch, sender, 'frames')
        for i, moved in enumerate(difference(after, before)):
            for direction in 'rx', 'tx':
                if i == pair:
                    assert moved[direction] >= ECHOES, (pair, i, moved)
                else:
                    assert moved[direction] <= NOISE, (pair, i, moved)


def check_pairs_share_the_work(switch, sender, receiver):
    """A TCP transfer by a process on each CPU, at the same time; every checksum is compared."""
    ports = range(5010, 5010 + PAIRS)
    sent = sender.make_data(MEBIBYTES)
    for port in ports:
        receiver.listen(port)
    before = counters(switch, sender, 'bytes')
    jobs = ' '.join(f'taskset {1 << cpu:x} nc {receiver.ip} {port} </tmp/data >/dev/null &'
                    for cpu, port in enumerate(ports))
    sender.check(f'{jobs} wait', PATIENCE_S)
    assert [receiver.received(port, PATIENCE_S) for port in ports] == [sent] * PAIRS
    moved = difference(counters(switch, sender, 'bytes'), before)
    assert sum(pair['rx'] for pair in moved) > PAIRS * MEBIBYTES << 20
    for pair in moved:
        assert pair['rx'] > SHARE, moved


def check_offers_are_taken(network, guest):
    port = network.show(guest)
    assert PROTOCOL_FEATURES <= set(port['protocol_features'])
    assert 'PAGEFAULT' not in port['protocol_features']
    assert {'VIRTIO_NET_F_MTU', 'VIRTIO_NET_F_MQ'} <= set(port['features'])
    assert port['mtu'] == MTU
    assert guest.check('cat /sys/class/net/eth0/mtu') == str(MTU)
    assert 'DRIVER_OK' in port['status']
    assert port['backend_channel']
    assert [ring['state'] for ring in port['rings']] == ['enabled'] * 2 * PAIRS
    assert {ring['call'] for ring in port['rings']} == {'eventfd'}


@rows('formats', {'split_packed': ('split', 'packed')},
      {'split': ('split', 'split'), 'packed': ('packed', 'packed')})
def test_two_queue_pairs(network, formats):
    guests = network.start(*({'device': f'packed={"on" if ring_format == "packed" else "off"},'
                                        f'host_mtu={MTU}', 'queues': PAIRS}
                             for ring_format in formats))
    left, right = guests
    for guest, ring_format in zip(guests, formats):
        network.check_port(guest, ring_format, pairs=PAIRS)
        check_offers_are_taken(network, guest)
    # Each takes three frames.
    left.check(f'ping -c 5 -i 0.1 -s {2 * MTU + 500} {right.ip}', PATIENCE_S)
    network.exchange(left, right)
    for sender, receiver in guests, guests[::-1]:
        check_replies_follow_requests(network.switch, sender, receiver)
    for sender, receiver in guests, guests[::-1]:
        check_pairs_share_the_work(network.switch, sender, receiver)
    for guest, ring_format in zip(guests, formats):
        network.check_port(guest, ring_format, pairs=PAIRS)
