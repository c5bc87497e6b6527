"""Plays every case over curl, with JSON and server-sent events."""

import json
import subprocess
import sys

import grpc
from cases import HELLO, Failed, play

CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Curl:
    """Calls a server by curl."""

    # The JSON door has no health: probes ask the listeners for them.
    health = None

    def __init__(self, address):
        self.address = address

    def generate(self, scenario, seconds=30.0, **fields):
        return json.loads(self.post("generate", {"scenario": scenario, "messages": HELLO, **fields}, seconds))

    def stream(self, scenario, seconds=30.0, **fields):
        body = {"scenario": scenario, "messages": HELLO, **fields}
        messages = []
        for name, data in events(self.post("stream", body, seconds)):
            if name == "error":
                raise failed(data, {}, messages)
            messages.append(data)
        return messages

    def command(self, path, seconds):
        return [
            *["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "60", "--include"],
            *["--header", "content-type: application/json"],
            *["--header", f"x-modelway-timeout-ms: {seconds * 1000:.0f}"],
            *["--data-binary", "@-", f"http://{self.address}/v1/{path}"],
        ]

    def post(self, path, body, seconds):
        done = subprocess.run(
            self.command(path, seconds), input=json.dumps(body), capture_output=True, text=True, check=True
        )
        head, _, answer = done.stdout.replace("\r\n", "\n").partition("\n\n")
        # Before a large body curl waits for leave to send it.
        if " 100 " in head:
            head, _, answer = answer.partition("\n\n")
        status, *lines = head.splitlines()
        if not status.startswith("HTTP/1.1 200"):
            headers = dict(line.split(": ", 1) for line in lines)
            raise failed(json.loads(answer), headers, [])
        return answer

    def cancelled(self):
        """Ended in the middle of a stream, curl is gone, and the stream with it."""
        with subprocess.Popen(
            self.command("stream", 30.0), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            process.stdin.write(json.dumps({"scenario": "endless", "messages": HELLO}))
            process.stdin.close()
            next(line for line in process.stdout if line.startswith("event: textDelta"))
            process.terminate()
        return "CANCELLED" if process.returncode < 0 else f"exit code {process.returncode}"


def failed(status, headers, messages):
    """Reads the status of a call that failed."""
    return Failed(CODES[status["code"]], status["details"], headers, messages)


def events(body):
    """The names and the data of the events; comments are skipped."""
    for block in body.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            yield fields["event"], json.loads(fields["data"])


if __name__ == "__main__":
    play(Curl(*sys.argv[1:]))
