"""A real HTTP server on the loopback device that serves archives, well or badly."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK_BYTES = 1 << 15


@dataclass
class Asked:
    """A request as it came, and how many bytes of the body went out in answer."""

    path: str
    range: str | None
    if_range: str | None
    accept_encoding: str | None
    status: int = 0
    sent_bytes: int = 0


@dataclass
class Mirror:
    """What is served and how; may be changed between requests.

    `cuts` holds for each coming answer after how many bytes of its body the connection is closed; whole when empty.
    After `stall_after` bytes of a body nothing comes any more. `pace` is called before each chunk with how many bytes
    of the body were sent, and may take its time.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"v1"'
    last_modified: str | None = None
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    stall_after: int | None = None
    pace: Callable[[int], object] = lambda sent_bytes: None
    declared_length: int | None = None
    no_length: bool = False
    extra: bytes = b""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    redirect: tuple[str, dict[str, str]] | None = None
    content_range: str | None = None
    log: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/clear"

    @property
    def sent(self) -> list[tuple[str | None, int, int]]:
        """(Range, status, bytes of body) of each request."""
        return [(asked.range, asked.status, asked.sent_bytes) for asked in self.log]

    def __enter__(self) -> "Mirror":
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer(mirror, self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                """A client that went away is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *arguments: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def answer(mirror: Mirror, request: BaseHTTPRequestHandler) -> None:
    asked = Asked(request.path, *(request.headers.get(name) for name in ("Range", "If-Range", "Accept-Encoding")))
    mirror.log.append(asked)
    if mirror.redirect and request.path.startswith("/clear/"):
        base, headers = mirror.redirect
        asked.status = 302
        return head(request, 302, {"Location": base + request.path.removeprefix("/clear"), **headers}, 0)
    name = request.path.rpartition("/")[2]
    asked.status = mirror.statuses.pop(0) if mirror.statuses else 200 if name in mirror.files else 404
    if asked.status != 200:
        return head(request, asked.status, {}, 0)
    data, headers = mirror.files[name] + mirror.extra, dict(mirror.headers)
    headers |= {"ETag": mirror.etag} if mirror.etag else {}
    headers |= {"Last-Modified": mirror.last_modified} if mirror.last_modified else {}
    body = data
    guard = asked.if_range in (None, mirror.etag, mirror.last_modified)
    if mirror.ranges and asked.range and guard:
        start = int(asked.range.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            asked.status = 416
            return head(request, 416, {"Content-Range": f"bytes */{len(data)}"}, 0)
        body, asked.status = data[start:], 206
        headers["Content-Range"] = mirror.content_range or f"bytes {start}-{len(data) - 1}/{len(data)}"
    length = None if mirror.no_length else len(body)
    if mirror.declared_length is not None and asked.status == 200:
        length = mirror.declared_length
    head(request, asked.status, headers, length)
    return send(mirror, request, asked, body)


def head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], length: int | None) -> None:
    request.send_response(status)
    if length is not None:
        request.send_header("Content-Length", str(length))
    else:
        request.close_connection = True
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()


def send(mirror: Mirror, request: BaseHTTPRequestHandler, asked: Asked, body: bytes) -> None:
    cut = mirror.cuts.pop(0) if mirror.cuts else None
    ends = [len(body), *(end for end in (cut, mirror.stall_after) if end is not None)]
    while asked.sent_bytes < min(ends):
        mirror.pace(asked.sent_bytes)
        chunk = body[asked.sent_bytes : min(asked.sent_bytes + CHUNK_BYTES, *ends)]
        asked.sent_bytes += len(chunk)  # before it is: a client that has all may look at once
        request.wfile.write(chunk)
    if mirror.stall_after is not None and asked.sent_bytes >= mirror.stall_after:
        mirror.released.wait()
    if asked.sent_bytes < len(body) or mirror.declared_length is not None:
        request.close_connection = True
