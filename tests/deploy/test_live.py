"""A real Prometheus scrapes the real server under faults: every query of the dashboards and every rule has data.

The server plays its own providers with a fault of each kind, with a ledger, limits, and a key that ends soon. A few clients call
it, some with labels and some with a key that nobody has, and Prometheus scrapes each second. Each query is asked until it has an answer. What stays empty is listed.
"""

import contextlib
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import grpc
import queries
import yaml
from google.protobuf import json_format
from modelway.v1 import generation_service_pb2, generation_service_pb2_grpc
from tools import DEPLOY, HERE, PROMETHEUS, load, run

PATIENCE_SECONDS = float(os.environ.get("MODELWAY_LIVE_SECONDS", 90))
CALLERS = 3
# Grafana's `$__rate_interval`, with a scrape each second.
INTERVAL = "30s"

# Metrics that the service does not write yet. Queries that need them are listed and excused as long as that is so.
NOT_WRITTEN_YET = ()

SCENARIOS = ["chat", "strict", "strict-first", "failover", "shaky", "unavailable", "limited", "cut", "unpriced", "text-only", "locked", "silent"]
IMAGE = {"image": {"mediaType": "image/png", "data": "iVBORw0KGgo="}}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, what, patience=PATIENCE_SECONDS):
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.1)
    return found


def fetched(url):
    """The body of a page, or None while nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


class Server:
    """The built server, with a configuration in a folder of its own."""

    def __init__(self, folder):
        self.probes = free_port()
        self.config = pathlib.Path(folder, "modelway.toml")
        text = (HERE / "live.toml").read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{self.probes}"')
        ledger = f'\n[ledger]\npath = "{folder}/ledger"\n'
        self.config.write_text(text + ledger + key_that_ends_soon() + certificate(folder))
        command = [os.environ["MODELWAY"], "serve", "--config", str(self.config), "--listen", "127.0.0.1:0"]
        # Spans go where nobody listens: what is lost is counted.
        surroundings = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MODELWAY_")},
            "RUST_LOG": "off",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        }
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings)
        banner = self.process.stdout.readline()
        assert banner, "the server did not start"
        self.address = banner.strip().rpartition(" ")[2]

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=60)


def key_that_ends_soon():
    """A table for a key that ends in three days."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
    sha256 = hashlib.sha256(b"a secret that is no key").hexdigest()
    return (
        f'\n[[keys]]\nid = "ends-soon"\naccount = "anybody"\nsha256 = "{sha256}"\n'
        f"expire_time = {end.strftime('%Y-%m-%dT%H:%M:%SZ')}\n"
    )


def certificate(folder):
    """A table for the operators' listener with a certificate, so that there is one to watch."""
    key, pem = pathlib.Path(folder, "key.pem"), pathlib.Path(folder, "cert.pem")
    made = run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=localhost", "-days", "30", "-keyout", key, "-out", pem,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return f'\n[admin]\nlisten = "127.0.0.1:0"\n\n[admin.tls]\ncert = "{pem}"\nkey = "{key}"\nclient_ca = "{pem}"\n'


class Prometheus:
    """Debian's Prometheus, scraping one server each second with the rules as they are shipped."""

    def __init__(self, folder, port):
        self.address = f"127.0.0.1:{free_port()}"
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(DEPLOY / "prometheus" / "rules.yml")],
            "scrape_configs": [{"job_name": "modelway", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
        }
        path = pathlib.Path(folder, "prometheus.yml")
        path.write_text(yaml.safe_dump(config))
        command = [
            PROMETHEUS, f"--config.file={path}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self.address}", "--log.level=error",
        ]  # fmt: skip
        self.process = subprocess.Popen(command)
        wait_until(lambda: fetched(f"http://{self.address}/-/ready"), "Prometheus is ready")

    def asked(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        answer = json.loads(fetched(url) or "{}")
        assert answer.get("status") == "success", f"{path} {parameters}: {answer}"
        return answer["data"]

    def values(self, query, **parameters):
        """The values of a query that are numbers."""
        found = self.asked("query", query=query, **parameters)["result"]
        return [one["value"][1] for one in found if one["value"][1] != "NaN"]

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Callers:
    """Threads that call one scenario after the other, some in streams, with short deadlines and a cancelled one."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.stub = generation_service_pb2_grpc.GenerationServiceStub(self.channel)
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(number,)) for number in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def call(self, number):
        for turn in itertools.count(number):
            if self.ended.wait(0.05):
                return
            scenario = SCENARIOS[turn % len(SCENARIOS)]
            parts = [{"text": "Hello"}, *([IMAGE] if scenario == "text-only" else [])]
            body = {"scenario": scenario, "messages": [{"role": "ROLE_USER", "parts": parts}]}
            if turn % 17 == 0:
                body["scenario"] = "unknown"
            if turn % 4 == 0:
                body["labels"] = {"product": ["ads", "feed"][turn // 4 % 2]}
            # A key that has the form of one, and was never made.
            shown = [("authorization", "Bearer mwd_" + "0" * 49)] if turn % 11 == 0 else []
            request = json_format.ParseDict(body, generation_service_pb2.GenerateRequest())
            with contextlib.suppress(grpc.RpcError):
                if turn % 3:
                    self.stub.Generate(request, timeout=1.5, metadata=shown)
                else:
                    stream = self.stub.StreamGenerate(request, timeout=1.5, metadata=shown)
                    for count, _ in enumerate(stream):
                        if turn % 5 == 0 and count == 5:
                            stream.cancel()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
        self.channel.close()


def always(expression):
    """An alert's expression that gives 0 or 1 where the alert's own gives nothing or something."""
    return re.sub(r"(?<=\s)(==|>=|<=|>|<)(?=\s)", r"\1 bool", expression)


def rules():
    [group] = load(DEPLOY / "prometheus" / "rules.yml")["groups"]
    return group["rules"]


def metrics(expressions):
    """Every name of a metric in these expressions, recorded ones apart."""
    words = set(re.findall(r"\b(?:modelway|gen_ai|process)_\w+\b", " ".join(expressions)))
    return sorted(words - {"gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"})


@unittest.skipUnless(shutil.which("openssl"), "there is no openssl to make a certificate")
class Live(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.server = Server(folder.name)
        cls.addClassCleanup(cls.server.stop)
        cls.prometheus = Prometheus(folder.name, cls.server.probes)
        cls.addClassCleanup(cls.prometheus.stop)
        wait_until(lambda: cls.prometheus.values('up{job="modelway"} == 1'), "the server is scraped")

    def lacking(self):
        """What the service does not write yet, and is known for it."""
        return [name for name in NOT_WRITTEN_YET if not self.prometheus.values(name)]

    def unexplained(self, waiting):
        """Queries without data that need nothing of this."""
        lacking = self.lacking()
        return [name for name, query in waiting.items() if not any(one in query for one in lacking)]

    def test_1_every_metric_is_there_before_the_first_call(self):
        asked = [*queries.queries(), *(rule["expr"] for rule in rules())]
        # Attempts of GenAI's names have `error_type` from their first failure on.
        missing = [name for name in metrics(asked) if not self.prometheus.values(f"{{__name__=~\"{name}(_bucket)?\"}}")]

        self.assertEqual([name for name in missing if name not in self.lacking()], [])

    def test_2_every_query_and_every_rule_has_data_under_faults(self):
        callers = Callers(self.server.address)
        self.addCleanup(callers.stop)
        panels = {(title, query): queries.asked(query, INTERVAL) for title, query in queries.targets()}
        # What asks for the absence of every instance is true only later.
        judged = {
            rule.get("alert", rule.get("record")): always(rule["expr"]) for rule in rules() if "absent" not in rule["expr"]
        }
        waiting = {**panels, **judged}
        end = time.monotonic() + PATIENCE_SECONDS
        while self.unexplained(waiting) and time.monotonic() < end:
            waiting = {name: query for name, query in waiting.items() if not self.prometheus.values(query)}
            time.sleep(0.5)

        took = PATIENCE_SECONDS - (end - time.monotonic())
        print(f"{len(panels)} queries and {len(judged)} rules, {len(waiting)} empty after {took:.0f} s")
        for name, query in waiting.items():
            print(f"  empty: {name}: {query}")
        self.assertEqual(self.unexplained(waiting), [])
        self.assertIsNone(self.server.process.poll(), "the server died")

    def test_3_every_rule_was_evaluated_without_an_error(self):
        [group] = self.prometheus.asked("rules")["groups"]

        self.assertEqual([rule["name"] for rule in group["rules"] if rule["health"] != "ok"], [])
        self.assertEqual(len(group["rules"]), len(rules()))

    def test_4_the_alerts_for_what_was_done_to_it_are_on_their_way(self):
        callers = Callers(self.server.address)
        self.addCleanup(callers.stop)
        expected = {
            "ModelwayBreakerOpen",
            "ModelwayCallsFailFast",
            "ModelwayCallsUnpriced",
            "ModelwayCostUnknown",
            "ModelwayKeyEnds",
            "ModelwayLimitOverspent",
            "ModelwayNoTarget",
            "ModelwayTargetUnpriced",
        }

        def on_their_way():
            return {alert["labels"]["alertname"] for alert in self.prometheus.asked("alerts")["alerts"]}

        wait_until(lambda: expected <= on_their_way(), f"{expected} are pending")

    def test_5_a_server_that_is_gone_is_noticed(self):
        self.server.stop()

        wait_until(lambda: self.prometheus.values('up{job="modelway"} == 0'), "the server is missed")
        # Nothing was known of the job an hour ago.
        self.assertEqual(self.prometheus.values('absent(up{job="modelway"})', time=time.time() - 3600), ["1"])


if __name__ == "__main__":
    unittest.main()
