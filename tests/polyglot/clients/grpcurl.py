"""Plays every case over grpcurl, which knows the contract by reflection alone; prints a line for each."""

import itertools
import json
import re
import subprocess
import sys

GENERATION = "modelway.v1.GenerationService"
HELLO = [{"role": "ROLE_USER", "text": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


class Failed(Exception):
    """A call that failed: its code as gRPC writes it, its details by their type, its trailers."""

    def __init__(self, output, errors):
        # Without -format-error grpcurl writes DeadlineExceeded for DEADLINE_EXCEEDED.
        name = re.search(r"Code: (\w+)", errors)[1]
        self.code = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper().replace("CANCELED", "CANCELLED")
        self.details = {}
        for line in re.findall(r"^  \d+\)\t(.*)$", errors, re.MULTILINE):
            detail = json.loads(line)
            self.details[detail.pop("@type").rpartition(".")[2]] = detail
        self.trailers = dict(re.findall(r"^([a-z-]+): (.*)$", output, re.MULTILINE))
        self.messages = messages(output)


def messages(output):
    """The JSON objects of the output, among the lines that tell of headers."""
    return [json.loads(text) for text in re.findall(r"^\{\n.*?^\}", output, re.MULTILINE | re.DOTALL)]


def call(address, method, body, seconds=30.0):
    command = ["grpcurl", "-plaintext", "-v", "-max-time", str(seconds), "-d", "@", address, method]
    done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failed(done.stdout, done.stderr)
    return messages(done.stdout)


def text(answer):
    return "".join(part.get("text", "") for part in answer["output"]["parts"])


def finish(answer):
    return answer["finishReason"].removeprefix("FINISH_REASON_")


def told(attempts):
    return ", ".join(
        attempt["kind"].removeprefix("ATTEMPT_KIND_")
        + " "
        + attempt["outcome"].removeprefix("ATTEMPT_OUTCOME_")
        for attempt in attempts
    )


def snake(name):
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


class Grpcurl:
    def __init__(self, address):
        self.address = address

    def generate(self, scenario, seconds=30.0, **fields):
        body = {"scenario": scenario, "messages": HELLO, **fields}
        [answer] = call(self.address, f"{GENERATION}/Generate", body, seconds)
        return answer

    def stream(self, scenario, seconds=30.0, **fields):
        body = {"scenario": scenario, "messages": HELLO, **fields}
        return call(self.address, f"{GENERATION}/StreamGenerate", body, seconds)

    def health(self, service):
        try:
            [answer] = call(self.address, "grpc.health.v1.Health/Check", {"service": service})
        except Failed as failed:
            return failed.code
        return answer["status"]

    def failure(self, ask, *arguments, **fields):
        try:
            ask(*arguments, **fields)
        except Failed as failed:
            return failed
        raise AssertionError("the call should have failed")

    def cancelled(self):
        """Interrupted by Ctrl+C, grpcurl is gone, with the stream."""
        body = json.dumps({"scenario": "endless", "messages": HELLO})
        command = ["grpcurl", "-plaintext", "-d", body, self.address, f"{GENERATION}/StreamGenerate"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if "textDelta" in line:
                    break
            process.terminate()
        return "CANCELLED" if process.returncode < 0 else f"exit code {process.returncode}"


def play(client):
    """Prints the line of each case; `client` is grpcurl or another client that speaks JSON."""
    answer = client.generate("chat")
    usage, cost = answer["usage"], answer["cost"]
    print(
        f"unary: {finish(answer)} by {answer['provider']}/{answer['model']}, {len(text(answer).split())} words, "
        f"{usage['inputTokens']} + {usage['outputTokens']} tokens, "
        f"{cost['amountNanos']} nanos of {cost['currencyCode']}, {told(answer['attempts'])}"
    )

    events = client.stream("chat")
    kinds = [snake(next(key for key in event if key != "sequence")) for event in events]
    whole = "".join(event.get("textDelta", {}).get("text", "") for event in events)
    gapless = [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    print(
        f"stream: {' '.join(kind for kind, _ in itertools.groupby(kinds))}, {len(whole.split())} words, "
        f"numbered without gaps: {str(gapless).lower()}"
    )

    answer = client.generate("failover")
    print(f"failover: {answer['provider']}, {told(answer['attempts'])}")

    tools = [{"function": {"name": "search", "parameters": {"object": SCHEMA}}}]
    asked = client.generate("chat", tools=tools, toolChoice={"mode": "TOOL_CHOICE_MODE_REQUIRED"})
    [made] = [part["toolCall"] for part in asked["output"]["parts"] if "toolCall" in part]
    arguments = isinstance(json.loads(made["argumentsJson"]), dict)
    result = {"toolCallId": made["id"], "content": [{"text": "nothing found"}]}
    back = {"role": "ROLE_TOOL", "parts": [{"toolResult": result}]}
    answer = client.generate("chat", messages=[*HELLO, asked["output"], back], tools=tools)
    print(
        f"tools: {finish(asked)} {made['name']}, arguments are an object: {str(arguments).lower()}, "
        f"then {finish(answer)}, {len(text(answer).split())} words"
    )

    form = {"jsonSchema": {"schema": {"text": json.dumps(SCHEMA)}, "strict": True}}
    answer = client.generate("chat", responseFormat=form)
    print(f"schema: {finish(answer)}, keys: {', '.join(json.loads(text(answer)))}")

    # A mebibyte of zeros in base64.
    picture = {"data": "AAAA" * (1024 * 1024 // 3), "mediaType": "image/png"}
    parts = [{"text": "What is it?"}, {"image": picture}]
    answer = client.generate("chat", messages=[{"role": "ROLE_USER", "parts": parts}])
    print(f"image: {finish(answer)}, {len(text(answer).split())} words")

    print(f"cancelled: {client.cancelled()}")
    print(f"deadline: {client.failure(client.generate, 'silent', seconds=0.3).code}")
    failed = client.failure(client.stream, "short-of-time")
    print(
        f"time of the scenario: {failed.code} {failed.details['ErrorInfo']['reason']}, "
        f"{told(failed.details['CallFailure']['attempts'])}"
    )

    failed = client.failure(client.generate, "unavailable")
    info = failed.details["ErrorInfo"]
    same = failed.trailers["x-modelway-call-id"] == info["metadata"]["call_id"] != ""
    print(
        f"failing: {failed.code} {info['reason']}, provider's status {info['metadata']['provider_status']}, "
        f"{told(failed.details['CallFailure']['attempts'])}, pushback {failed.trailers['grpc-retry-pushback-ms']}, "
        f"call id in both places: {str(same).lower()}"
    )
    failed = client.failure(client.generate, "limited")
    delay = failed.details["RetryInfo"]["retryDelay"].removesuffix("s")
    print(f"limited: {failed.code} {failed.details['ErrorInfo']['reason']}, after {delay} s")
    failed = client.failure(
        client.generate, "chat", messages=[{"text": "no role"}], sampling={"temperature": 3}
    )
    wrong = [violation["field"] for violation in failed.details["BadRequest"]["fieldViolations"]]
    print(f"invalid: {failed.code} {failed.details['ErrorInfo']['reason']}, {', '.join(wrong)}")
    failed = client.failure(client.stream, "cut")
    pieces = [message for message in failed.messages if "textDelta" in message]
    print(f"cut: {failed.code} {failed.details['ErrorInfo']['reason']}, {len(pieces)} pieces")
    print(
        f"health: {client.health('')}, scenario/chat {client.health('scenario/chat')}, "
        f"nonsense {client.health('nonsense')}"
    )


if __name__ == "__main__":
    play(Grpcurl(*sys.argv[1:]))
