"""The unit for systemd: read by systemd itself without a word, and closed off."""

import re
import shutil
import tempfile
import pathlib
import unittest

from tools import DEPLOY, run

UNIT = DEPLOY / "systemd" / "modelway.service"
# From 0, closed off, to 10, open.
EXPOSURE = 1.5


@unittest.skipUnless(shutil.which("systemd-analyze"), "there is no systemd-analyze")
class Unit(unittest.TestCase):
    def verified(self, text):
        """What systemd says of a unit. The program must be where the unit says, so that another one stands in for it."""
        text = text.replace("/usr/local/bin/modelway", shutil.which("true"))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "modelway.service")
            path.write_text(text)
            return run("systemd-analyze", "verify", "--man=no", path)

    def test_systemd_reads_it_without_a_word(self):
        done = self.verified(UNIT.read_text())

        self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "", ""))

    def test_systemd_would_say_something_of_a_misspelt_key(self):
        done = self.verified(UNIT.read_text().replace("TimeoutStopSec", "TimeoutStopSecs"))

        self.assertIn("TimeoutStopSecs", done.stderr)

    def test_it_is_closed_off(self):
        done = run("systemd-analyze", "security", "--offline=true", UNIT)

        [level] = re.findall(r"Overall exposure level for .*?: ([\d.]+)", done.stdout)
        self.assertLessEqual(float(level), EXPOSURE)


class Numbers(unittest.TestCase):
    def test_the_stop_waits_for_predrain_drain_and_the_last_steps(self):
        text = UNIT.read_text()
        [predrain, drain, last] = map(
            int, re.search(r"predrain \((\d+) s\) \+ drain_timeout \((\d+) s\) \+ (\d+) s", text).groups()
        )

        self.assertEqual(int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1]), predrain + drain + last)
        self.assertEqual((predrain, drain), (10, 600))
        self.assertIn("\nType=notify\n", text)
        self.assertIn("\nKillMode=mixed\n", text)
        self.assertIn("\nExecReload=/bin/kill -HUP $MAINPID\n", text)


if __name__ == "__main__":
    unittest.main()
