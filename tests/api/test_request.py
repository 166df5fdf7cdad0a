"""Requests to one address whose URL is read when somebody asks: to all others they are httpx's own."""

from __future__ import annotations

import copy
import pickle

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_frames.api.wire.request import Request, address_of, join_params, target_of

FIRST = httpx.Request("GET", "http://127.0.0.1:8080/v3.1/p/backups", headers={"Accept": "a/b"})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=12)), min_size=1, max_size=4))
def test_it_is_what_httpx_makes_of_the_whole_url(params: list[tuple[str, str]]) -> None:
    """Its URL, target and headers are the same, whatever the query holds, asked for or not."""
    encodable = [(name, value.encode("utf-8", "replace").decode()) for name, value in params]
    query = join_params(encodable)
    whole = httpx.Request("GET", f"{FIRST.url}?{query}", headers={"Accept": "a/b"})
    own = Request(FIRST, query)
    assert target_of(own) == whole.url.raw_path
    assert (address_of(own).host, address_of(own).port) == (whole.url.host, whole.url.port)
    assert own.url == whole.url
    assert target_of(own) == whole.url.raw_path
    assert own.headers == whole.headers
    assert repr(own) == repr(whole)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_a_copy_asks_the_same(again: object) -> None:
    """Transports may keep a request for later."""
    assert callable(again)
    own = Request(FIRST, "limit=1")
    assert again(own).url == own.url
    assert target_of(again(Request(FIRST, "limit=1"))) == b"/v3.1/p/backups?limit=1"


def test_each_has_headers_and_a_url_of_its_own() -> None:
    """What a transport does to one request does not show in the next; a URL it sets counts."""
    one, other = Request(FIRST, "limit=1"), Request(FIRST, "limit=2")
    one.headers["X-Auth-Token"] = "secret"
    one.extensions["deadline_s"] = 1
    one.url = httpx.URL("http://127.0.0.1:9090/elsewhere")
    assert "X-Auth-Token" not in other.headers
    assert "X-Auth-Token" not in FIRST.headers
    assert not other.extensions
    assert target_of(one) == b"/elsewhere"
    assert address_of(one).port == 9090
    assert target_of(other) == b"/v3.1/p/backups?limit=2"
