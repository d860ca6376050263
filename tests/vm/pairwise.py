# SPDX-License-Identifier: BSD-3-Clause
"""Few combinations of settings in which each two of them meet in every way."""

import random
from itertools import combinations, product

CANDIDATES = 10
# Of 60 seeds, the one that makes the fewest rows of what test_offloads.py varies.
SEED = 25


def pairs_of(row):
    return set(combinations(sorted(row.items(), key=lambda item: repr(item[0])), 2))


def candidate(factors, missing, dice):
    """A row that has a missing pair, filled in any order with what adds the most of them."""
    row = dict(dice.choice(sorted(missing, key=repr)))
    names = sorted(factors.keys() - row.keys(), key=repr)
    dice.shuffle(names)
    for name in names:
        found = {value: len(pairs_of({**row, name: value}) & missing) for value in factors[name]}
        most = max(found.values())
        row[name] = dice.choice([value for value in factors[name] if found[value] == most])
    return row


def pairwise(factors):
    """Rows {factor: value} of {factor: values}: each pair of values of two factors is in one.

    They are the same every time.
    """
    dice = random.Random(SEED)
    missing = set()
    for one, other in combinations(sorted(factors, key=repr), 2):
        missing |= {((one, a), (other, b)) for a, b in product(factors[one], factors[other])}
    rows = []
    while missing:
        best = max((candidate(factors, missing, dice) for _ in range(CANDIDATES)),
                   key=lambda row: len(pairs_of(row) & missing))
        missing -= pairs_of(best)
        rows.append(best)
    return rows
