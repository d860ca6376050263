# SPDX-License-Identifier: BSD-3-Clause
"""What QEMU and Linux make of the features that Ringway offers."""

MTU = 1400
# Those of QEMU 7.2. It takes each one that is offered, though a network device uses not all.
# PAGEFAULT is offered if the operator allows post-copy.
PROTOCOL_FEATURES = {
    'MQ', 'LOG_SHMFD', 'RARP', 'REPLY_ACK', 'NET_MTU', 'BACKEND_REQ',
    'CONFIGURE_MEM_SLOTS', 'STATUS',
}


def test_qemu_takes_what_ringway_offers(network):
    left, right = network.start({'device': f'packed=off,host_mtu={MTU}', 'queues': 2},
                                {'device': f'packed=on,host_mtu={MTU}', 'queues': 2})
    for guest in left, right:
        port = network.show(guest)
        assert PROTOCOL_FEATURES <= set(port['protocol_features'])
        assert 'PAGEFAULT' not in port['protocol_features']
        assert {'VIRTIO_NET_F_MTU', 'VIRTIO_NET_F_MQ'} <= set(port['features'])
        assert port['mtu'] == MTU
        assert guest.check('cat /sys/class/net/eth0/mtu') == str(MTU)
        assert 'DRIVER_OK' in port['status']
        assert port['backend_channel']
        assert [ring['state'] for ring in port['rings']] == ['enabled'] * 4
        assert {ring['call'] for ring in port['rings']} == {'eventfd'}
    # Each takes three frames.
    left.check(f'ping -c 5 -i 0.1 -s {2 * MTU + 500} {right.ip}')
    network.exchange(left, right)
