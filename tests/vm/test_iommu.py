# SPDX-License-Identifier: BSD-3-Clause
"""Guests behind a virtual IOMMU in strict mode, where every buffer is mapped and unmapped again."""

from network import rows

SPLIT = {'device': 'packed=off'}
PACKED = {'device': 'packed=on'}


def check_iommu(network, guest):
    """The guest's kernel translates the device's addresses, strictly, and the switch knows."""
    messages = guest.check('dmesg')
    assert 'DMAR: IOMMU enabled' in messages
    assert 'iommu: DMA domain TLB invalidation policy: strict mode' in messages
    # Lazily unmapped domains are "DMA-FQ".
    assert guest.check('cat /sys/class/net/eth0/device/../iommu_group/type') == 'DMA'
    port = network.show(guest)
    assert 'VIRTIO_F_ACCESS_PLATFORM' in port['features']
    assert {'REPLY_ACK', 'BACKEND_REQ'} <= set(port['protocol_features'])
    assert port['iotlb']['entries'] > 0


def test_two_guests_behind_iommus_talk(network):
    left, right = network.start({**SPLIT, 'iommu': True}, {**PACKED, 'iommu': True})
    network.check_port(left, 'split')
    network.check_port(right, 'packed')
    for guest in left, right:
        check_iommu(network, guest)
    network.exchange(left, right)


@rows('ring_format', {'packed': 'packed'}, {'split': 'split'})
def test_a_guest_behind_an_iommu_talks_to_one_without(network, ring_format):
    """By two queue pairs, and again after it has rebooted: it has other mappings then."""
    device = SPLIT if ring_format == 'split' else PACKED
    left, right = network.start({**device, 'iommu': True, 'queues': 2}, PACKED)
    network.check_port(left, ring_format, pairs=2)
    check_iommu(network, left)
    network.exchange(left, right)
    left.reboot()
    network.wait_port(left, link=True)
    check_iommu(network, left)
    network.exchange(right, left)
