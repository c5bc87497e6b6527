"""Clients of every language play the same cases, and see the same: the lines of golden.txt."""

import difflib
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import gateway

WORK = pathlib.Path(os.environ["POLYGLOT"])
CLIENTS = gateway.HERE / "clients"
GOLDEN = (gateway.HERE / "golden.txt").read_text()
CLASS_PATH = os.pathsep.join([str(WORK / "java"), str(WORK / "debian/root/usr/share/java/*")])


def java():
    """The `java` of the system, or the one that was unpacked beside the libraries."""
    unpacked = WORK / "debian/root/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
    return str(unpacked) if unpacked.exists() else "java"


def unless(*variables):
    """Skips a test, and says why, if something that it needs could not be had."""
    missing = [f"{name}: {os.environ[name]}" for name in variables if name in os.environ]
    return unittest.skipIf(missing, "; ".join(missing))


class Clients(unittest.TestCase):
    def sees_the_same(self, *command, without=()):
        """Runs a client against a server of its own, whose breakers no other client has opened."""
        with gateway.running("--config", str(gateway.HERE / "modelway.toml")) as address:
            done = subprocess.run(
                [*command[:1], *(part.format(address=address) for part in command[1:])],
                capture_output=True,
                text=True,
                timeout=120,
                cwd=WORK,
            )
        expected = [line for line in GOLDEN.splitlines() if line.partition(":")[0] not in without]
        difference = difflib.unified_diff(
            expected, done.stdout.splitlines(), "golden.txt", "the client's output", lineterm=""
        )
        self.assertEqual((list(difference), done.returncode), ([], 0), done.stderr)

    def test_python_over_grpcio(self):
        self.sees_the_same(sys.executable, str(CLIENTS / "python.py"), "{address}")

    @unless("NO_NODE")
    def test_typescript_over_grpc_js(self):
        self.sees_the_same("node", "typescript/dist/grpc-js.js", "{address}")

    @unless("NO_NODE")
    def test_typescript_over_connect_with_grpc(self):
        self.sees_the_same("node", "typescript/dist/connect.js", "{address}", "grpc")

    @unless("NO_DEBIAN", "NO_NODE")
    def test_go_over_grpc_go(self):
        self.sees_the_same(str(WORK / "bin/go-client"), "{address}")

    @unless("NO_DEBIAN", "NO_NODE")
    def test_java_over_grpc_java(self):
        self.sees_the_same(java(), "-cp", CLASS_PATH, "Cases", "{address}")

    @unless("NO_NODE")
    def test_typescript_over_connect_with_grpc_web(self):
        for version in ["1.1", "2"]:
            with self.subTest(version):
                self.sees_the_same("node", "typescript/dist/connect.js", "{address}", "grpc-web", version)

    @unittest.skipUnless(shutil.which("curl"), "there is no curl")
    def test_curl_with_json(self):
        self.sees_the_same(sys.executable, str(CLIENTS / "curl.py"), "{address}", without=["health"])

    def test_grpcurl(self):
        self.sees_the_same(sys.executable, str(CLIENTS / "grpcurl.py"), "{address}")


if __name__ == "__main__":
    unittest.main()
