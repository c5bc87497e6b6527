"""A Python client over generated stubs: what a caller of the contract relies on."""

import json
import re
import unittest

import gateway
import grpc
from calls import details, metadata, request, text_of, user
from grpc_status import rpc_status
from modelway.v1 import (
    attempt_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    content_pb2,
    errors_pb2,
    generation_service_pb2,
    generation_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
)

TIMEOUT_SECONDS = 30

# How often a call may end by the client's own timer, which tells nothing, before the test fails: on a busy machine the
# status of the server may arrive too late.
RACES = 12
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
PHONETIC = "alpha bravo charlie delta écho "


class Client(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        address = gateway.start(cls, "--config", str(gateway.HERE / "modelway.toml"))
        channel = grpc.insecure_channel(address)
        cls.addClassCleanup(channel.close)
        cls.generation = generation_service_pb2_grpc.GenerationServiceStub(channel)
        cls.catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        cls.operations = operations_service_pb2_grpc.OperationsServiceStub(channel)

    def generate(self, *arguments, **fields):
        return self.generation.Generate(request(*arguments, **fields), timeout=TIMEOUT_SECONDS)

    def stream(self, *arguments, **fields):
        return self.generation.StreamGenerate(
            request(*arguments, **fields), timeout=TIMEOUT_SECONDS
        )

    def failure(self, *arguments, **fields):
        """The error of a unary call that must fail, and its details."""
        with self.assertRaises(grpc.RpcError) as raised:
            self.generate(*arguments, **fields)
        return raised.exception, details(raised.exception)

    # Answers

    def test_a_unary_call_is_answered(self):
        answer = self.generate("chat")

        self.assertTrue(text_of(answer).startswith(PHONETIC))
        self.assertEqual(answer.finish_reason, generation_service_pb2.FINISH_REASON_STOP)
        self.assertEqual((answer.usage.input_tokens, answer.usage.output_tokens), (1, 24))
        # One million tokens cost 1 USD in and 10 USD out.
        self.assertEqual(answer.cost.amount_nanos, 1 * 1_000 + 24 * 10_000)

    def test_a_stream_says_what_the_unary_call_says(self):
        events = list(self.stream("chat"))

        kinds = [event.WhichOneof("event") for event in events]
        self.assertEqual(kinds[:2], ["started", "attempt_started"])
        self.assertEqual(kinds[-2:], ["attempt_ended", "completed"])
        self.assertEqual(set(kinds[2:-2]), {"text_delta", "usage"})
        self.assertEqual([event.sequence for event in events], list(range(1, len(events) + 1)))
        text = "".join(event.text_delta.text for event in events)
        self.assertEqual(text, text_of(self.generate("chat")))

    def test_an_answer_can_be_appended_to_the_next_request(self):
        first = self.generate("chat")
        following = request("chat")
        following.messages.extend([first.output, user("And then?")])

        answer = self.generation.Generate(following, timeout=TIMEOUT_SECONDS)

        # The simulator counts words.
        self.assertEqual(answer.usage.input_tokens, 1 + 24 + 2)

    def test_a_tool_is_called_and_its_result_goes_back(self):
        parameters = {"type": "object", "properties": {"query": {"type": "string"}}}
        search = content_pb2.Tool(
            function=content_pb2.FunctionTool(
                name="search", parameters=content_pb2.JsonSchema(text=json.dumps(parameters))
            )
        )
        must = content_pb2.ToolChoice(mode=content_pb2.TOOL_CHOICE_MODE_REQUIRED)

        asked = self.generate("chat", tools=[search], tool_choice=must)
        [call] = [part.tool_call for part in asked.output.parts if part.HasField("tool_call")]
        result = content_pb2.ToolResult(
            tool_call_id=call.id, content=[content_pb2.ContentPart(text="nothing found")]
        )
        following = request("chat", tools=[search])
        following.messages.extend(
            [
                asked.output,
                content_pb2.Message(
                    role=content_pb2.ROLE_TOOL,
                    parts=[content_pb2.ContentPart(tool_result=result)],
                ),
            ]
        )
        answer = self.generation.Generate(following, timeout=TIMEOUT_SECONDS)

        self.assertEqual(asked.finish_reason, generation_service_pb2.FINISH_REASON_TOOL_CALLS)
        self.assertEqual(call.name, "search")
        self.assertIsInstance(json.loads(call.arguments_json), dict)
        self.assertEqual(answer.finish_reason, generation_service_pb2.FINISH_REASON_STOP)
        self.assertIn("nothing found", text_of(answer))

    def test_the_fragments_of_a_streamed_tool_call_make_json(self):
        tool = content_pb2.Tool(function=content_pb2.FunctionTool(name="look"))
        must = content_pb2.ToolChoice(function_name="look")

        events = list(self.stream("chat", tools=[tool], tool_choice=must))

        deltas = [event.tool_call_delta for event in events if event.HasField("tool_call_delta")]
        self.assertEqual([delta.name for delta in deltas if delta.name], ["look"])
        self.assertEqual(len([delta.id for delta in deltas if delta.id]), 1)
        json.loads("".join(delta.arguments_json_fragment for delta in deltas))

    def test_an_image_of_a_mebibyte_goes_in(self):
        image = content_pb2.Media(data=bytes(1024 * 1024), media_type="image/png")
        message = content_pb2.Message(
            role=content_pb2.ROLE_USER,
            parts=[content_pb2.ContentPart(text="What is it?"), content_pb2.ContentPart(image=image)],
        )
        asked = generation_service_pb2.GenerateRequest(scenario="chat", messages=[message])

        answer = self.generation.Generate(asked, timeout=TIMEOUT_SECONDS)

        self.assertTrue(text_of(answer).startswith(PHONETIC))

    def test_json_is_answered_where_it_is_asked_for(self):
        schema = {
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
            "additionalProperties": False,
        }
        form = content_pb2.ResponseFormat(
            json_schema=content_pb2.JsonSchemaFormat(
                schema=content_pb2.JsonSchema(text=json.dumps(schema)), strict=True
            )
        )

        answer = self.generate("chat", response_format=form)

        self.assertEqual(list(json.loads(text_of(answer))), ["answer"])

    # Metadata

    def test_ids_go_back_with_an_answer(self):
        answer, call = self.generation.Generate.with_call(
            request("chat"),
            timeout=TIMEOUT_SECONDS,
            metadata=[("x-request-id", "order-17"), ("traceparent", TRACEPARENT)],
        )

        sent_back = metadata(call.initial_metadata())
        self.assertEqual(sent_back["x-request-id"], "order-17")
        self.assertEqual(sent_back["x-modelway-call-id"], answer.call_id)
        self.assertEqual(answer.trace_id, TRACE_ID)

    def test_ids_go_back_with_the_head_of_a_stream(self):
        call = self.generation.StreamGenerate(
            request("chat"), timeout=TIMEOUT_SECONDS, metadata=[("x-request-id", "order-18")]
        )
        sent_back = metadata(call.initial_metadata())
        started = next(call).started
        self.assertEqual(sent_back["x-request-id"], "order-18")
        self.assertEqual(sent_back["x-modelway-call-id"], started.call_id)

    def test_ids_go_back_with_a_failure(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.generation.Generate(
                request("unavailable"),
                timeout=TIMEOUT_SECONDS,
                metadata=[("x-request-id", "order-19"), ("traceparent", TRACEPARENT)],
            )

        trailers = metadata(raised.exception.trailing_metadata())
        failure = details(raised.exception)["CallFailure"]
        self.assertEqual(trailers["x-request-id"], "order-19")
        self.assertEqual(trailers["x-modelway-call-id"], failure.call_id)
        self.assertEqual(failure.trace_id, TRACE_ID)

    # Failures

    def test_an_unknown_scenario_is_not_found(self):
        error, found = self.failure("nonsense")

        self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(found["ErrorInfo"].reason, "SCENARIO_NOT_FOUND")
        self.assertEqual(found["ErrorInfo"].domain, "modelway.v1")
        self.assertEqual(found["ResourceInfo"].resource_name, "nonsense")

    def test_every_wrong_field_is_named(self):
        wrong = generation_service_pb2.GenerateRequest(
            scenario="chat",
            model="sim-openai/fast",
            messages=[content_pb2.Message(role=content_pb2.ROLE_USER)],
            sampling=generation_service_pb2.SamplingParams(max_output_tokens=-1),
        )

        with self.assertRaises(grpc.RpcError) as raised:
            self.generation.Generate(wrong, timeout=TIMEOUT_SECONDS)

        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        found = details(raised.exception)
        self.assertEqual(found["ErrorInfo"].reason, "INVALID_REQUEST")
        self.assertEqual(
            [violation.field for violation in found["BadRequest"].field_violations],
            ["model", "messages[0]", "sampling.max_output_tokens"],
        )

    def test_a_failure_tells_its_attempts_and_forbids_a_retry(self):
        error, found = self.failure("unavailable")

        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(found["ErrorInfo"].metadata["provider_status"], "503")
        attempts = found["CallFailure"].attempts
        # No other target is left, so that the only one is tried again.
        primary, retry = attempt_pb2.ATTEMPT_KIND_PRIMARY, attempt_pb2.ATTEMPT_KIND_RETRY
        self.assertEqual([attempt.kind for attempt in attempts], [primary, retry, retry])
        for attempt in attempts:
            self.assertEqual(attempt.outcome, attempt_pb2.ATTEMPT_OUTCOME_FAILED)
            self.assertEqual(attempt.error_reason, errors_pb2.ERROR_REASON_PROVIDER_OVERLOADED)
        # The provider was asked: a client that asked again would multiply the attempts.
        self.assertEqual(metadata(error.trailing_metadata())["grpc-retry-pushback-ms"], "-1")

    def test_a_retry_policy_of_the_client_does_not_multiply_attempts(self):
        policy = {
            "maxAttempts": 5,
            "initialBackoff": "0.01s",
            "maxBackoff": "0.01s",
            "backoffMultiplier": 1,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        service = {"service": "modelway.v1.GenerationService"}
        config = {"methodConfig": [{"name": [service], "retryPolicy": policy}]}
        address = gateway.start(type(self), "--config", str(gateway.HERE / "modelway.toml"))
        options = [("grpc.service_config", json.dumps(config))]
        with grpc.insecure_channel(address, options) as channel:
            generation = generation_service_pb2_grpc.GenerationServiceStub(channel)
            operations = operations_service_pb2_grpc.OperationsServiceStub(channel)

            with self.assertRaises(grpc.RpcError):
                generation.Generate(request("unavailable"), timeout=TIMEOUT_SECONDS)

            breakers = operations.ListBreakers(operations_service_pb2.ListBreakersRequest())
            [failures] = [
                breaker.window_failures
                for breaker in breakers.breakers
                if breaker.model == "sim-openai/unavailable"
            ]
            # Those of one call: the first attempt and the service's own two retries.
            self.assertEqual(failures, 3)

    def test_the_wait_that_a_provider_asks_for_is_passed_on(self):
        _, found = self.failure("limited")

        self.assertEqual(found["ErrorInfo"].reason, "PROVIDER_RATE_LIMITED")
        self.assertEqual(found["RetryInfo"].retry_delay.seconds, 60)

    def test_an_interrupted_stream_is_no_success(self):
        events = []

        with self.assertRaises(grpc.RpcError) as raised:
            for event in self.stream("cut"):
                events.append(event)

        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(details(raised.exception)["ErrorInfo"].reason, "STREAM_INTERRUPTED")
        self.assertEqual(len([event for event in events if event.HasField("text_delta")]), 10)
        self.assertFalse(any(event.HasField("completed") for event in events))

    def test_the_end_of_the_time_tells_what_was_tried(self):
        # The client's own timer, which knows nothing of the call, rings a moment later.
        for seconds in [0.9, 1.234, 2.5]:
            for scenario in ["silent", "endless"]:
                with self.subTest(seconds=seconds, scenario=scenario):
                    self.tells_of_the_deadline(self.late(scenario, seconds))

    def late(self, scenario, seconds):
        for _ in range(RACES):
            with self.assertRaises(grpc.RpcError) as raised:
                self.generation.Generate(request(scenario), timeout=seconds)
            if rpc_status.from_call(raised.exception):
                break
        return raised.exception

    def test_the_end_of_the_time_in_the_middle_of_a_stream_tells_what_was_tried(self):
        for seconds in [0.9, 1.234, 2.5]:
            with self.subTest(seconds=seconds):
                for _ in range(RACES):
                    events = []
                    with self.assertRaises(grpc.RpcError) as raised:
                        call = self.generation.StreamGenerate(request("endless"), timeout=seconds)
                        for event in call:
                            events.append(event)
                    if rpc_status.from_call(raised.exception):
                        break

                self.assertTrue(any(event.HasField("text_delta") for event in events))
                self.tells_of_the_deadline(raised.exception)

    def tells_of_the_deadline(self, error):
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        told = details(error)
        self.assertEqual(told["ErrorInfo"].reason, "DEADLINE_EXCEEDED")
        [attempt] = told["CallFailure"].attempts
        self.assertEqual(attempt.outcome, attempt_pb2.ATTEMPT_OUTCOME_CANCELLED)
        trailers = metadata(error.trailing_metadata())
        self.assertEqual(trailers["x-modelway-call-id"], told["CallFailure"].call_id)

    def test_what_no_target_can_do_is_refused_before_anything_is_sent(self):
        image = content_pb2.Media(data=b"not looked at", media_type="image/png")
        message = content_pb2.Message(
            role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(image=image)]
        )
        asked = generation_service_pb2.GenerateRequest(scenario="text-only", messages=[message])

        with self.assertRaises(grpc.RpcError) as raised:
            self.generation.Generate(asked, timeout=TIMEOUT_SECONDS)

        self.assertEqual(raised.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("image_data", raised.exception.details())

    # Failover

    def test_a_failover_is_told_in_the_answer(self):
        answer = self.generate("failover")

        self.assertEqual(answer.provider, "sim-anthropic")
        self.assertEqual(
            [(attempt.kind, attempt.outcome) for attempt in answer.attempts],
            [
                (attempt_pb2.ATTEMPT_KIND_PRIMARY, attempt_pb2.ATTEMPT_OUTCOME_FAILED),
                (attempt_pb2.ATTEMPT_KIND_FAILOVER, attempt_pb2.ATTEMPT_OUTCOME_SUCCEEDED),
            ],
        )
        for attempt in answer.attempts:
            self.assertRegex(attempt.span_id, re.compile("^[0-9a-f]{16}$"))

    def test_a_failover_is_told_in_the_stream(self):
        events = list(self.stream("failover"))

        kinds = [event.WhichOneof("event") for event in events]
        self.assertEqual(
            kinds[:4], ["started", "attempt_started", "attempt_ended", "attempt_started"]
        )
        self.assertTrue(events[2].attempt_ended.will_continue)
        self.assertFalse(events[-2].attempt_ended.will_continue)
        self.assertEqual(len(events[-1].completed.response.attempts), 2)

    # Catalogue and operations

    def test_pages_of_models_make_the_whole_list(self):
        whole = self.catalog.ListModels(catalog_service_pb2.ListModelsRequest())
        for size in [1, 3, 1000]:
            models, token = [], ""
            while True:
                page = self.catalog.ListModels(
                    catalog_service_pb2.ListModelsRequest(page_size=size, page_token=token)
                )
                self.assertLessEqual(len(page.models), size)
                models.extend(page.models)
                token = page.next_page_token
                if not token:
                    break
            self.assertEqual(models, list(whole.models))
        self.assertGreater(len(whole.models), 3)
        self.assertEqual([model.id for model in whole.models], sorted(model.id for model in whole.models))

    def test_a_scenario_tells_its_targets(self):
        found = self.catalog.GetScenario(catalog_service_pb2.GetScenarioRequest(id="chat")).scenario

        self.assertEqual(found.description, "Answers at once")
        self.assertEqual(
            [target.model for target in found.targets], ["sim-openai/fast", "sim-anthropic/backup"]
        )

    def test_a_plan_is_explained_without_a_call(self):
        plan = self.operations.ExplainPlan(
            operations_service_pb2.ExplainPlanRequest(request=request("chat"))
        )

        self.assertEqual(
            [(target.model, target.eligible) for target in plan.targets],
            [("sim-openai/fast", True), ("sim-anthropic/backup", True)],
        )
        self.assertGreaterEqual(plan.max_attempts, 2)

    def test_a_skipped_target_is_explained(self):
        image = content_pb2.Media(uri="https://example.com/cat.png")
        message = content_pb2.Message(
            role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(image=image)]
        )
        asked = generation_service_pb2.GenerateRequest(scenario="text-only", messages=[message])

        plan = self.operations.ExplainPlan(operations_service_pb2.ExplainPlanRequest(request=asked))

        [target] = plan.targets
        self.assertFalse(target.eligible)
        self.assertEqual(target.skip_reason, errors_pb2.ERROR_REASON_CAPABILITY_UNSUPPORTED)
        self.assertIn("image_uri", target.detail)

    def test_the_breakers_of_all_endpoints_and_models_are_listed(self):
        models = self.catalog.ListModels(catalog_service_pb2.ListModelsRequest()).models

        breakers = self.operations.ListBreakers(operations_service_pb2.ListBreakersRequest()).breakers

        expected = []
        for provider in sorted({model.provider for model in models}):
            expected.append((provider, ""))
            expected.extend((provider, model.id) for model in models if model.provider == provider)
        self.assertEqual([(breaker.provider, breaker.model) for breaker in breakers], expected)


if __name__ == "__main__":
    unittest.main()
