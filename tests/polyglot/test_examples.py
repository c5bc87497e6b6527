"""The examples that a reader copies work as they stand."""

import os
import subprocess
import sys
import unittest

import gateway

CLIENT = gateway.HERE.parent.parent / "examples" / "python" / "client.py"


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.address = gateway.start(cls)

    def run_client(self, *arguments):
        return subprocess.run(
            [sys.executable, str(CLIENT), *arguments],
            env={**os.environ, "MODELWAY_ADDRESS": self.address},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_the_python_client_prints_an_answer(self):
        done = self.run_client("forced-failover", "Why is the sky blue?")

        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("alpha bravo charlie"), done.stdout)
        self.assertTrue(done.stdout.endswith(", attempts: 2\n"), done.stdout)

    def test_the_python_client_tells_why_there_is_none(self):
        done = self.run_client("nonsense", "Why is the sky blue?")

        self.assertEqual(done.returncode, 1)
        self.assertIn("reason: SCENARIO_NOT_FOUND, call: ", done.stderr)
        self.assertIn("NOT_FOUND: there is no scenario `nonsense`", done.stderr)


if __name__ == "__main__":
    unittest.main()
