// SPDX-License-Identifier: Apache-2.0
// The live half of cpu.svg: zoom, search, flip and details over the tree that flame.c embeds.
//
// Input: the JSON in #hp-data: {unit, names, kinds, nodes}; nodes is flat, in pre-order, three numbers
// a frame: name index, weight, depth. Frame 0 is "all". Without this script the frames that flame.c
// drew stay as they are; with it they are drawn again to the window's width, and frames too narrow
// for the first view appear when zooming in. Frames under MIN_PX are skipped with all they call, so
// the cost of a view depends on its pixels and not on the size of the profile.
(function () {
'use strict';
const NS = 'http://www.w3.org/2000/svg';
const ROW = 17, MIN_PX = 0.5, CHAR = 6.6, TEXT_MIN = 24, MIN_WIDTH = 480;
const svg = document.currentScript.closest('svg');
const el = (id) => svg.querySelector('#hp-' + id);
const data = JSON.parse(el('data').textContent);
const names = data.names, kinds = data.kinds, unit = data.unit;
const n = data.nodes.length / 3;
const name = new Uint32Array(n), depth = new Uint32Array(n), parent = new Int32Array(n);
const end = new Uint32Array(n), weight = new Float64Array(n), start = new Float64Array(n);
const self = new Float64Array(n);
let maxDepth = 0;

// Parents, subtree ends and left edges from the pre-order list.
(function unpack() {
	const open = [], cursor = [];
	for (let i = 0; i < n; i++) {
		name[i] = data.nodes[3 * i];
		weight[i] = self[i] = data.nodes[3 * i + 1];
		depth[i] = data.nodes[3 * i + 2];
		maxDepth = Math.max(maxDepth, depth[i]);
		while (open.length > depth[i]) {
			end[open.pop()] = i;
			cursor.pop();
		}
		const up = open.length ? open[open.length - 1] : -1;
		parent[i] = up;
		start[i] = up < 0 ? 0 : cursor[cursor.length - 1];
		if (up >= 0) {
			cursor[cursor.length - 1] += weight[i];
			self[up] -= weight[i];
		}
		open.push(i);
		cursor.push(start[i]);
	}
	while (open.length)
		end[open.pop()] = n;
	data.nodes = null;
})();

const head = el('head'), headHeight = Number(head.getAttribute('data-height'));
const details = el('details'), matched = el('matched'), input = el('input');
let frames = el('frames');
let width = Number(svg.getAttribute('width'));
let focus = 0, flipped = false, hits = null;
const standalone = document.documentElement === svg;

function make(tag, attrs, parentNode) {
	const e = document.createElementNS(NS, tag);
	for (const k in attrs)
		e.setAttribute(k, attrs[k]);
	parentNode.appendChild(e);
	return e;
}

function percent(x) {
	const p = 100 * x;
	return (p >= 99.95 || p === 0 ? p.toFixed(0) : p >= 10 ? p.toFixed(1) : p.toFixed(2)) + ' %';
}

function count(x) {
	return String(x).replace(/\B(?=(\d{3})+$)/g, ',');
}

function describe(i) {
	let s = names[name[i]] + ' · ' + count(weight[i]) + ' ' + unit + ', ' +
		percent(weight[i] / weight[0]);
	if (focus)
		s += ' (' + percent(weight[i] / weight[focus]) + ' of view)';
	return s + ', self ' + percent(self[i] / weight[0]);
}

// Same rule as flame.c: two cells for characters from U+1100 on.
function clip(text, px) {
	let room = Math.floor((px - 6) / CHAR), out = '';
	for (const c of text) {
		room -= c.codePointAt(0) >= 0x1100 ? 2 : 1;
		if (room < 0)
			return Array.from(out).slice(0, -1).join('') + '…';
		out += c;
	}
	return out;
}

function drawFrame(g, i, x, w, faded) {
	const y = headHeight + ROW * (flipped ? maxDepth - depth[i] : depth[i]);
	const hit = hits && hits[name[i]];
	const e = make('g', { 'class': kinds[name[i]] + (faded ? ' up' : '') + (hit ? ' hit' : ''),
			      'data-i': i }, g);
	make('rect', { x: x.toFixed(1), y: y, width: Math.max(w - 0.4, 0.3).toFixed(1),
		       height: ROW - 1, rx: 1 }, e);
	if (w >= TEXT_MIN)
		make('text', { x: (x + 3).toFixed(1), y: y + 12 }, e).textContent =
			clip(names[name[i]], w);
}

function draw() {
	const g = document.createElementNS(NS, 'g'), scale = width / (weight[focus] || 1);
	g.id = 'hp-frames';
	for (let i = parent[focus]; i >= 0; i = parent[i])
		drawFrame(g, i, 0, width, true);
	for (let i = focus; i < end[focus];) {
		const w = weight[i] * scale;
		if (w < MIN_PX) {
			i = end[i];
			continue;
		}
		drawFrame(g, i, (start[i] - start[focus]) * scale, w, false);
		i++;
	}
	frames.replaceWith(g);
	frames = g;
	el('reset').classList.toggle('off', !focus);
}

// Outermost matching frames only, so recursion counts once.
function tally() {
	if (!hits) {
		matched.textContent = '';
		return;
	}
	let sum = 0;
	for (let i = focus; i < end[focus];) {
		if (hits[name[i]]) {
			sum += weight[i];
			i = end[i];
		} else {
			i++;
		}
	}
	matched.textContent = 'matched ' + percent(sum / (weight[focus] || 1)) +
		(focus ? ' of view' : '');
}

function search(term) {
	let re = null;
	if (term) {
		try {
			re = new RegExp(term, 'i');
		} catch (e) {
			re = new RegExp(term.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'i');
		}
	}
	hits = re && names.map((s) => re.test(s));
	draw();
	tally();
}

function zoom(i) {
	focus = i;
	details.textContent = i ? describe(i) : '';
	draw();
	tally();
}

function flip() {
	flipped = !flipped;
	draw();
}

function frameAt(target) {
	const g = target.closest && target.closest('g[data-i]');
	return g ? Number(g.getAttribute('data-i')) : -1;
}

function resize() {
	if (standalone && window.innerWidth)
		width = Math.max(MIN_WIDTH, document.documentElement.clientWidth || window.innerWidth);
	svg.setAttribute('width', width);
	svg.setAttribute('viewBox', '0 0 ' + width + ' ' + svg.getAttribute('height'));
	for (const e of svg.querySelectorAll('.wide'))
		e.setAttribute('width', width);
	el('tools').setAttribute('transform', 'translate(' + (width - 470) + ',0)');
	draw();
}

svg.addEventListener('click', (e) => {
	const i = frameAt(e.target);
	if (i >= 0)
		zoom(i);
});
svg.addEventListener('mouseover', (e) => {
	const i = frameAt(e.target);
	details.textContent = i >= 0 ? describe(i) : focus ? describe(focus) : '';
	// A tooltip only for the frame under the pointer: one text for each would be most of the DOM.
	const g = i >= 0 && e.target.closest('g[data-i]');
	if (g && !g.querySelector('title'))
		make('title', {}, g).textContent = describe(i);
});
for (const [id, act] of [['reset', () => zoom(0)], ['flip', flip]]) {
	el(id).addEventListener('click', act);
	el(id).addEventListener('keydown', (e) => {
		if (e.key === 'Enter' || e.key === ' ') {
			e.preventDefault();
			act();
		}
	});
}
input.addEventListener('input', () => search(input.value));
window.addEventListener('keydown', (e) => {
	if (e.key === 'Escape') {
		if (input.value) {
			input.value = '';
			search('');
		} else {
			zoom(0);
		}
		input.blur();
	} else if (((e.ctrlKey || e.metaKey) && e.key === 'f') || (e.key === '/' && e.target !== input)) {
		e.preventDefault();
		input.focus();
		input.select();
	} else if (e.target === input || e.ctrlKey || e.metaKey || e.altKey) {
		return;
	} else if (e.key === 'i') {
		flip();
	} else if (e.key === 'Backspace' && focus) {
		zoom(parent[focus]);
	}
});
if (standalone) {
	// The head stays in view over tall graphs.
	window.addEventListener('scroll', () =>
		head.setAttribute('transform', 'translate(0,' + window.scrollY + ')'));
	window.addEventListener('resize', resize);
}
svg.classList.add('live');
resize();
})();
