// SPDX-License-Identifier: BSD-3-Clause
// What the page is made of: numbers, rows, lists, charts. All that the switch says becomes text.
'use strict';

const Parts = (() => {
	const UNITS = ['', 'k', 'M', 'G', 'T', 'P'];
	const NARROW = '\u202f';
	const byId = id => document.getElementById(id);

	// As `ringway top` writes it: 1.902 M.
	function rate(n) {
		let unit = 0;
		for (; n >= 999.9995 && unit + 1 < UNITS.length; unit++)
			n /= 1000;
		return unit ? `${n.toFixed(3)}\u00a0${UNITS[unit]}` : n.toFixed(0);
	}

	// The same for an axis: 1.9 M.
	const short = n => rate(n).replace(/\.?0*(\s|$)/, (end, blank, at, all) =>
		all.includes('.') ? blank : end);

	// All digits, in groups of three.
	const whole = n => n === undefined || n === null ? '-' :
		String(n).replace(/\B(?=(\d{3})+(?!\d))/g, NARROW);
	// Bytes: 8 TiB, 85.5 KiB.
	function size(n) {
		let unit = 0;
		for (; n >= 1024 && unit < 5; unit++)
			n /= 1024;
		return `${Number(n.toPrecision(4))}${unit ? `\u00a0${UNITS[unit].toUpperCase()}iB` : ''}`;
	}

	// What a counter grew by in a second; one that began anew did not.
	const grown = (from, to, seconds) => Math.max(to - from, 0) / seconds;

	const percent = share => `${(100 * share).toFixed(1)}\u00a0%`;
	const clock = seconds => new Date(seconds * 1000).toTimeString().slice(0, 8);

	function say(element, text) {
		if (element.textContent !== text)
			element.textContent = text;
	}

	// Make the children of `parent` those of `items`, in that order. An element that stays is the
	// same one, so it keeps the focus. fill(element, item, isNew).
	function list(parent, items, keyOf, tag, fill) {
		const old = new Map([...parent.children].map(child => [child.dataset.key, child]));
		let at = parent.firstElementChild;
		for (const item of items) {
			const key = String(keyOf(item));
			const child = old.get(key) || document.createElement(tag);
			const isNew = !old.delete(key);
			child.dataset.key = key;
			fill(child, item, isNew);
			if (child === at)
				at = at.nextElementSibling;
			else
				parent.insertBefore(child, at);
		}
		for (const child of old.values())
			child.remove();
		if (parent.tagName === 'TBODY')
			parent.parentElement.hidden = !items.length;
	}

	// A row of a table. Cells: {text, number, kind, value} or a text; the first one is the header
	// of its row. value: of a meter from 0 to 1.
	function cells(row, values, names) {
		values.forEach((value, i) => {
			const cell = typeof value === 'object' ? value : {text: value};
			let td = row.children[i];
			if (!td) {
				td = document.createElement(i ? 'td' : 'th');
				// Said again, as a table that is shown as cards would be none.
				td.setAttribute('role', i ? 'cell' : 'rowheader');
				row.setAttribute('role', 'row');
				if (!i)
					td.scope = 'row';
				if (names && i)
					td.dataset.name = names[i];
				row.append(td);
				if (cell.press)
					td.append(button(cell.press));
				if (cell.value !== undefined)
					td.append(document.createElement('meter'), ' ');
				if (cell.press || cell.value !== undefined)
					td.append(document.createElement('span'));
			}
			td.className = [cell.number ? 'number' : '', cell.kind || ''].join(' ').trim();
			if (cell.value !== undefined) {
				td.firstChild.value = cell.value;
				td.firstChild.setAttribute('aria-hidden', 'true');
			}
			if (cell.press)
				say(td.firstChild, cell.text);
			else
				say(td.lastElementChild || td, cell.text);
		});
	}

	function button(press) {
		const made = document.createElement('button');
		made.type = 'button';
		made.className = 'port';
		made.addEventListener('click', press);
		return made;
	}

	const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)
		.trim();

	// Lines over time, drawn by uPlot. draw(columns): times, then the values of each line.
	class Chart {
		constructor(element, lines) {
			this.element = element;
			// The name of the picture says it; its parts would be read one by one.
			this.inside = document.createElement('div');
			this.inside.setAttribute('aria-hidden', 'true');
			element.append(this.inside);
			this.lines = lines;
			this.columns = [[], ...lines.map(() => [])];
			new ResizeObserver(() => this.resize()).observe(element);
			matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.make());
		}

		make() {
			if (this.plot)
				this.plot.destroy();
			const axis = {stroke: colour('quiet'), grid: {stroke: colour('line'), width: 1},
				ticks: {stroke: colour('line')}};
			this.plot = new uPlot({
				width: this.element.clientWidth, height: 180, cursor: {drag: {setScale: false}},
				scales: {y: {range: (plot, min, max) => [0, Math.max(max, 1)]}},
				axes: [{...axis, space: 90, incrs: [1, 2, 5, 10, 15, 30, 60], values: (plot, ticks) => ticks.map(clock)},
					{...axis, size: 72, values: (plot, ticks) => ticks.map(short)}],
				series: [{value: (plot, time) => time === null ? '-' : clock(time)},
					...this.lines.map(([label, name]) => ({label, stroke: colour(name), width: 2,
						points: {show: false},
						value: (plot, n) => n === null ? '-' : rate(n)}))],
			}, this.columns, this.inside);
			this.legend();
		}

		// Where nobody points at a time, the legend has the last values.
		legend() {
			// Behind what uPlot has put off itself.
			setTimeout(() => {
				if (this.plot.cursor.left < 0 && this.columns[0].length)
					this.plot.setLegend({idx: this.columns[0].length - 1});
			});
		}

		resize() {
			const width = this.element.clientWidth;
			if (this.plot && width && width !== this.plot.width)
				this.plot.setSize({width, height: 180});
			if (this.plot)
				this.legend();
		}

		draw(columns) {
			this.columns = columns;
			if (this.plot)
				this.plot.setData(columns);
			else if (this.element.clientWidth)
				this.make();
			if (this.plot)
				this.legend();
		}
	}

	return {byId, rate, whole, size, percent, clock, say, list, cells, button, grown, Chart};
})();
