"""One kept connection to an HTTP server."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any, Optional
from urllib.parse import urlsplit


class Answer:
    def __init__(self, status: int, retry_after: Optional[str], body: bytes) -> None:
        self.status = status
        self.body = body
        try:
            self.retry_after = max(0.0, float(retry_after or 0))
        except ValueError:
            self.retry_after = 0.0

    def json(self) -> Any:
        """The body's value; None when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Connection:
    """Not for several threads at a time."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} must be a URL such as http://127.0.0.1:8080")
        self.url = url
        self._base = parts.path.rstrip("/")
        self._client: http.client.HTTPConnection
        if parts.scheme == "https":
            self._client = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout, context=ssl.create_default_context()
            )
        else:
            self._client = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self._used = False
        self._aborted = False

    def request(self, method: str, target: str, body: Optional[bytes] = None, media_type: str = "") -> Answer:
        """Asks once; once more at once when the server had closed a connection that was idle. OSError when there is no answer.

        So a request may be sent twice: what is sent must be safe to repeat.
        """
        headers = {"Content-Type": media_type} if body is not None else {}
        while True:
            fresh = not self._used
            try:
                self._client.request(method, self._base + target, body, headers)
                self._used = True
                response = self._client.getresponse()
                return Answer(response.status, response.getheader("Retry-After"), response.read())
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if not self._aborted and not fresh and not isinstance(error, TimeoutError):
                    continue
                if isinstance(error, OSError):
                    raise
                raise ConnectionError(f"{self.url}: no HTTP answer: {error!r}") from error

    def abort(self) -> None:
        """Ends the request that another thread has under way; there is none after it."""
        self._aborted = True
        sock = self._client.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed

    def close(self) -> None:
        self._client.close()
        self._used = False
