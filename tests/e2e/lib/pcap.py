# SPDX-License-Identifier: Apache-2.0
"""The independent clock: HTTP requests and their packet times, from a loopback packet capture.

../pktcap.c keeps the packets of one port with direction and kernel stamp; everything else is read
here: Ethernet, IPv4, TCP by sequence number, then a minimal HTTP/1.1 reader. It shares no code and
no idea with the profiler. For each request it gives when the packet with the request's first byte
arrived and when the packet with the response's last byte left, moved to CLOCK_MONOTONIC by the
difference of the clocks that pktcap measures twenty times a second.

After Capture.watch, ../waypoints.c adds for each of the two packets the other end of its way through
the kernel: when the reader was told, and when the call that sent it was entered.
"""

import bisect
import functools
import os
import shutil
import signal
import struct
import tempfile

from . import procs

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORD_CLOCK = 255


@functools.lru_cache(None)
def _room():
    return tempfile.TemporaryDirectory(prefix="hp-e2e-")


@functools.lru_cache(None)
def _binary(name):
    """A helper in C, compiled once in a run of the tests."""
    binary = os.path.join(_room().name, name)
    build = procs.Process([shutil.which("cc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary,
                           os.path.join(HERE, f"{name}.c")])
    assert build.wait() == 0, build.stderr
    return binary


def _end(process):
    """Ends a helper and returns the counts of its last line."""
    assert process.stop(signal.SIGINT) == 0, process.stderr
    words = process.out[-1].split()
    return dict(zip(words[::2], map(int, words[1::2])))


class Waypoints:
    """When segments were in their sockets, and when the thread entered calls that send."""

    def __init__(self, port, tid, path):
        self.path = path
        self.process = procs.Process([_binary("waypoints"), port, tid, path])
        self.process.wait_line("watching")
        self.arrivals = {}  # by client port: (ns, size, socket)
        self.readies = {}  # by socket
        self.sends = []

    def stop(self):
        counts = _end(self.process)
        assert counts["lost"] == 0, counts
        with open(self.path) as f:
            for line in f:
                what, ns, *rest = line.split()
                if what == "send":
                    self.sends.append(int(ns))
                elif what == "ready":
                    self.readies.setdefault(rest[0], []).append(int(ns))
                else:
                    self.arrivals.setdefault(int(rest[1]), []).append(
                        (int(ns), int(rest[2]), rest[0]))
        for times in [self.sends, *self.arrivals.values(), *self.readies.values()]:
            times.sort()

    def socket_ns(self, port, size, ns):
        """When the segment of this client port and size, at the host since ns, was in its socket."""
        times = self.arrivals.get(port, [])
        at = bisect.bisect_left(times, (ns, 0, ""))
        if at == len(times) or times[at][1] != size:
            return ns  # it came with the handshake, where TCP has no such point
        taken_ns, _, socket = times[at]
        told = self.readies.get(socket, [])
        at = bisect.bisect_left(told, taken_ns)
        return told[at] if at < len(told) else taken_ns

    def call_ns(self, ns):
        """When the last call that sends before ns was entered."""
        at = bisect.bisect_right(self.sends, ns)
        return self.sends[at - 1] if at else ns


class Capture:
    """Packets of one TCP port on loopback from start to stop()."""

    def __init__(self, port, path):
        self.port = port
        self.path = str(path)
        self.clocks = []
        self.waypoints = None
        self.process = procs.Process([_binary("pktcap"), port, self.path])
        self.process.wait_line("listening")

    def watch(self, tid):
        """Adds the ways' other ends from now on; tid is the thread that sends.

        A tracepoint calls its probes in the order in which they came. Called when the profiler is
        attached, this one's comes last, and what the profiler stamped lies between packet and
        waypoint even when the machine stands still between the two probes.
        """
        self.waypoints = Waypoints(self.port, tid, f"{self.path}.waypoints")

    def stop(self, marker):
        """Ends the capture; marker is in the last packet that belongs to it."""
        counts = _end(self.process)
        assert counts["dropped"] == 0, f"the capture is not whole: {counts}"
        if self.waypoints:
            self.waypoints.stop()
        records = list(read_records(self.path))
        assert any(marker in body for _, kind, body in records[-200:] if kind != RECORD_CLOCK)
        self.clocks = [(ts, *struct.unpack("<qQ", body))
                       for ts, kind, body in records if kind == RECORD_CLOCK]

    def to_monotonic(self, real_ns):
        """By the nearest reading before: the wall clock may be slewed meanwhile."""
        at = bisect.bisect_right(self.clocks, (real_ns, 1 << 63, 0))
        return real_ns - self.clocks[max(0, at - 1)][1]

    def error_ns(self):
        """What the conversion can be wrong by."""
        steps = [abs(b[1] - a[1]) for a, b in zip(self.clocks, self.clocks[1:])]
        return max(steps) + max(width for _, _, width in self.clocks)

    def exchanges(self):
        """Finished and unfinished requests of all connections."""
        found = []
        slack = self.error_ns()
        for (_, client, _), conn in read_connections(self.path, self.port).items():
            for x in http_exchanges(conn):
                x.first_ns = x.socket_ns = self.to_monotonic(x.first_ns)
                if self.waypoints:
                    x.socket_ns = max(x.first_ns, self.waypoints.socket_ns(
                        client, x.first_size, x.first_ns - slack))
                if x.last_ns is not None:
                    x.last_ns = x.call_ns = self.to_monotonic(x.last_ns)
                    if self.waypoints:
                        x.call_ns = min(x.last_ns, self.waypoints.call_ns(x.last_ns + slack))
                found.append(x)
        return found


def read_records(path):
    """(realtime ns, kind, body) of each record; see struct record in pktcap.c."""
    with open(path, "rb") as f:
        data = memoryview(f.read())
    at = 0
    while at < len(data):
        ts, size, kind = struct.unpack_from("<QIB", data, at)
        at += 16
        yield ts, kind, data[at:at + size].tobytes()
        at += size


def read_packets(path):
    """(realtime ns, frame) of each packet."""
    for ts, kind, body in read_records(path):
        if kind != RECORD_CLOCK:
            yield ts, memoryview(body)


class Stream:
    """One direction: bytes in order, and which packet brought them."""

    def __init__(self):
        self.data = bytearray()
        self.base = None
        self.ends = []
        self.times = []
        self.sizes = []
        self.early = {}
        self.fin_ns = None

    def add(self, seq, payload, ts):
        if self.base is None:
            self.base = seq
        off = (seq - self.base) & 0xFFFFFFFF
        if off >= 1 << 31:  # sent again from before the first packet seen
            return
        have = len(self.data)
        assert have < 1 << 31, "longer than a test's stream may be"
        if off > have:
            self.early[seq] = (bytes(payload), ts)
            return
        if off + len(payload) <= have:
            return
        self.data += payload[have - off:]
        self.ends.append(len(self.data))
        self.times.append(ts)
        self.sizes.append(len(payload))
        for later in sorted(self.early):
            if (later - self.base) & 0xFFFFFFFF <= len(self.data):
                late, late_ts = self.early.pop(later)
                self.add(later, late, late_ts)
                break

    def packet_of(self, offset):
        """Stamp and payload size of the packet that brought the byte at this offset."""
        at = bisect.bisect_right(self.ends, offset)
        return self.times[at], self.sizes[at]


class Connection:
    def __init__(self):
        self.client = Stream()
        self.server = Stream()
        self.closed_ns = None


def read_connections(path, port):
    """{(client address, client port, n): Connection}; a reused port counts n up."""
    conns, current = {}, {}
    for ts, pkt in read_packets(path):
        if pkt[12] != 8 or pkt[13] != 0:
            continue
        ip = pkt[14:]
        header = (ip[0] & 15) * 4
        length = ip[2] << 8 | ip[3]
        tcp = ip[header:length] if length else ip[header:]
        sport, dport, seq = struct.unpack_from(">HHI", tcp, 0)
        payload = tcp[(tcp[12] >> 4) * 4:]
        flags = tcp[13]
        to_server = dport == port
        key = (bytes(ip[12:16]), sport) if to_server else (bytes(ip[16:20]), dport)
        if to_server and flags & 0x12 == 0x02:
            n = current[key][0] + 1 if key in current else 0
            current[key] = (n, Connection())
            conns[key + (n,)] = current[key][1]
        if key not in current:
            current[key] = (0, Connection())
            conns[key + (0,)] = current[key][1]
        conn = current[key][1]
        stream = conn.client if to_server else conn.server
        if flags & 2:
            stream.base = (seq + 1) & 0xFFFFFFFF
            continue
        if payload:
            stream.add(seq, payload, ts)
        if flags & 5:
            conn.closed_ns = ts
    return conns


class Exchange:
    """first_ns and last_ns: stamps of the packets with the request's first and the response's last
    byte. socket_ns ≥ first_ns and call_ns ≤ last_ns: the other ends, the same without waypoints."""

    __slots__ = ("method", "target", "status", "first_ns", "first_size", "socket_ns", "last_ns",
                 "call_ns", "request_bytes", "response_bytes")

    @property
    def path(self):
        return self.target.split("?", 1)[0]


def _head(data, at):
    """(first line, {header: value}, offset behind the head), None when it is not whole."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    lines = bytes(data[at:end]).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return lines[0], headers, end + 4


def _body_end(data, at, headers, no_body, until_close):
    """Offset behind the body, None when it is not whole."""
    if no_body:
        return at
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while True:
            line = data.find(b"\r\n", at)
            if line < 0:
                return None
            size = int(bytes(data[at:line]).split(b";")[0], 16)
            at = line + 2 + size + 2
            if at > len(data):
                return None
            if size == 0:
                return at
    if "content-length" in headers:
        at += int(headers["content-length"])
        return at if at <= len(data) else None
    if until_close:
        return len(data)
    return at


def http_exchanges(conn):
    """The requests of a connection in order, each with its answer if it came."""
    found = []
    at = 0
    req, rsp = conn.client, conn.server
    while True:
        head = _head(req.data, at)
        if not head:
            break
        line, headers, body = head
        end = _body_end(req.data, body, headers, False, False)
        x = Exchange()
        x.method, x.target, _ = line.split(" ", 2)
        x.first_ns, x.first_size = req.packet_of(at)
        x.last_ns = x.call_ns = x.status = x.response_bytes = None
        x.request_bytes = end - at if end is not None else None
        found.append(x)
        if end is None:
            break
        at = end
    at = 0
    for x in found:
        start = at
        while True:
            head = _head(rsp.data, at)
            if not head:
                return found
            line, headers, body = head
            status = int(line.split(" ", 2)[1])
            if status >= 200 or status == 101:
                break
            at = body
        empty = x.method == "HEAD" or status in (204, 304)
        end = _body_end(rsp.data, body, headers, empty, conn.closed_ns is not None)
        if end is None:
            return found
        x.status = status
        x.last_ns, _ = rsp.packet_of(end - 1)
        x.response_bytes = end - start
        at = end
    return found
