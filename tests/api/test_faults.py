"""The fault table: whatever comes over the wire ends in the right error, in time, with nothing written.

Every case is a real run of the command line against a real socket. Only waiting is virtual.
"""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.fault_server import (
    Act,
    FaultServer,
    answer,
    as_bytes,
    drip,
    hang_up,
    raw,
    self_signed,
    silence,
    then_reset,
    zipped,
)

from backup_frames.api.answers import read_failure
from backup_frames.cli import main
from backup_frames.errors import AuthError

Read = Callable[..., Any]

STATUSES = (
    *(300, 301, 302, 303, 304, 305, 307, 308),
    *(400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 421, 422, 425, 429, 494),
    *(500, 501, 502, 503, 504, 505, 599),
)
BODIES: dict[str, object] = {
    "service": {"error_code": "DBS.200001", "error_msg": "Parameter error."},
    "gateway": {"error_msg": "No.", "error_code": "APIGW.0101", "request_id": "0" * 32},
    "IAM": {"error": {"code": 400, "message": "No.", "title": "Bad Request"}},
    "errCode": {"errCode": "DBS.200001", "errMsg": "Parameter error."},
    "nested": {"error": {"error_code": "DBS.200001", "error_msg": "Parameter error."}},
    "HTML": "<html><head><title>CloudWAF</title></head></html>",
    "empty": b"",
    "garbage": b"\x00\xff\xfe{[\x80" * 50,
}
CODES = {"service": "DBS.200001", "gateway": "APIGW.0101", "IAM": "400"}
CODES |= {"errCode": "DBS.200001", "nested": "DBS.200001"}


class End(NamedTuple):
    """How a run ends: class of the error, requests sent, exit code."""

    error: str | None
    requests: int | range
    code: int


DONE = End(None, range(2, 7), 0)  # four look if windows show a row with a begin time
REFUSED = End("RejectedError", 1, 3)
NO_AUTH = End("AuthError", 1, 3)
DOWN = End("UnavailableError", 4, 3)
NO_PAGE = End("PageError", 4, 3)
ODD = End("SchemaError", 3, 4)
ODD_ROW = End("SchemaError", range(2, 7), 4)  # the walk is through before a column shows it
THROTTLED = End("ThrottledError", range(4, 26), 3)
UNPROVEN = End("IncompleteReadError", range(10, 600), 6)

ROW = {"id": "b1", "name": "n", "begin_time": "2026-01-01T00:00:00+0000", "size": 5}


def page(**fields: object) -> dict[str, object]:
    return {"total_count": 1, "backups": [ROW | fields]}


def row_text(text: str) -> str:
    """A page as text, for JSON that Python would not write."""
    return f'{{"total_count":1,"backups":[{{{text}}}]}}'


def check(ran: Any, server: FaultServer, end: End) -> None:
    __tracebackhide__ = True
    assert (ran.error, ran.code) == (end.error, end.code), ran.err
    count = len(server.requests)
    assert count == end.requests if isinstance(end.requests, int) else count in end.requests
    assert bool(ran.written) == (end.code == 0)
    assert ran.slept_s < 900


def end_of_status(status: int) -> End:
    if status in (401, 403):
        return NO_AUTH
    if status == 429:
        return THROTTLED
    return DOWN if status >= 500 or status in (408, 409, 421, 425) else REFUSED


# Every body under one status of each end; under the others one body each here, all when slow.
OF_EACH_END = (302, 304, 400, 401, 429, 503)


def status_cases() -> Iterator[Any]:
    for place, status in enumerate(STATUSES):
        for number, body in enumerate(BODIES):
            is_cheap = status in OF_EACH_END or number == place % len(BODIES)
            yield pytest.param(status, body, marks=() if is_cheap else pytest.mark.slow)


@pytest.mark.parametrize(("status", "body"), list(status_cases()))
def test_failures(status: int, body: str, read: Read) -> None:
    """The status decides, whatever the body; code and text of a body are told where it has any."""
    with FaultServer(answer(BODIES[body], status)) as server:
        ran = read(server.endpoint)
        check(ran, server, end_of_status(status))
    assert str(status) in ran.message
    if status != 304:  # which has no body
        assert CODES.get(body, "") in ran.message


@pytest.mark.parametrize(
    ("status", "code", "end"),
    [
        (400, "DBS.280005", DOWN),
        (403, "DBS.200998", DOWN),
        (409, "DBS.111205", DOWN),
        (400, "DBS.280443", THROTTLED),
        (403, "APIGW.0308", THROTTLED),
        (403, "DBS.280056", NO_AUTH),
        (400, "APIGW.0307", NO_AUTH),
        (401, "APIGW.0301", NO_AUTH),
        (403, "APIGW.0301", NO_AUTH),
        (403, "APIG.0303", NO_AUTH),
        (400, "DBS.200010", NO_AUTH),
        (400, "DBS.280063", NO_AUTH),
        (404, "APIGW.0101", REFUSED),
        (400, "DBS.201215", REFUSED),
    ],
)
def test_codes_that_say_more_than_the_status(status: int, code: str, end: End, read: Read) -> None:
    """Some codes of service and gateway mean the same under any status."""
    with FaultServer(answer({"error_code": code, "error_msg": "text"}, status)) as server:
        check(read(server.endpoint), server, end)


SUCCESSES: dict[str, tuple[Act, End]] = {
    f"{status} with {name}": (answer(body, status), end)
    for status in (200, 201, 202)
    for name, body, end in (
        ("a page", page(), DONE),
        ("an error's body", BODIES["service"], ODD),
        ("HTML", BODIES["HTML"], NO_PAGE),
        ("nothing", b"", NO_PAGE),
        ("garbage", BODIES["garbage"], NO_PAGE),
    )
} | {"204": (answer(b"", 204), NO_PAGE), "206 cut": (answer('{"total_count":1,', 206), NO_PAGE)}

CONTENTS: dict[str, tuple[object, End]] = {
    # no JSON
    "blanks": ("  \r\n ", NO_PAGE),
    "zero bytes": (b"\0" * 100, NO_PAGE),
    "a BOM": (b"\xef\xbb\xbf" + as_bytes(page()), DONE),
    "UTF-16": (json.dumps(page()).encode("utf-16"), NO_PAGE),
    "invalid UTF-8 in an id": (b'{"total_count":1,"backups":[{"id":"\xff"}]}', NO_PAGE),
    "invalid UTF-8 in a name": (b'{"total_count":1,"backups":[{"id":"a","name":"\xff"}]}', NO_PAGE),
    "a lone surrogate in an id": (row_text(r'"id":"\ud800"'), ODD_ROW),
    "a lone surrogate in a name": (row_text(r'"id":"a","name":"\ud800"'), DONE),
    "NaN": (row_text('"id":"a","size":NaN'), NO_PAGE),
    "Infinity": (row_text('"id":"a","size":-Infinity'), NO_PAGE),
    "cut by one byte": (json.dumps(page())[:-1], NO_PAGE),
    "cut in the middle": (json.dumps(page())[:40], NO_PAGE),
    "two pages in one": (json.dumps(page()) * 2, NO_PAGE),
    "single quotes": (str(page()), NO_PAGE),
    "501 deep": ('{"total_count":0,"backups":[],"x":' + "[" * 501 + "]" * 501 + "}", NO_PAGE),
    "200,000 deep": ('{"total_count":0,"backups":[],"x":' + "[" * 200_000, NO_PAGE),
    "200,000 deep and closed": (
        '{"total_count":0,"backups":[],"x":' + "[" * 200_000 + "]" * 200_000 + "}",
        NO_PAGE,
    ),
    "200,000 objects deep": ('{"x":' * 200_000, NO_PAGE),
    # JSON, but no page
    "null": ("null", ODD),
    "an array": ("[]", ODD),
    "a number": ("7", ODD),
    "a text": ('"page"', ODD),
    "an empty object": ("{}", ODD),
    "no total_count": ({"backups": []}, ODD),
    "no backups": ({"total_count": 0}, ODD),
    "backups null": ({"total_count": 0, "backups": None}, ODD),
    "backups an object": ({"total_count": 0, "backups": {}}, ODD),
    "backups a text": ({"total_count": 0, "backups": "none"}, ODD),
    "total_count a text": ({"total_count": "7", "backups": []}, ODD),
    "total_count negative": ({"total_count": -1, "backups": []}, ODD),
    "total_count true": ({"total_count": True, "backups": []}, ODD),
    "total_count null": ({"total_count": None, "backups": []}, ODD),
    "total_count broken": ({"total_count": 0.5, "backups": []}, ODD),
    "a row null": ({"total_count": 1, "backups": [None]}, ODD),
    "a row a text": ({"total_count": 1, "backups": ["b1"]}, ODD),
    "id missing": ({"total_count": 1, "backups": [{"name": "n"}]}, ODD),
    "id null": (page(id=None), ODD),
    "id a number": (page(id=5), ODD),
    "begin_time a number": (page(begin_time=1767225600), DONE),
    "begin_time unreadable": (page(begin_time="yesterday"), DONE),
    "begin_time without time of day": (page(begin_time="2026-01-01"), DONE),
    "begin_time impossible": (page(begin_time="2026-02-30T00:00:00+0000"), DONE),
    # a page: a row without id is refused, a value of the wrong type is kept and told
    "id empty": (page(id=""), ODD_ROW),
    "end_time unreadable": (page(end_time="soon"), DONE),
    "size a text": (page(size="big"), DONE),
    "size 1e400": (row_text('"id":"a","begin_time":"2026-01-01T00:00:00Z","size":1e400'), DONE),
    "name a number": (page(name=7), DONE),
    "datastore a text": (page(datastore="redis"), DONE),
    "database_tables an object": (page(database_tables={}), DONE),
    "table_names a text": (page(database_tables=[{"table_names": "t"}]), DONE),
    # pages that contradict themselves
    "more counted than sent": ({"total_count": 5, "backups": []}, UNPROVEN),
    "fewer counted than sent": ({"total_count": 0, "backups": [ROW]}, UNPROVEN),
    "an id twice": ({"total_count": 2, "backups": [ROW, ROW]}, UNPROVEN),
    "a total beyond all reason": ('{"total_count":1' + "0" * 30 + ',"backups":[]}', UNPROVEN),
}


@pytest.mark.parametrize("name", SUCCESSES)
def test_successes(name: str, read: Read) -> None:
    """Any 2xx with a page is a page; any other 2xx is not."""
    act, end = SUCCESSES[name]
    with FaultServer(act) as server:
        check(read(server.endpoint), server, end)


@pytest.mark.parametrize("name", CONTENTS)
def test_contents(name: str, read: Read) -> None:
    """Status 200 with a body that is no page: an error, never an empty list; odd values are none."""
    body, end = CONTENTS[name]
    with FaultServer(answer(body)) as server:
        check(read(server.endpoint), server, end)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAGE = as_bytes(page())
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n" % len(PAGE) + PAGE + b"\r\n"
ZIPPED_CHUNKED = HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
DEFLATED = b"Content-Encoding: deflate\r\n\r\n"
MEMBERS = gzip.compress(PAGE[:20]) + gzip.compress(PAGE[20:])
BOMB = gzip.compress(b" " * (70 * 2**20))


def in_bytes(body: bytes) -> bytes:
    """In chunks of one byte each."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


WIRES: dict[str, tuple[Act, End]] = {
    # encodings
    "gzip": (zipped(page()), DONE),
    "identity": (answer(PAGE, headers={"Content-Encoding": "identity"}), DONE),
    "deflate": (answer(zlib.compress(PAGE), headers={"Content-Encoding": "deflate"}), DONE),
    "deflate without zlib's head": (
        answer(zlib.compress(PAGE, wbits=-15), headers={"Content-Encoding": "deflate"}),
        DONE,
    ),
    "deflate cut": (
        answer(zlib.compress(PAGE)[:-9], headers={"Content-Encoding": "deflate"}),
        NO_PAGE,
    ),
    "x-gzip": (zipped(page(), encoding="x-gzip"), DONE),
    "gzip and identity": (zipped(page(), encoding="GZIP, identity"), DONE),
    "gzip of two members": (answer(MEMBERS, headers={"Content-Encoding": "gzip"}), DONE),
    "gzip of two members in chunks": (
        raw(ZIPPED_CHUNKED + in_bytes(MEMBERS)),
        DONE,
    ),
    "gzip of two members, the second cut": (
        answer(MEMBERS[:-12], headers={"Content-Encoding": "gzip"}),
        NO_PAGE,
    ),
    "gzip with padding": (
        answer(gzip.compress(PAGE) + b"\0" * 512, headers={"Content-Encoding": "gzip"}),
        DONE,
    ),
    "gzip with a BOM inside": (
        answer(gzip.compress(b"\xef\xbb\xbf" + PAGE), headers={"Content-Encoding": "gzip"}),
        DONE,
    ),
    "gzip without a header": (answer(gzip.compress(PAGE)), DONE),
    "gzip without a header in chunks": (raw(CHUNKED + in_bytes(gzip.compress(PAGE))), DONE),
    "deflate without zlib's head in chunks": (
        raw(CHUNKED[:-2] + DEFLATED + in_bytes(zlib.compress(PAGE, wbits=-15))),
        DONE,
    ),
    "gzip named deflate": (zipped(page(), encoding="deflate"), DONE),
    "gzip with something behind it": (
        answer(gzip.compress(PAGE) + b"<!-- 7 -->", headers={"Content-Encoding": "gzip"}),
        DONE,
    ),
    "gzip cut": (zipped(page(), keep=0.5), NO_PAGE),
    "gzip cut in its checksum": (
        answer(gzip.compress(PAGE)[:-4], headers={"Content-Encoding": "gzip"}),
        NO_PAGE,
    ),
    "gzip that is none": (answer(PAGE, headers={"Content-Encoding": "gzip"}), NO_PAGE),
    "gzip with a wrong checksum": (
        answer(gzip.compress(PAGE)[:-8] + b"\0" * 8, headers={"Content-Encoding": "gzip"}),
        NO_PAGE,
    ),
    "gzip twice": (
        answer(gzip.compress(gzip.compress(PAGE)), headers={"Content-Encoding": "gzip, gzip"}),
        NO_PAGE,
    ),
    "brotli": (zipped(page(), encoding="br"), NO_PAGE),
    "zstd": (zipped(page(), encoding="zstd"), NO_PAGE),
    "an encoding unheard of": (zipped(page(), encoding="rot13"), NO_PAGE),
    "a gzip bomb": (
        answer(BOMB, headers={"Content-Encoding": "gzip"}),
        End("PageTooLargeError", 4, 3),  # asked with limit 100, 25, 6 and 1
    ),
    # framing
    "chunks": (raw(CHUNKED + CHUNK + b"0\r\n\r\n", is_kept=True), DONE),
    "chunks without end": (raw(CHUNKED + CHUNK), DOWN),
    "chunks without a last line": (raw(CHUNKED + CHUNK + b"0\r\n"), DOWN),
    "chunks that end within a trailer": (raw(CHUNKED + CHUNK + b"0\r\nX-Sum: 1\r\n"), DOWN),
    "a chunk cut": (raw(CHUNKED + CHUNK[:-9]), DOWN),
    "a chunk without size": (raw(CHUNKED + b"size\r\n" + PAGE), DOWN),
    "less than Content-Length": (raw(HEAD + b"Content-Length: 999\r\n\r\n" + PAGE), DOWN),
    "more than Content-Length": (raw(HEAD + b"Content-Length: 20\r\n\r\n" + PAGE), NO_PAGE),
    "more than Content-Length, kept": (
        raw(HEAD + b"Content-Length: 20\r\n\r\n" + PAGE, is_kept=True),
        NO_PAGE,  # the rest of a body is not taken for the next answer
    ),
    "Content-Length negative": (raw(HEAD + b"Content-Length: -1\r\n\r\n" + PAGE), DOWN),
    "Content-Length twice": (
        raw(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + PAGE),
        DOWN,
    ),
    "no length": (raw(HEAD + b"\r\n" + PAGE), DONE),
    "no length, cut": (raw(HEAD + b"\r\n" + PAGE[:-2]), NO_PAGE),
    "HTTP/1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + PAGE), DONE),
    "HTTP/1.0, cut": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + PAGE[:-2]), NO_PAGE),
    "HTTP/2": (raw(b"HTTP/2 200\r\n\r\n" + PAGE), DOWN),
    "another protocol": (raw(b"SSH-2.0-OpenSSH_9.9\r\n"), DOWN),
    "noise": (raw(b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n"), DOWN),
    "100, then a page": (
        raw(
            b"HTTP/1.1 100 Continue\r\n\r\n"
            + HEAD
            + b"Content-Length: %d\r\n\r\n" % len(PAGE)
            + PAGE
        ),
        DONE,
    ),
    "101": (raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), DOWN),
    "a header of 200 kB": (raw(HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n" + PAGE), DOWN),
    "50,000 headers": (raw(HEAD + b"X: x\r\n" * 50_000 + b"\r\n" + PAGE), DOWN),
    "a header that is none": (raw(HEAD + b"no header\r\n\r\n" + PAGE), DOWN),
    # connections
    "hung up": (hang_up, DOWN),
    "reset": (then_reset(), DOWN),
    "reset within the headers": (then_reset(HEAD[:30]), DOWN),
    "reset within the body": (then_reset(HEAD + b"Content-Length: 99\r\n\r\n{"), DOWN),
    "closed though kept alive": (
        answer(page(), headers={"Connection": "keep-alive"}, is_kept=False),
        DONE,
    ),
}
SLOW: dict[str, Act] = {
    "silence": silence,
    "headers drip": drip(b"", HEAD * 10),
    "one header drips": drip(HEAD + b"X: ", b"x" * 500),
    "early hints drip": drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40, every_s=0.001),
    "a body drips": drip(HEAD + b"Content-Length: 500\r\n\r\n", b" " * 500),
    "chunks drip": drip(CHUNKED, b"1\r\n \r\n" * 100),
}


@pytest.mark.parametrize("name", WIRES)
def test_wires(name: str, read: Read) -> None:
    """Bodies packed, framed or broken off in every way."""
    act, end = WIRES[name]
    with FaultServer(act) as server:
        check(read(server.endpoint), server, end)


UNREADABLE: dict[str, Act] = {
    "a gzip bomb": answer(BOMB, 401, {"Content-Encoding": "gzip"}),
    "gzip that is none": answer(b"{}", 401, {"Content-Encoding": "gzip"}),
    "an encoding unheard of": answer(b"{}", 401, {"Content-Encoding": "rot13"}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_failure_counts_whatever_its_body_is(name: str, read: Read) -> None:
    """Refused credentials are not tried again because the body that says so cannot be read."""
    with FaultServer(UNREADABLE[name]) as server:
        check(read(server.endpoint), server, NO_AUTH)


@pytest.mark.parametrize("name", SLOW)
def test_a_request_has_a_total_deadline(name: str, read: Read) -> None:
    """However slowly bytes drip, each of the tries ends in time."""
    with FaultServer(SLOW[name]) as server:
        ran = read(server.endpoint, timeout_s=0.15)
        check(ran, server, DOWN._replace(requests=range(5)))  # time may be up before one is sent
    assert "0.15 s" in ran.message


def test_nobody_listens(read: Read) -> None:
    """A refused connection is retried, then told with its address."""
    with socket.socket() as deaf:  # bound, so that nobody else takes the port, and does not listen
        deaf.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        ran = read(endpoint)
    assert (ran.error, ran.code) == ("UnavailableError", 3)
    assert endpoint in ran.message
    assert 1 < ran.slept_s < 10


@pytest.mark.parametrize(
    "endpoint", ["https://nowhere.invalid", "https://a..b", f"https://{'a' * 70}.com"]
)
def test_there_is_no_such_host(endpoint: str, read: Read) -> None:
    """A host name that means nothing, or cannot be one, is an unreachable service."""
    ran = read(endpoint)
    assert (ran.error, ran.code) == ("UnavailableError", 3)


def test_tls_against_a_plain_port(read: Read) -> None:
    """A server that speaks no TLS is an unreachable service."""
    with FaultServer(answer(page())) as server:
        ran = read(server.endpoint.replace("http://", "https://"), timeout_s=0.15)
        assert (ran.error, ran.code) == ("UnavailableError", 3)
        assert not server.requests


def test_a_certificate_nobody_vouches_for_is_refused_once(read: Read, tmp_path: Path) -> None:
    """A wrong certificate stays wrong: one connection, no request, and what to do."""
    with FaultServer(answer(page()), tls=self_signed(tmp_path)) as server:
        ran = read(server.endpoint)
        assert (ran.error, ran.code) == ("UnavailableError", 3)
        assert (server.connections, server.requests) == (1, [])
    assert "SSL_CERT_FILE" in ran.message


@pytest.mark.parametrize("is_expired", [True, False], ids=["expired", "of another host"])
def test_a_certificate_that_does_not_fit_is_refused_once(
    is_expired: bool, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is vouched for, but over, or another's: refused likewise, and the reason is said."""
    host = IPv4Address("127.0.0.1" if is_expired else "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "self_signed.pem"))
    with FaultServer(tls=self_signed(tmp_path, host, is_expired=is_expired)) as server:
        ran = read(server.endpoint)
        assert (ran.error, ran.code) == ("UnavailableError", 3)
        assert (server.connections, server.requests) == (1, [])
    assert ("expired" if is_expired else "mismatch") in ran.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, read: Read) -> None:
    """The target of a redirect gets no connection, let alone the credentials, and the user a word."""
    with FaultServer(answer(page())) as target:
        elsewhere = {"Location": f"{target.endpoint}/v3.1/x/backups"}
        with FaultServer(answer(b"", status, elsewhere)) as server:
            ran = read(server.endpoint)
            check(ran, server, REFUSED)
        assert "a redirect, which is not followed" in ran.message
        assert target.connections == 0


def test_a_refusal_that_is_not_the_windows_costs_one_request(read: Read) -> None:
    """With times asked, the first look goes without: a 400 then is not the times' fault."""
    with FaultServer(answer(BODIES["service"], 400)) as server:
        ran = read(server.endpoint, "--level", "Instance", "--begin", "2026-01-01")
        check(ran, server, End("RejectedError", 1, 3))


PASSING: dict[str, Act] = {
    "500": answer(BODIES["service"], 500),
    "502 in HTML": answer(BODIES["HTML"], 502),
    "503 with Retry-After": answer(b"", 503, {"Retry-After": "30"}),
    "429": answer(BODIES["service"], 429),
    "429 with Retry-After": answer(BODIES["service"], 429, {"Retry-After": "120"}),
    "200 in HTML": answer(BODIES["HTML"]),
    "200 without body": answer(b""),
    "a cut body": answer(PAGE[:-5]),
    "JSON outside the contract": answer({"total_count": 1}),
    "a gzip bomb": answer(BOMB, headers={"Content-Encoding": "gzip"}),
    "reset": then_reset(HEAD),
    "hung up": hang_up,
}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", PASSING)
def test_faults_that_pass(name: str, times: int, read: Read) -> None:
    """After one or two faults of the kinds that pass, a read is complete and written."""
    with FaultServer(*[PASSING[name]] * times, answer(page())) as server:
        check(read(server.endpoint), server, End(None, 6 + times, 0))


HOSTILE = {
    "no endpoint": ({}, ["--project-id", "p"]),
    "no token": ({"BACKUP_FRAMES_TOKEN": ""}, []),
    "a project id that is a path": ({}, ["--project-id", "../../etc"]),
    "a project id that is a query": ({}, ["--project-id", "p?limit=1"]),
    "an instance id with a line break": ({}, ["--instance-id", "a\r\nX-Evil: 1"]),
    "an unknown level": ({}, ["--level", "cluster"]),
    "an unknown backup type": ({}, ["--backup-type", "nightly"]),
    "a begin that is no time": ({}, ["--begin", "yesterday"]),
    "begin after end": ({}, ["--begin", "2026-02-01", "--end", "2026-01-01"]),
    "a token with a line break": ({"BACKUP_FRAMES_TOKEN": "a\r\nX-Evil: 1"}, []),
    "an endpoint in the clear": ({}, ["--endpoint", "http://example.com"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_before_any_request(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Missing settings and hostile values end with exit code 2 and not one connection."""
    environment, arguments = HOSTILE[name]
    with FaultServer(answer(page())) as server:
        monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "a-token")
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        known = [] if name == "no endpoint" else ["--endpoint", server.endpoint]
        ids = [] if "--project-id" in arguments else ["--project-id", "p"]
        assert main(["read", *known, *ids, *arguments]) == 2
        assert server.connections == 0
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (answer(BODIES["service"], 500), 3),
        (answer(BODIES["gateway"], 401), 3),
        (answer(BODIES["service"], 400), 3),
        (answer(BODIES["HTML"]), 3),
        (answer("{}"), 4),
        (answer(page(id="")), 4),
        (then_reset(), 3),
    ],
    ids=["500", "401", "400", "HTML", "no page", "odd row", "reset"],
)
def test_a_failed_sync_leaves_the_tables_untouched(
    act: Act, code: int, clock: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sync that fails before its first proven range writes no file into any table."""
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "a-token")
    with FaultServer(act) as server:
        place = ["--endpoint", server.endpoint, "--project-id", "p", "--lake", str(tmp_path)]
        assert main(["sync", *place, "--quiet"]) == code
    assert not list(tmp_path.glob("backup*/**/*.parquet"))


@pytest.mark.parametrize(
    ("path", "actions"),
    [
        ("/v3.1/p/backups", ("gaussdbfornosql:backup:list", "nosql:backup:list")),
        ("/v4/p/backups", ("gaussdbfornosql:backup:list", "nosql:backup:list")),
        ("/v3/p/instances", ("gaussdbfornosql:instance:list", "nosql:instance:list")),
        (
            "/v3.1/p/instances/i/backups/policy",
            ("gaussdbfornosql:instance:getBackupPolicy", "nosql:backup:list"),
        ),
    ],
)
def test_a_missing_permission_names_both_models(path: str, actions: tuple[str, str]) -> None:
    """Identity policies and roles have an action each for what was refused, and do not mix."""
    body = b'{"error_code": "DBS.280032", "error_msg": "No."}'
    error = read_failure(403, {}, body, f"https://host{path}")
    assert isinstance(error, AuthError)
    assert not error.is_token_refused
    grant = "{} (identity policy) or {} (role".format(*actions)
    assert grant in str(error)
    assert "do not mix" in str(error)


def test_a_refused_token_is_no_missing_permission() -> None:
    """403 with the gateway's code for a dead token never says that a permission is missing."""
    error = read_failure(403, {}, b'{"error_code": "APIGW.0301", "error_msg": "x"}', "https://host")
    assert "permission" not in str(error)
    assert isinstance(error, AuthError)
    assert error.is_token_refused
