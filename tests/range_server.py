"""A file server over HTTP with byte ranges, on a free port of this machine, whose answers tests can spoil."""

import http.server
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class RangeServer(http.server.ThreadingHTTPServer):
    """Serves the files of a folder.

    Args:
        root: The folder.

    Attributes:
        spoil: Called with the name of a file and the number of the request. Returns None for a good answer, a status
            to send instead, or ``'cut'`` (the connection ends halfway), ``'hang'`` (no answer until the server
            closes), ``'whole'`` (no byte ranges).
        delay: Seconds before each answer.
        requests: (file, range or None) of each request.
        most_at_once: Largest number of requests that were answered at the same time.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.root, self.delay = root, 0.0
        self.spoil: Callable[[str, int], str | int | None] = lambda name, number: None
        self.requests: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        self.connections: list[socket.socket] = []
        self.lock, self.at_once, self.most_at_once = threading.Lock(), 0, 0
        self.url = f'http://127.0.0.1:{self.server_port}'

    def __enter__(self) -> 'RangeServer':
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def setup(self) -> None:
        self.server.connections.append(self.request)
        super().setup()

    def do_GET(self) -> None:
        server, name, wanted = self.server, self.path.lstrip('/'), self.headers.get('Range')
        with server.lock:
            server.requests.append((name, wanted))
            number = len(server.requests)
            server.at_once += 1
            server.most_at_once = max(server.at_once, server.most_at_once)
        try:
            server.closing.wait(server.delay)
            self._answer(name, wanted, server.spoil(name, number))
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, name: str, wanted: str | None, fault: str | int | None) -> None:
        if fault == 'hang':
            self.server.closing.wait(60)
            self.close_connection = True
            return
        path = self.server.root / name
        if isinstance(fault, int) or not path.is_file():
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        first, last, status = 0, path.stat().st_size, 200
        if wanted and fault != 'whole':
            first, last = map(int, re.fullmatch(r'bytes=(\d+)-(\d+)', wanted).groups())
            status = 206 if first < path.stat().st_size else 416
        if status == 416:
            self.send_error(status)
            return
        with path.open('rb') as file:
            file.seek(first)
            data = file.read(last + 1 - first)
        self.send_response(status)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault == 'cut' else data)
        if fault == 'cut':
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass
