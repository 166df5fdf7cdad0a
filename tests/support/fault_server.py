"""A server on a loopback socket that answers by script, byte for byte, right or wrong.

A script is a list of acts; the n-th request gets the n-th act, the last act repeats. An act is a
function of the connection that says whether the connection stays open.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Act = Callable[["Connection"], bool]
PAGE = {"total_count": 0, "backups": []}
JSON = "application/json"
LOOPBACK = IPv4Address("127.0.0.1")


class Connection:
    """One accepted connection, with what an act may do to it."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self.sock = sock
        self.stopped = stopped

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every_s: float) -> None:
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self.stopped.wait(every_s):
                return

    def reset(self) -> None:
        """Break the connection off as a failing network does, not as a server says goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def read_request(self) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.sock.recv(65536)
            if not chunk:
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += self.sock.recv(65536)
        return head + b"\r\n\r\n" + body


class FaultServer:
    """Serves a script on a free port of 127.0.0.1; use it as a context manager.

    Attributes:
        requests: what came in, as bytes, in order.
        connections: how many connections were made.
    """

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.requests: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with self._lock:
                self._open.add(sock)
            connection = Connection(sock, self._stopped)
            while (request := connection.read_request()) is not None:
                with self._lock:
                    self.requests.append(request)
                    act = self.script[min(len(self.requests), len(self.script)) - 1]
                if not act(connection):
                    break
        with self._lock:
            self._open.discard(sock)
        sock.close()


# -- acts ------------------------------------------------------------------------------------------


def answer(
    body: object = PAGE,
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    is_kept: bool = True,
) -> Act:
    """A well-formed answer; a body that is neither bytes nor text is sent as JSON."""
    data = as_bytes(body)
    fields = {"Content-Type": JSON, "Content-Length": str(len(data))} | (headers or {})
    if status < 200 or status in (204, 304):
        fields.pop("Content-Length")
        data = b""
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return raw(head.encode("latin-1") + b"\r\n" + data, is_kept=is_kept)


def as_bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def zipped(body: object, *, keep: float = 1.0, encoding: str = "gzip") -> Act:
    """An answer in gzip, whole or cut, named as any encoding."""
    data = gzip.compress(as_bytes(body))
    return answer(data[: int(len(data) * keep)], headers={"Content-Encoding": encoding})


def raw(data: bytes, *, is_kept: bool = False) -> Act:
    """These very bytes; then the connection is closed, or kept."""

    def act(connection: Connection) -> bool:
        connection.send(data)
        return is_kept

    return act


def then_reset(data: bytes = b"") -> Act:
    """These bytes, then a broken connection."""

    def act(connection: Connection) -> bool:
        connection.send(data)
        connection.reset()
        return False

    return act


def hang_up(connection: Connection) -> bool:
    """A connection closed without a word."""
    return False


def silence(connection: Connection) -> bool:
    """Nothing, until the client has enough."""
    connection.stopped.wait(5)
    return False


def drip(head: bytes, slow: bytes, every_s: float = 0.02) -> Act:
    """The head at once, the rest byte by byte."""

    def act(connection: Connection) -> bool:
        connection.send(head)
        connection.drip(slow, every_s)
        return False

    return act


def self_signed(
    folder: Path, host: IPv4Address = LOOPBACK, *, is_expired: bool = False
) -> ssl.SSLContext:
    """The TLS of a server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(hours=-1 if is_expired else 24))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "self_signed.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
