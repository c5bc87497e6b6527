"""Runs the commands of the documentation as they stand there; only the ports are others."""

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import unittest

import documents
from tools import REPOSITORY


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Commands(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        programs = cls.folder / "bin"
        programs.mkdir()
        (programs / "modelway").symlink_to(os.environ["MODELWAY"])
        cls.surroundings = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        # What `cargo run` serves, with another port for operators.
        cls.admin = f"127.0.0.1:{free_port()}"
        config = cls.folder / "keyless.toml"
        keyless = (REPOSITORY / "src" / "config" / "keyless.toml").read_text()
        config.write_text(f'[admin]\nlisten = "{cls.admin}"\n\n[logging]\nformat = "json"\n\n{keyless}')
        cls.log = cls.folder / "modelway.log"
        with cls.log.open("w") as log:
            cls.server = subprocess.Popen(
                ["modelway", "serve", "--config", config, "--listen", "127.0.0.1:0"],
                env=cls.surroundings, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        cls.addClassCleanup(cls.stop)
        cls.address = cls.server.stdout.readline().strip().rpartition(" ")[2]

    @classmethod
    def stop(cls):
        cls.server.terminate()
        cls.server.communicate(timeout=60)

    def run_in_shell(self, text, folder=None):
        """Runs the text of a block; gives what it printed."""
        text = re.sub(r"(127\.0\.0\.1|localhost):50051", self.address, text)
        text = re.sub(r"(127\.0\.0\.1|localhost):50052", self.admin, text)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=folder or self.folder, env=self.surroundings, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def outputs(self, test):
        """What the blocks print that this test is named for; each must succeed."""
        found = documents.documented(test)
        self.assertTrue(found, "no page has a block for this test")
        for text in found:
            done = self.run_in_shell(text)
            self.assertEqual(done.returncode, 0, f"{text}\n{done.stderr}")
            yield done.stdout

    def test_a_first_call_is_answered(self):
        [output] = self.outputs("test_a_first_call_is_answered")

        answer = json.loads(output)
        self.assertTrue(answer["output"]["parts"][0]["text"].startswith("alpha bravo"))

    def test_a_first_call_by_curl_is_answered(self):
        if not self.found("curl"):
            self.skipTest("there is no curl")
        [output] = self.outputs("test_a_first_call_by_curl_is_answered")

        self.assertTrue(json.loads(output)["output"]["parts"][0]["text"].startswith("alpha bravo"))

    def test_a_forced_failover_shows_both_attempts(self):
        [output] = self.outputs("test_a_forced_failover_shows_both_attempts")

        kinds = [attempt["kind"] for attempt in json.loads(output)["attempts"]]
        self.assertEqual(kinds, ["ATTEMPT_KIND_PRIMARY", "ATTEMPT_KIND_FAILOVER"])

    def test_the_breakers_are_listed(self):
        for output in self.outputs("test_the_breakers_are_listed"):
            self.assertIn("sim-openai", output)

    def test_a_breaker_is_held_and_released(self):
        [output] = self.outputs("test_a_breaker_is_held_and_released")

        held, released = re.split(r"(?<=^\})\n", output, maxsplit=1, flags=re.MULTILINE)
        self.assertEqual(json.loads(held)["breaker"]["state"], "BREAKER_STATE_FORCED_OPEN")
        self.assertNotIn("FORCED", released)

    def test_a_call_is_found_in_the_log_by_its_id(self):
        [text] = documents.documented("test_a_call_is_found_in_the_log_by_its_id")
        call = self.run_in_shell(
            "grpcurl -plaintext -d '{\"scenario\": \"general\", \"messages\": [{\"role\": \"ROLE_USER\", \"text\": \"Hello\"}]}' "
            "127.0.0.1:50051 modelway.v1.GenerationService/Generate"
        )
        call_id = json.loads(call.stdout)["callId"]
        if not self.found("jq"):
            self.skipTest("there is no jq")
        if '"message":"call"' not in self.log.read_text():
            self.skipTest("the service does not write a line for each call yet")

        # The line is written by a thread of its own, perhaps after the answer has arrived.
        end = time.monotonic() + 10
        while not (line := self.run_in_shell(re.sub(r"[0-9a-f]{32}", call_id, text)).stdout):
            self.assertLess(time.monotonic(), end, self.log.read_text())
            time.sleep(0.1)

        line = json.loads(line)
        self.assertEqual((line["call_id"], line["code"], line["blame"]), (call_id, "OK", "none"))

    def found(self, program):
        return self.run_in_shell(f"command -v {program}").returncode == 0

    def test_a_changed_configuration_is_checked_and_renamed(self):
        [text] = documents.documented("test_a_changed_configuration_is_checked_and_renamed")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            good = (REPOSITORY / "src" / "config" / "keyless.toml").read_text()
            for written, taken in ((good, True), (good + "[nonsense]\n", False)):
                (folder / "modelway.toml").write_text("# old\n")
                (folder / "modelway.toml.new").write_text(written)

                done = self.run_in_shell(text, folder)

                self.assertEqual(done.returncode == 0, taken, done.stderr)
                self.assertEqual((folder / "modelway.toml").read_text() == written, taken)

    def test_a_plan_is_explained(self):
        [output] = self.outputs("test_a_plan_is_explained")

        self.assertIn("sim-openai", output)

    def test_metadata_of_the_provider_is_asked_for(self):
        [text] = documents.documented("test_metadata_of_the_provider_is_asked_for")
        # The page says `chat`, as its configuration does.
        done = self.run_in_shell(text.replace('"chat"', '"general"'))

        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
