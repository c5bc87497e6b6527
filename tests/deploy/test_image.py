"""The Dockerfile: parsed, and as far as it can be followed without an engine, followed."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tomllib
import unittest

from tools import REPOSITORY, judged, modelway, run

DOCKERFILE = REPOSITORY / "Dockerfile"
# What distroless's cc-debian12 has, and the version of its C library.
BASE_LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"}
BASE_GLIBC = (2, 36)


def instructions():
    return judged("dockerfile", DOCKERFILE)


def stages():
    """The instructions of each stage."""
    found = []
    for one in instructions():
        if one["keyword"] == "FROM":
            found.append([])
        if found:
            found[-1].append(one)
    return found


def copied(stage):
    """What a stage copies from the repository: each source with its target."""
    for one in stage:
        if one["keyword"] == "COPY" and not any(flag.startswith("--from") for flag in one["flags"]):
            *sources, target = one["arguments"]
            yield from ((source, target) for source in sources)


def of(stage, keyword):
    return [one for one in stage if one["keyword"] == keyword]


def whole(lines):
    """The lines of strace, with each call on one line: another thread's may stand between its begin and its end."""
    begun = {}
    for line in lines:
        pid = line.split()[0]
        if line.endswith("<unfinished ...>"):
            begun[pid] = line.removesuffix("<unfinished ...>")
        elif "resumed>" in line and pid in begun:
            yield begun.pop(pid) + line.split("resumed>", 1)[1]
        else:
            yield line
    yield from begun.values()


class Image(unittest.TestCase):
    def test_it_is_built_in_two_stages_from_named_versions(self):
        build, final = stages()
        defaults = dict(one["text"].split("=", 1) for one in instructions()[:2])

        self.assertRegex(defaults["RUST"], r"^\d+\.\d+-slim-bookworm$")
        # The second stage has the C library of the same Debian.
        self.assertEqual(defaults["BASE"], "gcr.io/distroless/cc-debian12:nonroot")
        manifest = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())
        self.assertEqual(defaults["RUST"].split("-")[0], manifest["package"]["rust-version"])
        self.assertEqual([one["text"] for one in of(final, "USER")], ["65532:65532"])
        self.assertEqual([one["text"] for one in of(final, "EXPOSE")], ["50051 50053"])
        self.assertFalse(of(final, "RUN"), "the second stage has no shell")
        self.assertTrue(of(build, "RUN"))

    def test_what_is_copied_is_enough_to_build_the_program(self):
        """Cargo resolves the manifest offline from exactly these files, and finds every source of the program."""
        build, _ = stages()
        ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
        let_in = {line[1:] for line in ignored if line.startswith("!")}
        self.assertIn("*", ignored)
        with tempfile.TemporaryDirectory() as folder:
            for source, _ in copied(build):
                self.assertIn(source, let_in)
                path = REPOSITORY / source
                if path.is_dir():
                    shutil.copytree(path, pathlib.Path(folder, source))
                else:
                    shutil.copy(path, folder)
            done = run("cargo", "metadata", "--offline", "--locked", "--format-version", "1", "--no-deps", cwd=folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            [package] = json.loads(done.stdout)["packages"]
            for target in package["targets"]:
                self.assertTrue(pathlib.Path(target["src_path"]).is_file(), target)
            for source in self.used():
                self.assertTrue(pathlib.Path(folder, source).is_file(), f"{source} is used and not copied")

    def used(self):
        """Every file of the repository that the last build of the program read, by what the compiler noted."""
        target = pathlib.Path(os.environ["MODELWAY"])
        notes = target.with_suffix(".d").read_text()
        [paths] = re.findall(r"^\S*modelway: (.*)$", notes, re.MULTILINE)
        for path in paths.replace("\\ ", "\0").split():
            path = pathlib.Path(path.replace("\0", " "))
            if path.is_relative_to(REPOSITORY) and not path.is_relative_to(REPOSITORY / "target"):
                if path.is_file():
                    yield path.relative_to(REPOSITORY)

    def test_the_files_of_the_second_stage_are_there(self):
        _, final = stages()
        for source, _ in copied(final):
            self.assertTrue((REPOSITORY / source).is_file(), source)

    def test_the_program_needs_no_library_that_the_base_lacks(self):
        program = os.environ["MODELWAY"]
        headers = run("objdump", "--private-headers", program)
        if headers.returncode:
            self.skipTest("there is no objdump")
        needed = set(re.findall(r"NEEDED\s+(\S+)", headers.stdout))
        versions = [tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", headers.stdout)]

        self.assertLessEqual({one for one in needed if not one.startswith("ld-linux")}, BASE_LIBRARIES)
        self.assertLessEqual(max(versions)[:2], BASE_GLIBC)

    def test_its_commands_are_commands_of_the_program(self):
        _, final = stages()
        [command] = of(final, "CMD")
        [check] = of(final, "HEALTHCHECK")
        probe = json.loads(check["text"].partition("CMD")[2])
        self.assertEqual(probe[0], json.loads(of(final, "ENTRYPOINT")[0]["text"])[0])
        for words in (json.loads(command["text"]), probe[1:]):
            done = modelway(words[0], "--help")
            self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
            for flag in (word for word in words if word.startswith("--")):
                self.assertIn(flag, done.stdout)
        path = json.loads(command["text"])[-1]
        self.assertIn(path, [target for _, target in copied(final)])

    def test_its_probe_tells_a_ready_service_from_one_that_is_not_there(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        before = modelway("health", "--address", address)
        server = subprocess.Popen(
            [os.environ["MODELWAY"], "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--probes-listen", address],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            server.stdout.readline()
            end = time.monotonic() + 30
            # The listeners are bound before the first call is taken.
            while (during := modelway("health", "--address", address)).returncode and time.monotonic() < end:
                time.sleep(0.1)
        finally:
            server.terminate()
            server.communicate(timeout=60)

        self.assertEqual((before.returncode, during.returncode), (3, 0), before.stderr + during.stderr)
        self.assertIn(f"{address} does not answer: ", before.stderr)

    def watched(self, folder, config=None):
        """What the program writes as another user, from its start to its end: the lines of strace, and its exit code."""
        if not shutil.which("strace") or not shutil.which("setpriv") or os.geteuid() != 0:
            self.skipTest("it takes root, strace and setpriv to watch the program as another user")
        # What another user may read and, for the data, make.
        os.chmod(folder, 0o777)
        program = shutil.copy(os.environ["MODELWAY"], folder)
        os.chmod(program, 0o755)
        trace = pathlib.Path(folder, "trace")
        child = subprocess.Popen(
            ["strace", "--follow-forks", "--trace=open,openat,openat2,creat,mkdir,mkdirat,rename,unlink", "--output", str(trace),
             "setpriv", "--reuid", "65532", "--regid", "65532", "--clear-groups", "--no-new-privs",
             program, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *(["--config", config] if config else [])],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/",
        )  # fmt: skip
        try:
            said = child.stdout.readline()
            self.assertIn("serves gRPC on", said)
            yield said.split()[-1]
        finally:
            # strace hands signals on to nobody: the program is its child.
            [server] = run("pgrep", "--parent", str(child.pid)).stdout.split()
            os.kill(int(server), signal.SIGTERM)
            child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0)
        calls = [line for line in whole(trace.read_text().splitlines()) if "exited" not in line]
        self.assertGreater(len(calls), 20)
        yield [
            line for line in calls
            if re.search(r"O_WRONLY|O_RDWR|O_CREAT|creat\(|mkdir|rename|unlink", line)
            and "/dev/" not in line and " = -1 " not in line
        ]  # fmt: skip

    def test_without_rights_the_program_writes_no_file(self):
        with tempfile.TemporaryDirectory() as folder:
            _, writing = self.watched(folder)
            self.assertEqual(writing, [])

    def test_with_a_ledger_it_writes_in_the_data_directory_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            data = pathlib.Path(folder, "data")
            config = pathlib.Path(folder, "modelway.toml")
            text = (REPOSITORY / "deploy" / "compose" / "modelway.toml").read_text()
            text = text.replace("/var/lib/modelway", str(data)).replace("[telemetry]", "[telemetry]\ntraces = false\nmetrics = false")
            text = re.sub(r"(?m)^\[probes\]\nlisten = .*$", '[[accounts]]\nid = "team"\nkind = "team"\n\n[[accounts]]\nid = "caller"\n'
                          'kind = "caller"\nparent = "team"\n', text)
            config.write_text(text)
            watched = self.watched(folder, config)
            address = next(watched)
            # Made by root while the service runs, as on a machine with systemd.
            made = modelway("keys", "create", "--config", config, "--caller", "caller", "--out", pathlib.Path(folder, "key"))
            end = time.monotonic() + 30
            # The service looks at the store twice a second.
            while time.monotonic() < end:
                called = modelway("call", "general", "Hello", "--address", address, "--api-key-file", pathlib.Path(folder, "key"))
                if called.returncode == 0:
                    break
            writing = next(watched)
            used = modelway("usage", "--data", data, "--by", "caller")

            self.assertEqual((made.returncode, called.returncode), (0, 0), made.stderr + called.stderr)
            self.assertRegex(used.stdout, r"(?m)^caller\s")
            self.assertTrue(writing)
            self.assertEqual([line for line in writing if f'"{data}' not in line], [])


if __name__ == "__main__":
    unittest.main()
