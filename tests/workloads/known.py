# SPDX-License-Identifier: Apache-2.0
"""A process with known answers: serves HTTP to itself over TCP and a unix socket, one exchange a line.

Waits for a line on standard input, does N exchanges of each kind, prints the bytes each way that it
moved on each connection, and waits for another line to end.
"""

import json
import os
import socket
import sys


def exchange(client, server, i):
    body = b"x" * (i % 300)
    request = b"GET /known/%d HTTP/1.1\r\nHost: known\r\n\r\n" % i
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    client.sendall(request)
    assert server.recv(len(request), socket.MSG_WAITALL) == request
    server.sendall(answer)
    assert client.recv(len(answer), socket.MSG_WAITALL) == answer
    return len(request), len(answer)


def listener(family, address):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.bind(address)
    s.listen(5)
    return s


def main():
    n = int(sys.argv[1])
    listeners = [
        listener(socket.AF_INET, ("127.0.0.1", 0)),
        listener(socket.AF_INET6, ("::1", 0)),
        listener(socket.AF_UNIX, "\0hp-known-%d" % os.getpid()),
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    moved = []
    for s in listeners:
        client = socket.socket(s.family, socket.SOCK_STREAM)
        client.connect(s.getsockname())
        server, _ = s.accept()
        up = down = 0
        for i in range(n):
            a, b = exchange(client, server, i)
            up += a
            down += b
        client.close()
        server.close()
        moved.append([up, down])
    print(json.dumps(moved), flush=True)
    sys.stdin.readline()


main()
