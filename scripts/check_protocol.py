#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether doc/vhost-user.md covers the protocol, and is true. Used by scripts/check.

usage: check_protocol.py [--write | --logs DIRECTORY]

The tables of the document are generated from the messages (lib/vhost_user), the offer (the vhost
driver), the tests, and protocol_rows.py; with --write they are put there, else they must be there.
Besides, every message must have a row in protocol_rows.py and a test of its success, of its
refusal and of its wrong size and descriptors; every test that is named must exist, be run, and
send the message it stands for; every feature must have a row, too.

--logs compares which messages the document says that real front-ends send with what is in the
logs of ringwayd (--log-level=debug) that tests/vm and tests/client left under DIRECTORY.

Prints one line per violation; exit status 1 when there is any.
"""

import glob
import os
import re
import sys
import textwrap

import protocol_rows as rows

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOC = 'doc/vhost-user.md'
WIRE = 'lib/vhost_user/include/vu_wire.h'
TABLE = 'lib/vhost_user/table.c'
SCENARIOS = 'tests/unit/vu_scenarios.h'
DRIVER = 'drivers/vhost/port.c'
NAMES = 'drivers/vhost/show.c'

# A function of the front-end that sends more different messages than this is no sign of a test of
# one of them: it is a handshake.
HANDSHAKE = 4
# The scripted guest of the tests, and the connection below it.
FRONT_END = [name for folder in ('lib/frontend', 'tests/guest')
             for name in glob.glob(f'{folder}/*.c', root_dir=ROOT)]

# Tests that try every message, or every one of a kind -> the word for them in the document.
SUCCESS, SIZE, FDS = 'acknowledged', 'size', 'descriptors'
UNGATED, UNKNOWN_RING, ABSENT, OTHER = 'feature', 'ring', 'not offered', 'other device'
GENERIC = {
    SUCCESS: 'need_reply_is_answered_once_with_zero_on_success',
    SIZE: 'a_payload_of_the_wrong_size_is_refused',
    FDS: 'descriptors_in_the_wrong_number_are_refused',
    UNGATED: 'a_message_is_refused_without_its_protocol_feature',
    ABSENT: 'protocol_features_that_are_not_offered_do_not_exist',
    UNKNOWN_RING: 'rings_that_do_not_exist_are_refused',
    OTHER: 'messages_of_other_devices_are_refused',
}


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def find(pattern, text, what):
    found = re.search(pattern, text, re.S | re.M)
    if not found:
        sys.exit(f'check_protocol.py does not find {what}')
    return found[1]


def enumerators(name):
    """name -> number, of an enum in vu_wire.h whose names begin with VU_, without that."""
    body = find(rf'^enum {name} {{(.*?)^}};', read(WIRE), f'enum {name}')
    return {key: int(n) for key, n in re.findall(r'^\tVU_(\w+) = (\d+)', body, re.M)}


def array_items(name, declaration):
    """{VU_-less index: text} of a designated array."""
    body = find(rf'{re.escape(declaration)} = {{\n(.*?)^}};', read(name), declaration)
    found = re.findall(r'^\t\[VU_(\w+)\] = (.*?)(?=^\t\[|\Z)', body, re.S | re.M)
    return dict(found)


class Message:
    """A row of the table of messages, as far as the document is concerned."""

    def __init__(self, name, number, row):
        self.name = name
        self.number = number
        self.label = re.match(r'{"(\w*)"', row)[1]
        self.gate = (re.search(r'\.gate = ([\w()]+)', row) or [None, 'GATE_ALWAYS'])[1]
        self.names_ring = '.ring = RING_' in row

    @property
    def feature(self):
        """The protocol feature that allows it, or None."""
        found = re.fullmatch(r'PF\(VU_PF_(\w+)\)', self.gate)
        return found and found[1]

    @property
    def refused(self):
        """Whatever was negotiated."""
        return self.gate == 'GATE_NEVER'

    def needs(self):
        return self.feature or {
            'GATE_ALWAYS': '', 'GATE_NEVER': 'never', 'GATE_IOMMU': 'ACCESS_PLATFORM',
            'GATE_OFFERED': 'bit 30 offered', 'GATE_NEGOTIATED': 'bit 30',
        }[self.gate]

    def scenario_feature(self):
        """What its scenario must say of when it is allowed."""
        return f'VU_PF_{self.feature}' if self.feature else {
            'GATE_ALWAYS': 'ALWAYS', 'GATE_NEVER': 'NEVER', 'GATE_IOMMU': 'TRANSLATION',
            'GATE_OFFERED': 'PROTOCOL_FEATURES', 'GATE_NEGOTIATED': 'PROTOCOL_FEATURES',
        }[self.gate]

    def refusals(self):
        """The generic tests that see a well-formed message of this kind refused."""
        if self.refused:
            return [OTHER]
        return [word for word, there in (
            (UNGATED, self.feature), (UNKNOWN_RING, self.names_ring),
            (ABSENT, self.gate != 'GATE_ALWAYS' and not self.feature)) if there]


class Functions:
    """The functions and constant tables of some C files, and what they can come to mention."""

    BLOCK = re.compile(r'^(?:static |const |inline )*[\w \*]*?\**(\w+)'
                       r'(?:\([^;{}]*?\)|\[[^;{}]*?\] =|\s=)\s*\n?{\n(.*?)^}', re.S | re.M)
    CONSTANT = re.compile(r'^static (?:const )?[^\n(={]*?\b(\w+)(?:\[\w*\])? = ([^;]*);', re.M)
    MACRO = re.compile(r'^#define (\w+)(?:\([^)]*\))?((?:.*\\\n)*.*)$', re.M)

    def __init__(self, names, below=None):
        self.below = below
        self.bodies = {}
        for name in names:
            text = read(name)
            for kind in self.BLOCK, self.CONSTANT, self.MACRO:
                for function, body in kind.findall(text):
                    self.bodies.setdefault(function, body)
        self.reached = {}

    def mentions(self, function):
        """Every VU_ word that `function`, or what it uses, has in it."""
        if function not in self.bodies:
            return self.below.mentions(function) if self.below else set()
        if function not in self.reached:
            found, seen, left = set(), {function}, [function]
            while left:
                words = set(re.findall(r'\w+', self.bodies[left.pop()]))
                found |= {word[3:] for word in words if word.startswith('VU_')}
                own = words & set(self.bodies) - seen
                seen |= own
                left += own
                if self.below:
                    found.update(*map(self.below.mentions, words - set(self.bodies)))
            self.reached[function] = found
        return self.reached[function]


class HandshakesAside(Functions):
    """The same, but for functions that mention too much to say anything."""

    REQUESTS = frozenset(enumerators('vu_request'))

    def mentions(self, function):
        found = super().mentions(function) & self.REQUESTS
        return found if len(found) <= HANDSHAKE else set()


class Tests:
    """All tests: in which file they are, whether they run, what they send."""

    def __init__(self):
        self.c = {}  # name -> file
        self.python = {}
        self.idle = []
        self.functions = {}
        fixtures = glob.glob('tests/unit/*.h', root_dir=ROOT)
        self.fixtures = Functions(fixtures)
        for name in sorted(glob.glob('tests/*/test_*.c', root_dir=ROOT)):
            self.read_c(name)
        for name in sorted(glob.glob('tests/*/test_*.py', root_dir=ROOT)):
            for test in re.findall(r'^def (test_\w+)', read(name), re.M):
                self.python[test] = name
        self.programs = self.protocol_sent()

    @staticmethod
    def protocol_sent():
        """program of tests/protocol -> what it sends."""
        names = glob.glob('tests/protocol/*.[ch]', root_dir=ROOT)
        programs = sorted(name for name in names if '/test_' in name)
        frontend = HandshakesAside(FRONT_END)
        harness = HandshakesAside(sorted(set(names) - set(programs)), frontend)
        sent = {}
        for name in programs:
            own = Functions([name], harness)
            said = set().union(*map(own.mentions, own.bodies)) - set(rows.ON_ITS_OWN)
            said |= {word for body in own.bodies.values() for word in re.findall(r'VU_(\w+)', body)}
            said |= {message for message, sign in rows.ON_ITS_OWN.items()
                     if re.search(sign, read(name))}
            sent[os.path.basename(name)[len('test_'):-len('.c')]] = said
        return sent

    def read_c(self, name):
        text = read(name)
        for test in re.findall(r'^static void (\w+)\(void \*\*state\)', text, re.M):
            self.c[test] = name
            if len(re.findall(rf'\b{test}\b', text)) < 2:
                self.idle.append(f'{name}: {test} is never run')
        if name.startswith('tests/unit/'):
            self.functions[name] = Functions([name], self.fixtures)
        program = os.path.basename(name)[len('test_'):-len('.c')]
        listed = read(os.path.dirname(name) + '/meson.build')
        if f"'{program}'" not in listed and f"'test_{program}.c'" not in listed:
            self.idle.append(f'{name} is not in its meson.build')

    def sends(self, test, message):
        mentioned = self.functions[self.c[test]].mentions(test)
        return message in mentioned or 'FOR_EACH_SCENARIO' in \
            self.functions[self.c[test]].bodies.get(test, '')

    def violations(self, message, named):
        """Of tests that are said to be of that message."""
        for test in named:
            if not self.c.get(test, '').startswith('tests/unit/'):
                yield f'{message}: there is no unit test {test}'
            elif not self.sends(test, message):
                yield f'{message}: {test} has nothing to do with it'

    def protocol_programs(self, message):
        if message in rows.EVERY_GUEST:
            return ['all']
        found = [name for name, sent in self.programs.items() if message in sent]
        return ['most'] if 2 * len(found) > len(self.programs) else found


class Protocol:
    """What the sources say."""

    def __init__(self):
        table = array_items(TABLE, 'static const struct row rows[]')
        numbers = enumerators('vu_request')
        self.messages = {name: Message(name, number, table[name])
                         for name, number in numbers.items() if name in table}
        self.missing = [name for name in numbers if name not in table]
        self.features = {name[len('PF_'):]: bit
                         for name, bit in enumerators('vu_protocol_feature').items()}
        offer = find(r'^static const struct vu_offer offer = {(.*?)^};', read(DRIVER), 'the offer')
        virtio, _, protocol = offer.partition('.protocol_features')
        self.offered = set(re.findall(r'\bP\((\w+)\)', protocol))
        self.virtio = re.findall(r'\bF\((\w+)\)', virtio)
        self.backend = enumerators('vu_backend_request')
        self.scenarios = array_items(SCENARIOS, 'static const struct scenario scenarios[]')
        self.tests = Tests()


# ---- violations ----

def check_messages(p):
    yield from (f'{name} is in {WIRE} and not in {TABLE}' for name in p.missing)
    named = set(rows.ROWS) | set(rows.OTHER_DEVICES)
    yield from (f'{name} is no message' for name in sorted(named - set(p.messages)))
    for name, message in p.messages.items():
        if message.label != name:
            yield f'{TABLE}: the row of {name} is called {message.label}'
        if message.refused != (name in rows.OTHER_DEVICES):
            yield f'{name}: {TABLE} and protocol_rows.py disagree whether it is ever allowed'
        scenario = p.scenarios.get(name, '')
        if f'.feature = {message.scenario_feature()}' not in scenario:
            yield f'{name}: no scenario in {SCENARIOS} with feature {message.scenario_feature()}'
        if message.refused:
            continue
        if name not in rows.ROWS:
            yield f'{name} has no row in protocol_rows.py'
            continue
        _, good, bad = rows.ROWS[name]
        yield from p.tests.violations(name, good + bad)
        if not good:
            yield f'{name} has no test of its success'
        if not bad and not message.refusals() and name not in CANNOT_FAIL:
            yield f'{name} has no test of its refusal'


# Nothing can be wrong with them but their size and their descriptors.
CANNOT_FAIL = ('GET_FEATURES', 'SET_OWNER', 'RESET_OWNER')


def check_generic(p):
    for word, test in GENERIC.items():
        body = p.tests.functions.get(p.tests.c.get(test)) and \
            p.tests.functions[p.tests.c[test]].bodies.get(test)
        if not body:
            yield f'there is no unit test {test}, which stands for "{word}"'
        elif ('scenarios' if word == OTHER else 'FOR_EACH_SCENARIO') not in body:
            yield f'{test} does not try every message'
    yield from p.tests.idle


def check_features(p):
    gated = {message.feature for message in p.messages.values() if message.feature}
    for name in p.features:
        if name in p.offered:
            if name in rows.NOT_OFFERED:
                yield f'{name} is offered, and protocol_rows.py says why it is not'
            if name not in gated and name not in rows.FEATURE_ROWS:
                yield f'{name} is offered and has no row in protocol_rows.py'
            _, tests = rows.FEATURE_ROWS.get(name, ('', []))
            yield from (f'{name}: there is no test {t}' for t in tests if t not in p.tests.c)
        elif name not in rows.NOT_OFFERED:
            yield f'{name} is not offered, and protocol_rows.py does not say why'
    unknown = (p.offered | set(rows.NOT_OFFERED) | set(rows.FEATURE_ROWS)) - set(p.features)
    yield from (f'{name} is no protocol feature' for name in sorted(unknown))
    yield from (f'{m.name} is allowed by {m.feature}, which is not offered'
                for m in p.messages.values() if m.feature and m.feature not in p.offered)
    names = read(NAMES)
    yield from (f'{NAMES} has no name for VIRTIO_{name}' for name in p.virtio
                if f'NAME(VIRTIO_{name})' not in names)


def check_backend(p):
    for name in p.backend:
        if name not in rows.BACKEND_ROWS:
            yield f'{name} has no row in protocol_rows.py'
            continue
        _, tests = rows.BACKEND_ROWS[name]
        yield from p.tests.violations(name, tests)
    yield from (f'{name} is no message of the back-end'
                for name in rows.BACKEND_ROWS if name not in p.backend)


def check_front_ends(p):
    known = set(rows.ROWS)
    for name in (*rows.QEMU_ALWAYS, *rows.QEMU_IN, *rows.VIRTIO_USER):
        if name not in known:
            yield f'a front-end is said to send {name}, which has no row'
    frontend = Functions(FRONT_END)
    for name in sorted(set(rows.EVERY_GUEST) - frontend.mentions('fe_guest_start')):
        yield f'tests/guest does not send {name} when a guest starts'
    yield from (f'{name}: there is no {test} in tests/vm' for name, test in rows.QEMU_IN.items()
                if not p.tests.python.get(test, '').startswith('tests/vm/'))


# ---- the document ----

def test_names(tests, words=()):
    return ', '.join([f'`{test}`' for test in tests] + [f'*{word}*' for word in words])


def front_ends(p, name):
    found = []
    if name in rows.QEMU_ALWAYS:
        found.append('QEMU')
    elif name in rows.QEMU_IN:
        found.append(f'QEMU: `{rows.QEMU_IN[name]}`')
    if name in rows.VIRTIO_USER:
        found.append('virtio-user')
    if not found:
        found.append('none')
    return ', '.join(found)


def table(titles, lines):
    return ['| ' + ' | '.join(titles) + ' |', '|' + '---|' * len(titles)] + [
        '| ' + ' | '.join(line) + ' |' for line in lines]


def messages_table(p):
    return table(['id', 'message', 'needs', 'meaning here', 'real front-ends'], [
        (str(m.number), name, m.needs(), rows.ROWS[name][0], front_ends(p, name))
        for name, m in p.messages.items() if not m.refused])


def tests_table(p):
    lines = []
    for name, message in p.messages.items():
        if message.refused:
            lines.append((name, '-', f'*{OTHER}*', f'*{OTHER}*', '-'))
            continue
        _, good, bad = rows.ROWS[name]
        programs = p.tests.protocol_programs(name)
        lines.append((name, test_names(good, [SUCCESS]),
                      test_names(bad, message.refusals()) or f'*{SIZE}*', f'*{SIZE}*, *{FDS}*',
                      ', '.join(programs) or '-'))
    return table(['message', 'success', 'refusal', 'wrong size, wrong descriptors',
                  'protocol'], lines)


def generic_table(p):
    return table(['word', 'test'], [
        (f'*{word}*', f'`{test}`') for word, test in GENERIC.items()])


def refused_table(p):
    return table(['id', 'message', 'why'], [
        (str(p.messages[name].number), name, why) for name, why in rows.OTHER_DEVICES.items()])


def backend_table(p):
    return table(['id', 'message', 'meaning here', 'tests'], [
        (str(number), name, rows.BACKEND_ROWS[name][0], test_names(rows.BACKEND_ROWS[name][1]))
        for name, number in p.backend.items()])


def features_table(p):
    lines = []
    for name, bit in p.features.items():
        if name not in p.offered:
            lines.append((str(bit), name, 'no', rows.NOT_OFFERED[name], ''))
            continue
        allowed = [m.name for m in p.messages.values() if m.feature == name]
        meaning, tests = rows.FEATURE_ROWS.get(name, ('', []))
        if allowed and meaning:
            meaning += '; '
        lines.append((str(bit), name, 'yes', meaning + ', '.join(allowed), test_names(tests)))
    return table(['bit', 'protocol feature', 'offered', 'what it brings, or why not', 'tests'],
                 lines)


def virtio_list(p):
    names = [re.sub(r'^(NET_F|RING_F|F)_', '', name) for name in p.virtio]
    return textwrap.wrap(', '.join(names) + ', and those of vhost-user: VHOST_F_LOG_ALL, '
                         'VHOST_USER_F_PROTOCOL_FEATURES.', 100, break_on_hyphens=False)


PARTS = {
    'generic': generic_table,
    'messages': messages_table,
    'tests': tests_table,
    'refused': refused_table,
    'backend': backend_table,
    'features': features_table,
    'virtio': virtio_list,
}


def generated(p, text):
    """The document with all its generated parts."""
    for name, make in PARTS.items():
        begin, end = f'<!-- generated: {name} -->', '<!-- end -->'
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            sys.exit(f'{DOC} has no part "{begin}" ... "{end}"')
        rest = rest[rest.index(end):]
        text = '\n'.join([before + begin, '', *make(p), '', rest])
    return text


def check_doc(p):
    if generated(p, read(DOC)) != read(DOC):
        yield f'{DOC} is not what scripts/check_protocol.py --write makes of the sources'


# ---- logs ----

def sent_in(pattern):
    """The messages that the logs of some tests show."""
    seen, logs = set(), glob.glob(pattern)
    for name in logs:
        with open(name, encoding='utf-8', errors='replace') as log:
            seen |= set(re.findall(r': ([A-Z_]+) \(\d+\) (?:0x|0 )', log.read()))
    return seen, len(logs)


def check_logs(folder):
    claims = (('QEMU', 'tests_vm', set(rows.QEMU_ALWAYS) | set(rows.QEMU_IN)),
              ('virtio-user', 'tests_client', set(rows.VIRTIO_USER)))
    for who, tests, claimed in claims:
        seen, logs = sent_in(os.path.join(folder, f'{tests}*', 'ringwayd.log'))
        if not seen:
            yield f'{who}: {logs} logs, and no message in them'
            continue
        yield from (f'{who} is said to send {name} and did not' for name in sorted(claimed - seen))
        yield from (f'{who} sent {name}, which is not said' for name in sorted(seen - claimed))


def main():
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == '--logs':
        violations = list(check_logs(words[1]))
    elif words in ([], ['--write']):
        p = Protocol()
        violations = [line for check in (check_messages, check_generic, check_features,
                                         check_backend, check_front_ends) for line in check(p)]
        if not violations and words:
            text = generated(p, read(DOC))
            with open(os.path.join(ROOT, DOC), 'w', encoding='utf-8') as file:
                file.write(text)
        elif not violations:
            violations = list(check_doc(p))
    else:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == '__main__':
    sys.exit(main())
