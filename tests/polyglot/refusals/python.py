"""Asks a scenario many times with grpcio and a policy that retries whatever it may; prints a line for each call."""

import json
import sys

import grpc
import modelway
from modelway.v1.content_pb2 import ROLE_USER, Message
from modelway.v1.generation_service_pb2 import GenerateRequest
from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub

PATIENCE = 30.0
POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.02s",
    "maxBackoff": "0.1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": [
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
    ],
}
CONFIG = {"methodConfig": [{"name": [{"service": "modelway.v1.GenerationService"}], "retryPolicy": POLICY}]}


def outcome(call):
    """OK, or the code and reason of a failure, and the limits that are reached."""
    try:
        call()
    except grpc.RpcError as error:
        failure = modelway.Failure.of(error)
        assert failure.call_id, "every refusal names its call"
        return " ".join([error.code().name, failure.reason, *(limit.limit_id for limit in failure.limits)])
    return "OK"


def main(address, key, times):
    options = [("grpc.service_config", json.dumps(CONFIG)), ("grpc.enable_retries", 1)]
    asked = GenerateRequest(scenario="chat", messages=[Message(role=ROLE_USER, text="Hello")])
    by = {"timeout": PATIENCE, "metadata": [("authorization", f"Bearer {key}")]}
    with grpc.insecure_channel(address, options=options) as channel:
        stub = GenerationServiceStub(channel)
        for number in range(int(times)):
            if number % 2 == 0:
                print(outcome(lambda: stub.Generate(asked, **by)))
            else:
                print(outcome(lambda: list(stub.StreamGenerate(asked, **by))))


main(*sys.argv[1:])
