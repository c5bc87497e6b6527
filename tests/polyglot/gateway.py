"""Starts the built server on a free port, and waits until it says that it serves."""

import contextlib
import os
import pathlib
import subprocess
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE_SECONDS = 30


@contextlib.contextmanager
def running(*arguments, credentials=None):
    """Runs `modelway` with these arguments and gives its address; credentials are needed if it serves TLS."""
    command = [os.environ["MODELWAY"], *arguments, "--listen", "127.0.0.1:0"]
    # Failed attempts are what is tested here; only what should never happen is shown.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELWAY_")}
    quiet = {**kept, "RUST_LOG": "error"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet) as process:
        try:
            # The first line of the banner ends with the address that was found free.
            address = process.stdout.readline().strip().rpartition(" ")[2]
            with connect(address, credentials) as channel:
                wait_until_serving(channel, "")
            yield address
            assert process.poll() is None, "the server died while it was tested"
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def connect(address, credentials):
    """A channel, with TLS if there are credentials for it."""
    return grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)


def start(test_class, *arguments, credentials=None):
    """Runs `modelway` until the tests of the class are done; gives its address."""
    server = running(*arguments, credentials=credentials)
    address = server.__enter__()
    test_class.addClassCleanup(server.__exit__, None, None, None)
    return address


def wait_until_serving(channel, service):
    """Watches the health of a service until it serves."""
    request = health_pb2.HealthCheckRequest(service=service)
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        request, timeout=PATIENCE_SECONDS, wait_for_ready=True
    )
    for answer in watch:
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            watch.cancel()
            return


def wait_until(condition, what):
    """Asks until `condition()` holds: there is nothing to be told by."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)
