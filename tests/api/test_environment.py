"""What the environment says of the way: proxies, hosts without, certificates; and whose fault it is."""

from __future__ import annotations

import json

import httpx
import pytest
from support.fault_server import FaultServer, answer

from backup_frames.api.answers import read_failure
from backup_frames.api.wire.proxy import find_proxy, is_direct
from backup_frames.api.wire.transport import DeadlineTransport
from backup_frames.cli import main
from backup_frames.errors import ConfigError
from backup_frames.read.one_liners import read_backups
from backup_frames.settings import load_settings

WORD = "cAnArY"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("a.example:8443", "a.example", 8443, True),
        ("a.example:8443", "a.example", 443, False),
        ("a.example:443", "x.a.example", 443, True),
        (".a.example, b.example", "x.a.example", 443, True),
        ("*.a.example", "x.a.example", 443, True),
        ("a.example", "ba.example", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.0.0.0/8", "a10.example", 443, False),
        ("10.1.2.3:8443", "10.1.2.3", 8443, True),
        ("10.1.2.3:8443", "10.1.2.3", 443, False),
        ("fd00::/8", "fd00::1", 443, True),
        ("[fd00::1]:8443", "fd00::1", 8443, True),
        ("x, *", "a.example", 443, False),
        ("*", "a.example", 443, True),
        ("", "a.example", 443, False),
        ("10.0.0.0/99,:80,/", "10.1.2.3", 443, False),
    ],
)
def test_hosts_without_proxy(
    no_proxy: str, host: str, port: int, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY names hosts with all below, addresses and networks, each perhaps with a port."""
    monkeypatch.setenv("no_proxy", no_proxy)
    assert is_direct(host, port) is direct


@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8", "127.0.0.1:{port}"])
def test_a_host_without_proxy_is_reached_past_it(
    no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the wire: each host by itself, identity service or service, past the proxy or through it."""
    with FaultServer(answer(b"", 502)) as proxy, FaultServer(answer()) as server:
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint)
        monkeypatch.setenv("NO_PROXY", no_proxy.format(port=server.port))
        transport = DeadlineTransport("https://a.invalid", max_connections=1)
        direct = httpx.Request(
            "GET", f"https://127.0.0.1:{server.port}", extensions={"deadline_s": 0.1}
        )
        with pytest.raises(httpx.TransportError):  # the server speaks no TLS
            transport.handle_request(direct)
        assert (server.connections, proxy.connections) == (1, 0)
        through = httpx.Request("GET", "https://a.invalid", extensions={"deadline_s": 5})
        with pytest.raises(httpx.ProxyError):
            transport.handle_request(through)
        assert (server.connections, proxy.connections) == (1, 1)
        transport.close()


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://u:{WORD}@[bad",
        f"http://u:{WORD}@h:port",
        "http://h:99999",
        "http://",
        "http://:8080",
        "socks5://h:1080",
        "htp://h",
        "http://a b",
        f"//u:{WORD}@",
    ],
)
def test_a_bad_proxy_is_the_users_to_correct(
    proxy: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A proxy that cannot be one is told as a setting, exit code 2, without its password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "t")
    assert main(["read", "--endpoint", "https://a.invalid", "--project-id", "p"]) == 2
    message = capfd.readouterr().err
    assert "HTTPS_PROXY" in message
    assert WORD not in message


def test_a_proxy_without_scheme_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and port alone are a proxy, as for other tools."""
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    proxy = find_proxy()
    assert proxy is not None
    assert str(proxy.url) == "http://proxy.example:3128"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_bad_certificates_are_the_users_to_correct(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file of certificates that is missing or empty is told as a setting."""
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE.*ca\.pem"):
        DeadlineTransport("https://a.invalid", max_connections=1)


@pytest.mark.parametrize("code", ["APIGW.0301", "APIG.0307"])
def test_a_token_refused_with_403_is_renewed(code: str) -> None:
    """403 with the gateway's code for a dead token is no missing permission: one new login."""
    login = answer(
        {"token": {"expires_at": "2099-01-01T00:00:00Z"}}, 201, {"X-Subject-Token": "MII"}
    )
    dead = answer({"error_code": code, "error_msg": "Incorrect IAM authentication"}, 403)
    with FaultServer(login, dead, login, answer()) as server:
        settings = load_settings(
            endpoint=server.endpoint, project_id="p", username="u", password="p4ssword"
        )
        assert read_backups(settings=settings).certificate.verdict == "complete"
        logins = [one for one in server.requests if one.startswith(b"POST")]
        assert len(logins) == 2


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        (403, "APIGW.0310", "project is unavailable"),
        (403, "APIG.0402", "address is not allowed"),
        (403, "APIGW.0802", "region does not allow"),
        (407, None, "HTTPS_PROXY"),
    ],
)
def test_a_refusal_that_no_grant_helps_does_not_ask_for_one(
    status: int, code: str | None, word: str
) -> None:
    """What the gateway or a proxy refuses for another reason is told by that reason."""
    error = read_failure(status, {}, json.dumps({"error_code": code}).encode(), "http://h/backups")
    assert word in str(error)
    assert "Grant" not in str(error)


@pytest.mark.parametrize("code", ["APIGW.0302", "DBS.280032", "DBS.0310", None])
def test_a_missing_permission_asks_for_it(code: str | None) -> None:
    """Any other 403 names the action to grant."""
    error = read_failure(403, {}, json.dumps({"error_code": code}).encode(), "http://h/backups")
    assert "Grant gaussdbfornosql:backup:list" in str(error)
