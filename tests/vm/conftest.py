# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the tests with Linux guests in QEMU."""

import os
import subprocess

import pytest

from network import Network

LIB = os.path.join(os.path.dirname(__file__), '..', '..', 'scripts', 'lib.sh')


@pytest.fixture(scope='session')
def images():
    """The guests' kernel and initramfs; the kernel is downloaded once and kept."""
    script = '. "$0"; setup_guest >&2; printf "%s\n" "$BUILD/guest/kernel" "$BUILD/guest/initramfs"'
    done = subprocess.run(['bash', '-eu', '-c', script, LIB], capture_output=True, text=True,
                          timeout=300, check=False)
    if done.returncode:
        pytest.fail(f'no kernel for the guests:\n{done.stderr}')
    return done.stdout.splitlines()


@pytest.fixture
def network(folder, ringwayd, images):
    """A switch and guests, to be started. The guests end before the switch does."""
    network = Network(folder, ringwayd, *images)
    yield network
    network.kill()
