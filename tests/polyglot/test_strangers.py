"""What a client should not do, or cannot help, ends the same way with every library, and the server goes on."""

import os
import signal
import subprocess
import sys
import unittest

import gateway
from test_clients import CLASS_PATH, WORK, java, unless

EXPECTED = """\
nobody there: UNAVAILABLE
TLS where there is none: UNAVAILABLE
too large: INVALID_ARGUMENT INVALID_REQUEST
and the next: 24 words
compressed: 24 words
beyond the client's limit: RESOURCE_EXHAUSTED
many pings: 60 words
restart: streaming
killed: UNAVAILABLE
restarted: 24 words
"""
STRANGERS = gateway.HERE / "strangers"


class Strangers(unittest.TestCase):
    maxDiff = None

    def sees(self, *command, without=()):
        settings = ["serve", "--config", str(gateway.HERE / "modelway.toml")]
        settings += ["--admin-listen", "127.0.0.1:0", "--listen"]
        server, address = self.start(*settings, "127.0.0.1:0")
        with subprocess.Popen(
            [*command, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=WORK
        ) as client:
            lines = []
            for line in client.stdout:
                lines.append(line)
                if line == "restart: streaming\n":
                    server.send_signal(signal.SIGKILL)
                    server.wait()
                    server, _ = self.start(*settings, address)
            errors = client.stderr.read()
        expected = [line for line in EXPECTED.splitlines(True) if line.partition(":")[0] not in without]
        self.assertEqual("".join(lines), "".join(expected), errors)
        self.assertIsNone(server.poll(), "the server died")

    def start(self, *arguments):
        server = subprocess.Popen(
            [os.environ["MODELWAY"], *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RUST_LOG": "error"},
        )
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server, server.stdout.readline().strip().rpartition(" ")[2]

    def test_python_over_grpcio(self):
        self.sees(sys.executable, str(STRANGERS / "python.py"))

    @unless("NO_NODE")
    def test_typescript_over_grpc_js(self):
        self.sees("node", "typescript/dist/stranger.js")

    @unless("NO_DEBIAN", "NO_NODE")
    def test_go_over_grpc_go(self):
        self.sees(str(WORK / "bin/go-stranger"))

    @unless("NO_DEBIAN", "NO_NODE")
    def test_java_over_grpc_java(self):
        # Debian's Netty is older than TLS with ALPN in Java 17.
        self.sees(java(), "-cp", CLASS_PATH, "Stranger", without=["TLS where there is none"])


if __name__ == "__main__":
    unittest.main()
