"""Asks Modelway for an answer and prints it as it comes. Start the server with `cargo run`, then:

    pip install ./clients/python
    python examples/python/client.py general "Why is the sky blue?"
"""

import os
import sys

import grpc
import modelway
from modelway.v1.content_pb2 import ROLE_USER, Message
from modelway.v1.generation_service_pb2 import GenerateRequest
from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub

scenario, prompt = sys.argv[1:]
address = os.environ.get("MODELWAY_ADDRESS", "127.0.0.1:50051")
with grpc.insecure_channel(address, options=modelway.CHANNEL_OPTIONS) as channel:
    messages = [Message(role=ROLE_USER, text=prompt)]
    request = GenerateRequest(scenario=scenario, messages=messages)
    try:
        for event in GenerationServiceStub(channel).StreamGenerate(request, timeout=60):
            if event.HasField("text_delta"):
                print(event.text_delta.text, end="", flush=True)
            elif event.HasField("completed"):
                answer = event.completed.response
                print(f"\n\n{answer.provider}/{answer.model}, attempts: {len(answer.attempts)}")
    except grpc.RpcError as error:
        failure = modelway.Failure.of(error)
        if failure.reason:
            print(f"reason: {failure.reason}, call: {failure.call_id}", file=sys.stderr)
        sys.exit(f"{error.code().name}: {error.details()}")
