"""The examples that a reader copies work as they stand, and are short."""

import os
import subprocess
import sys
import unittest

import gateway
from test_clients import CLASS_PATH, WORK, java, unless

EXAMPLES = gateway.HERE.parent.parent / "examples"


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.address = gateway.start(cls)

    def works(self, *command):
        done = self.run_client(*command, "general", "Why is the sky blue?")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("alpha bravo charlie"), done.stdout)
        self.assertTrue(done.stdout.endswith("x-ray\n\nsim-openai/sim-gpt, attempts: 1\n"), done.stdout)

        done = self.run_client(*command, "nonsense", "Why is the sky blue?")
        self.assertEqual(done.returncode, 1)
        self.assertIn("reason: SCENARIO_NOT_FOUND, call: ", done.stderr)
        # Go spells it NotFound.
        self.assertRegex(done.stderr, "(NOT_FOUND|NotFound): there is no scenario `nonsense`")

    def run_client(self, *command):
        return subprocess.run(
            command,
            env={**os.environ, "MODELWAY_ADDRESS": self.address},
            capture_output=True,
            text=True,
            timeout=60,
            cwd=WORK,
        )

    def test_python(self):
        self.works(sys.executable, str(EXAMPLES / "python" / "client.py"))

    @unless("NO_NODE")
    def test_typescript(self):
        self.works("node", "typescript/dist/example.js")

    @unless("NO_DEBIAN", "NO_NODE")
    def test_go(self):
        self.works(str(WORK / "bin/go-example"))

    @unless("NO_DEBIAN", "NO_NODE")
    def test_java(self):
        self.works(java(), "-cp", CLASS_PATH, "Client")

    def test_each_has_fewer_than_fifty_lines(self):
        for name in ["python/client.py", "typescript/client.ts", "go/main.go", "java/Client.java"]:
            with self.subTest(name):
                self.assertLess(len((EXAMPLES / name).read_text().splitlines()), 50)


if __name__ == "__main__":
    unittest.main()
