"""Questions to the read API."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import quote, urlencode

from ._http import Connection
from .errors import NotFoundError, ReadError


class Reader:
    """One connection a thread; all methods may be called from several threads."""

    def __init__(self, url: str, timeout: float = 15.0) -> None:
        Connection(url, timeout)  # ValueError now, not at the first question
        self._url, self._timeout = url, timeout
        self._local = threading.local()

    def get(self, path: tuple[str, ...], params: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        """GET /v1/<path>; parameters that are None are left out. NotFoundError on 404, else ReadError."""
        target = "/v1/" + "/".join(quote(p, safe="") for p in path)
        given = {name: value for name, value in (params or {}).items() if value is not None}
        if given:
            target += "?" + urlencode(given)
        connection: Optional[Connection] = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = Connection(self._url, self._timeout)
        try:
            answer = connection.request("GET", target)
        except OSError as error:
            raise ReadError(f"read {self._url}{target}: {error}") from error
        value = answer.json()
        if answer.status == 200 and isinstance(value, dict):
            return value
        said = value.get("detail") if isinstance(value, dict) else None
        kind = NotFoundError if answer.status == 404 else ReadError
        raise kind(f"read {self._url}{target}: HTTP {answer.status}: {said or answer.body[:200]!r}", answer.status)

    def close(self) -> None:
        """Closes this thread's connection; the others close with their threads."""
        connection: Optional[Connection] = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
