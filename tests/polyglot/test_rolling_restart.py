"""A client with the service config that we ship notices nothing of a rolling restart."""

import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest

import gateway
import grpc
import modelway
from calls import request
from modelway.v1 import generation_service_pb2_grpc

SERVERS = 3
CALLERS = 6
# Calls that every server must have answered between two restarts.
ROUND = 60

CONFIGURATION = """
[server]
predrain = "200ms"
drain_timeout = "20s"
connection_age = "{age}"

[providers.server-{number}]
simulated = true
wire_format = "openai_chat"

[models."server-{number}/model"]
model = "gpt+tokens=10+gap=5ms"

[models."server-{number}/long"]
model = "gpt+tokens=120+gap=50ms"

[scenarios.general]
targets = ["server-{number}/model"]

[scenarios.long]
targets = ["server-{number}/long"]
"""


class RollingRestart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, number, listen="127.0.0.1:0", age="10m"):
        """Starts a server; gives its process and its address."""
        path = self.folder / f"{number}.toml"
        path.write_text(CONFIGURATION.format(number=number, age=age))
        command = [os.environ["MODELWAY"], "serve", "--config", str(path), "--listen", listen]
        command += ["--admin-listen", "127.0.0.1:0"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "RUST_LOG": "error"}
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().strip().rpartition(" ")[2]

    def test_no_call_fails_and_every_server_gets_its_share(self):
        servers = [self.start(number) for number in range(SERVERS)]
        target = "ipv4:" + ",".join(address for _, address in servers)
        answers, failures = collections.Counter(), []
        enough, stop = threading.Condition(), threading.Event()

        def call(stub):
            while not stop.is_set():
                try:
                    answer = stub.Generate(request("general"), timeout=60)
                except grpc.RpcError as error:
                    failures.append((error.code().name, error.details()))
                    stop.set()
                    with enough:
                        enough.notify()
                    continue
                with enough:
                    answers[answer.provider] += 1
                    enough.notify()

        def wait_for_a_round():
            with enough:
                answers.clear()
                done = enough.wait_for(
                    lambda: stop.is_set() or len(answers) == SERVERS and min(answers.values()) >= ROUND, 120
                )
                self.assertTrue(done and not failures, f"{answers} {failures}")
                return dict(answers)

        with contextlib.ExitStack() as stack:
            # Otherwise grpcio sends the whole list as the authority, which is none in HTTP/2.
            options = [*modelway.CHANNEL_OPTIONS, ("grpc.default_authority", "modelway")]
            channel = stack.enter_context(grpc.insecure_channel(target, options=options))
            stub = generation_service_pb2_grpc.GenerationServiceStub(channel)
            callers = [threading.Thread(target=call, args=[stub]) for _ in range(CALLERS)]
            stack.callback(lambda: [caller.join() for caller in callers])
            stack.callback(stop.set)
            for caller in callers:
                caller.start()
            shares = wait_for_a_round()
            for number, (process, address) in enumerate(servers):
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(60), 0)
                self.start(number, address)
                wait_for_a_round()

        self.assertEqual(failures, [])
        mean = sum(shares.values()) / SERVERS
        for share in shares.values():
            self.assertLess(abs(share - mean), 0.2 * mean, shares)

    def test_a_stream_outlives_its_connections_age(self):
        _, address = self.start(0, age="1s")
        with grpc.insecure_channel(address, options=modelway.CHANNEL_OPTIONS) as channel:
            stub = generation_service_pb2_grpc.GenerationServiceStub(channel)

            # It takes six seconds.
            *_, last = stub.StreamGenerate(request("long"), timeout=60)

        self.assertEqual(last.completed.response.usage.output_tokens, 120)


if __name__ == "__main__":
    unittest.main()
