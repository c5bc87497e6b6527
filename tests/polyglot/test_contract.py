"""What callers rely on is kept: a change of the contract that would break them is found."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import gateway

REPOSITORY = gateway.HERE.parent.parent
PROTO = REPOSITORY / "proto"
CLIENTS = pathlib.Path(os.environ["CLIENTS"])

BREAKS = {
    "a renamed field": ("string conversation_id = 14;", "string dialogue_id = 14;"),
    "a field of another number": ("string conversation_id = 14;", "string conversation_id = 26;"),
    "a field of another type": ("int32 part_index = 1;", "int64 part_index = 1;"),
    "a removed field": ("  bool replayed = 15;\n", ""),
    "a field that left its oneof": (
        "  oneof event {\n    // First event of every stream.\n    CallStarted started = 2;\n",
        "  // First event of every stream.\n  CallStarted started = 2;\n  oneof event {\n",
    ),
    "a renamed value": ("FINISH_REASON_STOP = 1;", "FINISH_REASON_DONE = 1;"),
    "a removed value": ("  FINISH_REASON_OTHER = 6;\n", ""),
    "a renamed method": ("rpc StreamGenerate(", "rpc GenerateStream("),
    "a method that streams no more": (
        "returns (stream StreamGenerateResponse)",
        "returns (StreamGenerateResponse)",
    ),
    "a renamed message": ("OutputReset", "OutputVoid"),
}


class Contract(unittest.TestCase):
    def breaking(self, *change):
        """Compares the contract with its baseline after replacing one text by another."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(PROTO, pathlib.Path(folder, "proto"))
            shutil.copy(REPOSITORY / "buf.yaml", folder)
            if change:
                path = pathlib.Path(folder, "proto/modelway/v1/generation_service.proto")
                before = path.read_text()
                after = before.replace(*change)
                self.assertNotEqual(before, after, "the text to replace is not there")
                path.write_text(after)
            command = ["buf", "breaking", "--against", "proto/baseline.binpb"]
            return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)

    def test_the_contract_breaks_nobody(self):
        done = self.breaking()

        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_package_for_typescript_exports_every_file_of_the_contract(self):
        exported = (REPOSITORY / "clients/typescript/src/v1.ts").read_text()
        exported = re.findall(r'^export \* from "./gen/(\S+)_pb.js";$', exported, re.MULTILINE)

        files = sorted(str(path.relative_to(PROTO).with_suffix("")) for path in PROTO.rglob("*.proto"))
        self.assertEqual(exported, files)

    def test_every_kind_of_break_is_found(self):
        for kind, change in BREAKS.items():
            with self.subTest(kind):
                done = self.breaking(*change)

                self.assertEqual(done.returncode, 100, done.stdout + done.stderr)
                self.assertIn("generation_service.proto", done.stdout)

    def test_what_is_added_breaks_nobody(self):
        done = self.breaking(
            "  string conversation_id = 14;\n",
            "  string conversation_id = 14;\n  // New.\n  string novelty = 99;\n",
        )

        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_descriptor_set_has_the_comments_of_the_contract(self):
        from google.protobuf import descriptor_pb2

        files = descriptor_pb2.FileDescriptorSet.FromString((CLIENTS / "modelway.binpb").read_bytes())

        comments = {
            location.leading_comments.strip()
            for file in files.file
            for location in file.source_code_info.location
        }
        self.assertIn("What a caller asks.", comments)
        self.assertIn("modelway/v1/generation_service.proto", [file.name for file in files.file])

    def test_the_service_config_names_methods_that_exist_and_retries_only_what_was_not_sent(self):
        config = json.loads((CLIENTS / "modelway_service_config.json").read_text())

        self.assertEqual(config["loadBalancingConfig"], [{"round_robin": {}}])
        services = set(re.findall(r"^service (\w+)", "".join(
            path.read_text() for path in PROTO.rglob("*.proto")
        ), re.MULTILINE))
        for method in config["methodConfig"]:
            for name in method["name"]:
                self.assertIn(name["service"].removeprefix("modelway.v1."), services)
            self.assertEqual(method["retryPolicy"]["retryableStatusCodes"], ["UNAVAILABLE"])
            # It would become the deadline of every call without one, and replace the scenario's own time.
            if {"service": "modelway.v1.GenerationService"} in method["name"]:
                self.assertNotIn("timeout", method)

    def test_the_readme_of_the_contract_shows_the_service_config_that_is_shipped(self):
        [shown] = re.findall(r"```json\n(.*?)```", (PROTO / "README.md").read_text(), re.DOTALL)

        self.assertEqual(shown, (PROTO / "service_config.json").read_text())

    def test_the_packages_have_the_version_of_the_server(self):
        def version(path, pattern):
            return re.search(pattern, (REPOSITORY / path).read_text(), re.MULTILINE)[1]

        server = version("Cargo.toml", r'^version = "(.*)"')
        self.assertEqual(version("clients/python/pyproject.toml", r'^version = "(.*)"'), server)
        self.assertEqual(version("clients/typescript/package.json", r'^  "version": "(.*)"'), server)


if __name__ == "__main__":
    unittest.main()
