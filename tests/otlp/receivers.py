"""Do receivers that are not ours read our spans and metrics, over gRPC and over HTTP, with and without TLS and gzip?"""

import gzip
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_messages
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_services
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MODELWAY = os.environ["MODELWAY"]


class MetricsReceiver(metrics_services.MetricsServiceServicer):
    """Keeps the metrics that it is sent."""

    def __init__(self):
        self.requests = []

    def Export(self, request, context):  # noqa: N802 (the contract's name)
        self.requests.append(request)
        return metrics_messages.ExportMetricsServiceResponse()


class GrpcReceiver(services.TraceServiceServicer):
    """grpcio's server."""

    def __init__(self, certificate=None):
        self.requests, self.metadata = [], []
        of_metrics = MetricsReceiver()
        self.metrics = of_metrics.requests
        self.server = grpc.server(ThreadPoolExecutor(2))
        services.add_TraceServiceServicer_to_server(self, self.server)
        metrics_services.add_MetricsServiceServicer_to_server(of_metrics, self.server)
        if certificate:
            chain, key = (pathlib.Path(path).read_bytes() for path in certificate)
            credentials = grpc.ssl_server_credentials([(key, chain)])
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):  # noqa: N802 (the contract's name)
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return messages.ExportTraceServiceResponse()

    def stop(self):
        self.server.stop(None)


class HttpReceiver:
    """The server of Python's library."""

    def __init__(self, certificate=None):
        self.requests, self.metadata, self.metrics = [], [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802 (the library's name)
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers["content-encoding"] == "gzip":
                    body = gzip.decompress(body)
                assert self.path in ("/v1/traces", "/v1/metrics"), self.path
                assert self.headers["content-type"] == "application/x-protobuf"
                if self.path == "/v1/metrics":
                    receiver.metrics.append(metrics_messages.ExportMetricsServiceRequest.FromString(body))
                    answer = metrics_messages.ExportMetricsServiceResponse().SerializeToString()
                else:
                    receiver.requests.append(messages.ExportTraceServiceRequest.FromString(body))
                    receiver.metadata.append({name.lower(): text for name, text in self.headers.items()})
                    answer = messages.ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()


def certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    chain, key = os.path.join(folder, "chain.pem"), os.path.join(folder, "key.pem")
    names = ["-subj", "/CN=receiver", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", chain]
    subprocess.run(command + names, check=True, capture_output=True)
    return chain, key


def call_and_stop(variables):
    """Serves the simulated providers, makes one call, and ends the server."""
    surroundings = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    server = subprocess.Popen(
        [MODELWAY, "serve", "--listen", "127.0.0.1:0"],
        env=surroundings | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = server.stdout.readline().split()[-1]
    request = urllib.request.Request(
        f"http://{address}/v1/generate",
        data=json.dumps({"scenario": "forced-failover", "messages": [{"role": "ROLE_USER", "text": "Hello"}]}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        answer = json.load(response)
    server.send_signal(signal.SIGTERM)
    _, log = server.communicate(timeout=60)
    assert server.returncode == 0, log
    assert "spans were lost" not in log, log
    return answer


def spans(receiver):
    resources = [resource for request in receiver.requests for resource in request.resource_spans]
    return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


class Receivers(unittest.TestCase):
    def check(self, kind, protocol, compression="none", tls=False):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        files = certificate(folder) if tls else None
        receiver = kind(files)
        self.addCleanup(receiver.stop)
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{'https' if tls else 'http'}://127.0.0.1:{receiver.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
            "OTEL_SERVICE_NAME": "gateway-under-test",
        }
        if tls:
            variables["OTEL_EXPORTER_OTLP_CERTIFICATE"] = files[0]
        answer = call_and_stop(variables)

        found = spans(receiver)
        calls = [span for span in found if span.kind == Span.SPAN_KIND_SERVER]
        attempts = [span for span in found if span.kind == Span.SPAN_KIND_CLIENT]
        self.assertEqual([span.trace_id.hex() for span in calls], [answer["traceId"]])
        told = [attempt["spanId"] for attempt in answer["attempts"]]
        self.assertEqual(sorted(span.span_id.hex() for span in attempts), sorted(told))
        self.assertEqual({span.parent_span_id for span in attempts}, {calls[0].span_id})
        self.assertEqual(sum(span.status.code == Status.STATUS_CODE_ERROR for span in attempts), 1)
        for span in found:
            self.assertLessEqual(span.start_time_unix_nano, span.end_time_unix_nano)
        names = {attribute.key for attribute in calls[0].attributes}
        self.assertLessEqual({"modelway.call.id", "modelway.call.rescued_by", "modelway.cost.usd"}, names)
        resource = receiver.requests[0].resource_spans[0].resource
        service = {it.key: it.value.string_value for it in resource.attributes}["service.name"]
        self.assertEqual(service, "gateway-under-test")
        self.assertEqual(receiver.metadata[0]["x-tenant"], "a b")
        self.check_metrics(receiver.metrics, answer)

    def check_metrics(self, requests, answer):
        """The last export is made after the call has ended, and says what its answer says."""
        [of_resource] = requests[-1].resource_metrics
        service = {it.key: it.value.string_value for it in of_resource.resource.attributes}["service.name"]
        self.assertEqual(service, "gateway-under-test")
        [of_scope] = of_resource.scope_metrics
        found = {metric.name: metric for metric in of_scope.metrics}
        calls = found["modelway.calls"].sum
        self.assertTrue(calls.is_monotonic)
        self.assertEqual(calls.aggregation_temporality, AGGREGATION_TEMPORALITY_CUMULATIVE)
        self.assertEqual(sum(point.as_int for point in calls.data_points), 1)
        sent = [point for point in found["modelway.attempts"].sum.data_points if point.as_int]
        self.assertEqual(sum(point.as_int for point in sent), len(answer["attempts"]))
        durations = found["modelway.call.duration"].histogram
        self.assertEqual(durations.aggregation_temporality, AGGREGATION_TEMPORALITY_CUMULATIVE)
        self.assertEqual(sum(point.count for point in durations.data_points), 1)
        for point in durations.data_points:
            self.assertEqual(len(point.bucket_counts), len(point.explicit_bounds) + 1)
            self.assertEqual(sum(point.bucket_counts), point.count)
            self.assertLess(point.start_time_unix_nano, point.time_unix_nano)
        starts = {point.start_time_unix_nano for request in requests for point in self.points(request)}
        self.assertEqual(len(starts), 1)

    @staticmethod
    def points(request):
        """The points of all counters."""
        metrics = request.resource_metrics[0].scope_metrics[0].metrics
        return [point for metric in metrics if metric.HasField("sum") for point in metric.sum.data_points]

    def test_grpc(self):
        self.check(GrpcReceiver, "grpc")

    def test_grpc_with_gzip(self):
        self.check(GrpcReceiver, "grpc", compression="gzip")

    @unittest.skipUnless(shutil.which("openssl"), "there is no openssl to make a certificate")
    def test_grpc_with_tls(self):
        self.check(GrpcReceiver, "grpc", tls=True)

    def test_http(self):
        self.check(HttpReceiver, "http/protobuf")

    def test_http_with_gzip(self):
        self.check(HttpReceiver, "http/protobuf", compression="gzip")

    @unittest.skipUnless(shutil.which("openssl"), "there is no openssl to make a certificate")
    def test_http_with_tls(self):
        self.check(HttpReceiver, "http/protobuf", tls=True)


if __name__ == "__main__":
    unittest.main()
