# SPDX-License-Identifier: Apache-2.0
"""A plain threaded HTTP/1.1 server for tests that need nothing else: tiny.py KIND PORT|PATH.

/status/N answers N, /slow/MS/… waits, everything else is 200. Prints `ready PID` (the pid in its own PID namespace).
"""

import http.server
import os
import socket
import socketserver
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.split("?")[0].split("/")
        status = int(parts[2]) if parts[1] == "status" else 200
        if parts[1] == "slow":
            time.sleep(int(parts[2]) / 1000)
        body = b"tiny\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def address_string(self):
        return "client"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main():
    kind, where = sys.argv[1:3]
    family, address = {
        "ipv4": (socket.AF_INET, lambda: ("127.0.0.1", int(where))),
        "ipv6": (socket.AF_INET6, lambda: ("::1", int(where))),
        "unix": (socket.AF_UNIX, lambda: where),
    }[kind]
    Server.address_family = family
    server = Server(address(), Handler)
    print("ready", os.getpid(), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
