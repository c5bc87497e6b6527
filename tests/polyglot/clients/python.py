"""Plays every case over grpcio and the package of clients/python; prints a line for each."""

import itertools
import json
import sys

import grpc
import modelway
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelway.v1.attempt_pb2 import AttemptKind, AttemptOutcome
from modelway.v1.content_pb2 import (
    ROLE_TOOL,
    ROLE_USER,
    TOOL_CHOICE_MODE_REQUIRED,
    ContentPart,
    FunctionTool,
    JsonSchema,
    JsonSchemaFormat,
    Media,
    Message,
    ResponseFormat,
    Tool,
    ToolChoice,
    ToolResult,
)
from modelway.v1.generation_service_pb2 import FinishReason, GenerateRequest, SamplingParams
from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
)
PATIENCE = 30.0


def request(scenario, *messages, **fields):
    messages = messages or [Message(role=ROLE_USER, text="Hello")]
    return GenerateRequest(scenario=scenario, messages=messages, **fields)


def text(answer):
    return "".join(part.text for part in answer.output.parts)


def finish(answer):
    return FinishReason.Name(answer.finish_reason).removeprefix("FINISH_REASON_")


def told(attempts):
    return ", ".join(
        AttemptKind.Name(attempt.kind).removeprefix("ATTEMPT_KIND_")
        + " "
        + AttemptOutcome.Name(attempt.outcome).removeprefix("ATTEMPT_OUTCOME_")
        for attempt in attempts
    )


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error, modelway.Failure.of(error)
    raise AssertionError("the call should have failed")


def unary(stub):
    answer = stub.Generate(request("chat"), timeout=PATIENCE)
    print(
        f"unary: {finish(answer)} by {answer.provider}/{answer.model}, {len(text(answer).split())} words, "
        f"{answer.usage.input_tokens} + {answer.usage.output_tokens} tokens, "
        f"{answer.cost.amount_nanos} nanos of {answer.cost.currency_code}, {told(answer.attempts)}"
    )


def stream(stub):
    events = list(stub.StreamGenerate(request("chat"), timeout=PATIENCE))
    kinds = [kind for kind, _ in itertools.groupby(event.WhichOneof("event") for event in events)]
    words = "".join(event.text_delta.text for event in events).split()
    gapless = [event.sequence for event in events] == list(range(1, len(events) + 1))
    print(f"stream: {' '.join(kinds)}, {len(words)} words, numbered without gaps: {str(gapless).lower()}")


def failover(stub):
    answer = stub.Generate(request("failover"), timeout=PATIENCE)
    print(f"failover: {answer.provider}, {told(answer.attempts)}")


def tools(stub):
    tool = Tool(function=FunctionTool(name="search", parameters=JsonSchema(text=SCHEMA)))
    must = ToolChoice(mode=TOOL_CHOICE_MODE_REQUIRED)
    asked = stub.Generate(request("chat", tools=[tool], tool_choice=must), timeout=PATIENCE)
    [call] = [part.tool_call for part in asked.output.parts if part.HasField("tool_call")]
    arguments = isinstance(json.loads(call.arguments_json), dict)
    result = ToolResult(tool_call_id=call.id, content=[ContentPart(text="nothing found")])
    answer = stub.Generate(
        request(
            "chat",
            Message(role=ROLE_USER, text="Hello"),
            asked.output,
            Message(role=ROLE_TOOL, parts=[ContentPart(tool_result=result)]),
            tools=[tool],
        ),
        timeout=PATIENCE,
    )
    print(
        f"tools: {finish(asked)} {call.name}, arguments are an object: {str(arguments).lower()}, "
        f"then {finish(answer)}, {len(text(answer).split())} words"
    )


def schema(stub):
    form = JsonSchemaFormat(schema=JsonSchema(text=SCHEMA), strict=True)
    asked = request("chat", response_format=ResponseFormat(json_schema=form))
    answer = stub.Generate(asked, timeout=PATIENCE)
    print(f"schema: {finish(answer)}, keys: {', '.join(json.loads(text(answer)))}")


def image(stub):
    picture = Media(data=bytes(1024 * 1024), media_type="image/png")
    parts = [ContentPart(text="What is it?"), ContentPart(image=picture)]
    answer = stub.Generate(request("chat", Message(role=ROLE_USER, parts=parts)), timeout=PATIENCE)
    print(f"image: {finish(answer)}, {len(text(answer).split())} words")


def cancelled(stub):
    call = stub.StreamGenerate(request("endless"), timeout=PATIENCE)
    next(event for event in call if event.HasField("text_delta"))
    call.cancel()
    error, _ = failure(lambda: list(call))
    print(f"cancelled: {error.code().name}")


def deadline(stub):
    error, _ = failure(lambda: stub.Generate(request("silent"), timeout=0.3))
    print(f"deadline: {error.code().name}")
    error, found = failure(lambda: list(stub.StreamGenerate(request("short-of-time"))))
    print(f"time of the scenario: {error.code().name} {found.reason}, {told(found.attempts)}")


def failing(stub):
    error, found = failure(lambda: stub.Generate(request("unavailable"), timeout=PATIENCE))
    trailers = {pair.key: pair.value for pair in error.trailing_metadata()}
    same = trailers["x-modelway-call-id"] == found.call_id != ""
    print(
        f"failing: {error.code().name} {found.reason}, provider's status {found.metadata['provider_status']}, "
        f"{told(found.attempts)}, pushback {trailers['grpc-retry-pushback-ms']}, call id in both places: {str(same).lower()}"
    )
    error, found = failure(lambda: stub.Generate(request("limited"), timeout=PATIENCE))
    print(f"limited: {error.code().name} {found.reason}, after {found.retry_delay:g} s")
    wrong = request("chat", Message(text="no role"), sampling=SamplingParams(temperature=3))
    error, found = failure(lambda: stub.Generate(wrong, timeout=PATIENCE))
    print(f"invalid: {error.code().name} {found.reason}, {', '.join(found.fields)}")
    events = stub.StreamGenerate(request("cut"), timeout=PATIENCE)
    words = []
    error, found = failure(lambda: words.extend(e for e in events if e.HasField("text_delta")))
    print(f"cut: {error.code().name} {found.reason}, {len(words)} pieces")


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)

    def status(service):
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = stub.Check(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code().name
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    print(f"health: {status('')}, scenario/chat {status('scenario/chat')}, nonsense {status('nonsense')}")


def main(address):
    with grpc.insecure_channel(address, options=modelway.CHANNEL_OPTIONS) as channel:
        stub = GenerationServiceStub(channel)
        for case in [unary, stream, failover, tools, schema, image, cancelled, deadline, failing]:
            case(stub)
        health(channel)


main(*sys.argv[1:])
