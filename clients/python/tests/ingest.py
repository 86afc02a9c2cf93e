"""A small ingest for tests that need its answers only; the real one is in the Go tests."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional


class Ingest:
    """Appends what it gets, drops known ids, refuses events whose data has a "rule". `answer`, when it is set, decides
    about a request instead: (status, headers, body), or None for the usual."""

    def __init__(self, port: int = 0) -> None:
        self.log: list[dict[str, Any]] = []
        self.requests: list[tuple[str, int]] = []
        self.answer: Optional[Callable[[list[dict[str, Any]]], Optional[tuple[int, dict[str, str], bytes]]]] = None
        self.lose_answers = 0  # so many requests are taken and not answered
        self._known: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/readyz" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = [json.loads(line) for line in body.splitlines()]
                outer.requests.append((self.path, len(events)))
                answer = outer.answer(events) if outer.answer else None
                status, headers, text = answer or outer.take(events)
                if answer is None and outer.lose_answers > 0:
                    outer.lose_answers -= 1
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def take(self, events: list[dict[str, Any]]) -> tuple[int, dict[str, str], bytes]:
        results: list[dict[str, Any]] = []
        for i, event in enumerate(events):
            if "rule" in event["data"]:
                error = {"index": i, "field": "data.rule", "rule": event["data"]["rule"], "value": "x"}
                results.append({"index": i, "error": error})
                continue
            duplicate = event["id"] in self._known
            if not duplicate:
                self.log.append(event)
                self._known[event["id"]] = len(self.log)
            results.append({"id": event["id"], "sequence": self._known[event["id"]], "duplicate": duplicate})
        errors = [r["error"] for r in results if "error" in r]
        if not errors:
            return 200, {}, json.dumps(results).encode()
        return problem(422, "invalid-event", errors=errors, results=results)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def problem(status: int, kind: str, **members: Any) -> tuple[int, dict[str, str], bytes]:
    value = {"type": "urn:tapedeck:problem:" + kind, "title": kind, "status": status, "detail": kind, **members}
    return status, {"Content-Type": "application/problem+json", "Retry-After": "0"}, json.dumps(value).encode()
