"""Plays every case over grpcurl, which knows the contract by reflection alone."""

import json
import re
import subprocess
import sys

from cases import HELLO, Failed, play

GENERATION = "modelway.v1.GenerationService"


class Grpcurl:
    """Calls a server by grpcurl."""

    def __init__(self, address):
        self.address = address

    def generate(self, scenario, seconds=30.0, **fields):
        body = {"scenario": scenario, "messages": HELLO, **fields}
        [answer] = self.call(f"{GENERATION}/Generate", body, seconds)
        return answer

    def stream(self, scenario, seconds=30.0, **fields):
        body = {"scenario": scenario, "messages": HELLO, **fields}
        return self.call(f"{GENERATION}/StreamGenerate", body, seconds)

    def health(self, service):
        try:
            [answer] = self.call("grpc.health.v1.Health/Check", {"service": service})
        except Failed as failed:
            return failed.code
        return answer["status"]

    def call(self, method, body, seconds=30.0):
        command = ["grpcurl", "-plaintext", "-v", "-max-time", str(seconds), "-d", "@", self.address, method]
        done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise failed(done.stdout, done.stderr)
        return messages(done.stdout)

    def cancelled(self):
        """Ended in the middle of a stream, grpcurl is gone, and the stream with it."""
        body = json.dumps({"scenario": "endless", "messages": HELLO})
        command = ["grpcurl", "-plaintext", "-d", body, self.address, f"{GENERATION}/StreamGenerate"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            next(line for line in process.stdout if "textDelta" in line)
            process.terminate()
        return "CANCELLED" if process.returncode < 0 else f"exit code {process.returncode}"


def messages(output):
    """The JSON objects of the output, among the lines that tell of headers."""
    return [json.loads(text) for text in re.findall(r"^\{\n.*?^\}", output, re.MULTILINE | re.DOTALL)]


def failed(output, errors):
    """Reads what grpcurl writes about a call that failed."""
    # It writes DeadlineExceeded for DEADLINE_EXCEEDED.
    name = re.search(r"Code: (\w+)", errors)[1]
    code = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper().replace("CANCELED", "CANCELLED")
    details = [json.loads(line) for line in re.findall(r"^  \d+\)\t(.*)$", errors, re.MULTILINE)]
    trailers = dict(re.findall(r"^([a-z-]+): (.*)$", output, re.MULTILINE))
    return Failed(code, details, trailers, messages(output))


if __name__ == "__main__":
    play(Grpcurl(*sys.argv[1:]))
