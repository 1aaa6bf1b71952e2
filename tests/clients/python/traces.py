"""What the server sends to a collector of OpenTelemetry is read by the definitions that OpenTelemetry publishes.

Usage: traces.py HOST PORT SERVER, where SERVER is a program to start there.
"""

import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time

import redis
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

HOST, PORT, SERVER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
PATIENCE_SECONDS = 60
RETRIES = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 1000)


class Collector(http.server.BaseHTTPRequestHandler):
    requests = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def collected(folder):
    collector = http.server.ThreadingHTTPServer((HOST, 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://{HOST}:{collector.server_address[1]}"
    words = [SERVER, "redis", "--bind", HOST, "--port", str(PORT), "--dir", folder, "--save", ""]
    words += ["--otel-endpoint", endpoint, "--otel-samples-per-million", "1000000"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(host=HOST, port=PORT, retry=RETRIES, retry_on_error=[redis.ConnectionError])
        client.set("k", "v")
        client.mset({f"key:{number}": number for number in range(100)})
        try:
            client.lpush("k", "v")
        except redis.ResponseError:
            pass
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(b"LPUSH" in body for _, body in Collector.requests) and time.monotonic() < deadline:
            time.sleep(0.05)
        client.shutdown(nosave=True)
    finally:
        process.wait(60)
        collector.shutdown()
    return Collector.requests


def spans_of(body):
    """Identifiers are hexadecimal in this JSON, which is the one thing that the general mapping does not know."""
    told = json.loads(body)
    for resource in told["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                assert len(bytes.fromhex(span.pop("traceId"))) == 16
                assert len(bytes.fromhex(span.pop("spanId"))) == 8
    request = json_format.ParseDict(told, ExportTraceServiceRequest())
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def attributes(span):
    return {attribute.key: attribute.value for attribute in span.attributes}


def are_as_told(requests):
    assert {path for path, _ in requests} == {"/v1/traces"}
    spans = [span for _, body in requests for span in spans_of(body)]
    assert {"SET", "MSET", "LPUSH"} <= {span.name for span in spans}
    for span in spans:
        assert span.kind == Span.SPAN_KIND_SERVER
        assert 0 < span.start_time_unix_nano < span.end_time_unix_nano
    failed = [span for span in spans if span.status.code == Status.STATUS_CODE_ERROR]
    assert [span.name for span in failed] == ["LPUSH"]
    assert attributes(failed[0])["error.type"].string_value == "WRONGTYPE"


NAME = "traces are read by OpenTelemetry's definitions"
try:
    with tempfile.TemporaryDirectory() as folder:
        are_as_told(collected(folder))
    print(f"ok {NAME}")
except (AssertionError, json_format.ParseError) as failure:
    print(f"FAIL {NAME}: {failure}")
    sys.exit(1)
