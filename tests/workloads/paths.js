// SPDX-License-Identifier: Apache-2.0

// Functions of every kind that JavaScript has, one after the other. Each calls burn(), which notes V8's own
// stack trace there and then works for milliseconds in the very same place. On SIGUSR2 the traces are
// printed, each once: [[function, file], ...], the innermost first, and the program ends.
'use strict';
const crypto = require('crypto');
const { EventEmitter } = require('events');
const vm = require('vm');

Error.stackTraceLimit = 200;
const traces = new Set();

function burn() {
	const prepare = Error.prepareStackTrace, at = {};

	Error.prepareStackTrace = (_, sites) => sites.filter((s) => !s.isAsync())
		.map((s) => [s.getFunctionName() || '(anonymous)', s.getFileName() || '']);
	Error.captureStackTrace(at, burn);
	traces.add(JSON.stringify(at.stack));
	Error.prepareStackTrace = prepare;
	return crypto.pbkdf2Sync('secret', 'salt', 30000, 64, 'sha512');
}

class Base {
	constructor() { this.inConstructor(); }
	inConstructor() { return burn(); }
}
class Derived extends Base {
	constructor() { super(); }
	get getter() { return burn(); }
	static inStatic() { return burn(); }
	#inPrivate() { return burn(); }
	callPrivate() { return this.#inPrivate(); }
}
const arrow = () => burn();
function plain() { return burn(); }
function mapped() { return burn(); }
function comparator(a, b) { burn(); return a - b; }
const object = {
	inMethod() { return burn(); },
	property: function named() { return burn(); },
	toJSON() { return this.fromJson(); },
	fromJson() { burn(); return 1; },
};
async function afterAwait() { await null; return burn(); }
function* generator() { yield burn(); }
function beforeBound() { return burn(); }
const bound = beforeBound.bind(null, 1);
const proxy = new Proxy({}, { get: function inTrap() { return burn(); } });
const emitter = new EventEmitter().on('event', function listener() { burn(); });
const script = new vm.Script('\n\nfunction fromScript(burn) { return burn(); }\nfromScript',
	{ filename: 'made.js' }).runInThisContext();
function many() {
	const v0 = 0, v1 = 1, v2 = 2, v3 = 3, v4 = 4, v5 = 5, v6 = 6, v7 = 7, v8 = 8, v9 = 9;
	function manyVariables() { return burn() && v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 + v9; }
	return manyVariables();
}
function déjàVu() { return burn(); }
function 函数() { return burn(); }

const steps = [
	() => new Derived(), () => new Derived().getter, () => Derived.inStatic(),
	() => new Derived().callPrivate(), arrow, () => plain(), () => [3, 1].map(mapped),
	() => [3, 1].sort(comparator), () => object.inMethod(), () => object.property(),
	() => JSON.stringify(object), afterAwait, () => [...generator()], () => bound(), () => proxy.x,
	() => emitter.emit('event'), () => script(burn), () => many(),
	() => Promise.resolve().then(function then() { burn(); }),
	() => Reflect.apply(function applied() { burn(); }, null, []),
	() => 'x'.replace(/x/, function replacer() { burn(); return ''; }),
	() => setTimeout(function timer() { burn(); }, 0),
	() => process.nextTick(function inTick() { burn(); }),
	() => (function () { burn(); })(),
	() => déjàVu(), () => 函数(),
	() => new (class inClass { constructor() { burn(); } })(),
];
let round = 0;
function next() {
	steps[round++ % steps.length]();
	if (round === steps.length)
		console.log('warm');
	setImmediate(next);
}
process.on('SIGUSR2', () => {
	console.log('[' + [...traces].join() + ']');
	process.exit(0);
});
next();
