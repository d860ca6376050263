// SPDX-License-Identifier: BSD-3-Clause
// Asks the exporter again and again, and shows what it says. It only reads.
'use strict';

(() => {
	const {byId, rate, whole, size, percent, clock, say, list, cells, button, grown, Chart} = Parts;
	const PERIOD_MS = 1000;
	const KEPT = 180; // readings in a chart
	const SHOWN = 200; // ports, hosts or events in a list
	const SIDES = ['rx', 'tx'];

	let before = null, now = null; // readings
	let rates = new Map(); // of each port, between them
	const history = new Map(); // port -> {rx, tx, drops}; '': all of them
	const times = [];
	let followed = null; // the name of a port
	let hosts = {entries: [], next: null}; // behind it
	let events = [], nextEvent = 0;
	let paused = false, running = false;

	const lines = [['rx frames', 'rx'], ['tx frames', 'tx'], ['drops', 'drop']];
	const traffic = new Chart(byId('traffic'), lines);
	const portChart = new Chart(byId('port-chart'), lines);

	/* ---- what happened between two readings ---- */

	const dropsOf = side => Object.values(side.drops || {}).reduce((sum, n) => sum + n, 0);

	function sideRate(from, to, seconds) {
		const reasons = {};
		for (const [reason, n] of Object.entries(to.drops || {}))
			reasons[reason] = grown((from.drops || {})[reason] || 0, n, seconds);
		return {frames: grown(from.frames, to.frames, seconds),
			bits: 8 * grown(from.bytes, to.bytes, seconds),
			drops: grown(dropsOf(from), dropsOf(to), seconds), reasons};
	}

	function ratesBetween() {
		const old = new Map((before && before.stats || []).map(row => [row.name, row]));
		const seconds = before ? now.time - before.time : 0;
		rates = new Map();
		for (const row of now.stats) {
			// A port that came, or came anew, has no rate yet.
			const from = seconds > 0 && old.get(row.name) || row;
			rates.set(row.name, {rx: sideRate(from.rx, row.rx, seconds || 1),
				tx: sideRate(from.tx, row.tx, seconds || 1)});
		}
	}

	function remember() {
		const all = {rx: 0, tx: 0, drops: 0};
		times.push(now.time);
		const values = new Map([['', all]]);
		for (const [name, r] of rates) {
			const drops = r.rx.drops + r.tx.drops;
			values.set(name, {rx: r.rx.frames, tx: r.tx.frames, drops});
			all.rx += r.rx.frames;
			all.tx += r.tx.frames;
			all.drops += drops;
		}
		for (const [name, value] of values) {
			if (!history.has(name))
				history.set(name, {rx: [], tx: [], drops: []});
			for (const [key, column] of Object.entries(history.get(name))) {
				// Where the port was not there, there is a gap.
				while (column.length < times.length - 1)
					column.push(null);
				column.push(value[key]);
			}
		}
		for (const [name, h] of history) {
			if (!values.has(name)) {
				history.delete(name);
				continue;
			}
			for (const column of Object.values(h))
				column.splice(0, column.length - KEPT);
		}
		times.splice(0, times.length - KEPT);
	}

	function columnsOf(name) {
		const h = history.get(name) || {rx: [], tx: [], drops: []};
		const pad = column => [...Array(times.length - column.length).fill(null), ...column];
		return [times.slice(), pad(h.rx), pad(h.tx), pad(h.drops)];
	}

	/* ---- ports ---- */

	function vlansOf(port) {
		const v = port.vlans;
		const tag = port.tpid === '8021ad' ? 's' : '';
		if (!v)
			return 'all';
		const words = [];
		if (v.access !== undefined)
			words.push(`${tag}${v.access}`);
		if (v.trunk !== undefined)
			words.push(`trunk ${v.trunk}`);
		if (v.native !== undefined)
			words.push(`native ${v.native}`);
		return words.join(', ') || 'none';
	}

	const hostsOf = port => now.fdb.entries.filter(entry => entry.port === port.name);

	function hostCount(port) {
		const learned = port.budgets && port.budgets.addresses;
		const seen = hostsOf(port).length;
		return Math.max(learned ? learned.used : 0, seen);
	}

	function portsShown() {
		const wanted = byId('filter').value.trim().toLowerCase();
		const text = port => [port.name, port.bridge, vlansOf(port), port.description || '',
			...hostsOf(port).map(host => host.mac)].join(' ').toLowerCase();
		const load = {
			rate: port => rates.get(port.name).rx.frames + rates.get(port.name).tx.frames,
			drops: port => rates.get(port.name).rx.drops + rates.get(port.name).tx.drops,
		}[byId('order').value];
		const ports = now.ports.filter(port => rates.has(port.name) &&
			(!wanted || text(port).includes(wanted)));
		const byName = (a, b) => a.name.localeCompare(b.name, 'en', {numeric: true});
		return ports.sort(load ? (a, b) => load(b) - load(a) || byName(a, b) : byName);
	}

	function showPorts(ports) {
		const names = ['Port', 'Link', 'Bridge', 'VLANs', 'Hosts', 'rx frames', 'rx bits', 'tx frames',
			'tx bits', 'Drops'];
		list(byId('port-rows'), ports.slice(0, SHOWN), port => port.name, 'tr', (row, port) => {
			const r = rates.get(port.name);
			const drops = r.rx.drops + r.tx.drops;
			cells(row, [{text: port.name, press: () => follow(port.name)},
				{text: port.link ? 'up' : 'down', kind: port.link ? 'link-up' : 'link-down'},
				{text: port.bridge, kind: 'long'}, {text: vlansOf(port), kind: 'long'},
				{text: whole(hostCount(port)), number: true},
				{text: rate(r.rx.frames), number: true}, {text: rate(r.rx.bits), number: true},
				{text: rate(r.tx.frames), number: true}, {text: rate(r.tx.bits), number: true},
				{text: rate(drops), number: true, kind: drops ? 'drops' : ''}], names);
			mark(row, row.querySelector('button'), port.name);
		});
		say(byId('ports-more'), ports.length > SHOWN ?
			`${whole(ports.length - SHOWN)} more: the filter finds them.` : '');
	}

	function mark(element, pressed, name) {
		element.classList.toggle('followed', name === followed);
		if (name === followed)
			pressed.setAttribute('aria-current', 'true');
		else
			pressed.removeAttribute('aria-current');
	}

	/* ---- the port that is followed ---- */

	const COUNTERS = {frames: 'frames', bytes: 'bytes', unicast: 'unicast', multicast: 'multicast',
		broadcast: 'broadcast', converted_csum: 'checksums completed', segmented: 'large frames cut',
		segments: 'frames made of them'};

	function showTotals(stats) {
		const rows = Object.keys(COUNTERS).filter(key => key in stats.rx || key in stats.tx);
		list(byId('port-totals'), [...rows, 'dropped'], key => key, 'tr', (row, key) => {
			const of = side => key === 'dropped' ? dropsOf(side) : side[key];
			cells(row, [COUNTERS[key] || key, ...SIDES.map(side => (
				{text: whole(of(stats[side])), number: true}))]);
		});
	}

	function reasonsOf(rows) {
		const found = new Map();
		for (const stats of rows) {
			for (const side of SIDES) {
				for (const [reason, n] of Object.entries(stats[side].drops || {})) {
					if (!n)
						continue;
					const key = `${side} ${reason}`;
					const sum = found.get(key) || {key, reason, side, n: 0, rate: 0, ports: []};
					sum.n += n;
					sum.rate += rates.get(stats.name)[side].reasons[reason];
					sum.ports.push([n, stats.name]);
					found.set(key, sum);
				}
			}
		}
		return [...found.values()].sort((a, b) => b.rate - a.rate || b.n - a.n);
	}

	function showQueues(stats) {
		const polled = new Map();
		for (const worker of now.workers) {
			for (const queue of worker.polled) {
				if (queue.port === stats.name)
					polled.set(queue.queue, {...queue, worker: worker.worker});
			}
		}
		list(byId('port-queues'), stats.queues, queue => queue.pair, 'tr', (row, queue) => {
			const place = polled.get(queue.pair);
			cells(row, [String(queue.pair), {text: whole(queue.rx.frames), number: true},
				{text: whole(queue.tx.frames), number: true},
				{text: place ? String(place.worker) : '-', number: true},
				{text: place ? percent(place.load) : '-', number: true}]);
		});
	}

	function about(port, stats) {
		const words = [`${port.driver} port of bridge ${port.bridge}`,
			port.link ? 'link up' : 'link down', `VLANs: ${vlansOf(port)}`];
		if (port.description)
			words.push(`“${port.description}”`);
		if (port.ring_format)
			words.push(`${port.ring_format} rings, ${port.pairs} queue pair(s)`);
		if (port.down)
			words.push(`down: ${port.down}`);
		if (port.broken_rings)
			words.push(`${port.broken_rings} broken ring(s)`);
		if (port.needs_reset)
			words.push(`${port.needs_reset} ring(s) in need of a reset`);
		if (stats.link_downs)
			words.push(`its link went down ${whole(stats.link_downs)} time(s), and changed ` +
				`${whole(stats.link_changed_s)} s ago`);
		return words.join('; ');
	}

	function showPort() {
		const port = now && now.up && now.ports.find(one => one.name === followed);
		const stats = port && now.stats.find(one => one.name === followed);
		byId('port').hidden = !stats;
		byId('events-only').disabled = !followed;
		if (!stats)
			return;
		const r = rates.get(followed);
		say(byId('port-title'), `Port ${followed}`);
		say(byId('port-about'), about(port, stats));
		byId('port-chart').setAttribute('aria-label', `Frames in a second of port ${followed}: ` +
			`rx ${rate(r.rx.frames)}, tx ${rate(r.tx.frames)}, ` +
			`drops ${rate(r.rx.drops + r.tx.drops)}`);
		portChart.draw(columnsOf(followed));
		showTotals(stats);
		list(byId('port-drops'), reasonsOf([stats]), row => row.key, 'tr', (row, drop) =>
			cells(row, [{text: drop.reason, kind: 'long'}, drop.side, {text: rate(drop.rate), number: true},
				{text: whole(drop.n), number: true}]));
		showQueues(stats);
		Counted.showPort(now, before, followed);
		list(byId('port-budgets'), Object.entries(port.budgets || {}), ([name]) => name, 'tr',
			(row, [name, budget]) => {
				const amount = n => budget.bytes && n !== null ? size(n) : whole(n);
				cells(row, [name, {text: amount(budget.used), number: true},
					{text: amount(budget.limit), number: true},
					{text: whole(budget.refused), number: true}]);
			});
		list(byId('port-hosts'), hosts.entries.slice(0, SHOWN),
			host => `${host.bridge} ${host.tpid} ${host.vlan} ${host.mac}`, 'tr', (row, host) =>
				cells(row, [{text: host.mac, kind: 'long'}, `${host.tpid === '8021ad' ? 's' : ''}${host.vlan}`,
					host.static ? 'static' : `${host.age_s} s ago`]));
		say(byId('hosts-more'), hosts.entries.length > SHOWN || hosts.next !== null ?
			`More hosts: ringway fdb list port=${followed}` : '');
	}

	function follow(name, silent) {
		followed = name;
		hosts = {entries: [], next: null};
		const hash = name === null ? '' : `#${new URLSearchParams({port: name})}`;
		if (location.hash !== hash)
			window.history.replaceState(null, '', hash || location.pathname);
		if (now && now.up)
			show();
		if (name !== null && !silent)
			byId('port-title').focus();
		askHosts();
	}

	/* ---- the rest ---- */

	function showDrops() {
		const names = ['Reason', 'Side', 'In a second', 'All', 'Ports'];
		const rows = reasonsOf(now.stats);
		byId('drops-none').hidden = rows.length > 0;
		list(byId('drop-rows'), rows, row => row.key, 'tr', (row, drop) => {
			const ports = drop.ports.sort((a, b) => b[0] - a[0]).map(([, name]) => name);
			const more = ports.length > 3 ? ` and ${ports.length - 3} more` : '';
			cells(row, [{text: drop.reason, kind: 'long'}, drop.side,
				{text: rate(drop.rate), number: true, kind: drop.rate ? 'drops' : ''},
				{text: whole(drop.n), number: true},
				{text: ports.slice(0, 3).join(', ') + more, kind: 'long'}], names);
		});
	}

	function showWorkers() {
		const names = ['CPU', 'Busy', 'Asleep', 'Queues', 'Frames', 'Cycles/frame'];
		const old = new Map((before && before.workers || []).map(row => [row.cpu, row]));
		const seconds = before ? now.time - before.time : 1;
		list(byId('worker-rows'), now.workers, row => row.cpu, 'tr', (row, worker) => {
			const from = old.get(worker.cpu) || worker;
			const busy = Math.max(worker.busy_cycles - from.busy_cycles, 0);
			const asleep = Math.max(worker.asleep_cycles - from.asleep_cycles, 0);
			const all = busy + asleep + Math.max(worker.idle_cycles - from.idle_cycles, 0);
			const frames = Math.max(worker.frames - from.frames, 0);
			const share = n => all ? n / all : 0;
			cells(row, [`CPU ${worker.cpu}`,
				{text: percent(share(busy)), value: share(busy), number: true},
				{text: percent(share(asleep)), value: share(asleep), number: true},
				{text: String(worker.queues), number: true},
				{text: rate(frames / seconds), number: true},
				{text: frames ? (busy / frames).toFixed(0) : '-', number: true}], names);
		});
	}

	// A group of a bridge's ports: those with the same VLANs.
	function groupOf(port) {
		const v = port.vlans;
		if (!v)
			return 'All VLANs, tags kept';
		if (v.access !== undefined)
			return `VLAN ${vlansOf(port)}`;
		return 'Trunks';
	}

	function hostsText(port) {
		const behind = hostsOf(port);
		const names = behind.slice(0, 3).map(host => host.vlan ? `${host.mac} (VLAN ${host.vlan})` :
			host.mac);
		const more = hostCount(port) - names.length;
		if (!names.length)
			return more > 0 ? `${whole(more)} host(s)` : 'nobody';
		return names.join(', ') + (more > 0 ? ` and ${whole(more)} more` : '');
	}

	function fillMember(item, port, isNew) {
		if (isNew) {
			item.append(button(() => follow(port.name)), ' ', document.createElement('span'), ' ',
				document.createElement('span'));
			item.lastChild.className = 'hosts';
		}
		const [pressed, link, behind] = item.children;
		say(pressed, port.name);
		link.className = port.link ? 'link-up' : 'link-down';
		const tags = port.vlans && port.vlans.access === undefined ? `, ${vlansOf(port)}` : '';
		say(link, (port.link ? 'up' : 'down') + tags);
		say(behind, hostsText(port));
		mark(item, pressed, port.name);
	}

	function showTopology(ports) {
		const bridges = new Map(now.bridges.map(bridge => [bridge.name, new Map()]));
		for (const port of ports.slice(0, SHOWN)) {
			const groups = bridges.get(port.bridge) || new Map();
			const name = groupOf(port);
			groups.set(name, [...(groups.get(name) || []), port]);
			bridges.set(port.bridge, groups);
		}
		list(byId('topology'), [...bridges], ([name]) => name, 'section', (card, [name, groups]) => {
			if (!card.firstChild)
				card.append(document.createElement('h3'), document.createElement('div'));
			card.className = 'bridge';
			const members = [...groups.values()].reduce((sum, members) => sum + members.length, 0);
			say(card.firstChild, `Bridge ${name}: ${members} port(s)`);
			list(card.lastChild, [...groups], ([group]) => group, 'div', (part, [group, members]) => {
				if (!part.firstChild)
					part.append(document.createElement('h4'), document.createElement('ul'));
				say(part.firstChild, group);
				list(part.lastChild, members, port => port.name, 'li', fillMember);
			});
		});
	}

	function showEvents() {
		const only = byId('events-only').checked && followed;
		const shown = events.filter(event => !only || event.port === only || event.from === only);
		list(byId('events'), shown.slice(-SHOWN).reverse(), event => event.number, 'li',
			(item, event, isNew) => {
				if (!isNew)
					return;
				const parts = [['time', clock(event.time)], ['b', event.event], ['span', Object
					.entries(event).filter(([key]) => !['event', 'time', 'number'].includes(key))
					.map(([key, value]) => `${key}=${value}`).join(' ')]];
				for (const [tag, text] of parts) {
					const part = document.createElement(tag);
					part.textContent = text;
					item.append(part);
				}
			});
		if (!shown.length && !byId('events').firstChild)
			list(byId('events'), [{}], () => 'none', 'li', item => say(item, 'None yet.'));
		say(byId('events-only-text'), followed === null ? 'Only of the port that is followed' :
			`Only of port ${followed}`);
	}

	function showState() {
		say(byId('state'), now.up ? 'the switch answers' : `the switch does not answer: ${now.error}`);
		byId('state').className = now.up ? 'up' : 'away';
		say(byId('clock'), `at ${clock(now.time)}`);
	}

	function show() {
		const r = [...rates.values()];
		const sum = pick => r.reduce((all, one) => all + pick(one), 0);
		const up = now.ports.filter(port => port.link).length;
		const ports = portsShown();
		say(byId('version'), now.version.version);
		say(byId('summary'), `${whole(now.ports.length)} port(s), ${whole(up)} with link; ` +
			`${rate(sum(one => one.rx.frames))} frames and ${rate(sum(one => one.rx.bits))} bits ` +
			`in a second from guests; ${rate(sum(one => one.rx.drops + one.tx.drops))} dropped; ` +
			`${whole(now.fdb.entries_total)} host(s)`);
		traffic.draw(columnsOf(''));
		showPorts(ports);
		showPort();
		showDrops();
		showWorkers();
		Counted.show(now, before);
		showTopology(ports);
		showEvents();
	}

	/* ---- asking ---- */

	async function ask(path) {
		const answer = await fetch(path, {cache: 'no-store'});
		if (!answer.ok)
			throw new Error(await answer.text());
		return answer.json();
	}

	async function askHosts() {
		const name = followed;
		if (name === null || !now || !now.up)
			return;
		try {
			const answer = await ask(`api/hosts?port=${encodeURIComponent(name)}`);
			if (name === followed)
				hosts = answer;
		} catch (error) {
			hosts = {entries: [], next: null};
		}
		showPort();
	}

	function take(reading) {
		if (now && reading.time === now.time)
			return;
		before = now && now.up ? now : null;
		now = reading;
		showState();
		if (!now.up)
			return;
		ratesBetween();
		if (before)
			remember();
		show();
	}

	async function turn() {
		const began = performance.now();
		if (!paused && !document.hidden && !running) {
			running = true;
			try {
				take(await ask('api/switch'));
				const answer = await ask(`api/events?from=${nextEvent}`);
				nextEvent = answer.next;
				if (answer.events.length)
					events = [...events, ...answer.events].slice(-2 * SHOWN);
				showEvents();
				await askHosts();
			} catch (error) {
				say(byId('state'), 'the exporter does not answer');
				byId('state').className = 'away';
			}
			running = false;
		}
		// A large switch takes longer: half of the time is left to others.
		const took = performance.now() - began;
		setTimeout(turn, Math.max(PERIOD_MS - took, took, 100));
	}

	function followHash() {
		const name = new URLSearchParams(location.hash.slice(1)).get('port');
		if (name !== null && name !== followed)
			follow(name, true);
	}

	byId('pause').addEventListener('click', () => {
		paused = !paused;
		byId('pause').setAttribute('aria-pressed', String(paused));
	});
	byId('unfollow').addEventListener('click', () => {
		const name = followed;
		follow(null);
		const left = [...document.querySelectorAll('button.port')].find(one => one.textContent === name);
		(left || byId('ports')).focus();
	});
	for (const id of ['filter', 'order'])
		byId(id).addEventListener('input', () => now && now.up && show());
	byId('events-only').addEventListener('input', showEvents);
	window.addEventListener('hashchange', followHash);
	followHash();
	turn();
})();
