# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the black-box tests of ringwayd's and ringway's command lines."""

import os
import shutil
import tempfile

import pytest

from programs import Daemon


def remove_folder(path):
    """Remove a folder in which files may vanish by themselves meanwhile."""
    for _ in range(10):
        try:
            return shutil.rmtree(path)
        except FileNotFoundError:
            if not os.path.lexists(path):
                return None
    return shutil.rmtree(path)


@pytest.fixture
def place():
    """An empty folder with a path short enough for sockets, open to every user."""
    path = tempfile.mkdtemp(prefix='rw', dir='/tmp')
    os.chmod(path, 0o777)
    yield path
    # A helper whose daemon was killed may still be removing what it made.
    remove_folder(path)


@pytest.fixture
def launch(place):
    """launch('--socket-path=...') is a Daemon that is ready; none outlives the test."""
    daemons = []

    def start(*words, **options):
        folder = os.path.join(place, f'd{len(daemons)}')
        os.mkdir(folder)
        os.chmod(folder, 0o777)
        daemon = Daemon(folder, words, **options)
        daemons.append(daemon)
        daemon.wait_until_ready()
        return daemon

    yield start
    for daemon in daemons:
        daemon.kill()
