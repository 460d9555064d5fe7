// SPDX-License-Identifier: Apache-2.0
// The interactive flame page: flame graph, sandwich view, table of functions, differences.
//
// Input, from flamepage.c: #meta, JSON {unit, unit_ns, timed, bytes, frames, looks, sides}, and #data,
// base64 of a raw deflate stream of five or six columns whose lengths are meta.bytes: names (lines of
// UTF-8), looks (a byte a name: class | shade << 4), then a varint for each frame, in pre-order: name
// number, levels up from the child of the frame before, own weight; with two profiles the own weight in
// the second one. Totals, parents and ends of subtrees are made from these.
//
// Everything is drawn on canvases as large as their viewport. A frame narrower than MIN_PX is skipped
// with all that it calls, and rows outside the viewport are not visited, so a view costs as much as its
// pixels. Search tests each name once. Texts of the profile reach the page by textContent and fillText
// alone.
(function () {
'use strict';
const ROW = 18, MIN_PX = 0.5, TEXT_MIN = 24, TABLE_ROWS = 300, TOP_ROWS = 20, PARTS_MAX = 1000;
const IDLE = '(idle)'; // a frame that stands for a thread's waits for work
const $ = (id) => document.getElementById(id);
const meta = JSON.parse($('meta').textContent);
const diff = meta.sides.length === 2;
// A diff's first profile is the one before: A; without a diff there is A alone.
let names, looks, tree; // parts can be switched off: {label, at: [frames]}, threads and what is idle in them
let parts = [], usual; // numbers of parts that are off at first
let sortFirst = 'self';
const state = { view: 'flame', zoom: 0, query: '', up: false, hidden: new Set(), fn: -1,
		norm: 'share', sort: 'self', asc: false, theme: '' };
let hits = null, cursor = -1, table = null, factors = [1, 1], flame, callers, callees;

// ---- the profile ----

async function inflate(text) {
	const s = Uint8Array.fromBase64 ? '' : atob(text); // browsers before 2025
	const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : new Uint8Array(s.length);
	for (let i = 0; i < s.length; i++)
		bytes[i] = s.charCodeAt(i);
	const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
	return new Uint8Array(await new Response(stream).arrayBuffer());
}

// n varints of 7 bits a byte, the low ones first.
function column(bytes, n, out) {
	let p = 0;
	for (let i = 0; i < n; i++) {
		let b = bytes[p++], v = b & 127;
		for (let scale = 128; b & 128; scale *= 128) {
			b = bytes[p++];
			v += (b & 127) * scale;
		}
		out[i] = v;
	}
	return out;
}

// Depths in pre-order are a tree; total weights are filled in where own ones are given.
function makeTree(name, depth) {
	const n = name.length, parent = new Int32Array(n), end = new Uint32Array(n);
	const open = [];
	for (let i = 0; i < n; i++) {
		const d = depth[i];
		for (; open.length > d; open.pop())
			end[open[open.length - 1]] = i;
		parent[i] = d ? open[d - 1] : -1;
		open.push(i);
	}
	for (; open.length; open.pop())
		end[open[open.length - 1]] = n;
	return { n, name, depth, parent, end };
}

function totals(t, own) {
	const all = Float64Array.from(own);
	for (let i = t.n - 1; i > 0; i--)
		all[t.parent[i]] += all[i];
	return all;
}

async function load() {
	const data = await inflate($('data').textContent.trim()), cols = [];
	$('data').remove();
	let at = 0;
	for (const bytes of meta.bytes)
		cols.push(data.subarray(at, at += bytes));
	names = new TextDecoder().decode(cols[0]).split('\n');
	looks = cols[1];
	const n = meta.frames, depth = new Uint16Array(n);
	const name = column(cols[2], n, new Uint32Array(n));
	const up = column(cols[3], n, new Uint16Array(n));
	for (let i = 1; i < n; i++)
		depth[i] = depth[i - 1] + 1 - up[i];
	tree = makeTree(name, depth);
	tree.own = cols.slice(4).map((col) => column(col, n, new Float64Array(n)));
	tree.sum = tree.own.map((own) => totals(tree, own));
	const idle = [];
	const thread = (i, process) => {
		parts.push({ label: names[name[i]] + process, at: [i] });
		for (let c = i + 1; c < tree.end[i]; c = tree.end[c])
			if (names[name[c]] === IDLE && !(looks[name[c]] & 15))
				idle.push(c);
	};
	for (let i = 1; i < n; i = tree.end[i]) {
		if (!meta.processes) {
			thread(i, '');
			continue;
		}
		parts.push({ label: names[name[i]], at: [i], process: true });
		for (let c = i + 1; c < tree.end[i]; c = tree.end[c])
			thread(c, ' · ' + names[name[i]]);
	}
	if (idle.length)
		parts.push({ label: IDLE, at: idle });
	// Where only the kernel has own weight, as in waits, that order would be a list of the kernel's functions.
	const own = [0, 0], kernel = meta.looks.findIndex((look) => look.label === 'kernel');
	for (let i = 1; i < n && !diff; i++)
		own[Number((looks[name[i]] & 15) !== kernel)] += looks[name[i]] & 15 ? tree.own[0][i] : 0;
	if (own[1] < 0.01 * own[0])
		sortFirst = state.sort = 'total';
	usual = idle.length && idle.length < n - 1 ? String(parts.length - 1) : '';
}

// Is frame i one of these, or below one?
function within(i, set) {
	for (; i >= 0 && !set.has(i); i = tree.parent[i])
		;
	return i >= 0;
}

// What frames weigh on the screen: without the parts that are switched off; with two profiles the mean of
// both, each by its norm, so that what is gone keeps a width too.
function weigh() {
	const all = parts.flatMap(({ at }, k) => state.hidden.has(k) ? at : []), seen = new Set(all);
	const off = all.filter((i) => !within(tree.parent[i], seen));
	tree.shown = tree.sum.map((sum) => off.reduce((rest, i) => rest - sum[i], sum[0]));
	tree.w = tree.sum[0];
	if (diff) {
		const [a, b] = tree.sum;
		factors = meta.sides.map((side, k) => 1 / (norms[state.norm].by(side, k) || 1));
		const [fa, fb] = factors.map((f) => f / 2);
		tree.w = a.map((v, i) => v * fa + b[i] * fb);
	} else if (off.length) {
		tree.w = tree.w.slice();
	}
	for (const i of off) {
		for (let up = tree.parent[i]; up >= 0; up = tree.parent[up])
			tree.w[up] -= tree.w[i];
		tree.w[i] = 0;
	}
	table = null;
}

const norms = {
	share: { label: 'share of samples', by: (side, k) => tree.shown[k],
		 text: (v) => percent(v) },
	second: { label: 'per second', by: (side) => side.seconds, text: (v) => amount(v) + '/s' },
	request: { label: 'per request', by: (side) => side.requests,
		   text: (v) => amount(v) + '/request' },
};

// ---- numbers and names ----

function percent(x) {
	const p = 100 * x, a = Math.abs(p);
	return (a >= 99.95 || a === 0 ? p.toFixed(0) : a >= 10 ? p.toFixed(1) : p.toFixed(2)) + ' %';
}

function count(x) {
	return (Number.isInteger(x) ? String(x) : x.toPrecision(3)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function duration(ns) {
	for (const [unit, size] of [['s', 1e9], ['ms', 1e6], ['µs', 1e3]]) {
		if (Math.abs(ns) >= size || unit === 'µs')
			return Number((ns / size).toPrecision(3)) + ' ' + unit;
	}
}

// A weight as people read it: a time where it is one.
function amount(v) {
	return meta.timed ? duration(v * meta.unit_ns) : count(v) + ' ' + meta.unit;
}

function exact(v) {
	return amount(v) + (meta.timed || !meta.unit_ns ? '' : ' (' + duration(v * meta.unit_ns) + ')');
}

const share = (v, k) => tree.shown[k] ? v / tree.shown[k] : 0;
const normed = (v, k) => norms[state.norm].text(v * factors[k]);
const MARK = { more: '▲ ', less: '▼ ', 'new': '✚ ', gone: '✖ ', same: '' };

// One of more, less, new, gone, same; a change under half a percent of the value is none.
function change(a, b) {
	const x = a * factors[0], y = b * factors[1];
	if (!a !== !b)
		return a ? 'gone' : 'new';
	return Math.abs(y - x) <= 0.005 * Math.max(x, y) ? 'same' : y > x ? 'more' : 'less';
}

function describe(t, i) {
	const label = names[t.name[i]];
	if (diff) {
		const a = t.sum[0][i], b = t.sum[1][i], d = b * factors[1] - a * factors[0];
		return label + ' · ' + change(a, b) + ' · before ' + normed(a, 0) + ', after ' +
			normed(b, 1) + ' (' + (d >= 0 ? '+' : '') + norms[state.norm].text(d) + ')';
	}
	let s = label + ' · ' + exact(t.w[i]) + ', ' +
		percent(t.w[i] / (tree.w[0] || 1));
	if (t === tree && state.zoom)
		s += ' (' + percent(t.w[i] / (t.w[state.zoom] || 1)) + ' of view)';
	return t.own ? s + ', self ' + percent(share(t.own[0][i], 0)) : s;
}

// Same rule as flame.c: two cells for characters from U+1100 on.
function clip(text, px, cell) {
	let room = Math.floor((px - 6) / cell), out = '';
	for (const c of text) {
		room -= c.codePointAt(0) >= 0x1100 ? 2 : 1;
		if (room < 0)
			return Array.from(out).slice(0, -1).join('') + '…';
		out += c;
	}
	return out;
}

// ---- a graph on a canvas ----

class Pane {
	// up: true or a function that says whether callees stand above their callers.
	constructor(box, up, pick) {
		this.box = box;
		this.canvas = box.querySelector('canvas');
		this.spacer = box.querySelector('.spacer');
		this.ctx = this.canvas.getContext('2d');
		this.up = up;
		this.rects = [];
		box.addEventListener('scroll', () => this.draw());
		this.canvas.addEventListener('mousemove', (e) => say(this.at(e)));
		this.canvas.addEventListener('mouseleave', () => say(null));
		this.canvas.addEventListener('click', (e) => {
			const hit = this.at(e);
			if (hit)
				pick(hit.i, e);
		});
	}

	show(t, focus) {
		this.tree = t;
		this.focus = focus;
		this.layout();
	}

	// Rows and width of the view; then everything that depends on the viewport.
	layout() {
		const t = this.tree;
		if (!t || !this.box.clientWidth)
			return;
		this.width = this.box.clientWidth;
		this.height = this.box.clientHeight;
		const least = t.w[this.focus] * MIN_PX / this.width;
		let deepest = t.depth[this.focus];
		for (let i = this.focus; i < t.end[this.focus];) {
			if (t.w[i] < least || !t.w[i]) {
				i = t.end[i];
				continue;
			}
			deepest = Math.max(deepest, t.depth[i++]);
		}
		this.rows = deepest + 1;
		this.full = Math.max(this.rows * ROW, this.height);
		this.spacer.style.height = this.full - this.height + 'px';
		this.width = this.box.clientWidth; // a scroll bar may have come
		const ratio = window.devicePixelRatio || 1;
		this.canvas.width = Math.round(this.width * ratio);
		this.canvas.height = Math.round(this.height * ratio);
		this.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
		if (this.up())
			this.box.scrollTop = this.full;
		this.draw();
	}

	y(depth) {
		return (this.flipped ? this.full - (depth + 1) * ROW : depth * ROW) - this.scrolled;
	}

	draw() {
		const t = this.tree, ctx = this.ctx, style = getComputedStyle(document.documentElement);
		if (!t || !this.width)
			return;
		this.flipped = this.up();
		this.scrolled = this.box.scrollTop; // asked once: the browser may have to lay out for it
		this.look = { line: style.getPropertyValue('--line'), thin: style.getPropertyValue('--thin'),
			      hit: style.getPropertyValue('--hit') };
		ctx.font = '11.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';
		ctx.direction = 'ltr';
		this.cell = ctx.measureText('M').width;
		ctx.clearRect(0, 0, this.width, this.height);
		this.canvas.frames = this.rects = []; // for the tests too
		const focus = this.focus, scale = t.w[focus] ? this.width / t.w[focus] : 0;
		const base = t.depth[focus], edge = new Float64Array(this.rows + 2);
		const thin = new Float64Array(this.rows + 2).fill(-1); // last column painted for thin frames
		for (let i = t.parent[focus]; i >= 0; i = t.parent[i])
			this.frame(i, 0, this.width, this.y(t.depth[i]), true);
		for (let i = focus; i < t.end[focus] && scale;) {
			const d = t.depth[i], row = d - base, w = t.w[i] * scale, x = edge[row], y = this.y(d);
			edge[row] += w;
			edge[row + 1] = x;
			if (y <= -ROW ? this.flipped : y >= this.height && !this.flipped) {
				i = t.end[i]; // past the viewport, and so is all that it calls
			} else if (w < MIN_PX) {
				if (w && x + w >= thin[row] + 1) {
					ctx.fillStyle = this.look.thin;
					ctx.fillRect(thin[row] = Math.floor(x), y, 1, ROW - 1);
				}
				i = t.end[i];
			} else {
				if (y > -ROW && y < this.height)
					this.frame(i, x, w, y, false);
				i++;
			}
		}
	}

	frame(i, x, w, y, faded) {
		const t = this.tree, ctx = this.ctx, id = t.name[i], hit = hits && hits[id];
		const [fill, ink, mark] = colour(t, i);
		ctx.globalAlpha = faded ? 0.55 : 1;
		ctx.fillStyle = hit ? this.look.hit : fill;
		ctx.fillRect(x, y, Math.max(w - 0.5, 0.4), ROW - 1);
		ctx.globalAlpha = 1;
		if (w >= TEXT_MIN) {
			ctx.fillStyle = hit ? '#fff' : ink;
			ctx.fillText(clip(mark + names[id], w, this.cell), x + 3, y + 13);
		}
		if (t === tree && i === cursor && this === flame) {
			ctx.strokeStyle = this.look.line;
			ctx.lineWidth = 2;
			ctx.strokeRect(x + 1, y + 1, Math.max(w - 2.5, 1), ROW - 3);
		}
		this.rects.push({ i, x, y, w, fill, faded, hit: !!hit, mark, text: names[id] });
	}

	at(e) {
		const { offsetX: x, offsetY: y } = e;
		const r = this.rects.find((q) => x >= q.x && x < q.x + q.w && y >= q.y && y < q.y + ROW);
		return r ? { t: this.tree, i: r.i } : null;
	}
}

// [fill, ink, mark before the name]
function colour(t, i) {
	if (!diff) {
		const look = looks[t.name[i]], kind = meta.looks[look & 15];
		return [kind.shades[look >> 4], '#1a1a1a', ''];
	}
	const a = t.sum[0][i], b = t.sum[1][i], what = change(a, b), shades = meta.changes[what];
	const x = a * factors[0], y = b * factors[1];
	const far = Math.min(2, Math.floor(3 * Math.abs(y - x) / Math.max(x, y, 1e-300)));
	return [shades[Math.min(far, shades.length - 1)], what === 'gone' ? '#fff' : '#1a1a1a', MARK[what]];
}

// ---- functions, callers and callees ----

// Own and total weight of every function; recursion counts once.
function functions() {
	const t = tree, sides = [...t.own.keys()], open = new Uint32Array(names.length), stack = [];
	const own = sides.map(() => new Float64Array(names.length)), sum = own.map((a) => a.slice());
	for (let i = 1; i < t.n;) {
		while (stack.length && t.end[stack[stack.length - 1]] <= i)
			open[t.name[stack.pop()]]--;
		if (!t.w[i]) {
			i = t.end[i];
			continue;
		}
		const id = t.name[i];
		if (looks[id] & 15) { // threads and notes are no functions
			for (const k of sides) {
				own[k][id] += t.own[k][i];
				if (!open[id])
					sum[k][id] += t.sum[k][i];
			}
			open[id]++;
			stack.push(i);
		}
		i++;
	}
	const rows = [];
	for (let id = 0; id < names.length; id++)
		if (sides.some((k) => sum[k][id]))
			rows.push({ id, own: own.map((a) => a[id]), sum: sum.map((a) => a[id]) });
	return rows;
}

// Outermost frames of a function.
function places(id) {
	const found = [];
	for (let i = 1; i < tree.n;) {
		if (!tree.w[i]) {
			i = tree.end[i];
		} else if (tree.name[i] === id && tree.depth[i] > 1) {
			found.push(i);
			i = tree.end[i];
		} else {
			i++;
		}
	}
	return found;
}

// Merges what is next to the function at its places: callees, or with up its callers, which weigh as much
// as the places that they lead to. Lighter branches than a column of pixels are left out.
function merged(id, up, width) {
	const t = tree, name = [], depth = [], w = [], sum = t.sum.map(() => []);
	const start = { id, level: 0, at: places(id), w: 0 };
	start.from = start.at; // a group's frames, and for each the one whose weight it carries
	start.w = start.at.reduce((all, i) => all + t.w[i], 0);
	const least = start.w * MIN_PX / (width || 1), todo = [start];
	while (todo.length) {
		const g = todo.pop(), next = new Map();
		const add = (i, from) => {
			const key = t.name[i];
			let c = next.get(key);
			if (!c)
				next.set(key, c = { id: key, level: g.level + 1, at: [], from: [], w: 0 });
			c.at.push(i);
			c.from.push(from);
			c.w += t.w[from];
		};
		name.push(g.id);
		depth.push(g.level);
		w.push(g.w);
		sum.forEach((list, k) => list.push(g.from.reduce((all, i) => all + t.sum[k][i], 0)));
		g.at.forEach((i, k) => {
			if (up && t.depth[i] > 1)
				add(t.parent[i], g.from[k]);
			for (let c = i + 1; !up && c < t.end[i]; c = t.end[c])
				add(c, c);
		});
		const heavy = [...next.values()].filter((c) => c.w > 0 && c.w >= least);
		todo.push(...heavy.sort((p, q) => p.w - q.w));
	}
	return Object.assign(makeTree(name, depth), { w, sum });
}

const delta = (pair) => pair[1] * factors[1] - pair[0] * factors[0];
const by = (v) => norms[state.norm].text(v), signed = (v) => (v > 0 ? '+' : '') + by(v);
// [key, heading, value of a row, its text]
const columns = [['name', 'Function', (r) => names[r.id], (v) => v]];
for (const [key, head, of] of [['self', 'Self', 'own'], ['total', 'Total', 'sum']])
	columns.push(...diff ? [
		[key, head + ' change', (r) => delta(r[of]), signed],
		[key + '_before', head + ' before', (r) => r[of][0] * factors[0], by],
		[key + '_after', head + ' after', (r) => r[of][1] * factors[1], by],
	] : [
		[key, head, (r) => r[of][0], amount],
		[key + '_share', head + ' %', (r) => share(r[of][0], 0), percent],
	]);

function sorted(rows) {
	const [key, , get] = columns.find((c) => c[0] === state.sort);
	const size = diff && (key === 'self' || key === 'total') ? (r) => Math.abs(get(r)) : get;
	const compare = (x, y) => (x < y ? 1 : x > y ? -1 : 0) * (state.asc ? -1 : 1);
	return rows.map((r) => [size(r), r]).sort(([x, p], [y, q]) =>
		compare(x, y) || (names[p.id] < names[q.id] ? -1 : 1)).map(([, r]) => r);
}

function fill(body, rows, cols) {
	body.replaceChildren(...rows.map((r) => {
		const tr = document.createElement('tr');
		for (const [key, , get, text] of cols) {
			const name = key === 'name', attrs = name ? { scope: 'row', title: names[r.id] } : {};
			const cell = option(tr, name ? 'th' : 'td', text(get(r)), attrs);
			if (name && diff)
				cell.prepend(MARK[change(r.sum[0], r.sum[1])]);
		}
		tr.dataset.id = r.id;
		tr.tabIndex = 0;
		tr.setAttribute('aria-selected', r.id === state.fn);
		return tr;
	}));
}

function drawTable() {
	table = table || functions();
	const rows = sorted(hits ? table.filter((r) => hits[r.id]) : table);
	fill($('rows'), rows.slice(0, TABLE_ROWS), columns);
	$('table-note').textContent = rows.length > TABLE_ROWS ?
		'first ' + TABLE_ROWS + ' of ' + count(rows.length) + ' functions: search narrows them down' :
		count(rows.length) + (rows.length === 1 ? ' function' : ' functions');
	for (const th of $('columns').children) {
		const on = th.dataset.key === state.sort;
		th.setAttribute('aria-sort', !on ? 'none' : state.asc ? 'ascending' : 'descending');
	}
	return rows;
}

function drawSandwich() {
	const rows = drawTable();
	if (state.fn < 0 && rows.length)
		state.fn = rows[0].id;
	const row = table.find((r) => r.id === state.fn);
	$('chosen').textContent = state.fn < 0 ? '' : names[state.fn] + (!row ? ' · not in these threads' :
		diff ? ' · before ' + normed(row.sum[0], 0) + ', after ' + normed(row.sum[1], 1) :
		' · total ' + exact(row.sum[0]) + ', ' + percent(share(row.sum[0], 0)) + ', self ' +
		exact(row.own[0]) + ', ' + percent(share(row.own[0], 0)));
	for (const tr of $('rows').children)
		tr.setAttribute('aria-selected', Number(tr.dataset.id) === state.fn);
	for (const [pane, up] of [[callers, true], [callees, false]])
		pane.show(merged(state.fn, up, pane.box.clientWidth), 0);
}

// ---- state, kept in the address ----

function save(step) {
	const p = new URLSearchParams(), put = (key, v, unless) => v !== unless && p.set(key, v);
	put('v', state.view, 'flame');
	put('z', state.zoom, 0);
	put('q', state.query, '');
	put('o', state.up ? 'up' : '', '');
	put('t', [...state.hidden].sort((a, b) => a - b).join('.'), usual);
	put('f', state.view === 'sandwich' ? state.fn : -1, -1);
	put('n', state.norm, 'share');
	put('s', (state.asc ? '-' : '') + state.sort, sortFirst);
	put('c', state.theme, '');
	if ('#' + p !== (location.hash || '#'))
		history[step ? 'pushState' : 'replaceState'](null, '', '#' + p);
}

// Whatever the address says is checked: it may be of another profile.
function restore() {
	const p = new URLSearchParams(location.hash.slice(1)), number = (key, limit, other) => {
		const v = Number(p.get(key) === null ? NaN : p.get(key));
		return Number.isInteger(v) && v >= 0 && v < limit ? v : other;
	};
	state.view = p.get('v') === 'sandwich' ? 'sandwich' : 'flame';
	state.zoom = number('z', tree.n, 0);
	state.query = p.get('q') || '';
	state.up = p.get('o') === 'up';
	const off = (p.get('t') === null ? usual : p.get('t')).split('.').filter(Boolean).map(Number);
	state.hidden = new Set(off.filter((k) => parts[k]));
	state.fn = number('f', names.length, -1);
	state.norm = norms[p.get('n')] && usable(p.get('n')) ? p.get('n') : 'share';
	const sort = p.get('s') || sortFirst;
	state.asc = sort[0] === '-';
	state.sort = columns.some((c) => c[0] === sort.replace('-', '')) ? sort.replace('-', '') : sortFirst;
	state.theme = ['dark', 'light'].includes(p.get('c')) ? p.get('c') : '';
	cursor = state.zoom || -1;
	$('search').value = state.query;
	compile();
	weigh();
	show();
}

const usable = (norm) => diff && meta.sides.every((side, k) => norms[norm].by(side, k) > 0);

function compile() {
	let re = null;
	if (state.query) {
		try {
			re = new RegExp(state.query, 'i');
		} catch (e) {
			re = new RegExp(state.query.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'i');
		}
	}
	hits = re && Uint8Array.from(names, (s) => re.test(s));
}

// Outermost matching frames only, so recursion counts once.
function tally() {
	let sum = 0;
	for (let i = state.zoom; hits && i < tree.end[state.zoom];) {
		const hit = hits[tree.name[i]];
		sum += hit ? tree.w[i] : 0;
		i = hit || !tree.w[i] ? tree.end[i] : i + 1;
	}
	$('matched').textContent = !hits ? '' : 'matched ' + percent(sum / (tree.w[state.zoom] || 1)) +
		(state.zoom ? ' of view' : '');
}

function show() {
	document.documentElement.dataset.theme = state.theme;
	document.body.dataset.view = state.view;
	for (const b of document.querySelectorAll('[data-tab]'))
		b.setAttribute('aria-pressed', b.dataset.tab === state.view);
	$('flip').setAttribute('aria-pressed', state.up);
	$('flip').textContent = state.up ? 'Root at top' : 'Root at bottom';
	$('reset').disabled = !state.zoom;
	$('norm').value = state.norm;
	for (const box of $('thread-list').querySelectorAll('input'))
		box.checked = !state.hidden.has(Number(box.value));
	$('thread-count').textContent = state.hidden.size ?
		parts.length - state.hidden.size + ' of ' + parts.length : parts.length;
	if (state.view === 'sandwich')
		drawSandwich();
	else
		flame.show(tree, state.zoom);
	tally();
	say(null);
}

function say(hit) {
	const i = hit ? hit.i : cursor >= 0 ? cursor : state.zoom;
	const t = hit ? hit.t : tree;
	$('details').textContent = !hit && state.view === 'sandwich' ? '' : describe(t, i);
}

// back: the browser's back button undoes it.
function update(changes, back) {
	Object.assign(state, changes);
	save(back);
	show();
}

function zoom(i) {
	if (!tree.w[i])
		return;
	cursor = i || -1;
	update({ zoom: i }, true);
}

function search(query) {
	state.query = query;
	compile();
	save(false);
	(state.view === 'sandwich' ? drawTable : drawHits)();
	tally();
}

// When all matches are out of sight, to the first one.
function drawHits() {
	flame.draw();
	if (!hits || flame.rects.some((r) => hits[tree.name[r.i]]))
		return;
	const wide = tree.w[state.zoom] * MIN_PX / flame.width;
	for (let i = state.zoom; i < tree.end[state.zoom]; i++)
		if (hits[tree.name[i]] && tree.w[i] >= wide && shown(i))
			return reveal(i);
}

const choose = (id) => update({ view: 'sandwich', fn: id }, true);
const flip = () => update({ up: !state.up }, true);

function view(name) {
	if (name === 'sandwich' && cursor > 0 && tree.depth[cursor] > 1)
		state.fn = tree.name[cursor];
	update({ view: name }, true);
}

function theme() {
	const dark = state.theme ? state.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	update({ theme: dark ? 'light' : 'dark' }, false);
}

function hide(hidden) {
	state.hidden = hidden;
	weigh();
	cursor = -1;
	update({ zoom: shown(state.zoom) ? state.zoom : 0 }, true);
}

// Has it weight, and is it in no part that is switched off?
function shown(i) {
	while (i > 0 && tree.w[i])
		i = tree.parent[i];
	return !i;
}

// ---- keys ----

// Along the tree: in to the heaviest callee, out to the caller, sideways through the callees of one.
function step(key) {
	const here = cursor >= 0 ? cursor : state.zoom, up = tree.parent[here];
	let to = up >= 0 ? up : here;
	if (key === 'ArrowLeft' || key === 'ArrowRight') {
		const row = [];
		for (let c = up + 1; up >= 0 && c < tree.end[up]; c = tree.end[c])
			if (tree.w[c] || c === here)
				row.push(c);
		to = row[row.indexOf(here) + (key === 'ArrowRight' ? 1 : -1)];
		to = to === undefined || here === state.zoom ? here : to;
	} else if (key === (state.up ? 'ArrowUp' : 'ArrowDown')) {
		to = here;
		for (let c = here + 1; c < tree.end[here]; c = tree.end[c])
			if (tree.w[c] && (to === here || tree.w[c] > tree.w[to]))
				to = c;
	}
	move(to);
}

function move(i) {
	cursor = i;
	reveal(i);
	say(null);
}

function reveal(i) {
	const y = flame.y(tree.depth[i]);
	if (y < 0 || y + ROW > flame.height)
		flame.box.scrollTop += y - flame.height / 2;
	flame.draw();
}

// The next frame that matches, round the end.
function next(back) {
	const from = cursor >= 0 ? cursor : state.zoom, first = state.zoom, last = tree.end[first];
	const size = last - first;
	for (let k = 1; hits && k <= size; k++) {
		const i = first + (((back ? from - first - k : from - first + k) % size) + size) % size;
		if (hits[tree.name[i]] && shown(i))
			return move(i);
	}
}

const keys = {
	'/': () => $('search').focus(),
	n: () => next(false),
	N: () => next(true),
	i: flip,
	s: () => view('sandwich'),
	f: () => view('flame'),
	d: theme,
	'0': () => zoom(0),
	Backspace: () => zoom(Math.max(tree.parent[state.zoom], 0)),
	'?': () => $('help').showModal(),
};

function onKey(e) {
	const typing = e.target.matches('select, input:not([type=checkbox])');
	if ((e.ctrlKey || e.metaKey) && e.key === 'f') {
		e.preventDefault();
		$('search').focus();
		$('search').select();
	} else if (e.key === 'Escape') {
		if ($('help').open || $('threads').open)
			$('threads').open = false;
		else if (state.query)
			search($('search').value = '');
		else
			zoom(0);
		$('search').blur();
	} else if (!typing && !e.ctrlKey && !e.metaKey && !e.altKey && keys[e.key]) {
		e.preventDefault();
		keys[e.key]();
	} else if (e.target === flame.box && /^Arrow/.test(e.key)) {
		e.preventDefault();
		step(e.key);
	} else if (e.target === flame.box && e.key === 'Enter' && cursor >= 0) {
		zoom(cursor);
	} else if (e.target.dataset.id && (e.key === 'Enter' || e.key === ' ')) {
		e.preventDefault();
		choose(Number(e.target.dataset.id));
	}
}

// ---- the page's parts ----

function option(parent, tag, text, attrs) {
	const e = Object.assign(document.createElement(tag), { textContent: text }, attrs);
	parent.append(e);
	return e;
}

function build() {
	flame = new Pane($('flame'), () => state.up, (i, e) =>
		e.shiftKey && tree.depth[i] > 1 ? choose(tree.name[i]) : zoom(i));
	callers = new Pane($('callers'), () => true, (i) => choose(callers.tree.name[i]));
	callees = new Pane($('callees'), () => false, (i) => choose(callees.tree.name[i]));
	// Time adds up once: what is idle in a thread is in the part for it alone.
	const idle = parts.find((part) => part.label === IDLE);
	const sum = (at) => at.reduce((all, i) => all + tree.sum[0][i], 0);
	const weight = new Map(parts.map((part) => {
		const set = new Set(part.at);
		return [part, sum(part.at) - (!idle || part === idle ? 0 : sum(idle.at.filter((c) => within(c, set))))];
	}));
	for (const part of parts.slice().sort((a, b) => weight.get(b) - weight.get(a)).slice(0, PARTS_MAX)) {
		const label = option($('thread-list'), 'label', '');
		option(label, 'input', '', { type: 'checkbox', value: parts.indexOf(part) });
		label.className = part.process ? 'process' : '';
		option(label, 'bdi', part.label);
		option(label, 'span', percent(weight.get(part) / (tree.sum[0][0] || 1)));
	}
	for (const [key, label] of columns) {
		const th = option($('columns'), 'th', '', { scope: 'col' });
		th.dataset.key = key;
		option(th, 'button', label).onclick = () => {
			const asc = state.sort === key ? !state.asc : key === 'name';
			update({ sort: key, asc }, false);
		};
	}
	const legend = diff ? Object.keys(meta.changes).map((k) => [MARK[k] + k, meta.changes[k].at(-1)]) :
		meta.looks.map((k, c) => [k.label, k.shades[0], c])
			.filter(([, , c]) => c && looks.some((look) => (look & 15) === c));
	for (const [label, fillColour] of legend)
		option($('legend'), 'span', label).style.setProperty('--swatch', fillColour);
	for (const [norm, { label }] of Object.entries(norms))
		option($('norm'), 'option', label, { value: norm, disabled: diff && !usable(norm) });
	$('norm-label').hidden = !diff;
}

// The heaviest functions as text, for who cannot see the canvas.
function buildTop() {
	const last = meta.sides.length - 1;
	table = table || functions();
	fill($('top-rows'), table.slice().sort((p, q) => q.own[last] - p.own[last]).slice(0, TOP_ROWS), columns);
	for (const tr of $('top-rows').children)
		tr.removeAttribute('tabindex');
}

function listen() {
	const clicks = { flip, theme, reset: () => zoom(0), 'help-open': keys['?'],
			 'thread-all': () => hide(new Set()), 'thread-none': () => hide(new Set(parts.keys())) };
	for (const [id, act] of Object.entries(clicks))
		$(id).onclick = act;
	for (const b of document.querySelectorAll('[data-tab]'))
		b.onclick = () => view(b.dataset.tab);
	$('search').oninput = () => search($('search').value);
	$('norm').onchange = () => {
		state.norm = $('norm').value;
		weigh();
		update({}, true);
	};
	$('thread-list').onchange = () => hide(new Set([...$('thread-list').querySelectorAll('input')]
		.filter((box) => !box.checked).map((box) => Number(box.value))));
	$('rows').onclick = (e) => {
		const tr = e.target.closest('tr');
		if (tr)
			choose(Number(tr.dataset.id));
	};
	window.addEventListener('keydown', onKey);
	window.addEventListener('popstate', restore);
	window.addEventListener('resize', show);
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
}

load().then(() => {
	tree.shown = tree.sum.map((sum) => sum[0]);
	tree.w = tree.sum[0];
	build();
	listen();
	restore();
	document.body.dataset.ready = '1';
	performance.mark('ready');
	setTimeout(buildTop); // after the first picture
}, (e) => {
	$('details').textContent = 'This browser cannot show the graph: ' + e.message;
});
})();
