// SPDX-License-Identifier: Apache-2.0

// A web server that works and waits: web.js PORT. JSON, sorting by callback, regular expressions,
// promises, exceptions, compression and file reads on the thread pool.
const http = require("http");
const fs = require("fs");
const zlib = require("zlib");
const crypto = require("crypto");

function fails(n) {
	if (n === 0) throw new Error("known");
	return fails(n - 1) + 1;
}

function recovers(n) {
	try {
		return fails(n);
	} catch (e) {
		return e.message;
	}
}

async function work() {
	const rows = [];
	for (let i = 0; i < 200; i++) rows.push({ id: (i * 7919) % 1009, name: "row " + i });
	rows.sort((a, b) => a.id - b.id);
	const text = JSON.stringify(rows).replace(/row (\d+)/g, (m, n) => "line " + (n * 2));
	const sum = crypto.createHash("sha256").update(text).digest("hex");
	const stat = await fs.promises.readFile("/proc/self/stat");
	const small = await new Promise((done) => zlib.deflate(text, (e, b) => done(b)));
	return { n: JSON.parse(text).length, sum, stat: stat.length, small: small.length,
		said: recovers(10) };
}

http.createServer((req, res) => {
	work().then((answer) => res.end(JSON.stringify(answer)));
}).listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
