# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the tests with Linux guests in QEMU."""

import os

import pytest

from guest import fetch_images
from network import Network

LOG_LINES = 30
# Each takes minutes.
LONG_ALONE = ['test_migration_hosts.py', 'test_migration_lab.py']
collect_ignore = [] if os.environ.get('RINGWAY_TEST_LONG') else LONG_ALONE


def pytest_configure(config):
    config.addinivalue_line('markers', 'long: runs with --long only')


def pytest_collection_modifyitems(items):
    if not os.environ.get('RINGWAY_TEST_LONG'):
        items[:] = [item for item in items if not item.get_closest_marker('long')]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure is reported with the ends of all logs: the switch's, QEMUs' and consoles'."""
    outcome = yield
    report = outcome.get_result()
    network = item.funcargs.get('network') if hasattr(item, 'funcargs') else None
    if report.when != 'call' or not report.failed or not network:
        return
    for name in sorted(os.listdir(network.folder)):
        if name.endswith('.log'):
            with open(os.path.join(network.folder, name), encoding='utf-8',
                      errors='replace') as log:
                report.sections.append((f'end of {name}', ''.join(log.readlines()[-LOG_LINES:])))


@pytest.fixture(scope='session', name='images')
def fixture_images():
    """The guests' kernel and initramfs."""
    return fetch_images()


@pytest.fixture
def network(folder, ringwayd, images):
    """A switch and guests, to be started. The guests end before the switch does."""
    network = Network(folder, ringwayd, *images)
    yield network
    network.kill()
