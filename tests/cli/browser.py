# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Chromium without a window, told what to do over its DevTools protocol: JSON texts, each
ended by a zero byte, on descriptors 3 and 4 (--remote-debugging-pipe).
"""

import base64
import json
import os
import select
import subprocess
import time

WAIT_S = 60
WORDS = ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage', '--disable-extensions', '--hide-scrollbars', '--mute-audio',
         '--force-color-profile=srgb', '--remote-debugging-pipe']
KEYS = {'Tab': 9, 'Enter': 13, ' ': 32}


class Browser:
    """One page. What it writes to the console, and requests that fail, are in `complaints`."""

    def __init__(self, folder):
        to_browser, self.write_fd = os.pipe()
        self.read_fd, from_browser = os.pipe()

        def place():
            # Above 4 first: one of them may be 3 or 4.
            high = [os.dup2(fd, at) for fd, at in ((to_browser, 103), (from_browser, 104))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        with open(f'{folder}/chromium.log', 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(
                [*WORDS, f'--user-data-dir={folder}/chromium', 'about:blank'], preexec_fn=place,
                close_fds=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, 'HOME': folder, 'TZ': 'UTC'})
        os.close(to_browser)
        os.close(from_browser)
        self.number = 0
        self.left = b''
        self.session = None
        self.complaints = []
        self.requests = []
        target, = [one for one in self.call('Target.getTargets')['targetInfos']
                   if one['type'] == 'page']
        self.session = self.call('Target.attachToTarget', targetId=target['targetId'],
                                 flatten=True)['sessionId']
        for domain in 'Page', 'Runtime', 'Log', 'Network':
            self.call(f'{domain}.enable')

    def receive(self):
        deadline = time.monotonic() + WAIT_S
        while b'\0' not in self.left:
            ready, _, _ = select.select([self.read_fd], [], [], deadline - time.monotonic())
            assert ready, 'the browser says nothing'
            more = os.read(self.read_fd, 1 << 20)
            assert more, 'the browser has ended'
            self.left += more
        line, self.left = self.left.split(b'\0', 1)
        return json.loads(line)

    def note(self, message):
        """An event."""
        method, params = message.get('method'), message.get('params', {})
        if method in ('Runtime.exceptionThrown', 'Log.entryAdded') or (
                method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'warning')):
            self.complaints.append(params)
        elif method == 'Network.requestWillBeSent':
            self.requests.append(params['request']['url'])

    def call(self, method, **params):
        self.number += 1
        text = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            text['sessionId'] = self.session
        os.write(self.write_fd, json.dumps(text).encode() + b'\0')
        while (message := self.receive()).get('id') != self.number:
            self.note(message)
        assert 'error' not in message, message
        return message['result']

    def run(self, expression):
        """The value of a JavaScript expression."""
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True,
                           awaitPromise=True)
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def wait(self, expression):
        """The value of the expression when it is true."""
        deadline = time.monotonic() + WAIT_S
        while not (value := self.run(expression)):
            assert time.monotonic() < deadline, f'never true: {expression}'
            time.sleep(0.05)
        return value

    def open(self, url):
        self.call('Page.navigate', url=url)
        self.wait('document.readyState === "complete"')

    def look(self, width, dark=False):
        """Have the page that width, and that scheme of colours."""
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=900,
                  deviceScaleFactor=1, mobile=width < 700)
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])
        self.run('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))')

    def press(self, key, shift=False):
        text = {'Enter': '\r', ' ': ' '}.get(key, '')
        for kind in 'keyDown', 'keyUp':
            self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key.strip() or 'Space',
                      windowsVirtualKeyCode=KEYS[key], modifiers=8 if shift else 0,
                      **({'text': text} if text and kind == 'keyDown' else {}))

    def photograph(self, path):
        answer = self.call('Page.captureScreenshot', captureBeyondViewport=True)
        with open(path, 'wb') as file:
            file.write(base64.b64decode(answer['data']))

    def end(self):
        os.close(self.write_fd)
        self.process.kill()
        self.process.wait()
        os.close(self.read_fd)
