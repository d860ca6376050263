# SPDX-License-Identifier: BSD-3-Clause
"""ringwayd --takeover: what the one that runs does not hand over, and what the other one says."""

import os
import socket

import pytest

from programs import RINGWAYD, run, the_line


def refusal(daemon, *words):
    """The line of a successor that must not succeed, while the other one goes on."""
    done = run(RINGWAYD, '--no-huge', f'--takeover={daemon.control}', *words)
    assert done.returncode != 0
    assert daemon.process.poll() is None
    assert daemon.cli('port', 'list').returncode == 0
    return the_line(done.stderr)


def test_an_uplink_stays(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock', '--port', 'up0,device=net_null0')
    line = refusal(daemon)
    assert 'busy: port up0: it is an uplink' in line and 'restart the switch' in line


def test_a_port_of_an_inherited_socket_stays(launch, place):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f'{place}/inherited')
        sock.listen()
        daemon = launch(f'--fd={sock.fileno()}', pass_fds=[sock.fileno()])
        assert 'it was given as --fd' in refusal(daemon)


@pytest.mark.parametrize('word', ['--socket-path={}/vm2.sock', '--control={}/c2', '--pidfile={}/p'])
def test_what_the_running_one_has_cannot_be_chosen_anew(launch, place, word):
    daemon = launch(f'--socket-path={place}/vm1.sock')
    assert 'exclude each other' in refusal(daemon, word.format(place))


def test_there_must_be_one_that_runs(place):
    done = run(RINGWAYD, f'--takeover={place}/nobody')
    assert done.returncode != 0
    assert f'--takeover={place}/nobody: ' in the_line(done.stderr)
    assert not os.path.exists(f'{place}/nobody')
