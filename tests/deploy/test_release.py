"""The workflows, and what a release carries beside the program: its bill of materials and its checksums."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tools import DEPLOY, REPOSITORY, SCRIPTS, judged, load, run

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
# What GitHub has had since this linter was published.
NEWER = re.compile(r'label "ubuntu-24\.04(-arm)?" is unknown|unknown permission scope "attestations"')


class Workflows(unittest.TestCase):
    def test_the_schema_of_workflows_accepts_them(self):
        done = run(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)

        self.assertEqual(done.returncode, 0, done.stdout)

    def test_actionlint_finds_nothing_in_them(self):
        found = judged("workflow", *WORKFLOWS)

        self.assertEqual([one for one in found if not NEWER.search(one["message"])], [])

    def test_actionlint_would_find_something(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = pathlib.Path(folder, "broken.yml")
            broken.write_text(WORKFLOWS[-1].read_text().replace("needs: [version, image]", "needs: [versions, image]"))
            self.assertTrue(any("versions" in one["message"] for one in judged("workflow", broken)))

    def test_every_job_has_the_rights_that_it_needs_and_no_more(self):
        for path in WORKFLOWS:
            workflow = load(path)
            self.assertEqual(workflow["permissions"], {"contents": "read"})
        jobs = load(REPOSITORY / ".github" / "workflows" / "release.yml")["jobs"]
        writers = {name for name, job in jobs.items() if job.get("permissions", {}).get("contents") == "write"}
        self.assertEqual(writers, {"publish"})

    def test_what_they_run_is_in_the_repository(self):
        for path in WORKFLOWS:
            for script in re.findall(r"(?:deploy|\.ci)/[\w./-]+", path.read_text()):
                self.assertTrue((REPOSITORY / script).exists(), script)

    def test_the_versions_of_crate_and_chart_agree(self):
        crate = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]["version"]
        chart = load(DEPLOY / "helm" / "modelway" / "Chart.yaml")
        values = load(DEPLOY / "helm" / "modelway" / "values.yaml")

        self.assertEqual({crate}, {chart["version"], chart["appVersion"], values["image"]["tag"]})


class BillOfMaterials(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        def made(target):
            return subprocess.check_output(
                [sys.executable, DEPLOY / "release" / "sbom.py", target], text=True, cwd=REPOSITORY
            )

        cls.texts = {target: made(target) for target in TARGETS}
        cls.again = made(TARGETS[0])
        cls.bills = {target: json.loads(text) for target, text in cls.texts.items()}

    def test_the_schema_of_cyclonedx_accepts_it(self):
        for text in self.texts.values():
            self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text))

    def test_the_same_sources_give_the_same_bytes(self):
        self.assertEqual(self.again, self.texts[TARGETS[0]])

    def test_every_crate_is_in_the_lock_file_with_this_checksum(self):
        lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]
        locked = {(one["name"], one["version"], one["checksum"]) for one in lock if "checksum" in one}
        for bill in self.bills.values():
            listed = {(one["name"], one["version"], one["hashes"][0]["content"]) for one in bill["components"]}
            self.assertLessEqual(listed, locked)
            self.assertTrue(all("licenses" in one for one in bill["components"]))

    def test_it_lists_what_cargo_says_is_built_in(self):
        for target, bill in self.bills.items():
            tree = subprocess.check_output(
                ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"],
                text=True, cwd=REPOSITORY,
            )  # fmt: skip
            crates = {tuple(line.split()[:2]) for line in tree.splitlines()}
            built_in = {(name, version.removeprefix("v")) for name, version in crates if name != "modelway"}
            listed = {(one["name"], one["version"]) for one in bill["components"] if one["scope"] == "required"}
            # Cargo resolves features more sharply for the tree: it may leave out what the metadata still names.
            self.assertLessEqual(built_in, listed)


class Checksums(unittest.TestCase):
    def test_they_can_be_checked(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("b.tar.gz", "a.json"):
                pathlib.Path(folder, name).write_text(name)
            for _ in range(2):
                subprocess.run([DEPLOY / "release" / "checksums.sh", folder], check=True)
            sums = pathlib.Path(folder, "SHA256SUMS").read_text()
            expected = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in ("a.json", "b.tar.gz")]
            self.assertEqual(sums.splitlines(), expected)
            subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


if __name__ == "__main__":
    unittest.main()
