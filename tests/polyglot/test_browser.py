"""A page in Chromium reads answers and refusals of every kind, in JSON and over gRPC-Web.

`MODELWAY_CHROMIUM` names the browser (a headless shell will do); without it the test is skipped.
"""

import http.server
import json
import os
import pathlib
import queue
import subprocess
import tempfile
import threading
import unittest

import gateway

CHROMIUM = os.environ.get("MODELWAY_CHROMIUM")

CONFIG = """
[cors]
origins = ["{origin}"]
[providers.play]
simulated = true
wire_format = "openai_chat"
[models."play/well"]
[models."play/down"]
model = "m+status=503"
[models."play/broken"]
model = "m+cut=3"
[scenarios.well]
targets = ["play/well"]
[scenarios.down]
targets = ["play/down"]
[scenarios.broken]
targets = ["play/broken"]
"""

PAGE = """<!doctype html><script>
const base = "{base}";
const ask = scenario => JSON.stringify({{scenario, messages: [{{role: "ROLE_USER", text: "Hello"}}]}});
// A GenerateRequest with a scenario and one message, in gRPC's frame.
function framed(scenario) {{
  const text = new TextEncoder();
  const name = text.encode(scenario), word = text.encode("Hello");
  const message = [8, 2, 18, word.length, ...word];
  const request = [10, name.length, ...name, 26, message.length, ...message];
  return new Uint8Array([0, 0, 0, 0, request.length, ...request]);
}}
async function json(name, path, body, headers = {{}}) {{
  const response = await fetch(base + path, {{method: "POST", body,
    headers: {{"content-type": "application/json", "x-request-id": "mine", ...headers}}}});
  const text = await response.text();
  let told = {{}};
  try {{ told = JSON.parse(text); }} catch {{}}
  return {{status: response.status, code: told.code ?? null, details: (told.details ?? []).length,
    call: response.headers.get("x-modelway-call-id") !== null, text}};
}}
async function web(scenario, method) {{
  const response = await fetch(base + "/modelway.v1.GenerationService/" + method, {{method: "POST", body: framed(scenario),
    headers: {{"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "grpc-timeout": "10S"}}}});
  const bytes = new Uint8Array(await response.arrayBuffer());
  return {{status: response.status, code: response.headers.get("grpc-status"),
    details: response.headers.get("grpc-status-details-bin") !== null ? 1 : 0,
    call: response.headers.get("x-modelway-call-id") !== null, text: new TextDecoder().decode(bytes)}};
}}
const cases = {{
  answer: () => json("answer", "/v1/generate", ask("well")),
  stream: () => json("stream", "/v1/stream", ask("well")),
  400: () => json("400", "/v1/generate", "{{"),
  404: () => json("404", "/v1/generate", ask("nobody")),
  405: async () => {{
    const response = await fetch(base + "/v1/generate");
    return {{status: response.status, ...(await response.json())}};
  }},
  path: () => json("path", "/v1/nothing", ask("well")).catch(error => ({{error: String(error)}})),
  415: () => json("415", "/v1/generate", ask("well"), {{"content-type": "text/plain"}}),
  431: () => json("431", "/v1/generate", ask("well"), {{"authorization": "x".repeat(17000)}}),
  503: () => json("503", "/v1/generate", ask("down")),
  broken: () => json("broken", "/v1/stream", ask("broken")),
  webAnswer: () => web("well", "Generate"),
  webStream: () => web("well", "StreamGenerate"),
  web404: () => web("nobody", "Generate"),
  web503: () => web("down", "StreamGenerate"),
  webBroken: () => web("broken", "StreamGenerate"),
}};
(async () => {{
  const seen = {{}};
  for (const [name, run] of Object.entries(cases)) {{
    try {{ seen[name] = await run(); }} catch (error) {{ seen[name] = {{error: String(error)}}; }}
  }}
  await fetch("/report", {{method: "POST", body: JSON.stringify(seen)}});
}})();
</script>"""


class Page(http.server.BaseHTTPRequestHandler):
    """Serves the page, and takes its report."""

    text = ""
    reports = queue.Queue()

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(self.text.encode())

    def do_POST(self):
        length = int(self.headers["content-length"])
        self.reports.put(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@unittest.skipUnless(CHROMIUM, "MODELWAY_CHROMIUM names no browser")
class Browser(unittest.TestCase):
    def test_a_page_reads_every_answer(self):
        pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{pages.server_port}"
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "config.toml"
            config.write_text(CONFIG.format(origin=origin))
            with gateway.running("--config", str(config)) as address:
                Page.text = PAGE.format(base=f"http://{address}")
                seen = self.visit(origin, folder)
        pages.shutdown()
        pages.server_close()

        for name, status, code in [
            ("answer", 200, None),
            ("stream", 200, None),
            ("400", 400, 3),
            ("404", 404, 5),
            ("415", 415, 3),
            ("431", 431, 3),
            ("503", 503, 14),
            ("broken", 200, None),
            ("webAnswer", 200, None),
            ("webStream", 200, None),
            ("web404", 200, "5"),
            ("web503", 200, "14"),
            ("webBroken", 200, None),
        ]:
            with self.subTest(name):
                told = seen[name]
                self.assertEqual((told.get("status"), told.get("code")), (status, code), told)
                if code is not None:
                    self.assertGreater(told["details"], 0, told)
                # What was refused before it was a call has no id.
                self.assertEqual(told["call"], name not in ("415", "431"), told)
        self.assertEqual((seen["405"].get("status"), seen["405"].get("code")), (405, 12), seen["405"])
        self.assertIn("event: completed", seen["stream"]["text"])
        self.assertIn("event: error", seen["broken"]["text"])
        self.assertIn("STREAM_INTERRUPTED", seen["broken"]["text"])
        self.assertIn("grpc-status:0", seen["webStream"]["text"])
        self.assertIn("grpc-status:14", seen["webBroken"]["text"])
        # The browser does not even send the request if the answer to its question is 404.
        self.assertIn("error", seen["path"], seen["path"])

    def visit(self, origin, folder):
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        # Several processes of the browser may need more memory than there is to share.
        command += ["--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", origin]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as browser:
            try:
                return Page.reports.get(timeout=60)
            except queue.Empty:
                browser.terminate()
                self.fail(browser.stderr.read().decode()[-2000:])
            finally:
                browser.kill()


if __name__ == "__main__":
    unittest.main()
