# SPDX-License-Identifier: BSD-3-Clause
"""What ringwayd says without starting to switch: information, and one line for each mistake."""

import json
import os
import socket

import pytest

from programs import RINGWAYD, run, the_line


def refuse(*words, **options):
    """The one line with which ringwayd refuses its command line."""
    done = run(RINGWAYD, *words, **options)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ''
    line = the_line(done.stderr)
    assert line.startswith('ringwayd: ')
    return line


@pytest.mark.parametrize('words', [
    [],
    ['--nonsense', 'stray', '--fd=x', '--cpus'],
    ['--help', '--version'],
    ['--socket-path=/nowhere/x', '--fd=0'],
])
def test_capabilities_are_printed_whatever_else_is_given(words):
    for command in ([*words, '--print-capabilities'], ['--print-capabilities', *words]):
        done = run(RINGWAYD, *command)
        assert done.returncode == 0
        assert done.stderr == ''
        assert json.loads(done.stdout) == {'type': 'net'}


def test_help_names_the_options_on_standard_output():
    done = run(RINGWAYD, '--help')
    assert (done.returncode, done.stderr) == (0, '')
    for option in ('--socket-path', '--fd', '--port', '--print-capabilities', '--pidfile', '--cpus',
                   '--control', '--no-huge', '--log-level', '--forward', '--idle', '--balance',
                   '--snooping', '--version', '--help'):
        assert option in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize('words', [['--bogus'], ['--socket-path'], ['stray', '--fd=x']])
def test_help_wins_over_mistakes(words):
    done = run(RINGWAYD, *words, '--help')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == run(RINGWAYD, '-h').stdout


def test_version_is_one_line():
    done = run(RINGWAYD, '--version')
    assert (done.returncode, done.stderr) == (0, '')
    name, version = the_line(done.stdout).split()
    assert name == 'ringwayd'
    assert version[0].isdigit()


@pytest.mark.parametrize('option', ['--help', '--version', '--print-capabilities'])
def test_information_that_cannot_be_written_is_a_failure(option):
    with open('/dev/full', 'w', encoding='utf-8') as full:
        done = run(RINGWAYD, option, stdout=full)
    assert done.returncode == 1
    assert 'cannot write the output: No space left' in the_line(done.stderr)


@pytest.mark.parametrize('words, named', [
    ([], '--socket-path'),
    (['--frobnicate'], '--frobnicate'),
    (['stray'], '"stray"'),
    (['--socket-path'], '--socket-path wants a value'),
    (['--socket-path=/nowhere/vm1.sock'], 'no directory /nowhere'),
    (['--socket-path=/tmp/' + 'x' * 103], '107'),
    (['--port', 'a,socket=/tmp/' + 'x' * 103 + ',mode=client'], '107'),
    (['--socket-path=/tmp/a b.sock'], '--port NAME,socket=PATH'),
    (['--socket-path=/tmp/vm1.sock', '--socket-path=/var/vm1.sock'], 'vm1'),
    (['--port', 'a,socket=/tmp/x', '--port', 'b,socket=/tmp/./x'], '/tmp/'),
    (['--port', 'a'], 'socket is missing'),
    (['--port', 'a,socket=/tmp/x,mode=both'], '"both"'),
    (['--port', 'a,socket=/tmp/x,speed=9'], '"speed"'),
    (['--socket-path=/tmp/a', '--fd=0'], 'exclude each other'),
    (['--port', 'a,socket=/tmp/a', '--fd=0'], 'exclude each other'),
    (['--fd=4711'], '--fd=4711'),
    (['--fd=seven'], '--fd=seven'),
    (['--socket-path=/tmp/a', '--cpus', '0,,1'], '--cpus=0,,1'),
    (['--socket-path=/tmp/a', '--cpus', '99999'], 'no CPU 99999'),
    (['--socket-path=/tmp/a', '--control=/nowhere/c'], '/nowhere/c'),
    (['--socket-path=/tmp/a', '--control=/tmp/a'], '--control'),
    (['--socket-path=/tmp/a', '--pidfile=/nowhere/p'], '/nowhere/p'),
    (['--socket-path=/tmp/a', '--log-level=loud'], 'loud'),
    (['--socket-path=/tmp/a', '--fdb-size=0'], '--fdb-size=0'),
    (['--socket-path=/tmp/a', '--fdb-age=never'], '--fdb-age=never'),
    (['--socket-path=/tmp/a', '--forward=bounce'], '--forward=bounce: choose switch, io, mac,'),
    (['--socket-path=/tmp/a', '--forward'], '--forward wants a value'),
    (['--socket-path=/tmp/a', '--forward=io', '--forward=mac'], '--forward is given twice'),
    (['--socket-path=/tmp/a', '--idle=doze'], '--idle=doze: choose spin or adaptive'),
    (['--socket-path=/tmp/a', '--idle'], '--idle wants a value'),
    (['--socket-path=/tmp/a', '--idle=spin', '--idle=spin'], '--idle is given twice'),
    (['--socket-path=/tmp/a', '--no-huge=1'], '--no-huge'),
    (['--socket-path=/no\nwhere/x'], '/no?where'),
])
def test_a_mistake_is_one_line_that_names_it(words, named):
    assert named in refuse(*words)


def test_a_thousand_ports_fit_and_one_more_does_not(launch, place):
    words = [f'--port=p{i},socket={place}/{i},mode=client' for i in range(1024)]
    daemon = launch(*words)
    assert len(json.loads(daemon.cli('port', 'list', '--json').stdout)) == 1024
    assert daemon.stop() == 0
    assert 'more than 1024 ports' in refuse(*words, '--socket-path=/tmp/more')


def test_a_cpu_outside_the_affinity_is_not_allowed():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip('there is one CPU only')
    line = refuse('--socket-path=/tmp/a', f'--cpus={cpus[1]}',
                  preexec_fn=lambda: os.sched_setaffinity(0, cpus[:1]))
    assert f'CPU {cpus[1]} exists' in line
    assert 'not allowed' in line


def test_a_file_descriptor_must_be_a_unix_stream_socket():
    with open('/dev/null', 'rb') as null, socket.socket() as tcp, \
         socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, \
         socket.socket(socket.AF_UNIX) as idle:
        for file, named in ((null, 'not a socket'), (tcp, 'not a Unix socket'),
                            (datagram, 'not a stream'), (idle, 'neither listens')):
            line = refuse(f'--fd={file.fileno()}', pass_fds=[file.fileno()])
            assert f'--fd={file.fileno()}' in line
            assert named in line


EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'config')


@pytest.mark.parametrize('name', sorted(n for n in os.listdir(EXAMPLES) if n.endswith('.yaml')))
def test_each_example_of_a_configuration_is_correct(name):
    done = run(RINGWAYD, '--check-config', os.path.join(EXAMPLES, name))
    assert (done.returncode, done.stdout, done.stderr) == (
        0, 'the configuration has no mistake\n', '')


def test_a_mistake_in_a_configuration_is_one_line_with_its_place(tmp_path):
    path = tmp_path / 'conf.yaml'
    path.write_text('ports:\n  vm1:\n    socket: /tmp/x\n    vlan: 5000\n', encoding='utf-8')
    done = run(RINGWAYD, '--config', str(path))
    assert (done.returncode, done.stdout) == (2, '')
    assert the_line(done.stderr).startswith(f'ringwayd: {path}:4:5: port vm1: vlan is "5000"')
