# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the black-box tests of ringwayd's and ringway's command lines."""

import json
import os
import socketserver
import threading

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


class ScriptedSwitch(socketserver.ThreadingUnixStreamServer):
    """Answers each method with what `answers` holds for it; a callable gets the parameters."""

    daemon_threads = True

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                request = json.loads(line)
                assert request['jsonrpc'] == '2.0'
                self.server.asked.append((request['method'], request.get('params')))
                answer = self.server.answers[request['method']]
                if callable(answer):
                    answer = answer(request.get('params'))
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                    return
                kind = 'error' if 'code' in answer else 'result'
                response = {'jsonrpc': '2.0', kind: answer, 'id': request['id']}
                self.wfile.write(json.dumps(response).encode() + b'\n')

    def __init__(self, path, answers):
        self.answers = answers
        self.asked = []
        self.path = path
        super().__init__(path, self.Conversation)


@pytest.fixture
def switch(place):
    """switch({method: answer}) is a ScriptedSwitch that listens at its `path`."""
    started = []

    def start(answers):
        server = ScriptedSwitch(f'{place}/s{len(started)}', answers)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()
