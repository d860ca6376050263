# SPDX-License-Identifier: BSD-3-Clause
"""A ringway-exporter and who asks it."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from programs import BUILD, START_S

EXPORTER = os.path.join(BUILD, 'app', 'ringway-exporter')
PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8'
OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
SAMPLE = re.compile(r'^(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')
ESCAPES = {'\\n': '\n', '\\"': '"', '\\\\': '\\'}


class Exporter:
    """Serves on a port that the kernel chose; what it does beyond its filter ends it."""

    def __init__(self, folder, control, *words):
        self.log = os.path.join(folder, 'exporter.log')
        with open(self.log, 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(
                [EXPORTER, f'--socket={control}', '--seccomp=kill', '--listen=127.0.0.1:0', *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        found = self.wait_until_said(r'http://([0-9.]+):(\d+)/')
        self.address = found[1], int(found[2])
        self.url = f'http://{found[1]}:{found[2]}'

    def said(self):
        with open(self.log, encoding='utf-8') as log:
            return log.read()

    def wait_until_said(self, pattern):
        deadline = time.monotonic() + START_S
        while not (found := re.search(pattern, self.said())):
            assert self.process.poll() is None, f'ended:\n{self.said()}'
            assert time.monotonic() < deadline, f'no "{pattern}" in:\n{self.said()}'
            time.sleep(0.01)
        return found

    def get(self, path, status=200, method='GET', **headers):
        """(headers, text)"""
        request = urllib.request.Request(
            self.url + path, method=method,
            headers={name.replace('_', '-'): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                got, head, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refusal:
            got, head, text = refusal.code, refusal.headers, refusal.read()
        assert got == status, text
        return head, text.decode()

    def json(self, path):
        return json.loads(self.get(path)[1])

    def samples(self):
        """{(name, labels): value}, where the labels are a frozenset of pairs."""
        return parsed(self.get('/metrics')[1])

    def samples_anew(self):
        """The same, read from the switch after this call: a reading is good for a while."""
        began, deadline = time.time(), time.monotonic() + 30
        stamp = key('ringway_exporter_reading_timestamp_seconds')
        while (samples := self.samples())[stamp] < began:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return samples

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def parsed(text):
    samples = {}
    for line in text.splitlines():
        if line.startswith('#'):
            continue
        found = SAMPLE.match(line)
        assert found, line
        labels = frozenset(
            (name, re.sub(r'\\.', lambda escape: ESCAPES[escape[0]], value))
            for name, value in LABEL.findall(found['labels'] or ''))
        assert (found['name'], labels) not in samples, f'twice: {line}'
        samples[found['name'], labels] = float(found['value'])
    return samples


def key(name, **labels):
    return name, frozenset(labels.items())
