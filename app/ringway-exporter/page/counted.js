// SPDX-License-Identifier: BSD-3-Clause
// What is counted on request, and who does not keep up.
'use strict';

const Counted = (() => {
	const {byId, rate, whole, percent, say, list, cells, grown} = Parts;
	const SHOWN = 200; // rows of a table
	const SLOW = 0.05; // a share of time that is no burst any more

	let shown = null; // the last reading
	let chosen = null; // the pair of ports whose histogram is shown

	// What the switch has not counted although it was to, as a sentence.
	function lostOf(reading, what, others) {
		const row = (reading.counts || []).find(one => one.what === what) || {};
		const words = [];
		if (row.others)
			words.push(`${whole(row.others)} frame(s) of further ${others}`);
		if (row.late)
			words.push(`${whole(row.late)} frame(s) that waited for an IOMMU`);
		return words.length ? `Not in it: ${words.join(', ')}.` : '';
	}

	const notes = (...parts) => parts.filter(part => part).join(' ');

	/* ---- latency ---- */

	const us = ns => (ns / 1000).toFixed(2);
	// 1.024 µs, 4.194 ms.
	function timeText(ns) {
		const [unit, scale] = ns < 1e6 ? ['µs', 1e3] : ns < 1e9 ? ['ms', 1e6] : ['s', 1e9];
		return `${Number((ns / scale).toPrecision(4))}\u00a0${unit}`;
	}

	const keyOf = pair => `${pair.from}\n${pair.to}`;

	function choose(pair) {
		chosen = keyOf(pair);
		showLatency(shown);
	}

	// A bin for each power of two, those between the first and the last one that has frames.
	function octavesOf(pair) {
		const octaves = [];
		let up = 0;
		for (const [, most, frames] of pair.histogram || []) {
			const end = 2 ** Math.floor(Math.log2(Math.max(most, 127)) + 1);
			while (octaves.length && octaves[octaves.length - 1].end < end / 2)
				octaves.push({end: 2 * octaves[octaves.length - 1].end, frames: 0, up});
			up += frames;
			if (!octaves.length || octaves[octaves.length - 1].end < end)
				octaves.push({end, frames: 0, up});
			const last = octaves[octaves.length - 1];
			last.frames += frames;
			last.up = up;
		}
		return octaves.map(octave => ({...octave, up: octave.up / up, share: octave.frames / up}));
	}

	function showHistogram(pair) {
		const octaves = pair ? octavesOf(pair) : [];
		const most = Math.max(...octaves.map(octave => octave.share), 0);
		if (pair)
			say(byId('latency-pair'), `Frames from ${pair.from} to ${pair.to}, by the time that they took`);
		list(byId('latency-bins'), octaves, octave => octave.end, 'tr', (row, octave) =>
			cells(row, [{text: `< ${timeText(octave.end)}`, number: true},
				{text: whole(octave.frames), number: true},
				{text: percent(octave.up), number: true},
				{text: percent(octave.share), value: octave.share / most, number: true, kind: 'bar'}]));
	}

	function showLatency(reading) {
		const pairs = reading.latency || [];
		const names = ['Ports', 'Frames', 'Least µs', 'Mean µs', '50 % µs', '90 % µs', '99 % µs',
			'99.9 % µs', 'Most µs'];
		const keys = ['min_ns', 'mean_ns', 'p50_ns', 'p90_ns', 'p99_ns', 'p99_9_ns', 'max_ns'];
		const pair = pairs.find(one => keyOf(one) === chosen) ||
			[...pairs].sort((a, b) => b.frames - a.frames)[0];
		chosen = pair ? keyOf(pair) : chosen;
		byId('latency-how').hidden = reading.latency !== undefined;
		say(byId('latency-note'), notes(
			reading.latency && !pairs.length ? 'It is measured, and no frame has come yet.' : '',
			pairs.length > SHOWN ? `${whole(pairs.length - SHOWN)} more: ringway latency show` : '',
			lostOf(reading, 'latency', 'pairs of ports')));
		list(byId('latency-rows'), pairs.slice(0, SHOWN), keyOf, 'tr', (row, one) => {
			cells(row, [{text: `${one.from} to ${one.to}`, press: () => choose(one)},
				{text: whole(one.frames), number: true},
				...keys.map(key => ({text: us(one[key]), number: true}))], names);
			row.classList.toggle('followed', one === pair);
			if (one === pair)
				row.querySelector('button').setAttribute('aria-current', 'true');
			else
				row.querySelector('button').removeAttribute('aria-current');
		});
		showHistogram(pair);
	}

	/* ---- VLANs ---- */

	const VLAN_COUNTERS = ['rx_frames', 'rx_bytes', 'rx_drops', 'tx_frames', 'tx_bytes', 'tx_drops'];
	const vlanKey = row => `${row.bridge}\n${row.tpid}\n${row.vlan}`;

	// Bridges that are gone have one name: what they had is added.
	function vlansOf(reading) {
		const sums = new Map();
		for (const row of reading && reading.vlans || []) {
			const sum = sums.get(vlanKey(row));
			if (!sum)
				sums.set(vlanKey(row), {...row});
			else
				VLAN_COUNTERS.forEach(key => sum[key] += row[key]);
		}
		return sums;
	}

	function vlanName(row) {
		if (row.vlan === null)
			return 'none of its port';
		return row.vlan === 0 ? 'no tag' : `${row.tpid === '8021ad' ? 's' : ''}${row.vlan}`;
	}

	function showVlans(reading, before) {
		const names = ['VLAN', 'Bridge', 'rx frames', 'rx bits', 'tx frames', 'tx bits', 'Drops',
			'All rx frames', 'All tx frames'];
		const old = vlansOf(before), rows = [...vlansOf(reading).values()];
		const seconds = before ? reading.time - before.time : 1;
		byId('vlans-how').hidden = reading.vlans !== undefined;
		say(byId('vlans-note'), notes(
			reading.vlans && !rows.length ? 'They are counted, and no frame has come yet.' : '',
			rows.length > SHOWN ? `${whole(rows.length - SHOWN)} more: ringway vlans show` : '',
			lostOf(reading, 'vlans', 'VLANs')));
		list(byId('vlan-rows'), rows.slice(0, SHOWN), vlanKey, 'tr', (row, vlan) => {
			const from = old.get(vlanKey(vlan)) || vlan;
			const per = key => grown(from[key], vlan[key], seconds);
			const drops = per('rx_drops') + per('tx_drops');
			cells(row, [vlanName(vlan), {text: vlan.bridge, kind: 'long'},
				{text: rate(per('rx_frames')), number: true},
				{text: rate(8 * per('rx_bytes')), number: true},
				{text: rate(per('tx_frames')), number: true},
				{text: rate(8 * per('tx_bytes')), number: true},
				{text: rate(drops), number: true, kind: drops ? 'drops' : ''},
				{text: whole(vlan.rx_frames), number: true},
				{text: whole(vlan.tx_frames), number: true}], names);
		});
	}

	/* ---- of the port that is followed ---- */

	function octetsText(bin) {
		if (bin.most === null)
			return `${bin.least} or more`;
		if (!bin.least)
			return `up to ${bin.most}`;
		return bin.least === bin.most ? String(bin.least) : `${bin.least} to ${bin.most}`;
	}

	function showSizes(reading, name) {
		const port = (reading.sizes || []).find(one => one.name === name);
		byId('sizes-how').hidden = port !== undefined;
		list(byId('port-sizes'), port ? port.sizes : [], bin => bin.least, 'tr', (row, bin) =>
			cells(row, [octetsText(bin), {text: whole(bin.rx), number: true},
				{text: whole(bin.tx), number: true}]));
	}

	// Who reads what goes through the port in a direction, and the share of time in which it lagged.
	function lagsOf(stats, from, seconds) {
		return ['rx', 'tx'].filter(side => stats[side].lags !== undefined).map(side => {
			const old = (from || stats)[side].lag_ns;
			return {side, counters: stats[side],
				who: side === 'rx' ? 'switch' : stats.uplink ? 'device' : 'guest',
				share: Math.min(grown(old, stats[side].lag_ns, seconds) / 1e9, 1)};
		});
	}

	function showLag(reading, before, name) {
		const statsOf = one => (one && one.stats || []).find(row => row.name === name);
		const seconds = before ? reading.time - before.time : 1;
		const lags = lagsOf(statsOf(reading), statsOf(before), seconds);
		say(byId('port-slow'), lags.filter(lag => lag.share > SLOW).map(lag => lag.side === 'rx' ?
			`The switch is too slow for ${percent(lag.share)} of the time: frames wait in the guest.` :
			`The ${lag.who} is too slow for ${percent(lag.share)} of the time: it has no room for ` +
			'what comes.').join(' '));
		const of = (text, pick) => lags.length ? [[text, ...lags.map(pick)]] : [];
		list(byId('port-lag'), [...of('who reads', lag => lag.who),
			...of('lags now', lag => percent(lag.share)),
			...of('lags', lag => whole(lag.counters.lags)),
			...of('lags, ms', lag => (lag.counters.lag_ns / 1e6).toFixed(1)),
			...of('signals', lag => whole(lag.counters.signals_sent)),
			...of('signals suppressed', lag => whole(lag.counters.signals_suppressed))],
		([name]) => name, 'tr', (row, [name, ...texts]) =>
			cells(row, [name, ...texts.map(text => ({text, number: true}))]));
	}

	function show(reading, before) {
		shown = reading;
		showLatency(reading);
		showVlans(reading, before);
	}

	function showPort(reading, before, name) {
		showSizes(reading, name);
		showLag(reading, before, name);
	}

	return {show, showPort};
})();
