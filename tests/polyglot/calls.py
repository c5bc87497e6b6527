"""Requests that the tests make, and what they read from a failure."""

from google.rpc import error_details_pb2
from grpc_status import rpc_status
from modelway.v1 import content_pb2, generation_service_pb2

DETAILS = [
    error_details_pb2.BadRequest,
    error_details_pb2.ErrorInfo,
    error_details_pb2.RequestInfo,
    error_details_pb2.ResourceInfo,
    error_details_pb2.RetryInfo,
    generation_service_pb2.CallFailure,
]


def user(text):
    """A message of the caller."""
    return content_pb2.Message(role=content_pb2.ROLE_USER, text=text)


def request(scenario, text="Hello", **fields):
    """A request of one message."""
    return generation_service_pb2.GenerateRequest(
        scenario=scenario, messages=[user(text)], **fields
    )


def text_of(answer):
    """The text of an answer's message."""
    return "".join(part.text for part in answer.output.parts)


def details(error):
    """The details of a failed call, by the name of their type. Fails on one that it does not know."""
    found = {}
    for packed in rpc_status.from_call(error).details:
        [detail] = [kind() for kind in DETAILS if packed.Is(kind.DESCRIPTOR)]
        packed.Unpack(detail)
        found[detail.DESCRIPTOR.name] = detail
    return found


def metadata(pairs):
    """Metadata as a dictionary."""
    return {pair.key: pair.value for pair in pairs}
