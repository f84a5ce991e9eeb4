"""Where messages arrive in tests: a real web server and a real mail server, on loopback."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

WAIT_S = 30.0
USER, PASSWORD = "ops@example.test", "made-up-mail-password"


class Arrivals:
    """What came, in order. `until` waits for so many."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._news = threading.Condition()

    def add(self, item: Any) -> None:
        with self._news:
            self.items.append(item)
            self._news.notify_all()

    def until(self, count: int) -> list[Any]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.items) >= count, WAIT_S), self.items
            return list(self.items)


class Webhook:
    """Takes Apprise's JSON posts. `refuse` answers so many of them with 503 first; `hold` keeps them waiting."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.arrivals = Arrivals()
        self.tries = Arrivals()
        self.refuse = 0
        self.go = threading.Event()
        self.go.set()
        self.url = f"json://127.0.0.1:{server.server_port}/made-up-hook-token-123"

    @property
    def texts(self) -> list[str]:
        return [item["message"] for item in self.arrivals.items]


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            hook.tries.add(body)
            hook.go.wait(WAIT_S)
            if hook.refuse > 0:
                hook.refuse -= 1
                self.send_response(503)
            else:
                hook.arrivals.add(body)
                self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.go.set()
        server.shutdown()
        server.server_close()
        thread.join(WAIT_S)


class _FreePort(Controller):
    """Takes any free port, and knows which."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mailbox:
    def __init__(self, port: int, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        user = USER.replace("@", "%40")
        self.url = f"mailto://{user}:{PASSWORD}@127.0.0.1:{port}?smtp=127.0.0.1&mode=insecure&from={USER}&to=olga@example.test"


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    arrivals = Arrivals()

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            if not session.authenticated:
                return "530 sign in first"
            arrivals.add(message_from_bytes(envelope.content, policy=default))
            return "250 OK"

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known)

    controller = _FreePort(
        Handler(), hostname="127.0.0.1", port=0, authenticator=sign_in, auth_require_tls=False
    )
    controller.start()
    try:
        yield Mailbox(controller.port, arrivals)
    finally:
        controller.stop()
