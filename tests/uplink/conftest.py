# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the tests of uplinks with counterparts that others wrote."""

import ctypes
import os

import pytest

from ovs import Ovs

CLONE_NEWNET = 0x40000000


@pytest.fixture(name='namespace')
def fixture_namespace():
    """This thread and what it starts have a network of their own, without IPv6's own frames."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open('/proc/self/ns/net', os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        pytest.fail(f'no network namespace: {os.strerror(ctypes.get_errno())}')
    with open('/proc/sys/net/ipv6/conf/default/disable_ipv6', 'w', encoding='ascii') as off:
        off.write('1')
    yield
    assert libc.setns(before, CLONE_NEWNET) == 0
    os.close(before)


@pytest.fixture(name='ovs')
def fixture_ovs(folder, namespace):
    """A running Open vSwitch with the bridge br0."""
    del namespace
    ovs = Ovs(folder)
    try:
        ovs.start()
        yield ovs
    finally:
        ovs.stop()
