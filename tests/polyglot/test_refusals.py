"""Clients that retry whatever they may ask once for what is refused for good, and again where the refusal says when."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import gateway
from test_clients import WORK, unless

REFUSALS = gateway.HERE / "refusals"
TIMES = 40
HURRIED_TIMES = 22

CONFIG = """
[ledger]
path = "{data}"
[[accounts]]
id = "spender"
kind = "caller"
[[accounts]]
id = "talker"
kind = "caller"
[[accounts]]
id = "dismissed"
kind = "caller"
[[accounts]]
id = "hurried"
kind = "caller"
[[limits]]
id = "money-of-a-month"
match = {{ accounts = ["spender"] }}
money = "0.005 USD"
window = "month"
[[limits]]
id = "tokens-of-a-year"
match = {{ accounts = ["talker"] }}
tokens = 1_000
window = "year"
[[limits]]
id = "requests-of-a-minute"
match = {{ accounts = ["hurried"] }}
requests = 20
window = "minute"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/m"]
price = {{ input = 1, output = 10 }}
[scenarios.chat]
targets = ["sim/m"]
max_output_tokens = 100
"""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS = 1


class Requests:
    """Counts the requests in what one connection sends, of HTTP/2 by its frames and of HTTP/1.1 by its heads."""

    def __init__(self):
        self.count = 0
        self.waiting = b""
        self.is_http2 = None

    def read(self, sent):
        self.waiting += sent
        if self.is_http2 is None and len(self.waiting) >= len(PREFACE):
            self.is_http2 = self.waiting.startswith(PREFACE)
            if self.is_http2:
                self.waiting = self.waiting[len(PREFACE) :]
        if self.is_http2:
            while len(self.waiting) >= 9:
                length = 9 + int.from_bytes(self.waiting[:3], "big")
                if len(self.waiting) < length:
                    break
                self.count += self.waiting[3] == HEADERS
                self.waiting = self.waiting[length:]
        elif self.is_http2 is False:
            *heads, rest = self.waiting.split(b"POST /v1/generate HTTP/1.1\r\n")
            self.count += len(heads)
            # A head may be cut in two.
            self.waiting = rest[-64:]


class Tap:
    """Passes connections on to a server, and counts the requests in them."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.server = (host, int(port))
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self.listener.getsockname()[1])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.server)
                requests = Requests()
                self.connections.append(requests)
                threading.Thread(target=pass_on, args=(client, server, requests.read), daemon=True).start()
                threading.Thread(target=pass_on, args=(server, client, len), daemon=True).start()

    def count(self):
        return sum(requests.count for requests in self.connections)


def pass_on(source, sink, see):
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            see(piece)
            sink.sendall(piece)
    # The thread of the other direction ends by this, and closes the other socket.
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    source.close()


class Refusals(unittest.TestCase):
    def asks_once(self, *command, refusals):
        """Each refusal costs one request, unless it says when the same may succeed."""
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "modelway.toml"
            config.write_text(CONFIG.format(data=Path(folder) / "data"))
            keys = {caller: self.key(config, caller) for caller in ["spender", "talker", "dismissed", "hurried"]}
            revoked = keys["dismissed"][1]
            self.modelway("keys", "revoke", revoked, "--config", config)
            with gateway.running("--config", str(config)) as address:
                for caller, refusal in zip(["spender", "talker", "dismissed"], refusals, strict=True):
                    with self.subTest(caller):
                        outcomes, requests = self.ask(address, keys[caller][0], TIMES, command)
                        passed = outcomes.count("OK")
                        self.assertEqual(set(outcomes) - {"OK"}, {refusal})
                        self.assertEqual(passed == 0, caller == "dismissed", outcomes)
                        refused = TIMES - passed
                        print(f"{caller}: {(requests - passed) / refused:g} requests per refused call, {refused} refused")
                        self.assertEqual(requests, TIMES, outcomes)
                outcomes, requests = self.ask(address, keys["hurried"][0], HURRIED_TIMES, command)
                print(f"hurried: {requests} requests for {HURRIED_TIMES} calls, all answered")
                # That the client does retry where it is told when.
                self.assertEqual(set(outcomes), {"OK"})
                self.assertGreater(requests, HURRIED_TIMES)

    def key(self, config, caller):
        """A key of a caller, and its id."""
        made = self.modelway("keys", "create", "--caller", caller, "--config", config)
        return re.search(r"mwd_\w{49}", made)[0], re.search(r"key_[\w-]+", made)[0]

    def modelway(self, *arguments):
        done = subprocess.run([os.environ["MODELWAY"], *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr

    def ask(self, address, key, times, command):
        """What a client prints that makes so many calls, and how many requests it has sent."""
        tap = Tap(address)
        self.addCleanup(tap.listener.close)
        done = subprocess.run(
            [*command, tap.address, key, str(times)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=WORK,
            # Its library retries only where this asks for it.
            env={**os.environ, "GRPC_GO_RETRY": "on"},
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines(), tap.count()

    GRPC = [
        "RESOURCE_EXHAUSTED CALLER_QUOTA_EXHAUSTED",
        "RESOURCE_EXHAUSTED CALLER_QUOTA_EXHAUSTED",
        "UNAUTHENTICATED CREDENTIALS_INVALID",
    ]
    WITH_LIMITS = [f"{GRPC[0]} money-of-a-month", f"{GRPC[1]} tokens-of-a-year", GRPC[2]]

    def test_python_over_grpcio(self):
        self.asks_once(sys.executable, str(REFUSALS / "python.py"), refusals=self.WITH_LIMITS)

    @unless("NO_NODE")
    def test_typescript_over_grpc_js(self):
        self.asks_once("node", "typescript/dist/refused.js", refusals=self.WITH_LIMITS)

    @unless("NO_DEBIAN", "NO_NODE")
    def test_go_over_grpc_go(self):
        self.asks_once(str(WORK / "bin/go-refused"), refusals=self.GRPC)

    def test_an_sdk_by_the_json_door(self):
        refusals = ["429 CALLER_QUOTA_EXHAUSTED", "429 CALLER_QUOTA_EXHAUSTED", "401 CREDENTIALS_INVALID"]
        self.asks_once(sys.executable, str(REFUSALS / "sdk.py"), refusals=refusals)


if __name__ == "__main__":
    unittest.main()
