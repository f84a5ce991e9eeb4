"""Five open pages, as a process of their own: `open` reads their first state, `close` lets them go.

Reads commands as lines of standard input and answers each with one line of JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlencode, urlsplit

PAGES = (("overview",), ("overview",), ("overview", "log"), ("signals", "orders"), ("health",))
FILES = ("/", "/static/console.css", "/static/overview.js", "/static/ui.js", "/static/frame.js", "/static/table.js",
         "/static/live.js", "/static/icon.svg")  # fmt: skip


class Page(threading.Thread):
    """One stream, read until it is closed."""

    def __init__(self, address: tuple[str, int], token: str, topics: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self.began = threading.Event()
        self.bytes = 0
        self._connection = http.client.HTTPConnection(*address, timeout=60)
        self._path = "/api/stream?" + urlencode([("topic", topic) for topic in topics])
        self._headers = {"Authorization": f"Bearer {token}"}
        self._wanted = b'["overview",' if "overview" in topics else b"["
        self.closing = False

    def run(self) -> None:
        try:
            self._connection.request("GET", self._path, headers=self._headers)
            answer = self._connection.getresponse()
            while line := answer.readline():
                self.bytes += len(line)
                if self._wanted in line:
                    self.began.set()
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            if not self.closing:
                raise

    def close(self) -> None:
        self.closing = True
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self.join(10)


def first_page_s(address: tuple[str, int], token: str) -> float:
    """From the first request to the last byte of what the overview needs to be whole."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(*address, timeout=60)
    for path in FILES:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)
    connection.close()
    page = Page(address, token, ("overview",))
    page.start()
    assert page.began.wait(60)
    took_s = time.perf_counter() - began
    page.close()
    return took_s


def main() -> None:
    url, token = sys.argv[1:]
    parts = urlsplit(url)
    address = (str(parts.hostname), int(parts.port or 80))
    pages: list[Page] = []
    for line in sys.stdin:
        said: dict[str, float] = {}
        if line.strip() == "open":
            pages = [Page(address, token, topics) for topics in PAGES]
            for page in pages:
                page.start()
            assert all(page.began.wait(60) for page in pages)
        elif line.strip() == "first":
            said["first_page_s"] = first_page_s(address, token)
        else:
            for page in pages:
                page.close()
            said["bytes"] = sum(page.bytes for page in pages)
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
