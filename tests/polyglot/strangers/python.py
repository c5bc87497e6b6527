"""Does with grpcio what a client should not do, or cannot help; prints a line for each."""

import sys

import grpc
import modelway
from modelway.v1.content_pb2 import ROLE_USER, Message
from modelway.v1.generation_service_pb2 import GenerateRequest
from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub

PATIENCE = 60.0


def request(scenario, text="Hello"):
    return GenerateRequest(scenario=scenario, messages=[Message(role=ROLE_USER, text=text)])


def outcome(call):
    """The number of words of an answer, or the code and reason of a failure."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return f"{error.code().name} {modelway.Failure.of(error).reason}".strip()
    return f"{sum(len(part.text.split()) for part in answer.output.parts)} words"


def words(events):
    return f"{sum(event.HasField('text_delta') for event in events)} words"


def main(address):
    with grpc.insecure_channel("127.0.0.1:1") as nobody:
        stub = GenerationServiceStub(nobody)
        print("nobody there:", outcome(lambda: stub.Generate(request("chat"), timeout=PATIENCE)))

    with grpc.secure_channel(address, grpc.ssl_channel_credentials()) as encrypted:
        stub = GenerationServiceStub(encrypted)
        print("TLS where there is none:", outcome(lambda: stub.Generate(request("chat"), timeout=PATIENCE)))

    with grpc.insecure_channel(address) as channel:
        stub = GenerationServiceStub(channel)
        large = request("chat", "x" * (40 << 20))
        print("too large:", outcome(lambda: stub.Generate(large, timeout=PATIENCE)))
        print("and the next:", outcome(lambda: stub.Generate(request("chat"), timeout=PATIENCE)))
        hello = request("chat", "word " * 10_000)
        gzip = grpc.Compression.Gzip
        print("compressed:", outcome(lambda: stub.Generate(hello, timeout=PATIENCE, compression=gzip)))

    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 1024)]) as small:
        stub = GenerationServiceStub(small)
        print("beyond the client's limit:", outcome(lambda: stub.Generate(request("long"), timeout=PATIENCE)))

    pings = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 100),
    ]
    with grpc.insecure_channel(address, options=pings) as pinging:
        stub = GenerationServiceStub(pinging)
        print("many pings:", words(stub.StreamGenerate(request("slow"), timeout=PATIENCE)))

    with grpc.insecure_channel(address) as channel:
        stub = GenerationServiceStub(channel)
        stream = stub.StreamGenerate(request("endless"), timeout=PATIENCE)
        next(event for event in stream if event.HasField("text_delta"))
        print("restart: streaming", flush=True)
        print("killed:", outcome(lambda: list(stream)))
        again = lambda: stub.Generate(request("chat"), timeout=PATIENCE, wait_for_ready=True)
        print("restarted:", outcome(again))


main(*sys.argv[1:])
