"""The code for TLS of docs/clients/python.md, put together and run."""

import os
import pathlib
import sys

import grpc
import modelway
from modelway.v1.caller_service_pb2 import WhoAmIRequest
from modelway.v1.caller_service_pb2_grpc import CallerServiceStub
from modelway.v1.content_pb2 import ROLE_USER, Message
from modelway.v1.generation_service_pb2 import GenerateRequest
from modelway.v1.generation_service_pb2_grpc import GenerationServiceStub

address, folder = sys.argv[1:]
ca, certificate, key = [pathlib.Path(folder, name).read_bytes() for name in ["ca.pem", "client.pem", "client.key"]]

# tls
credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)
channel = grpc.secure_channel(address, credentials, options=modelway.CHANNEL_OPTIONS)

request = GenerateRequest(scenario="general", messages=[Message(role=ROLE_USER, text="Hello")])
print("finished:", GenerationServiceStub(channel).Generate(request, timeout=60).finish_reason)
channel.close()

# who
api_key = grpc.access_token_call_credentials(os.environ["MODELWAY_API_KEY"])
identified = grpc.composite_channel_credentials(credentials, api_key)
channel = grpc.secure_channel(address, identified, options=modelway.CHANNEL_OPTIONS)

print("caller:", CallerServiceStub(channel).WhoAmI(WhoAmIRequest(), timeout=10).caller)
channel.close()
