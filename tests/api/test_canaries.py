"""Credentials appear nowhere: each holds a word that must not be found in anything that is shown."""

from __future__ import annotations

import html
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from support.accounts import PROJECT
from support.canaries import ACCESS_KEY, METHODS, PASSWORD, SECRET_KEY, SECURITY, TOKEN, WORD
from support.clocks import InstantClock
from support.fault_server import Act, FaultServer, answer, as_bytes, hang_up, raw

from backup_frames.cli import main
from backup_frames.errors import BackupFramesError
from backup_frames.read.one_liners import read_backups
from backup_frames.sandbox import Sandbox
from backup_frames.settings import load_settings


def spellings(secret: str) -> list[str]:
    return [
        secret,
        quote(secret, safe=""),
        quote(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ]


def echoes(secrets: tuple[str, ...]) -> dict[str, Act]:
    """Answers that hold everything they should not."""
    said = "You sent: " + " | ".join(text for secret in secrets for text in spellings(secret))
    line = " | ".join(quote(secret, safe="+/=<>&") for secret in secrets if secret.isascii())
    plain = " | ".join(secret for secret in secrets if secret.isascii())
    ok = b"HTTP/1.1 200 OK\r\n"
    return {
        "401": answer({"error_code": "APIGW.0301", "error_msg": said}, 401),
        "401 after much text": answer({"error_msg": "x" * 200 + said}, 401),
        "400": answer({"error_code": said, "error_msg": said, "request_id": said}, 400),
        "429": answer({"error_code": "APIGW.0308", "error_msg": said}, 429),
        "500 in HTML": answer(f"<html>{said}</html>", 500),
        "500 in bytes": answer(b"\xff" * 300 + said.encode(), 500),
        "200 in HTML": answer(f"<html>{said}</html>"),
        "200 with a message": answer({"error_code": "X", "error_msg": said}),
        "200 with a total": answer({"total_count": said, "backups": []}),
        "200 with a time": answer({"total_count": 1, "backups": [{"id": "a", "begin_time": said}]}),
        "200 with odd values": answer(
            {"total_count": 1, "backups": [{"id": "a", "status": said, "size": said}]}
        ),
        "200 with invalid UTF-8": answer(said.encode() + b"\xff"),
        "a redirect": answer(b"", 302, {"Location": f"http://127.0.0.1:9/?{line}"}),
        "headers": answer(
            b"{}", 403, {"X-Echo": plain, "X-Request-Id": plain, "Retry-After": plain}
        ),
        "an encoding": answer(b"{}", 200, {"Content-Encoding": plain}),
        "a reason": raw(f"HTTP/1.1 500 {plain}\r\nContent-Length: 0\r\n\r\n".encode()),
        "no status line": raw(f"{plain}\r\n\r\n".encode()),
        "a chunk size": raw(ok + b"Transfer-Encoding: chunked\r\n\r\n" + plain.encode() + b"\r\n"),
        "a cookie": answer(b"{}", 404, {"Set-Cookie": f"t={line}"}),
        "nothing": hang_up,
    }


ECHOES = list(echoes(()))
DATA = ("200 with a time", "200 with odd values")  # no error: what no column takes stays in extra
each_method = pytest.mark.parametrize("method", METHODS)


def shown(error: BaseException) -> str:
    """All that somebody could print, log or send of an error and of what led to it."""
    texts = ["".join(traceback.format_exception(error)), repr(pickle.dumps(error))]
    chain: list[BaseException | None] = [error]
    while chain:
        if (link := chain.pop()) is not None:
            texts += [str(link), repr(link), repr(link.args), repr(vars(link))]
            chain += [link.__cause__, link.__context__]
    return "\n".join(texts)


def wires() -> Iterator[Any]:
    """Each echo by each method over our wire; over one handed in by a method in turn, or all when slow."""
    for place, echo in enumerate(ECHOES):
        for number, method in enumerate(METHODS):
            yield pytest.param(method, echo, "ours")
            is_cheap = number == place % len(METHODS)
            yield pytest.param(method, echo, "httpx", marks=() if is_cheap else pytest.mark.slow)


@pytest.mark.parametrize(("method", "echo", "wire"), list(wires()))
def test_errors_and_logs_hold_no_credentials(
    method: str,
    echo: str,
    wire: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither an error nor any log line at DEBUG shows a secret, of a wire handed in either."""
    caplog.set_level(logging.DEBUG)
    secrets, environment, before = METHODS[method]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    transport = httpx.HTTPTransport() if wire == "httpx" else None
    with FaultServer(*before, echoes(secrets)[echo]) as server:
        settings = load_settings(endpoint=server.endpoint, project_id=PROJECT, timeout_s=5)
        if echo in DATA and method != "login":
            certificate = read_backups(
                settings=settings, clock=InstantClock(), transport=transport
            ).certificate
            assert certificate is not None
            assert certificate.odd_value_count
            assert WORD not in certificate.to_json() + certificate.to_text()
        else:
            with pytest.raises(BackupFramesError) as caught:
                read_backups(settings=settings, clock=InstantClock(), transport=transport)
            assert WORD not in shown(caught.value)
        assert len(server.requests) > len(before)
    assert WORD not in repr(settings)
    lines = [record for record in caplog.records if record.name.startswith("httpcore")]
    assert lines or wire == "ours"
    text = "\n".join(
        f"{record.getMessage()} {record.args} {record.msg}" for record in caplog.records
    )
    assert WORD not in text


def printed_cases() -> Iterator[Any]:
    """Each echo by one method in turn; the rest when slow: errors and logs meet them all above."""
    for place, echo in enumerate(ECHOES):
        for number, method in enumerate(METHODS):
            is_cheap = number == place % len(METHODS)
            yield pytest.param(method, echo, marks=() if is_cheap else pytest.mark.slow)


@pytest.mark.parametrize(("method", "echo"), list(printed_cases()))
def test_the_command_line_shows_no_credentials(
    method: str,
    echo: str,
    monkeypatch: pytest.MonkeyPatch,
    clock: InstantClock,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """With --debug, stdout and stderr hold no secret, and only data is written."""
    secrets, environment, before = METHODS[method]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with FaultServer(*before, echoes(secrets)[echo]) as server:
        place = ["--endpoint", server.endpoint, "--project-id", PROJECT]
        out = ["--format", "ndjson", "--out", str(tmp_path / "out")]
        is_odd = echo in DATA and method != "login"
        assert main(["read", "--debug", *place, *out]) in ((0,) if is_odd else (3, 4))
    output = capfd.readouterr()
    assert WORD not in output.out + output.err
    if is_odd:
        assert "odd values: " in output.err
    else:
        assert "Traceback" in output.err
        assert list(tmp_path.iterdir()) == []


@each_method
def test_files_hold_no_credentials(
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    clock: InstantClock,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """What a read and a sync write holds no secret, nor does what they and `config` print."""
    for name, value in METHODS[method].environment.items():
        monkeypatch.setenv(name, value)
    with Sandbox(backups=20) as box:
        box.iam._deadlines[TOKEN] = float("inf")
        box.iam.username, box.iam.domain, box.iam.password = "user", "domain", PASSWORD
        box.iam.add_temporary_key(ACCESS_KEY, SECRET_KEY, SECURITY)
        place = ["--endpoint", box.endpoint, "--project-id", box.project_id]
        lake = str(tmp_path / "lake")
        for form in ("parquet", "csv"):
            out = ["--format", form, "--out", str(tmp_path / form)]
            assert main(["read", "--debug", *place, *out]) == 0
        # which exceptions are new is half a sync's time: told once
        quiet = [] if method == next(iter(METHODS)) else ["--quiet"]
        assert main(["sync", "--debug", *quiet, *place, "--lake", lake]) == 0
        assert main(["config", *place]) == 0
    output = capfd.readouterr()
    assert WORD not in output.out + output.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert WORD.encode() not in path.read_bytes()


@each_method
def test_a_redirect_target_gets_no_credentials(
    method: str, monkeypatch: pytest.MonkeyPatch, clock: InstantClock
) -> None:
    """Neither the service nor IAM can send a client, and its credentials, elsewhere."""
    secrets, environment, before = METHODS[method]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with FaultServer(answer()) as target:
        redirect = answer(b"", 307, {"Location": f"{target.endpoint}/v3/auth/tokens"})
        with FaultServer(*before, redirect) as server:
            place = ["--endpoint", server.endpoint, "--project-id", PROJECT]
            assert main(["read", "--quiet", *place]) == 3
            sent = b"".join(server.requests)
            assert any(as_bytes(text) in sent for text in spellings(secrets[-1]))
        assert target.connections == 0
