"""What gRPC itself promises, asked by another implementation of it: after gRPC's interoperability cases."""

import unittest
from concurrent import futures

import gateway
import grpc
from calls import details, metadata, request, text_of
from google.protobuf import empty_pb2
from modelway.v1 import (
    attempt_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    generation_service_pb2,
    generation_service_pb2_grpc,
)

TIMEOUT_SECONDS = 60
PATIENCE_SECONDS = 300
KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


class Interop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.address = gateway.start(cls, "--config", str(gateway.HERE / "modelway.toml"))
        cls.channel = grpc.insecure_channel(cls.address)
        cls.addClassCleanup(cls.channel.close)
        cls.generation = generation_service_pb2_grpc.GenerationServiceStub(cls.channel)
        cls.catalog = catalog_service_pb2_grpc.CatalogServiceStub(cls.channel)

    def raised(self, code, call):
        """Runs a call that must fail with this code; gives its error."""
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        self.assertEqual(raised.exception.code(), code, raised.exception)
        return raised.exception

    def test_empty_unary(self):
        self.catalog.ListScenarios(
            catalog_service_pb2.ListScenariosRequest(), timeout=TIMEOUT_SECONDS
        )
        error = self.raised(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: self.generation.Generate(
                generation_service_pb2.GenerateRequest(), timeout=TIMEOUT_SECONDS
            ),
        )
        self.assertEqual(
            [violation.field for violation in details(error)["BadRequest"].field_violations],
            ["scenario", "messages"],
        )

    def test_large_unary(self):
        answer = self.generation.Generate(
            request("long", "word " * (8 * MEBIBYTE // 5)), timeout=TIMEOUT_SECONDS
        )

        self.assertEqual(answer.usage.input_tokens, 8 * MEBIBYTE // 5)
        self.assertEqual(len(text_of(answer).split()), 10_000)

    def test_large_stream(self):
        events = self.generation.StreamGenerate(request("long"), timeout=TIMEOUT_SECONDS)

        deltas = [event.text_delta.text for event in events if event.HasField("text_delta")]
        self.assertEqual(len("".join(deltas).split()), 10_000)

    def test_a_message_beyond_the_limit_is_refused(self):
        self.raised(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: self.generation.Generate(
                request("chat", "x" * (32 * MEBIBYTE)), timeout=TIMEOUT_SECONDS
            ),
        )

    def test_a_compressed_message_is_read_as_any_other(self):
        words = 64 * KIBIBYTE // 5
        for call in [self.generation.Generate, self.read]:
            answer = call(
                request("chat", "word " * words),
                timeout=TIMEOUT_SECONDS,
                compression=grpc.Compression.Gzip,
            )
            self.assertEqual(answer.usage.input_tokens, words)

    def read(self, *arguments, **settings):
        """What the last event of a stream says."""
        *_, last = self.generation.StreamGenerate(*arguments, **settings)
        return last.completed.response

    def test_a_message_that_is_small_only_while_compressed_is_refused(self):
        error = self.raised(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: self.generation.Generate(
                request("chat", "x" * (33 * MEBIBYTE)),
                timeout=TIMEOUT_SECONDS,
                compression=grpc.Compression.Gzip,
            ),
        )
        self.assertIn("decompressed, it has more than", error.details())

    def test_another_compression_is_refused_with_those_that_are_read(self):
        error = self.raised(
            grpc.StatusCode.UNIMPLEMENTED,
            lambda: self.generation.Generate(
                request("chat", "x" * 1024),
                timeout=TIMEOUT_SECONDS,
                compression=grpc.Compression.Deflate,
            ),
        )
        self.assertIn("gzip", error.details())
        self.assertEqual(details(error)["ErrorInfo"].reason, "UNIMPLEMENTED")

    def test_cancel_after_begin(self):
        for call in [
            self.generation.Generate.future(request("silent")),
            self.generation.StreamGenerate(request("silent")),
        ]:
            self.assertTrue(call.cancel())
            self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)

    def test_cancel_after_first_response(self):
        call = self.generation.StreamGenerate(request("endless"), timeout=TIMEOUT_SECONDS)
        self.assertTrue(next(call).HasField("started"))

        call.cancel()

        self.raised(grpc.StatusCode.CANCELLED, lambda: list(call))

    def test_timeout_on_sleeping_server(self):
        self.raised(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            lambda: self.generation.Generate(request("silent"), timeout=0.3),
        )
        self.raised(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            lambda: list(self.generation.StreamGenerate(request("silent"), timeout=0.3)),
        )

    def test_the_server_holds_the_deadline_in_the_middle_of_a_stream(self):
        deltas = []

        def read():
            # The client sets no deadline: it is the scenario's that passes.
            for event in self.generation.StreamGenerate(request("short-of-time")):
                if event.HasField("text_delta"):
                    deltas.append(event.text_delta.text)

        error = self.raised(grpc.StatusCode.DEADLINE_EXCEEDED, read)

        self.assertGreater(len(deltas), 5)
        [attempt] = details(error)["CallFailure"].attempts
        self.assertEqual(attempt.outcome, attempt_pb2.ATTEMPT_OUTCOME_CANCELLED)
        self.assertLess(attempt.latency.ToMilliseconds(), 5_000)

    def test_special_status_message(self):
        name = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

        error = self.raised(
            grpc.StatusCode.NOT_FOUND,
            lambda: self.generation.Generate(request(name), timeout=TIMEOUT_SECONDS),
        )

        self.assertEqual(details(error)["ResourceInfo"].resource_name, name)

    def test_unimplemented_method_and_service(self):
        for path in ["/modelway.v1.GenerationService/Nonsense", "/modelway.v2.Nonsense/Generate"]:
            call = self.channel.unary_unary(
                path, empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString
            )
            error = self.raised(
                grpc.StatusCode.UNIMPLEMENTED,
                lambda: call(empty_pb2.Empty(), timeout=TIMEOUT_SECONDS),
            )
            info = details(error)["ErrorInfo"]
            self.assertEqual((info.domain, info.reason), ("modelway.v1", "UNIMPLEMENTED"))
            self.assertIn("StreamGenerate", error.details())

    def test_a_thousand_concurrent_calls(self):
        calls = [
            self.generation.Generate.future(request("chat"), timeout=TIMEOUT_SECONDS)
            for _ in range(1000)
        ]

        answers = [call.result() for call in calls]

        self.assertEqual(len({answer.call_id for answer in answers}), 1000)
        self.assertEqual({text_of(answer)[:11] for answer in answers}, {"alpha bravo"})

    def test_a_thousand_concurrent_large_calls(self):
        words = 64 * KIBIBYTE // 5
        calls = [
            self.generation.Generate.future(
                request("whole", "word " * words), timeout=PATIENCE_SECONDS
            )
            for _ in range(1000)
        ]

        for call in calls:
            answer = call.result()
            self.assertEqual(answer.usage.input_tokens, words)
            self.assertEqual(len(text_of(answer).split()), 10_000)

    def test_custom_metadata_is_taken_and_a_request_id_comes_back(self):
        sent = [
            ("x-request-id", "shop-42"),
            ("x-interop-initial", "test_initial_metadata_value"),
            ("x-interop-trailing-bin", b"\x0a\x0b\x0a\x0b\xff\x00"),
            ("x-empty", ""),
            ("x-twice", "one"),
            ("x-twice", "two"),
            # The limit is 16 KiB, names and 32 bytes for each entry included.
            ("x-large", "x" * (12 * KIBIBYTE)),
        ]

        answer, call = self.generation.Generate.with_call(
            request("chat"), timeout=TIMEOUT_SECONDS, metadata=sent
        )

        self.assertTrue(text_of(answer))
        initial = metadata(call.initial_metadata())
        self.assertEqual(initial["x-request-id"], "shop-42")
        self.assertFalse(set(initial) & {"x-interop-initial", "x-large", "x-twice"})

    def test_metadata_beyond_the_limit_is_refused_and_the_connection_goes_on(self):
        for kibibytes, code, told in [
            (17, grpc.StatusCode.INVALID_ARGUMENT, "metadata: it has"),
            (63, grpc.StatusCode.INVALID_ARGUMENT, "metadata: it has"),
            # HTTP's own refusal, for which gRPC has no code.
            (100, grpc.StatusCode.UNKNOWN, "431"),
        ]:
            large = [("x-large", "x" * (kibibytes * KIBIBYTE))]
            for call in [
                lambda: self.generation.Generate(
                    request("chat"), timeout=TIMEOUT_SECONDS, metadata=large
                ),
                lambda: list(
                    self.generation.StreamGenerate(
                        request("chat"), timeout=TIMEOUT_SECONDS, metadata=large
                    )
                ),
            ]:
                going_on = self.generation.StreamGenerate(
                    request("endless"), timeout=TIMEOUT_SECONDS
                )
                next(going_on)

                error = self.raised(code, call)
                self.assertIn(told, error.details())

                for _ in range(5):
                    next(going_on)
                going_on.cancel()

    def test_calls_that_are_cancelled_at_once_do_not_end_the_others(self):
        going_on = self.generation.StreamGenerate(request("endless"), timeout=TIMEOUT_SECONDS)
        next(going_on)

        for _ in range(300):
            self.generation.StreamGenerate(request("endless")).cancel()

        self.generation.Generate(request("chat"), timeout=TIMEOUT_SECONDS)
        for _ in range(20):
            next(going_on)
        going_on.cancel()

    def test_a_thousand_cancelled_streams_leave_room_for_others(self):
        def begin_and_cancel(_):
            call = self.generation.StreamGenerate(request("endless"), timeout=TIMEOUT_SECONDS)
            self.assertTrue(next(call).HasField("started"))
            call.cancel()

        with futures.ThreadPoolExecutor(50) as pool:
            for _ in pool.map(begin_and_cancel, range(1000)):
                pass

        answer = self.generation.Generate(request("chat"), timeout=TIMEOUT_SECONDS)
        self.assertTrue(text_of(answer))


if __name__ == "__main__":
    unittest.main()
