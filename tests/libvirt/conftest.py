# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the tests with libvirt."""

import os
import pwd
import shutil
import subprocess

import pytest

from domains import ROOT, USER, Libvirt

LIB = os.path.join(ROOT, 'scripts', 'lib.sh')


@pytest.fixture(name='images')
def fixture_images(folder):
    """Kernel and initramfs where libvirt's QEMU may read them."""
    script = '. "$0"; setup_guest >&2; printf "%s\n" "$BUILD/guest/kernel" "$BUILD/guest/initramfs"'
    done = subprocess.run(['bash', '-eu', '-c', script, LIB], capture_output=True, text=True,
                          timeout=300, check=True)
    return [shutil.copy(path, folder) for path in done.stdout.splitlines()]


@pytest.fixture(name='libvirt')
def fixture_libvirt(folder):
    libvirt = Libvirt(folder)
    os.chmod(folder, 0o711)
    # QEMU makes these: the sockets on which it listens, and its console's.
    os.makedirs(f'{folder}/q')
    user = pwd.getpwnam(USER)
    os.chown(f'{folder}/q', user.pw_uid, user.pw_gid)
    try:
        yield libvirt
    finally:
        libvirt.stop()
