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
            if folder := os.environ.get('RINGWAY_SCREENSHOTS'):
                browser.photograph(f'{folder}/{name}-{width}-{"dark" if dark else "light"}.png')
            assert browser.run(CUT) == []
            assert browser.run('document.documentElement.scrollWidth') <= width
            assert browser.run(FAINT) == []


def asker(daemon):
    """ask(words...) is what `ringway --json` says; a switch that has no CPU is asked again."""
    def ask(*words):
        deadline = time.monotonic() + 60
        while (done := daemon.cli(*words, '--json')).returncode:
            assert time.monotonic() < deadline, done.stderr
        return json.loads(done.stdout)

    return ask


def counted_difference(browser, ask):
    """The same of what is counted on request, of vm1 where it is of a port."""
    keys = ('min_ns', 'mean_ns', 'p50_ns', 'p90_ns', 'p99_ns', 'p99_9_ns', 'max_ns')
    pairs = ask('latency', 'show')
    said = {f'{pair["from"]} to {pair["to"]}': [
        str(pair['frames']), *(f'{pair[key] / 1000:.2f}' for key in keys)] for pair in pairs}
    shown = {row[0]: row[1:] for row in rows(browser, 'latency-rows')}
    if shown != said:
        return f'latency: {shown}, not {said}'
    # The histogram of the pair that is chosen: a line for each power of two.
    name = browser.run('document.querySelector("#latency-rows .followed button").textContent')
    bins, = [pair['histogram'] for pair in pairs if f'{pair["from"]} to {pair["to"]}' == name]
    units = {'µs': 1000, 'ms': 1000000, 's': 1000000000}
    shown = [(float(end) * units[unit], int(n)) for end, unit, n in (
        (*row[0].replace('\xa0', ' ').split()[1:], row[1])
        for row in rows(browser, 'latency-bins'))]
    said = [sum(n for _, most, n in bins if end / 2 * 1.01 < most < end * 1.01)
            for end, _ in shown]
    if [n for _, n in shown] != said or sum(said) != sum(n for _, _, n in bins):
        return f'histogram of {name}: {shown}, not {bins}'
    said = {(str(row['vlan'] or 'no tag'), row['bridge']):
            [str(row['rx_frames']), str(row['tx_frames'])] for row in ask('vlans', 'show')}
    shown = {tuple(row[:2]): row[7:] for row in rows(browser, 'vlan-rows')}
    if shown != said:
        return f'VLANs: {shown}, not {said}'
    sizes, = [port['sizes'] for port in ask('sizes', 'show') if port['name'] == 'vm1']
    shown = [row[1:] for row in rows(browser, 'port-sizes')]
    said = [[str(row['rx']), str(row['tx'])] for row in sizes]
    return '' if shown == said else f'sizes: {shown}, not {said}'


def compare(browser, daemon):
    """What differs between the page and `ringway --json`; '' when nothing does."""
    ask = asker(daemon)
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
    said = {'who reads': ['switch', 'guest'], **{
        name: [text(stats[side][counter]) for side in ('rx', 'tx')] for name, counter, text in (
            ('lags', 'lags', str), ('lags, ms', 'lag_ns', lambda ns: f'{ns / 1e6:.1f}'),
            ('signals', 'signals_sent', str), ('signals suppressed', 'signals_suppressed', str))}}
    shown = {row[0]: row[1:] for row in rows(browser, 'port-lag')}
    if shown | said != shown:
        return f'lags: {shown}, not {said}'
    if difference := counted_difference(browser, ask):
        return difference
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
    for what in 'latency', 'vlans', 'sizes':
        how = f'document.getElementById("{what}-how")'
        assert f'ringway {what} start' in browser.run(f'{how}.textContent')
        assert not browser.run(f'{how}.hidden')
        assert daemon.cli(what, 'start').returncode == 0
        browser.wait(f'{how}.hidden')
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
        # Who chooses a pair of ports sees its histogram.
        browser.run("""[...document.querySelectorAll('#latency-rows button')].find(
            one => one.textContent === 'vm2 to vm1').click()""")
        assert 'from vm2 to vm1, ' in browser.run(
            'document.querySelector("#latency-pair").textContent')
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


UNITS = {'': 1, 'k': 1e3, 'M': 1e6, 'G': 1e9}


def number_of(text):
    """1.902 M, as the page writes a rate."""
    digits, _, unit = text.replace('\xa0', ' ').partition(' ')
    return float(digits) * UNITS[unit]


def rates_shown(browser):
    """What the page has where `ringway rate` and the VLANs' counters have it, too: of frames that
    passed the limit, and of all that came.
    """
    ports = {row[0]: [number_of(cell) for cell in row[5:]] for row in rows(browser, 'port-rows')}
    vlan = [number_of(cell) for cell in rows(browser, 'vlan-rows')[0][2:6]]
    frames = number_of(rows(browser, 'worker-rows')[0][4])
    for n, bits in ports['up0'][:2], ports['up1'][2:4], vlan[:2], vlan[2:]:
        assert bits == pytest.approx(64 * 8 * n, rel=0.01)
    return ports['up1'][2:4] + vlan[2:], [*ports['up0'][:2], ports['up0'][4], frames, *vlan[:2]]


def rates_said(ask):
    before = time.monotonic(), ask('vlans', 'show')[0]
    rate = ask('rate', '--interval=0.5')
    after = time.monotonic(), ask('vlans', 'show')[0]
    seconds = after[0] - before[0]
    vlan = [scale * (after[1][key] - before[1][key]) / seconds for key, scale in (
        ('rx_frames', 1), ('rx_bytes', 8), ('tx_frames', 1), ('tx_bytes', 8))]
    up0, up1 = rate['ports']
    return [up1['tx']['frames_per_s'], up1['tx']['bits_per_s'], *vlan[2:]], [
        up0['rx']['frames_per_s'], up0['rx']['bits_per_s'], up0['rx']['drops_per_s'],
        rate['workers'][0]['frames_per_s'], *vlan[:2]]


def alike(shown, said, ratio):
    return all(a and b and 1 / ratio < a / b < ratio for a, b in zip(shown, said))


def test_live_rates_are_those_of_ringway_rate(browser, show, launch):
    """Of frames without end, of which a limit has the same number pass in each second."""
    daemon = launch('--port=up0,device=net_null0,vlan=10,rate-rx=50Mbit',
                    '--port=up1,device=net_null1,vlan=10,no-rx=1')
    ask = asker(daemon)
    assert ask('vlans', 'start')['running']
    show(daemon.control)
    browser.wait('/[1-9]/.test((document.querySelector("#vlan-rows td:nth-child(3)") || {})'
                 '.textContent)')
    deadline = time.monotonic() + 60
    # Who has no CPU for a while sees other rates: a figure that is wrong is so always.
    while True:
        said, shown = rates_said(ask), rates_shown(browser)
        if alike(shown[0], said[0], 1.3) and alike(shown[1], said[1], 1.7):
            break
        assert time.monotonic() < deadline, f'{shown}, not {said}'
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
        'group.list': {}, 'capture.list': [],
        'count.list': [{'what': what, 'running': True, 'others': 1 << 40, 'late': 1 << 40}
                       for what in ('sizes', 'vlans', 'latency')],
        'sizes.show': [{'name': evil, 'sizes': [{'least': 9217, 'most': None, 'rx': 1 << 40}]}],
        'vlans.show': [{'vlan': evil, 'bridge': evil, 'tpid': evil, 'rx_frames': 1 << 40}],
        'latency.show': [{'from': evil, 'to': evil, 'frames': 1 << 40, 'max_ns': 1 << 40,
                          'histogram': [[1 << 39, 1 << 39, 1 << 40]]}],
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
