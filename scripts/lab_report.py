# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/migration-lab prints."""

import json
import statistics

WAYS = ('out', 'in')
FORMAT = '{:>4}  {:11}{:>9}{:>10}{:>8}{:>9}{:>8}{:>7}{:>7}{:>9}{:>8}  {}'
HEADS = (('run', 'from > to', 'total', 'downtime', 'pause', 'gap out', 'gap in', 'lost', 'lost',
          'dirty/s', 'marked', 'found by'),
         ('', '', 'ms', 'ms', 'ms', 'ms', 'ms', 'out', 'in', 'pages', 'pages', ''))


def shown(value):
    return '-' if value is None else value


CHAOS = '{:12} {:11} {:18}{:12}{:>9}{:>9}{:>7}{:>7}  {}'
CHAOS_HEADS = (('killed', 'at step', 'migration', 'the guest', 'gap out', 'gap in', 'lost', 'lost',
                'wrong, twice'), ('', '', '', '', 'ms', 'ms', 'out', 'in', ''))


def begin(args, title, seconds):
    if args.json:
        return
    print(f'{title}, {"packed" if args.packed else "split"} rings, '
          f'{"post" if args.postcopy else "pre"}copy, {args.rate} datagrams/s each way; '
          f'guests booted in {seconds:.0f} s')
    for line in CHAOS_HEADS if args.chaos else HEADS:
        print((CHAOS if args.chaos else FORMAT).format(*line).rstrip())


def run_line(args, number, run):
    if args.json:
        return
    print(FORMAT.format(
        number, f'{run["source"]} > {run["destination"]}', run['total_ms'], run['downtime_ms'],
        f'{run["pause_ms"]:.0f}', *(f'{run["gap_ms"][way]:.0f}' for way in WAYS),
        *(run['lost'][way] for way in WAYS),
        shown(run['dirty_pages_per_s']), shown(run['pages_marked']),
        run['found_by'] or '-').rstrip(), flush=True)
    for kind in 'wrong', 'duplicated':
        if any(run[kind].values()):
            print(f'      {kind}: {run[kind]["out"]} out, {run[kind]["in"]} in')


def summary(runs):
    """Lines: medians and the worst of each."""
    lines = []
    for what, values in (
            ('downtime', [run['downtime_ms'] for run in runs]),
            ('pause', [run['pause_ms'] for run in runs]),
            *((f'gap {way}', [run['gap_ms'][way] for run in runs]) for way in WAYS),
            *((f'gap {way} - downtime', [run['gap_ms'][way] - run['downtime_ms'] for run in runs])
              for way in WAYS),
            *((f'lost {way}', [run['lost'][way] for run in runs]) for way in WAYS)):
        unit = '' if what.startswith('lost') else ' ms'
        lines.append(f'{what:20}median {statistics.median(values):6.0f}{unit}, '
                     f'most {max(values):6.0f}{unit}')
    return lines


def is_right(runs):
    """No payload is wrong and none came twice."""
    return not any(run[kind][way] for run in runs for kind in ('wrong', 'duplicated')
                   for way in WAYS)


def end(args, document):
    if args.json:
        print(json.dumps(document, indent=2))
        return
    print()
    print('\n'.join(summary(document['migrations'])))
    if not is_right(document['migrations']):
        print('WRONG: datagrams came twice or with another payload than was sent')


def chaos_line(args, row):
    if args.json:
        return
    numbers = ['-'] * 4 + ['']
    if row['talks']:
        numbers = [*(f'{row["gap_ms"][way]:.0f}' for way in WAYS),
                   *(row['lost'][way] for way in WAYS),
                   f'{sum(row["wrong"].values())}, {sum(row["duplicated"].values())}']
    where = f'is at {row["runs_at"]}' if row['runs_at'] else 'is lost'
    print(CHAOS.format(row['victim'], row['step'], row['migration'], where, *numbers).rstrip(),
          flush=True)
    if row['runs_at'] and not row['talks']:
        print(f'      does not talk: {row["complaint"]}')


def chaos_end(args, document):
    if args.json:
        print(json.dumps(document, indent=2))
