"""The wire's own connections: proxies, odd but right answers, and what may be used again."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from backup_frames.api.wire.transport import DeadlineTransport
from tests.support.fault_server import Act, Connection, FaultServer, answer, raw, self_signed

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def ask(transport: DeadlineTransport, url: str, deadline_s: float = 60) -> httpx.Response:
    """One request, its answer read and its connection given back."""
    request = httpx.Request("GET", url, extensions={"deadline_s": deadline_s})
    response = transport.handle_request(request)
    try:
        response.read()
    finally:
        response.close()
    return response


def tunnel_to(port: int) -> Act:
    """What a proxy does with CONNECT: bytes go both ways until one side ends."""

    def act(connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        near = connection.sock
        with socket.create_connection(("127.0.0.1", port)) as far:
            while not connection.stopped.is_set():
                is_held = bool(getattr(near, "pending", int)())
                ready = [near] if is_held else select.select([near, far], [], [], 0.1)[0]
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return False
                    (far if one is near else near).sendall(data)
        return False

    return act


@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_a_proxy_carries_tls_it_cannot_read(
    is_tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy, reached with or without TLS: one tunnel, a login for it, two requests."""
    tls = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "self_signed.pem"))
    with (
        FaultServer(answer(b"{}")) as server,
        FaultServer(raw(b""), tls=tls if is_tls else None) as proxy,
    ):
        server._tls = tls
        proxy.script = [tunnel_to(server.port)]
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint.replace("//", "//user:pass@"))
        transport = DeadlineTransport(server.endpoint, max_connections=2)
        for _ in range(2):
            assert ask(transport, f"{server.endpoint}/a").content == b"{}"
        transport.close()
        assert len(server.requests) == 2
        assert b"CONNECT" not in server.requests[0]
        assert len(proxy.requests) == 1
        head = f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode()
        assert proxy.requests[0].startswith(head)
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in proxy.requests[0]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX: y\r\n\r\n", b"{}"),
        (b"HTTP/1.1 204 X\r\n\r\n", b""),
        (b"HTTP/1.1 304 X\r\nContent-Length: 2\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1\t200  All  well \nContent-Length:2\nX:\n\n{}", b"{}"),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"Content-Length: \t2\t \r\nX: \xe9 \xff\r\n\r\n{}", b"{}"),
        (HEAD + b"X: Content-Length: 3,\r\n Content-Length: 3\r\nContent-Length:\r\n\t2\r\n\r\n{}", b"{}"),
        (HEAD + b"X: y\r\n" * 9_000 + b"Content-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"X: " + b"y" * 90_000 + b"\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"Content-Length: 2" + b" " * 90_000 + b"\r\n\r\n{}", b"{}"),
        (HEAD + b"X: a" + b" " * 90_000 + b"b\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200" + b" " * 90_000 + b"OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"X:" + b"\r\n y" * 9_000 + b"\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
    ],
)  # fmt: skip
def test_right_answers_are_read_and_the_connection_serves_on(data: bytes, body: bytes) -> None:
    """Hints before the answer, a length said twice, chunks with all that they may have."""
    with FaultServer(raw(data, is_kept=True)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        assert [ask(transport, server.endpoint).content for _ in range(2)] == [body, body]
        assert server.connections == 1
        transport.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2, 3\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 2\r\nContent-Length: 20\r\n",
        b"Content-Length: %b\r\n" % (b"2" * 5000),
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nno header\r\nX: y\r\n",
        b"Content-Length: 2\r\nX : y\r\n",
        b"Content-Length: 2\r\n: y\r\n",
        b" folded: y\r\nContent-Length: 2\r\n",
        b"X: y\rContent-Length: 2\r\n",
        b"X: \0\r\nContent-Length: 2\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 2" + b" " * 110_000 + b"\r\n",
        b"X:" + b" " * 90_000 + b"\0\r\nContent-Length: 2\r\n",
        b"X: a" + b" " * 90_000 + b"\rb\r\nContent-Length: 2\r\n",
        b"X:" + b"\r\n " * 30_000 + b"\0\r\nContent-Length: 2\r\n",
        b" " * 90_000 + b"X: y\r\nContent-Length: 2\r\n",
        b"X: y\r\n" * 20_000 + b"Content-Length: 2\r\n",
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    """What two readers would take for bodies of different lengths is no answer."""
    with FaultServer(raw(HEAD + head + b"\r\n{}", is_kept=True)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        with pytest.raises(httpx.RemoteProtocolError):
            ask(transport, server.endpoint)
        transport.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}",
        b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"ICY 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200" + b" " * 90_000 + b"\rX\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK" + b"!" * 110_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X: y",
        HEAD + b"X: y\r\n z",
        HEAD,
        HEAD + b"Content-Type: application/json\r\n",
        b"HTTP/1.1 204 No Content\r\nX: y\r\n",
        CHUNKED + b"2\r\n{}\r\n-0\r\n\r\n",
        CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}  0\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n0",
        CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_what_ends_before_its_end_is_no_answer(data: bytes) -> None:
    """A head without its last line, and chunks whose sizes are none or do not fit, are refused."""
    with FaultServer(raw(data)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        with pytest.raises(httpx.RemoteProtocolError):
            ask(transport, server.endpoint)
        transport.close()


@pytest.mark.parametrize(
    "data",
    [b"%b", b"HTTP/1.1 200\r\n%b", HEAD + b"Transfer-Encoding: %b", HEAD + b"Content-Length: %b"],
)
@pytest.mark.parametrize("size", [20, 150, 3000])
def test_what_is_no_answer_is_shown_whole_or_not_at_all(data: bytes, size: int) -> None:
    """Of a secret that a server sends back no part is left that nobody would recognise."""
    secret = b"s3,cret" * (size // 7)
    with FaultServer(raw(data % secret + b"\r\n\r\n")) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            ask(transport, server.endpoint)
        transport.close()
    assert "cret" not in str(caught.value).replace(secret.decode(), "")


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"X: a\r\n b", "a b"),
        (b"X:\r\n b", "b"),
        (b"X: \n\tb", "b"),
        (b"X: a\r\n ", "a"),
        (b"X: a\r\n \r\n\t\r\n", "a"),
        (b"X: a\r\n b: c\r\n\td ", "a b: c d"),
    ],
)
def test_a_value_over_several_lines_is_one(lines: bytes, value: str) -> None:
    """Blanks at its ends are no part of it: a token would be none with them."""
    data = HEAD + b"Content-Length: 2\r\n" + lines.removesuffix(b"\r\n") + b"\r\n\r\n{}"
    with FaultServer(raw(data)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        assert ask(transport, server.endpoint).headers["X"] == value
        transport.close()


def test_a_space_behind_the_transfer_encoding_means_nothing() -> None:
    """The chunks are read as such."""
    data = HEAD + b"Transfer-Encoding: Chunked \r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with FaultServer(raw(data)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        assert ask(transport, server.endpoint).content == b"{}"
        transport.close()


def test_a_host_is_reached_by_the_address_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that swallows connections leaves the next one its share of the deadline."""
    with FaultServer(answer(b"{}")) as server, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as waiting:
            for _ in range(4):  # who comes when nobody is let in any more is not answered at all
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)
                for address in (full.getsockname(), *[("127.0.0.1", server.port)] * 49)
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            transport = DeadlineTransport(server.endpoint, max_connections=1)
            assert ask(transport, "http://of-many-addresses", deadline_s=60).content == b"{}"
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1] * 3)
            with pytest.raises(httpx.ConnectTimeout):
                ask(transport, "http://of-none-that-answers", deadline_s=0.1)
            transport.close()


def test_tls_within_tls_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that hands on byte by byte does not hold a request beyond its deadline."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "self_signed.pem"))
    sent = 0

    def slow(connection: Connection) -> bool:
        nonlocal sent
        connection.send(HEAD + b"\r\n")
        for byte in b"\x16\x03\x03\x40\x00" + b"\0" * 95:  # the beginning of a long message
            connection.drip(bytes([byte]), 0.02)
            sent += 1
        return False

    with FaultServer(slow, tls=self_signed(tmp_path)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint)
        transport = DeadlineTransport("https://127.0.0.1:1", max_connections=1)
        with pytest.raises(httpx.TimeoutException):
            ask(transport, "https://127.0.0.1:1", deadline_s=0.6)
        transport.close()
    assert sent < 100


@pytest.mark.parametrize("more", [b"\r\n", b" ", HEAD + b"Content-Length: 2\r\n\r\n[]"])
def test_what_follows_an_answer_is_not_taken_for_the_next(more: bytes) -> None:
    """A second answer that nobody asked for, or a line too many, ends with its connection."""
    one = HEAD + b"Content-Length: 2\r\n\r\n{}"
    with FaultServer(raw(one + more, is_kept=True)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        assert [ask(transport, server.endpoint).content for _ in range(3)] == [b"{}"] * 3
        transport.close()
        assert server.connections == 3


def test_what_a_proxy_says_is_not_taken_for_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind its answer to CONNECT a proxy can put nothing into the tunnel's own encryption."""
    tls = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "self_signed.pem"))
    forged = HEAD + b"Content-Length: 2\r\n\r\n[]"

    def act(connection: Connection) -> bool:
        connection.send(HEAD + b"\r\n" + forged)
        with tls.wrap_socket(connection.sock, server_side=True) as inner:
            inner.recv(1)
            inner.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        return False

    with FaultServer(act) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint)
        transport = DeadlineTransport("https://127.0.0.1:1", max_connections=1)
        with pytest.raises(httpx.RemoteProtocolError, match="after its end"):
            ask(transport, "https://127.0.0.1:1")
        transport.close()


def test_a_connection_that_ended_meanwhile_is_replaced() -> None:
    """The server closes after each answer without saying so: no request fails for it."""
    with FaultServer(answer(b"{}", is_kept=False)) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        assert ask(transport, server.endpoint).content == b"{}"
        (connection,) = next(iter(transport._idle.values()))
        select.select([connection._socket], [], [], 60)  # until the end has come
        assert ask(transport, server.endpoint).content == b"{}"
        transport.close()
        assert server.connections == 2


def test_who_finds_no_connection_waits_until_the_deadline() -> None:
    """At most so many requests are under way; the next one waits, and says so if in vain."""
    with FaultServer(answer(b"{}")) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        request = httpx.Request("GET", server.endpoint, extensions={"deadline_s": 5})
        held = transport.handle_request(request)
        with pytest.raises(httpx.PoolTimeout):
            ask(transport, server.endpoint, deadline_s=0.05)
        held.close()
        assert ask(transport, server.endpoint).content == b"{}"
        transport.close()


def test_closing_ends_what_is_under_way() -> None:
    """A thread that waits for an answer is not held until its deadline."""
    arrived = threading.Event()

    def hold(connection: Connection) -> bool:
        arrived.set()
        connection.stopped.wait(120)
        return False

    with FaultServer(hold) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        errors: list[Exception] = []

        def run() -> None:
            try:
                ask(transport, server.endpoint, deadline_s=120)
            except httpx.TransportError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert arrived.wait(60)
        transport.close()
        thread.join(60)
        assert len(errors) == 1


def test_a_connection_made_while_closing_carries_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was about to connect when the transport was closed is not held, and asks nothing."""
    with FaultServer(answer(b"{}")) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        connect = transport._open

        def connect_and_close(*place: Any) -> Any:
            made = connect(*place)
            transport.close()
            return made

        monkeypatch.setattr(transport, "_open", connect_and_close)
        with pytest.raises(httpx.TransportError):
            ask(transport, server.endpoint)
    assert not server.requests


def test_a_line_break_in_a_header_never_leaves() -> None:
    """A header's value cannot begin another header."""
    with FaultServer(answer(b"{}")) as server:
        transport = DeadlineTransport(server.endpoint, max_connections=1)
        request = httpx.Request(
            "GET", server.endpoint, headers={"X": "a\r\nY: b"}, extensions={"deadline_s": 5}
        )
        with pytest.raises(httpx.LocalProtocolError):
            transport.handle_request(request)
        transport.close()
        assert not server.requests


def test_a_proxy_that_refuses_is_told_in_the_usual_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own words could hold the login that it was sent."""
    with FaultServer(raw(b"HTTP/1.1 407 Not with user:pass\r\nContent-Length: 0\r\n\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint.replace("//", "//user:pass@"))
        transport = DeadlineTransport("https://127.0.0.1:1", max_connections=1)
        with pytest.raises(httpx.ProxyError, match=r"407 Proxy Authentication Required$"):
            ask(transport, "https://127.0.0.1:1")
        transport.close()
