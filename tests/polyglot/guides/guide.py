"""The code of docs/clients/python.md, put together and run."""

import os
import sys
import time

import grpc
import modelway
from modelway.v1.caller_service_pb2 import WhoAmIRequest
from modelway.v1.caller_service_pb2_grpc import CallerServiceStub
from modelway.v1.content_pb2 import ROLE_USER, ContentPart, Media, Message
from modelway.v1.generation_service_pb2 import (
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    SamplingParams,
)
from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub

[address] = sys.argv[1:]

# channel
channel = grpc.insecure_channel(address, options=modelway.CHANNEL_OPTIONS)
stub = GenerationServiceStub(channel)

# deadline
question = Message(role=ROLE_USER, text="Why is the sky blue?")
request = GenerateRequest(scenario="general", messages=[question])
answer = stub.Generate(request, timeout=60)
text = "".join(part.text for part in answer.output.parts)

print(f"answer: {len(text.split())} words")

# stream
text = ""
for event in stub.StreamGenerate(request, timeout=60):
    kind = event.WhichOneof("event")
    if kind == "text_delta":
        text += event.text_delta.text
    elif kind == "output_reset":
        text = ""
    elif kind == "completed":
        answer = event.completed.response
    # Everything else is skipped, also None: an event that is newer than these stubs.

print(f"stream: {len(text.split())} words, {answer.provider}")

# cancel
call = stub.StreamGenerate(request, timeout=60)
for event in call:
    if event.HasField("text_delta"):
        call.cancel()
        break

print("cancelled:", call.code().name)

# details
failing = GenerateRequest(model="sim-openai/failing", messages=[question])
try:
    stub.Generate(failing, timeout=60)
except grpc.RpcError as error:
    failure = modelway.Failure.of(error)
    print("failed:", error.code().name, failure.reason, f"after {len(failure.attempts)} attempts")


# retry
def generate_patiently(request: GenerateRequest, seconds: float) -> GenerateResponse:
    """Asks again when Modelway says that waiting helps, within one deadline."""
    end = time.monotonic() + seconds
    while True:
        try:
            return stub.Generate(request, timeout=end - time.monotonic())
        except grpc.RpcError as error:
            delay = modelway.Failure.of(error).retry_delay
            if delay is None or time.monotonic() + delay >= end:
                raise
            time.sleep(delay)
            # The failure is remembered under the old key.
            request.idempotency_key = ""


answer = generate_patiently(request, seconds=60)

# key
request.idempotency_key = "order-4711-summary"
first = stub.Generate(request, timeout=60)
again = stub.Generate(request, timeout=60)

print(f"replayed: {str(again.replayed).lower()}, the same call: {str(first.call_id == again.call_id).lower()}")

# turn
request = GenerateRequest(scenario="general", messages=[question, first.output])
request.messages.add(role=ROLE_USER, text="And at sunset?")
answer = stub.Generate(request, timeout=60)

print(f"next turn: {answer.usage.input_tokens} input tokens")

# who
bearer = (("authorization", f"Bearer {os.environ['MODELWAY_API_KEY']}"),)
me = CallerServiceStub(channel).WhoAmI(WhoAmIRequest(), timeout=10, metadata=bearer)
answer = stub.Generate(request, timeout=60, metadata=bearer)

print("caller:", me.caller)

# shapes
image = Media(data=b"\x89PNG", media_type="image/png")
parts = [ContentPart(text="What is it?"), ContentPart(image=image)]
sampling = SamplingParams(temperature=0)
request = GenerateRequest(
    scenario="general", messages=[Message(role=ROLE_USER, parts=parts)], sampling=sampling
)
temperature_is_set = request.sampling.HasField("temperature")
top_p_is_set = request.sampling.HasField("top_p")
answer = stub.Generate(request, timeout=60)
usd = answer.cost.amount_nanos / 1_000_000_000
if answer.finish_reason in FinishReason.values():
    why = FinishReason.Name(answer.finish_reason)
else:
    why = "FINISH_REASON_UNSPECIFIED"

print(f"shapes: {str(temperature_is_set).lower()} {str(top_p_is_set).lower()} {why} {usd:.9f}")
channel.close()
