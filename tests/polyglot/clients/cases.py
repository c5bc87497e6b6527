"""Every case that the clients without stubs play, in the JSON of the contract; prints a line for each."""

import itertools
import json
import re

HELLO = [{"role": "ROLE_USER", "text": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


class Failed(Exception):
    """A call that failed: its code, its details by their type, its trailers, and the messages before its end."""

    def __init__(self, code, details, trailers, messages):
        super().__init__(code)
        self.code, self.trailers, self.messages = code, trailers, messages
        self.details = {detail["@type"].rpartition(".")[2]: detail for detail in details}


def failure(ask, *arguments, **fields):
    """What a call says that must fail."""
    try:
        ask(*arguments, **fields)
    except Failed as failed:
        return failed
    raise AssertionError("the call should have failed")


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


def play(client):
    """Prints the line of each case; `client` makes the calls."""
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
    print(f"deadline: {failure(client.generate, 'silent', seconds=0.3).code}")
    failed = failure(client.stream, "short-of-time")
    print(
        f"time of the scenario: {failed.code} {failed.details['ErrorInfo']['reason']}, "
        f"{told(failed.details['CallFailure']['attempts'])}"
    )

    failed = failure(client.generate, "unavailable")
    info = failed.details["ErrorInfo"]
    same = failed.trailers["x-modelway-call-id"] == info["metadata"]["call_id"] != ""
    print(
        f"failing: {failed.code} {info['reason']}, provider's status {info['metadata']['provider_status']}, "
        f"{told(failed.details['CallFailure']['attempts'])}, pushback {failed.trailers['grpc-retry-pushback-ms']}, "
        f"call id in both places: {str(same).lower()}"
    )
    failed = failure(client.generate, "limited")
    delay = failed.details["RetryInfo"]["retryDelay"].removesuffix("s")
    print(f"limited: {failed.code} {failed.details['ErrorInfo']['reason']}, after {delay} s")
    failed = failure(
        client.generate, "chat", messages=[{"text": "no role"}], sampling={"temperature": 3}
    )
    wrong = [violation["field"] for violation in failed.details["BadRequest"]["fieldViolations"]]
    print(f"invalid: {failed.code} {failed.details['ErrorInfo']['reason']}, {', '.join(wrong)}")
    failed = failure(client.stream, "cut")
    pieces = [message for message in failed.messages if "textDelta" in message]
    print(f"cut: {failed.code} {failed.details['ErrorInfo']['reason']}, {len(pieces)} pieces")
    # There is no health among the paths of the JSON door.
    if client.health:
        print(
            f"health: {client.health('')}, scenario/chat {client.health('scenario/chat')}, "
            f"nonsense {client.health('nonsense')}"
        )
