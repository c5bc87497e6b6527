"""What every caller of Modelway needs beside the stubs in `modelway.v1`."""

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from modelway.v1.attempt_pb2 import Attempt
from modelway.v1.generation_service_pb2 import CallFailure
from modelway.v1.limits_pb2 import LimitDenial

__all__ = ["CHANNEL_OPTIONS", "SERVICE_CONFIG", "Failure"]

SERVICE_CONFIG: str = importlib.resources.files(__name__).joinpath("service_config.json").read_text()
"""How gRPC should treat calls: spread over all addresses, retried only where nothing was sent. JSON."""

CHANNEL_OPTIONS: Sequence[tuple[str, str | int]] = (
    ("grpc.service_config", SERVICE_CONFIG),
    # Answers with pictures are larger than the 4 MiB that clients read by default.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)
"""For the argument `options` of a channel."""


@dataclass(frozen=True)
class Failure:
    """The typed details of a call that failed."""

    reason: str = ""
    """A value of `ErrorReason` without its prefix. Empty if the failure is not Modelway's but that of gRPC, such as
    a server that cannot be reached."""
    call_id: str = ""
    """To be quoted to the operator of Modelway."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Facts beside the reason, such as `provider_status`."""
    retry_delay: float | None = None
    """Seconds after which the same call may succeed; None where waiting does not help or is not known to help."""
    fields: dict[str, str] = field(default_factory=dict)
    """For an invalid request: what is wrong, by the path of the field."""
    attempts: list[Attempt] = field(default_factory=list)
    """What was tried, skipped targets included."""
    limits: list[LimitDenial] = field(default_factory=list)
    """For a call that limits do not let through: which, what was left, and when there is more."""

    @classmethod
    def of(cls, error: grpc.RpcError) -> "Failure":
        """Reads the details from the error that a stub raised."""
        # A call that was refused before it was read has its id only here.
        call_id = dict(error.trailing_metadata() or ()).get("x-modelway-call-id", "")  # type: ignore[attr-defined]
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        if status is None:
            return cls(call_id=call_id)
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        invalid = error_details_pb2.BadRequest()
        failed = CallFailure()
        delay = None
        for detail in status.details:
            # Each of them leaves the message alone if the detail is of another type.
            detail.Unpack(info)
            detail.Unpack(invalid)
            detail.Unpack(failed)
            if detail.Unpack(retry):
                delay = retry.retry_delay.ToTimedelta().total_seconds()
        return cls(
            reason=info.reason,
            call_id=info.metadata["call_id"] if "call_id" in info.metadata else call_id,
            metadata=dict(info.metadata),
            retry_delay=delay,
            fields={wrong.field: wrong.description for wrong in invalid.field_violations},
            attempts=list(failed.attempts),
            limits=list(failed.limits),
        )
