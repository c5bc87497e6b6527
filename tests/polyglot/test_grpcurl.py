"""grpcurl against the service as `cargo run` starts it: what is served is found by reflection alone."""

import json
import os
import re
import subprocess
import unittest

import gateway

HELLO = [{"role": "ROLE_USER", "text": "Hello"}]
GENERATE = "modelway.v1.GenerationService/Generate"
STREAM = "modelway.v1.GenerationService/StreamGenerate"


class Grpcurl(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.address = gateway.start(cls)

    def grpcurl(self, *arguments, body=None):
        """Runs grpcurl; gives its exit code, output and error output."""
        data = [] if body is None else ["-d", json.dumps(body)]
        command = ["grpcurl", "-plaintext", "-max-time", "30", *data, self.address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def answers(self, method, body):
        """Calls a method that must succeed; gives its messages."""
        code, output, errors = self.grpcurl(method, body=body)
        self.assertEqual((code, errors), (0, ""))
        messages, decoder = [], json.JSONDecoder()
        output = output.strip()
        while output:
            message, end = decoder.raw_decode(output)
            messages.append(message)
            output = output[end:].lstrip()
        return messages

    def failure(self, method, body):
        """Calls a method that must fail; gives code, message and the details by their type."""
        code, _, errors = self.grpcurl(method, body=body)
        self.assertNotEqual(code, 0)
        status = re.match(r"ERROR:\n  Code: (\w+)\n  Message: (.*)\n", errors)
        self.assertIsNotNone(status, errors)
        details = {}
        for line in re.findall(r"^  \d+\)\t(.*)$", errors, re.MULTILINE):
            detail = json.loads(line)
            details[detail.pop("@type").rpartition("/")[2]] = detail
        return status[1], status[2], details

    def test_the_services_are_listed(self):
        code, output, _ = self.grpcurl("list")

        self.assertEqual(code, 0)
        self.assertEqual(
            output.split(),
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1alpha.ServerReflection",
                "modelway.v1.CallerService",
                "modelway.v1.CatalogService",
                "modelway.v1.GenerationService",
                "modelway.v1.OperationsService",
            ],
        )

    def test_a_service_is_described(self):
        _, output, _ = self.grpcurl("describe", "modelway.v1.GenerationService")

        self.assertEqual(
            output,
            "modelway.v1.GenerationService is a service:\n"
            "// Generates text and tool calls with whichever provider is fit to answer.\n"
            "//\n"
            "// The deadline of a call is the gRPC deadline. It covers everything: every\n"
            "// attempt, every wait, and the stream to its last event.\n"
            "service GenerationService {\n"
            "  // Runs a call to its end and returns the whole answer.\n"
            "  rpc Generate ( .modelway.v1.GenerateRequest ) returns ( .modelway.v1.GenerateResponse );\n"
            "  // Runs a call and streams its events. The request is the same message, so\n"
            "  // that one body serves both methods. A call that fails ends with a non-OK\n"
            "  // status, never with an event; a stream that ends with OK ends with\n"
            "  // `completed`.\n"
            "  rpc StreamGenerate ( .modelway.v1.GenerateRequest ) returns ( stream .modelway.v1.StreamGenerateResponse );\n"
            "}\n",
        )

    def test_messages_and_the_details_of_a_status_are_described(self):
        for name, field in [
            ("modelway.v1.Message", "  .modelway.v1.Role role = 1;"),
            ("modelway.v1.CallFailure", "  repeated .modelway.v1.Attempt attempts = 3;"),
            ("google.rpc.ErrorInfo", "  string reason = 1;"),
            ("google.rpc.RetryInfo", "  .google.protobuf.Duration retry_delay = 1;"),
        ]:
            code, output, errors = self.grpcurl("describe", name)

            self.assertEqual((code, errors), (0, ""))
            self.assertTrue(output.startswith(f"{name} is a message:\n"), output)
            self.assertIn(field, output.splitlines())

    def test_every_field_is_described_by_its_comment(self):
        source = (gateway.HERE.parent.parent / "proto/modelway/v1/generation_service.proto").read_text()
        for name in ["GenerateRequest", "GenerateResponse", "SamplingParams", "StreamGenerateResponse"]:
            [written] = re.findall(rf"^message {name} {{\n.*?^}}", source, re.MULTILINE | re.DOTALL)

            _, output, _ = self.grpcurl("describe", f"modelway.v1.{name}")

            comments = [line.strip() for line in written.splitlines() if line.strip().startswith("//")]
            described = [line.strip() for line in output.splitlines()]
            self.assertGreater(len(comments), 5)
            self.assertEqual([line for line in comments if line not in described], [])

    def test_a_unary_call_is_answered(self):
        body = {
            "scenario": "general",
            "messages": HELLO,
            "sampling": {"maxOutputTokens": 3},
        }

        [answer] = self.answers(GENERATE, body)

        self.assertEqual(
            answer["output"],
            {"role": "ROLE_ASSISTANT", "parts": [{"text": "alpha bravo charlie "}]},
        )
        self.assertEqual(answer["finishReason"], "FINISH_REASON_MAX_TOKENS")
        self.assertEqual(answer["provider"], "sim-openai")
        self.assertEqual(answer["usage"]["outputTokens"], "3")
        self.assertEqual(len(answer["attempts"]), 1)

    def test_a_stream_is_numbered_and_ends_with_completed(self):
        body = {"scenario": "long-text", "messages": HELLO}

        events = self.answers(STREAM, body)

        self.assertEqual(
            [event["sequence"] for event in events],
            [str(number) for number in range(1, len(events) + 1)],
        )
        self.assertIn("started", events[0])
        self.assertIn("attemptStarted", events[1])
        self.assertIn("attemptEnded", events[-2])
        self.assertEqual(
            events[-1]["completed"]["response"]["finishReason"], "FINISH_REASON_STOP"
        )
        text = "".join(event.get("textDelta", {}).get("text", "") for event in events)
        self.assertEqual(len(text.split()), 24)
        self.assertTrue(text.startswith("alpha bravo charlie delta écho"), text)

    def test_a_forced_failover_shows_both_attempts(self):
        body = {"scenario": "forced-failover", "messages": HELLO}

        [answer] = self.answers(GENERATE, body)

        self.assertEqual(answer["provider"], "sim-anthropic")
        self.assertEqual(
            [
                (attempt["provider"], attempt["kind"], attempt["outcome"])
                for attempt in answer["attempts"]
            ],
            [
                ("sim-openai", "ATTEMPT_KIND_PRIMARY", "ATTEMPT_OUTCOME_FAILED"),
                ("sim-anthropic", "ATTEMPT_KIND_FAILOVER", "ATTEMPT_OUTCOME_SUCCEEDED"),
            ],
        )

    def test_an_unknown_scenario_is_named(self):
        code, message, details = self.failure(
            GENERATE, {"scenario": "nonsense", "messages": HELLO}
        )

        self.assertEqual(code, "NotFound")
        self.assertEqual(
            message,
            "there is no scenario `nonsense`; CatalogService.ListScenarios lists them",
        )
        self.assertEqual(details["google.rpc.ErrorInfo"]["reason"], "SCENARIO_NOT_FOUND")
        self.assertEqual(details["google.rpc.ErrorInfo"]["domain"], "modelway.v1")
        self.assertEqual(details["google.rpc.ResourceInfo"]["resourceName"], "nonsense")

    def test_the_details_of_a_providers_failure_are_decoded_by_reflection(self):
        for method in [GENERATE, STREAM]:
            code, message, details = self.failure(
                method, {"model": "sim-openai/failing", "messages": HELLO}
            )

            self.assertEqual((code, message), ("Unavailable", "the provider is overloaded (HTTP 503)"))
            info = details["google.rpc.ErrorInfo"]
            self.assertEqual(info["reason"], "PROVIDER_OVERLOADED")
            failure = details["modelway.v1.CallFailure"]
            self.assertEqual(failure["callId"], info["metadata"]["call_id"])
            kinds = [attempt["kind"] for attempt in failure["attempts"]]
            self.assertEqual(kinds, ["ATTEMPT_KIND_PRIMARY", "ATTEMPT_KIND_RETRY"])
            for attempt in failure["attempts"]:
                self.assertEqual(attempt["errorReason"], "ERROR_REASON_PROVIDER_OVERLOADED")
                self.assertEqual(attempt["outcome"], "ATTEMPT_OUTCOME_FAILED")

    def test_every_wrong_field_is_named(self):
        code, _, details = self.failure(
            GENERATE,
            {"messages": [{"text": "no role"}], "sampling": {"temperature": 3}},
        )

        self.assertEqual(code, "InvalidArgument")
        self.assertEqual(
            [fault["field"] for fault in details["google.rpc.BadRequest"]["fieldViolations"]],
            ["scenario", "messages[0].role", "sampling.temperature"],
        )

    def test_health_is_told_for_the_process_each_service_and_each_scenario(self):
        for service in ["", "modelway.v1.GenerationService", "scenario/general"]:
            code, output, _ = self.grpcurl(
                "grpc.health.v1.Health/Check", body={"service": service}
            )
            self.assertEqual((code, output), (0, '{\n  "status": "SERVING"\n}\n'))
        code, _, _ = self.failure("grpc.health.v1.Health/Check", {"service": "nonsense"})
        self.assertEqual(code, "NotFound")


if __name__ == "__main__":
    unittest.main()
