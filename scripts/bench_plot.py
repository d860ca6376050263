#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draw what `ringway-bench --json` or `scripts/bench --json` printed.

The picture names what was measured, with which sizes and rings, when and on which machine. Series
differ in colour, in grey and in hatch or marker. Needs Debian's python3-matplotlib.
"""
import argparse
import io
import json
import math
import os
import statistics
import sys

# Okabe and Ito's colours, which colour-blind people tell apart. The first three differ as greys.
COLOURS = ['#0072B2', '#E69F00', '#F0E442', '#CC79A7', '#56B4E9', '#009E73']
HATCHES = ['', '///', '|||', '---', 'xxx', '+++']
GOOD, BAD, SHORT = '#0072B2', '#D55E00', '#666666'
# Formats that a file's name may ask for.
FORMATS = ('svg', 'png', 'pdf')
WIDTH_IN, HEIGHT_IN, DPI = 9, 5.2, 110
# Ports that a picture shows one by one, and those that have a number above each bar.
PORTS_MOST, PORTS_NUMBERED = 64, 8
# Runs with a number above each bar.
RUNS_NUMBERED = 8
STYLE = {
    'font.family': 'sans-serif', 'font.size': 10, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.axisbelow': True, 'hatch.linewidth': 0.6,
    # Text stays text, dollars are dollars, and the same numbers give the same file.
    'svg.fonttype': 'none', 'text.parse_math': False, 'svg.hashsalt': 'ringway',
}


class PlotError(Exception):
    """One line for the user."""


def library():
    """matplotlib, which takes a while to import."""
    try:
        import matplotlib  # pylint: disable=import-outside-toplevel
        import matplotlib.figure
        import matplotlib.patheffects
        import matplotlib.ticker
    except ImportError as error:
        raise PlotError('matplotlib is missing: apt-get install python3-matplotlib') from error
    matplotlib.rcParams.update(matplotlib.rcParamsDefault)
    matplotlib.rcParams.update(STYLE)
    return matplotlib


def figure(title, lines):
    """A figure with a heading, and its axes."""
    fig = library().figure.Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout='constrained')
    fig.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    fig.suptitle(title, fontsize=11, x=0.02, ha='left')
    axes = fig.add_subplot()
    axes.set_title('\n'.join(lines), fontsize=8.5, loc='left', color='#333333', linespacing=1.4,
                   pad=12)
    axes.grid(axis='y', color='#dddddd', linewidth=0.8)
    return fig, axes


def plain(value, _=None):
    """A number as people write it: 0, 2.5, 10, 1,000."""
    return f'{value:,.10g}'


def short(value):
    return f'{value:.1f}' if value >= 1 else f'{value:.3g}'


def rate_unit(most):
    """The size of a unit for rates up to `most` frames a second, its name, and what it means."""
    if most >= 1e6:
        return 1e6, 'Mpps', 'Mpps (million frames a second)'
    return 1e3, 'kpps', 'kpps (thousand frames a second)'


def plain_axis(axis):
    axis.set_major_formatter(library().ticker.FuncFormatter(plain))


def time_text(nanoseconds, _=None):
    """24.3 us, 3.46 ms: three digits and a unit."""
    for unit, size in (('s', 1e9), ('ms', 1e6), ('µs', 1e3)):
        if nanoseconds >= size:
            return f'{nanoseconds / size:.3g} {unit}'
    return f'{nanoseconds:.3g} ns'


def origin(document, program):
    """When and where: a line of the heading."""
    machine = document.get('machine') or {}
    where = machine.get('name', '')
    if machine.get('cpu'):
        where += f'{", " if where else ""}{machine.get("cpus", "?")} CPUs of {machine["cpu"]}'
    date = str(document.get('date', 'date unknown')).replace('T', ' ').replace('Z', ' UTC')
    return f'{date} · {where or "machine unknown"} · {program}'


def many(count, word):
    return f'{count} {word}{"" if count == 1 else "s"}'


def setup_text(setup):
    """Ports, rings and frames: a line of the heading."""
    def sizes(key):
        return ','.join(f'{size[key]}' + (f':{size["weight"]}' if size['weight'] > 1 else '')
                        for size in setup['sizes'])

    rings = f'{"packed" if setup["packed"] else "split"} rings of {setup["ring_size"]}'
    if setup['tx_ring_size'] != setup['ring_size']:
        rings += f' ({setup["tx_ring_size"]} to send)'
    words = [many(len(setup['sockets']), 'port'), many(setup['pairs'], 'queue pair'), rings,
             f'frames of {sizes("bytes")} bytes without FCS ({sizes("bytes_with_fcs")} with it)',
             setup['pattern']]
    if setup['in_flight']:
        words.append(f'{setup["in_flight"]} in flight for each port')
    return ' · '.join(words)


def heading(document):
    """The lines below the title."""
    setup = setup_text(document['setup'])
    asked = document.get('result', {}).get('asked_per_s')
    if asked and document['measure'] == 'rate':
        size, unit, _ = rate_unit(asked)
        setup += f' · {asked / size:,.4g} {unit} asked for'
        if document['result']['fell_short']:
            setup += ', the load fell short'
    return [setup, origin(document, f'ringway-bench {document["version"]}')]


def bars(axes, groups, series):
    """Bars side by side with whiskers. series: {name: [(height, spread down, spread up), ...]}"""
    width = 0.8 / len(series)
    halo = library().patheffects.withStroke(linewidth=3, foreground='white')
    drawn = {}
    for k, (name, values) in enumerate(series.items()):
        at = [i - 0.4 + width * (k + 0.5) for i in range(len(groups))]
        drawn[name] = axes.bar(
            at, [value[0] for value in values], width * 0.92, label=name,
            color=COLOURS[k % len(COLOURS)], hatch=HATCHES[k % len(HATCHES)],
            edgecolor='black', linewidth=0.6)
        for i, bar in enumerate(drawn[name]):
            bar.set_gid(f'bar {i} {name}')
        spread = [[value[1] for value in values], [value[2] for value in values]]
        if any(map(any, spread)):
            axes.errorbar(at, [value[0] for value in values], spread, fmt='none', ecolor='black',
                          elinewidth=1, capsize=3, path_effects=[halo])
    axes.set_xticks(range(len(groups)), groups)
    axes.tick_params(axis='x', length=0)
    top = max(value[0] + value[2] for values in series.values() for value in values)
    axes.set_ylim(0, 1.1 * top or 1)
    plain_axis(axes.yaxis)
    return drawn


def number_bars(axes, drawn, series):
    """The height of each bar above its whisker."""
    for name, container in drawn.items():
        for bar, value in zip(container, series[name]):
            axes.annotate(short(value[0]), (bar.get_x() + bar.get_width() / 2,
                                              value[0] + value[2]),
                          xytext=(0, 3), textcoords='offset points', ha='center', fontsize=8)


def draw_rate(document):
    """What each port sent and received."""
    result = document['result']
    ports = result['ports'][:PORTS_MOST]
    seconds = result['seconds'] or 1

    size, unit, what = rate_unit(max(max(port['sent'], port['received']) for port in ports)
                                 / seconds)

    def of(key):
        return [port[key] / seconds / size for port in ports]

    received = [(rate, max(rate - port['lowest_per_s'] / size, 0),
                 max(port['highest_per_s'] / size - rate, 0)) if port['highest_per_s'] else
                (rate, 0, 0) for rate, port in zip(of('received'), ports)]
    series = {'sent': [(rate, 0, 0) for rate in of('sent')],
              'received (whiskers: lowest and highest tenth of a second)': received}
    lost = f'{100 * result["loss"]:.3g} % lost in {seconds:.3g} s'
    fig, axes = figure(
        f'Frames that each port sent and received: {result["frames_per_s"] / size:.3f} {unit} '
        f'received in all, {lost}', heading(document))
    numbers = [str(i) if len(ports) <= 16 or i % 8 == 0 else '' for i in range(len(ports))]
    drawn = bars(axes, numbers, series)
    if len(ports) <= PORTS_NUMBERED:
        number_bars(axes, drawn, series)
    axes.set_xlabel('port, in the order of the command line')
    axes.set_ylabel(what)
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
    return fig


def nines(percent):
    """Where a percentage stands: 0, 90, 99, 99.9 ... are as far from each other."""
    return -math.log10(1 - percent / 100)


def draw_latency(document):
    """The time that so many percent of the frames did not exceed."""
    latency = document['result']['latency_ns']
    points = sorted((float(percent), value) for percent, value in latency['percentiles'].items())
    # What the frames were too few for says nothing.
    reach = math.log10(max(latency['frames'], 10))
    points = [(nines(percent), value) for percent, value in points if nines(percent) <= reach]
    size, unit, _ = rate_unit(document['result']['frames_per_s'])
    fig, axes = figure(
        f'Latency: mean {time_text(latency["mean"])}, median {time_text(latency["p50"])}, 99 % '
        f'{time_text(latency["p99"])}, largest {time_text(latency["max"])} of '
        f'{latency["frames"]:,} frames, {document["result"]["frames_per_s"] / size:.3f} {unit}',
        heading(document))
    line, = axes.plot(*zip(*points), color=GOOD, linewidth=1.8)
    line.set_gid('latency')
    marks = [(nines(percent), latency[key]) for percent, key in
             ((50, 'p50'), (90, 'p90'), (99, 'p99'), (99.9, 'p99.9')) if nines(percent) <= reach]
    axes.plot(*zip(*marks), linestyle='none', marker='D', color=GOOD, markersize=6)
    for x, y in marks:
        # The curve rises: there is room above it, or below it where the axis is near.
        axes.annotate(time_text(y), (x, y), xytext=(9, -11) if x < 1 else (-6, 7),
                      textcoords='offset points', ha='left' if x < 1 else 'right', fontsize=9)
    axes.set_yscale('log')
    lowest, highest = points[0][1], points[-1][1]
    room = max(highest / max(lowest, 1), 2) ** 0.1
    axes.set_ylim(max(lowest, 1) / room, highest * room)
    close = highest < 1000 * max(lowest, 1)
    axes.yaxis.set_major_locator(library().ticker.LogLocator(subs=(1, 2, 5) if close else (1,)))
    axes.yaxis.set_minor_locator(library().ticker.NullLocator())
    axes.yaxis.set_major_formatter(library().ticker.FuncFormatter(time_text))
    ticks = range(round(points[-1][0] - 0.49) + 1)
    axes.set_xticks(ticks, [f'{100 * (1 - 10.0 ** -tick):.10g} %' for tick in ticks])
    axes.set_xlim(left=0)
    axes.set_xlabel('frames that took no longer (each nine has the same width)')
    axes.set_ylabel('latency, logarithmic')
    return fig


def loss_axis(axes, most):
    """Percent, logarithmic above a thousandth, with a place for 0."""
    axes.set_yscale('symlog', linthresh=0.001, linscale=0.5)
    ticks = [0, *(10.0 ** i for i in range(-3, 3) if 10.0 ** i <= max(most * 10, 0.01))]
    axes.set_yticks(ticks, [f'{tick:.3g} %' for tick in ticks])
    axes.yaxis.set_minor_locator(library().ticker.NullLocator())
    axes.set_ylim(-0.0005, ticks[-1] * 1.3)


def draw_search(document):
    """What was lost at each rate that was tried."""
    search = document['search']
    steps = search['steps']
    size, unit, what = rate_unit(max((step['offered_per_s'] for step in steps), default=1))
    found = search['frames_per_s'] / size
    if not found:
        verdict = 'none was found'
    else:
        verdict = f'{found:.3f} {unit}, {"" if search["verified"] else "not "}confirmed'
    fig, axes = figure(f'Frames lost at each rate tried; the highest rate within the tolerance: '
                       f'{verdict}', heading(document))
    kinds = [('within the tolerance', GOOD, 'o', lambda s: s['good'] and not s['fell_short']),
             ('lost too many', BAD, 'X', lambda s: not s['good'] and not s['fell_short']),
             ('the load fell short', SHORT, 's', lambda s: s['fell_short'])]
    for name, colour, marker, belongs in kinds:
        chosen = [(step['offered_per_s'] / size, 100 * step['loss'])
                  for step in steps if belongs(step)]
        if chosen:
            marks, = axes.plot(*zip(*chosen), linestyle='none', marker=marker, color=colour,
                               markersize=8, markeredgecolor='black', markeredgewidth=0.6,
                               label=name, clip_on=False, zorder=3)
            marks.set_gid(f'trials {name}')
    if found:
        axes.axvline(found, color=GOOD, linestyle='--', linewidth=1)
        axes.annotate(f'{found:.3f} {unit}', (found, 1), xycoords=('data', 'axes fraction'),
                      xytext=(-4, -2), textcoords='offset points', ha='right', va='top',
                      fontsize=9)
    loss_axis(axes, max((100 * step['loss'] for step in steps), default=0))
    axes.set_xlim(0, max((step['offered_per_s'] for step in steps), default=1) / size * 1.08 or 1)
    plain_axis(axes.xaxis)
    axes.set_xlabel(f'sent, {what}')
    axes.set_ylabel('frames lost, logarithmic')
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)
    return fig


def sample_of(cell):
    """Median and half the range of the rounds; a summary has them already."""
    if isinstance(cell, dict):
        return cell['mpps'], cell['half_range'], cell['half_range']
    rates = [round_[0] for round_ in cell]
    half = (max(rates) - min(rates)) / 2
    return statistics.median(rates), half, half


def draw_rounds(document):
    """The back-ends of scripts/bench side by side."""
    results, titles = document['results'], document['titles']
    series = {title: [sample_of(cells[name]) for cells in results.values()]
              for name, title in titles.items()}
    fig, axes = figure(
        f'Throughput in a closed loop, both directions together, one worker CPU; load: '
        f'{document["load"]}',
        ['Bars: medians of the rounds; whiskers: half their range, either way',
         origin(document, document['command'])])
    number_bars(axes, bars(axes, list(results), series), series)
    axes.set_xlabel('frame size in bytes without FCS, ring format')
    axes.set_ylabel('Mpps (million frames a second)')
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.13), frameon=False,
                ncols=min(len(series), 2), handlelength=2.4, handleheight=1.1)
    return fig


def draw_migrations(document):
    """The largest gap of each run of scripts/migration-lab, beside what QEMU says."""
    runs = document['migrations']
    series = {'downtime that QEMU reports': [(run['downtime_ms'], 0, 0) for run in runs],
              'largest gap, out of the guest that moves': [(run['gap_ms']['out'], 0, 0)
                                                           for run in runs],
              'largest gap, to it': [(run['gap_ms']['in'], 0, 0) for run in runs]}
    fig, axes = figure(
        f'Live migration on {document["backend"]}: gaps in a stream of '
        f'{plain(document["rate_per_s"])} datagrams a second each way',
        [' > '.join(document['qemu']), origin(document, document['command'])])
    drawn = bars(axes, [str(i + 1) for i in range(len(runs))], series)
    if len(runs) <= RUNS_NUMBERED:
        number_bars(axes, drawn, series)
    axes.set_xlabel('run')
    axes.set_ylabel('ms')
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.13), frameon=False, ncols=3)
    return fig


def drawing(document):
    """The figure for a document of one of the programs."""
    if 'migrations' in document:
        return draw_migrations(document)
    if 'results' in document:
        return draw_rounds(document)
    if 'search' in document:
        return draw_search(document)
    if 'result' not in document:
        raise PlotError('there is no rate in it that could be drawn')
    return draw_latency(document) if document['result']['latency_ns'] else draw_rate(document)


def draw(document, path):
    """Draw a document into a file, whose name tells the format: SVG, or .png or .pdf."""
    kind = os.path.splitext(path)[1][1:].lower()
    kind = kind if kind in FORMATS else 'svg'
    try:
        fig = drawing(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PlotError(f'this is no JSON of ringway-bench or scripts/bench ({error!r})') from error
    out = io.BytesIO()
    fig.savefig(out, format=kind, metadata={'Date': None} if kind == 'svg' else None)
    data = out.getvalue()
    if kind == 'svg':
        data = b''.join(line.rstrip() + b'\n' for line in data.splitlines())
    try:
        with open(path, 'wb') as file:
            file.write(data)
    except OSError as error:
        raise PlotError(f'cannot write {path}: {error.strerror}') from error


def read(path):
    try:
        if path == '-':
            return json.load(sys.stdin)
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except OSError as error:
        raise PlotError(f'cannot read {path}: {error.strerror}') from error
    except ValueError as error:
        raise PlotError(f'{path}: this is no JSON ({error})') from error


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('json', nargs='?', default='-', help='file (default: standard input)')
    parser.add_argument('--output', '-o', metavar='FILE', help='the picture: SVG, .png or .pdf')
    parser.add_argument('--check', action='store_true', help='only whether all is installed')
    args = parser.parse_args()
    try:
        if args.check:
            library()
            return 0
        if not args.output:
            raise PlotError('where to? Give --output FILE')
        document = read(args.json)
        if not isinstance(document, dict):
            raise PlotError('this is no JSON of ringway-bench or scripts/bench')
        draw(document, args.output)
    except PlotError as error:
        print(f'bench_plot: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
