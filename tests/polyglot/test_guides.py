"""The client guides and docs/provider-options.md: every block of code and every command in them is run, or says that it is not."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

import gateway
import grpc
import trustme
from test_clients import CLASS_PATH, WORK, java, unless

REPOSITORY = gateway.HERE.parent.parent
DOCS = REPOSITORY / "docs"
PROGRAMS = gateway.HERE / "guides"
GOLDEN = (PROGRAMS / "golden.txt").read_text()
GUIDES = {
    "python": ["guide.py", "tls.py"],
    "typescript": ["guide.ts", "guide-connect.ts", "guide-loader.ts", "guide-tls.ts"],
    "go": ["go/main.go", "go-tls/main.go"],
    "java": ["java/Guide.java"],
}


def blocks(path):
    """The fenced blocks of a page: what stands behind the fence, and the text."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def stands_in(block, program):
    """Whether the lines of a block follow each other in a program, whatever their indentation as a whole."""
    wanted = block.strip("\n")
    lines = program.splitlines()
    count = len(wanted.splitlines())
    return any(
        textwrap.dedent("\n".join(lines[start : start + count])).strip("\n") == wanted
        for start in range(len(lines) - count + 1)
    )


def folder_of(add_cleanup):
    """A folder that is removed when the test is done."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    add_cleanup(shutil.rmtree, folder)
    return folder


def configured(folder, more=""):
    """Writes the configuration of the guides, and makes a key of its caller; gives the file and the key."""
    configuration = folder / "modelway.toml"
    ledger = f'[ledger]\npath = "{folder}"\n'
    configuration.write_text(f"{(PROGRAMS / 'modelway.toml').read_text()}\n{ledger}{more}")
    create = ["keys", "create", "--config", str(configuration), "--caller", "search-api"]
    made = subprocess.run([os.environ["MODELWAY"], *create], capture_output=True, text=True, timeout=60, check=True)
    return str(configuration), made.stdout.strip()


def with_key(key):
    return {**os.environ, "MODELWAY_API_KEY": key}


class Guides(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        # Each has a server of its own: a program finds breakers closed, and its idempotency key unused.
        configuration, self.key = configured(folder_of(self.addCleanup))
        server = gateway.running("--config", configuration)
        self.address = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)

    def run_in(self, folder, *command):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=240, cwd=folder, env=with_key(self.key)
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    # The programs that the guides take their code from

    def test_the_code_for_python_works(self):
        output = self.run_in(WORK, sys.executable, str(PROGRAMS / "guide.py"), self.address)
        self.assertEqual(output, GOLDEN)

    def test_the_code_for_python_has_the_right_types(self):
        files = [str(PROGRAMS / "guide.py"), str(PROGRAMS / "tls.py"), str(REPOSITORY / "examples/python/client.py")]
        self.run_in(WORK, sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(WORK / "mypy"), *files)

    @unless("NO_NODE")
    def test_the_code_for_typescript_works(self):
        folder = WORK / "typescript"
        self.assertEqual(self.run_in(folder, "node", "dist/guide.js", self.address), GOLDEN)
        # NOT_FOUND is 5.
        output = self.run_in(folder, "node", "dist/guide-connect.js", self.address)
        self.assertEqual(output, "5 SCENARIO_NOT_FOUND\ncaller: search-api\n")
        output = self.run_in(folder, "node", "dist/guide-loader.js", self.address, str(REPOSITORY / "proto"))
        self.assertRegex(output, r"^FINISH_REASON_STOP \d+ text\n$")

    @unless("NO_DEBIAN", "NO_NODE")
    def test_the_code_for_go_works(self):
        output = self.run_in(REPOSITORY / "proto", str(WORK / "bin/go-guide"), self.address)
        self.assertEqual(output, GOLDEN)

    @unless("NO_DEBIAN", "NO_NODE")
    def test_the_code_for_java_works(self):
        self.assertEqual(self.run_in(WORK, java(), "-cp", CLASS_PATH, "Guide", self.address), GOLDEN)

    # The guides

    def test_every_block_of_code_stands_in_a_program_that_is_run_or_says_that_it_is_not(self):
        self.assertEqual({path.stem for path in (DOCS / "clients").iterdir()}, set(GUIDES))
        for guide, programs in GUIDES.items():
            path = DOCS / "clients" / f"{guide}.md"
            programs = [(PROGRAMS / program).read_text() for program in programs]
            for fence, block in blocks(path):
                with self.subTest(guide, block=block):
                    if fence.endswith(" not-run"):
                        # The reader sees it, too.
                        after = path.read_text().partition(f"{block}```\n\n")[2]
                        self.assertRegex(after, r"^\(Not run by a test[.:]")
                    elif fence != "sh":
                        self.assertTrue(any(stands_in(block, program) for program in programs))

    def commands_of(self, guide):
        """Runs the commands of a guide in a copy of what they need; gives its folder."""
        folder = folder_of(self.addCleanup)
        for name in ["clients", "proto"]:
            ignored = shutil.ignore_patterns("node_modules", "dist", "gen", "v1", "build", "*.tgz")
            shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored if name == "clients" else None)
        for name in ["buf.yaml", "buf.gen.yaml"]:
            shutil.copy(REPOSITORY / name, folder)
        commands = [block for fence, block in blocks(DOCS / "clients" / f"{guide}.md") if fence == "sh"]
        self.assertNotEqual(commands, [])
        for command in commands:
            self.run_in(folder, "bash", "-euo", "pipefail", "-c", command)
        return folder

    def test_the_commands_for_python_install_the_package(self):
        self.commands_of("python")
        self.run_in(WORK, sys.executable, "-c", "import modelway.v1.generation_service_pb2_grpc")

    @unless("NO_NODE")
    def test_the_commands_for_typescript_pack_the_package(self):
        folder = self.commands_of("typescript")
        self.assertTrue((folder / "clients/typescript/modelway-client-0.1.0.tgz").exists())

    @unless("NO_DEBIAN")
    def test_the_commands_for_go_write_the_stubs_that_the_tests_use(self):
        self.same_stubs(self.commands_of("go"), "go")

    @unless("NO_DEBIAN")
    def test_the_commands_for_java_write_the_stubs_that_the_tests_use(self):
        self.same_stubs(self.commands_of("java"), "java")

    def same_stubs(self, folder, language):
        def files(of):
            return {path.relative_to(of): path.read_text() for path in (of).rglob("*") if path.is_file()}

        written = files(folder / "gen" / language)
        self.assertEqual(written, files(WORK / "gen" / language))
        self.assertGreater(len(written), 5)


class Tls(unittest.TestCase):
    """The code for TLS, against a server that wants a certificate of its callers."""

    @classmethod
    def setUpClass(cls):
        if "[server.tls]" not in (REPOSITORY / "config.example.toml").read_text():
            raise unittest.SkipTest("this server has no TLS")
        folder = folder_of(cls.addClassCleanup)
        cls.folder = str(folder)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        for name, of in [("server", "127.0.0.1"), ("client", "caller.example.com")]:
            issued = authority.issue_cert(of)
            issued.private_key_pem.write_to_path(folder / f"{name}.key")
            for part in issued.cert_chain_pems:
                part.write_to_path(folder / f"{name}.pem", append=True)
        tls = {"cert": folder / "server.pem", "key": folder / "server.key", "client_ca": folder / "ca.pem"}
        table = "".join(f'{key} = "{path}"\n' for key, path in tls.items())
        configuration, cls.key = configured(folder, f"[server.tls]\n{table}")
        root, key, chain = [(folder / name).read_bytes() for name in ["ca.pem", "client.key", "client.pem"]]
        credentials = grpc.ssl_channel_credentials(root, key, chain)
        cls.address = gateway.start(cls, "--config", configuration, credentials=credentials)

    def finishes(self, *command, times=1):
        command = [*command, self.address, self.folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=WORK, env=with_key(self.key))
        # FINISH_REASON_STOP
        self.assertEqual(done.stdout, "finished: 1\n" * times + "caller: search-api\n", done.stderr)

    def test_python(self):
        self.finishes(sys.executable, str(PROGRAMS / "tls.py"))

    @unless("NO_NODE")
    def test_typescript_with_grpc_js_and_with_connect(self):
        self.finishes("node", "typescript/dist/guide-tls.js", times=2)

    @unless("NO_DEBIAN", "NO_NODE")
    def test_go(self):
        self.finishes(str(WORK / "bin/go-tls"))


class ProviderOptions(unittest.TestCase):
    """The commands of docs/provider-options.md, with providers that are simulated and have the same names."""

    @classmethod
    def setUpClass(cls):
        cls.blocks = blocks(DOCS / "provider-options.md")
        cls.folder = folder = folder_of(cls.addClassCleanup)
        [configuration] = [block for fence, block in cls.blocks if fence == "toml"]
        configuration = re.sub(r"^base_url = .*$", "simulated = true", configuration, flags=re.MULTILINE)
        configuration = re.sub(r"^api_key = .*\n", "", configuration, flags=re.MULTILINE)
        (folder / "modelway.toml").write_text(configuration)
        [request] = [block for fence, block in cls.blocks if fence == "json"]
        (folder / "request.json").write_text(request)
        cls.address = gateway.start(cls, "--config", str(folder / "modelway.toml"))

    def is_the_answer(self, answer):
        self.assertEqual(answer["provider"], "claude")
        self.assertEqual([warning["field"] for warning in answer["warnings"]], ["prompt_cache_key"])

    def test_the_grpcurl_command_is_answered(self):
        [command] = [block for fence, block in self.blocks if fence == "sh"]
        self.assertIn("127.0.0.1:50051", command)
        command = command.replace("127.0.0.1:50051", self.address)

        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, cwd=self.folder
        )

        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.is_the_answer(json.loads(done.stdout))

    def test_the_python_code_is_answered(self):
        [code] = [block for fence, block in self.blocks if fence == "python"]
        before = (
            "import grpc\n"
            "from modelway.v1 import generation_service_pb2\n"
            "from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub\n"
            f"stub = GenerationServiceStub(grpc.insecure_channel('{self.address}'))\n"
        )
        after = "print(json_format.MessageToJson(response))\n"

        done = subprocess.run(
            [sys.executable, "-c", before + code + after], capture_output=True, text=True, timeout=60, cwd=self.folder
        )

        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.is_the_answer(json.loads(done.stdout))


if __name__ == "__main__":
    unittest.main()
