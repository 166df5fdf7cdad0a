"""A small S3 on loopback whose vices are chosen: one bucket per server, path or virtual-host style.

It exists to be a bad store: it can ignore or refuse conditions, insist on one form of ETags,
lose answers, hang, echo secrets, and move its clock. moto and Ceph stand for the good ones.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from support.clocks import START

from backup_frames.clock import SystemClock
from backup_frames.lake.storage.bucket import ObjectStore
from backup_frames.lake.storage.bucket_url import read_object_url


@dataclass
class Stored:
    data: bytes
    modified_s: float

    @property
    def e_tag(self) -> str:
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()


@dataclass
class Request:
    method: str
    url: str
    host: str
    key: str
    headers: dict[str, str]


class BucketServer:
    """One bucket named "bucket". Vices are attributes, to be set before or during a test.

    ignores: headers it does not look at, in lower case. refuses_conditions: 501 to any.
    missing_status: its answer to If-Match where nothing is (412; AWS says 404).
    quotes: "either", "always" (bare ETags never match) or "never" (quoted ones never match).
    e_tag_suffix: ETags that are no MD5. answer: called with each `Request`; may return
    "drop" (close before doing it), "lose" (do it, then close), "hang", or (status, body).
    """

    def __init__(self) -> None:
        self.files: dict[str, Stored] = {}
        self.requests: list[Request] = []
        self.ignores: set[str] = set()
        self.refuses_conditions = False
        self.missing_status = 412
        self.quotes = "either"
        self.e_tag_suffix = ""
        self.ahead_s = 0.0
        self.answer = lambda request: None
        self.mutex = threading.RLock()
        self.changed = threading.Condition(self.mutex)
        self.is_closing = threading.Event()
        handler = type("Handler", (_Handler,), {"bucket": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"s3://bucket/lake?endpoint={self.endpoint}"

    def close(self) -> None:
        self.is_closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def methods(self, key_end: str = "") -> list[str]:
        with self.mutex:
            return [one.method for one in self.requests if one.key.endswith(key_end)]

    def wait_for(self, condition, timeout_s: float = 20) -> None:
        """Block until the condition holds; it is looked at after every request."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), "the server waited in vain"

    def now_s(self) -> float:
        """Its clock stands: how fast a test runs does not age a lock."""
        return START.timestamp() + self.ahead_s

    def is_met(self, headers: dict[str, str], found: Stored | None) -> bool:
        if "if-none-match" in headers and "if-none-match" not in self.ignores and found:
            return False
        wanted = headers.get("if-match")
        if wanted is None or "if-match" in self.ignores:
            return True
        is_quoted = wanted.startswith('"')
        if (self.quotes == "always" and not is_quoted) or (self.quotes == "never" and is_quoted):
            return False
        return found is not None and wanted.strip('"') == found.e_tag + self.e_tag_suffix


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one write per answer: head and body apart cost 40 ms of delayed ACK
    bucket: BucketServer

    def do_PUT(self) -> None:
        self._serve()

    do_GET = do_HEAD = do_DELETE = do_PUT  # noqa: N815 - named by http.server

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self) -> None:
        bucket, headers = self.bucket, {name.lower(): text for name, text in self.headers.items()}
        data = self.rfile.read(int(headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        path = unquote(parts.path).lstrip("/")
        host = parts.netloc or headers.get("host", "")
        key = path if host.startswith("bucket.") else path.partition("/")[2]
        request = Request(self.command, self.path, host, key, headers)
        with bucket.mutex:
            bucket.requests.append(request)
            vice = bucket.answer(request)
            if vice not in ("drop", "hang") and not isinstance(vice, tuple):
                status, body, more = self._do(request, data, parse_qs(parts.query))
            bucket.changed.notify_all()
        if isinstance(vice, tuple):
            status, body, more = *vice, {}
        if vice == "hang":
            bucket.is_closing.wait(30)
        if vice in ("drop", "lose", "hang"):
            self.close_connection = True
            return
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **more}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _do(self, request: Request, data: bytes, query: dict) -> tuple[int, bytes, dict[str, str]]:
        bucket, key = self.bucket, request.key
        if request.method == "PUT":
            return self._put(request, data)
        if request.method == "DELETE":
            bucket.files.pop(key, None)
            return 204, b"", {}
        if "list-type" in query:
            return 200, _listing(bucket, query.get("prefix", [""])[0]), {}
        if (found := bucket.files.get(key)) is None:
            return 404, _error("NoSuchKey", "there is none"), {}
        more = {
            "ETag": f'"{found.e_tag}{bucket.e_tag_suffix}"',
            "Last-Modified": formatdate(found.modified_s, usegmt=True),
            "Content-Length": str(len(found.data)),
        }
        return 200, found.data if request.method == "GET" else b"", more

    def _put(self, request: Request, data: bytes) -> tuple[int, bytes, dict[str, str]]:
        bucket, key = self.bucket, request.key
        if bucket.refuses_conditions and {"if-match", "if-none-match"} & set(request.headers):
            return 501, _error("NotImplemented", "no conditions here"), {}
        if (
            key not in bucket.files
            and "if-match" in request.headers
            and bucket.missing_status == 404
        ):
            return 404, _error("NoSuchKey", "there is none"), {}
        if not bucket.is_met(request.headers, bucket.files.get(key)):
            return 412, _error("PreconditionFailed", "it does not hold"), {}
        stored = bucket.files[key] = Stored(data, bucket.now_s())
        return 200, b"", {"ETag": f'"{stored.e_tag}{bucket.e_tag_suffix}"'}


def _listing(bucket: BucketServer, prefix: str) -> bytes:
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(one.data)}</Size>"
        f'<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"{one.e_tag}"</ETag></Contents>'
        for key, one in bucket.files.items()
        if key.startswith(prefix)
    )
    return (
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
    )


def _error(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def open_bucket(bucket: BucketServer, *, retries: int = 0, timeout_s: float = 20) -> ObjectStore:
    """The store at such a server, that waits for it as told."""
    address = read_object_url(bucket.url, os.environ)
    return ObjectStore(
        address,
        url=bucket.url,
        scratch="_meta/p/tmp",
        clock=SystemClock(),
        timeout_s=timeout_s,
        retries=retries,
    )
