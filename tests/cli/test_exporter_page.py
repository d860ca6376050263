# SPDX-License-Identifier: BSD-3-Clause
"""The page of ringway-exporter in Chromium: it shows what `ringway --json` says, at every width,
for the keyboard, in both schemes of colours, and takes nothing from elsewhere.

RINGWAY_SCREENSHOTS names a folder that gets what was seen.
"""

import json
import os
import subprocess
import time

import pytest

from browser import Browser
from exporter import Exporter
from programs import RINGWAY_BENCH

WIDTHS = (360, 768, 1440)
# Elements whose content is wider or higher than they are, and numbers that leave their cell.
CUT = '''[...document.querySelectorAll('body *')].filter(one => {
    const style = getComputedStyle(one);
    if (!one.clientWidth || style.display === 'inline' || one.closest('.skip, #events, thead'))
        return false;
    if (one.scrollWidth > one.clientWidth + 1)
        return true;
    if (!one.matches('td, th') || !one.textContent)
        return false;
    const range = document.createRange();
    range.selectNodeContents(one);
    const text = range.getBoundingClientRect(), cell = one.getBoundingClientRect();
    return text.left < cell.left - 1 || text.right > cell.right + 1 ||
        text.bottom > cell.bottom + 1;
}).map(one => `${one.tagName} ${one.id} ${one.textContent.slice(0, 40)}`)'''
# Texts with less contrast than WCAG 2.1 wants of them (AA: 4.5).
FAINT = '''(() => {
    const channel = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => {
        const [r, g, b] = parts(colour).map(c => channel(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = one => {
        for (; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (parts(colour)[3] !== 0)
                return colour;
        }
        return getComputedStyle(document.body).backgroundColor;
    };
    return [...document.querySelectorAll('body *')].filter(one => one.clientWidth &&
        [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())).filter(one => {
        const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
    }).map(one => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`);
})()'''
ACTIVE = '''(() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return {tag: one.tagName, id: one.id, text: one.textContent.trim(),
        seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2};
})()'''


@pytest.fixture(name='browser', scope='module')
def fixture_browser(tmp_path_factory):
    made = Browser(str(tmp_path_factory.mktemp('browser')))
    yield made
    made.end()


@pytest.fixture(name='show')
def fixture_show(browser, place):
    """show(control) has the browser open the page of a new exporter."""
    started = []

    def start(control):
        started.append(Exporter(place, control))
        browser.complaints.clear()
        browser.requests.clear()
        browser.open(started[-1].url + '/')
        return started[-1]

    yield start
    browser.open('about:blank')
    for exporter in started:
        exporter.kill()


def rows(browser, body):
    return browser.run(f'''[...document.querySelectorAll('#{body} tr')].map(row =>
        [...row.children].map(cell => cell.textContent.replaceAll('\\u202f', '').trim()))''')


def follow(browser, name):
    browser.run(f'''[...document.querySelectorAll('#port-rows button')].find(
        one => one.textContent === {json.dumps(name)}).click()''')


def look_everywhere(browser, name):
    """Nothing is cut, whatever the width; no text is faint, whatever the scheme."""
    for width in WIDTHS:
        for dark in False, True:
            browser.look(width, dark)
            assert browser.run('document.documentElement.scrollWidth') <= width
            assert browser.run(CUT) == []
            assert browser.run(FAINT) == []
            if folder := os.environ.get('RINGWAY_SCREENSHOTS'):
                browser.photograph(f'{folder}/{name}-{width}-{"dark" if dark else "light"}.png')


def compare(browser, daemon):
    """What differs between the page and `ringway --json`; '' when nothing does."""
    def ask(*words):
        return json.loads(daemon.cli(*words, '--json').stdout)

    stats, = ask('port', 'stats', 'vm1')
    shown = {row[0]: row[1:] for row in rows(browser, 'port-totals')}
    for counter in 'frames', 'bytes', 'unicast', 'multicast', 'broadcast':
        said = [str(stats[side][counter]) for side in ('rx', 'tx')]
        if shown.get(counter) != said:
            return f'{counter}: {shown.get(counter)}, not {said}'
    said = {(reason, side): str(n) for side in ('rx', 'tx')
            for reason, n in stats[side]['drops'].items() if n}
    shown = {(row[0], row[1]): row[3] for row in rows(browser, 'port-drops')}
    if shown != said:
        return f'drops: {shown}, not {said}'
    ports = {port['name']: port for port in ask('port', 'list')}
    shown = {row[0]: row for row in rows(browser, 'port-rows')}
    if shown.keys() != ports.keys():
        return f'ports: {set(shown)}, not {set(ports)}'
    for name, port in ports.items():
        if shown[name][1:3] != ['up' if port['link'] else 'down', port['bridge']]:
            return f'{name}: {shown[name]}'
    hosts = sorted(row['mac'] for row in ask('fdb', 'list', 'port=vm1'))
    shown = sorted(row[0] for row in rows(browser, 'port-hosts'))
    return '' if shown == hosts else f'hosts: {shown}, not {hosts}'


def walk_by_keyboard(browser, url):
    """From the top to the ports, follow one, and go back."""
    browser.open(url)
    browser.wait('document.querySelectorAll("#port-rows tr").length === 5')
    browser.press('Tab')
    assert browser.run(ACTIVE)['text'] == 'Skip to the ports'
    browser.press('Enter')
    seen = []
    for _ in range(4):
        browser.press('Tab')
        seen.append(browser.run(ACTIVE))
    assert [one['id'] for one in seen] == ['filter', 'order', '', '']
    assert [one['text'] for one in seen[2:]] == ['up0', 'vm1']
    assert all(one['seen'] for one in seen), 'the focus is not visible'
    browser.press('Enter')
    browser.wait('document.activeElement.id === "port-title"')
    assert browser.run(ACTIVE)['text'] == 'Port vm1'
    browser.press('Tab')
    assert browser.run(ACTIVE)['id'] == 'unfollow'
    browser.press(' ')
    assert browser.run(ACTIVE)['text'] == 'vm1'
    assert browser.run('document.getElementById("port").hidden')
    browser.press('Enter')


def unnamed(browser):
    """What a screen reader would meet without a name."""
    nodes = browser.call('Accessibility.getFullAXTree')['nodes']
    wanted = {'button', 'searchbox', 'combobox', 'checkbox', 'table', 'image', 'link', 'heading',
              'region'}
    return [node for node in nodes if not node['ignored'] and node['role']['value'] in wanted and
            not node.get('name', {}).get('value')]


def test_the_page_shows_what_the_switch_says(browser, show, launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock', f'--socket-path={place}/vm2.sock',
                    '--bridge=blue', '--port', f'web-frontend-with-a-long-name-1,'
                    f'socket={place}/a.sock,vlan=10,description=<b>tenant</b>',
                    '--port', f'vm4,socket={place}/b.sock,trunk=10+20-30+1000-1999,native=1,'
                    'bridge=blue', '--port', 'up0,device=net_null0,no-rx=1')
    exporter = show(daemon.control)
    browser.wait('document.querySelectorAll("#port-rows tr").length === 5')
    follow(browser, 'vm1')
    sockets = [f'{place}/vm1.sock', f'{place}/vm2.sock']
    with subprocess.Popen([RINGWAY_BENCH, '--quiet', '--seconds=30', *sockets],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as bench:
        browser.wait('/[1-9]/.test(document.querySelector("#port-rows tr:nth-child(2)")'
                     '.children[5].textContent)')
        browser.wait('/[1-9]/.test(document.querySelector("#worker-rows td").textContent)')
        browser.wait('document.querySelectorAll("#port-queues tr").length === 1')
        browser.wait('document.querySelectorAll("#port-chart canvas").length === 1')
        browser.wait('/vm1/.test(document.querySelector("#events").textContent)')
        for name in 'vm1', 'vm2':
            assert daemon.cli('port', 'set', name, 'isolated=on').returncode == 0
        browser.wait('document.querySelectorAll("#port-drops tr").length > 0')
        browser.wait('document.querySelectorAll("#drop-rows tr").length > 0')
        look_everywhere(browser, 'traffic')
        bench.kill()
    deadline = time.monotonic() + 60
    while difference := compare(browser, daemon):
        assert time.monotonic() < deadline, difference
        time.sleep(0.2)
    walk_by_keyboard(browser, f'{exporter.url}/?again')
    assert browser.run('location.hash') == '#port=vm1'
    assert unnamed(browser) == [], [node['role'] for node in unnamed(browser)]
    assert browser.run('document.querySelectorAll("[aria-live], [role=log]").length') == 0
    # Only its own exporter was asked, and only asked.
    assert {url.split('/')[2] for url in browser.requests} == {f'127.0.0.1:{exporter.address[1]}'}
    assert browser.complaints == []


def test_what_the_switch_says_is_text(browser, show, switch):
    evil = '<img src=x onerror="document.title=\'evil\'">'
    side = {'frames': 1, 'bytes': 2, 'drops': {evil: 3}}
    event = {'jsonrpc': '2.0', 'method': 'event', 'params': {
        'event': 'link', 'time': 1, 'port': evil, '__proto__': evil}}
    server = switch({
        'version': {'version': evil, 'dpdk': ''}, 'worker.list': [],
        'port.list': [{'name': evil, 'link': True, 'bridge': evil, 'vlans': None,
                       'driver': evil, 'tpid': evil, 'description': evil}],
        'port.stats': [{'name': evil, 'rx': side, 'tx': side, 'queues': []}],
        'bridge.list': [{'name': evil, 'ports': [evil]}],
        'fdb.list': {'entries': [{'mac': evil, 'vlan': 0, 'tpid': evil, 'bridge': evil,
                                  'port': evil, 'static': False, 'age_s': 1}],
                     'next': None, 'entries_total': 1},
        'group.list': {}, 'capture.list': [], 'count.list': [],
        'subscribe': json.dumps(event).encode() + b'\n'})
    show(server.path)
    browser.wait('document.querySelectorAll("#port-rows tr").length === 1')
    follow(browser, evil)
    browser.wait('document.querySelectorAll("#port-hosts tr").length === 1')
    browser.wait('/onerror/.test(document.querySelector("#events").textContent)')
    assert browser.run('document.querySelectorAll("img").length') == 0
    assert browser.run('document.title') == 'Ringway'
    assert browser.run('document.getElementById("port-title").textContent') == f'Port {evil}'
    look_everywhere(browser, 'evil')
    server.answers['version'] = {'code': 1, 'message': evil}
    browser.wait('document.getElementById("state").className === "away"')
    assert evil in browser.run('document.getElementById("state").textContent')
    assert browser.complaints == []
