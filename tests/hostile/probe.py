"""An honest client in a process of its own: one request after the other, and how long each took, until its input ends.

In a process of its own because a thread of the test's would wait for the attacker's threads, not for the gate.
"""

import json
import select
import socket
import ssl
import sys
import time


def main(port: str, ca: str, key: str) -> None:
    context = ssl.create_default_context(cafile=ca)
    took = []
    head = f"GET /any/api/probe HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as line:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            while not select.select([sys.stdin], [], [], 0.01)[0]:
                begun = time.monotonic()
                line.sendall(head)
                data = b""
                while not data.endswith(b"\r\n\r\nok"):
                    part = line.recv(65536)
                    if not part:
                        raise SystemExit(f"the gate closed; it had said {data!r}")
                    data += part
                if not data.startswith(b"HTTP/1.1 200 "):
                    raise SystemExit(f"it said {data!r}")
                took.append(time.monotonic() - begun)
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
