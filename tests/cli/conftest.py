# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the black-box tests of ringwayd's and ringway's command lines."""

import os

import pytest

from programs import Daemon


@pytest.fixture
def place(short_folder):
    """An empty folder with a path short enough for sockets, open to every user."""
    os.chmod(short_folder, 0o777)
    return short_folder


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
