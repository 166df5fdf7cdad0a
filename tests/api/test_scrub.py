"""One way to take secrets out of texts, for all that show foreign words."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from backup_frames.api import scrub
from backup_frames.api.scrub import without_secrets
from backup_frames.cli.session.session import Session
from backup_frames.lake.formats.table_format import failed_table
from backup_frames.settings import Settings

SECRET = "cAn/Ary+6f1d=="


def test_a_client_may_be_made_while_another_one_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose secrets a log line may hold is looked up while no client is added."""
    held = list[bool]()

    class Watched(weakref.WeakSet[scrub.Scrubber]):
        def __iter__(self) -> Iterator[scrub.Scrubber]:
            held.append(scrub._SCRUBBERS_LOCK.locked())
            return super().__iter__()

        def add(self, item: scrub.Scrubber) -> None:
            held.append(scrub._SCRUBBERS_LOCK.locked())
            super().add(item)

    monkeypatch.setattr(scrub, "_SCRUBBERS", Watched())
    client = scrub.Scrubber(lambda: [SECRET])
    line = logging.makeLogRecord({"msg": f"send_request_headers {SECRET}"})
    assert logging.getLogger("httpcore.http11").filter(line)
    assert line.getMessage() == client.text(f"send_request_headers {SECRET}")
    assert SECRET not in line.getMessage()
    assert held == [True, True]


def in_a_failure(text: str) -> str:
    return str(failed_table("delta", "backups", "s3://b", OSError(text), [SECRET]))


def in_a_session(text: str) -> str:
    session = Session()
    session.watch(Settings.of(token=SECRET))
    return session.scrub(text)


@pytest.mark.parametrize(
    "show", [in_a_failure, in_a_session, lambda t: without_secrets(t, [SECRET])]
)
@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        SECRET.lower(),
        quote(SECRET, safe=""),
        quote(quote(SECRET, safe=""), safe=""),
        SECRET.replace("/", "\\/"),
        SECRET.replace("=", "&#61;"),
        "x" * 290 + SECRET,
    ],
)
def test_a_secret_shows_nowhere_however_it_is_escaped(show, echo: str) -> None:
    """As it is, in a URL, in JSON, in HTML, or where a text is cut: of the secret nothing is left."""
    shown = show(f"the server said {echo} and more").lower()
    assert "can" not in shown
    assert "6f1d" not in shown


def test_what_is_too_short_for_a_secret_stays() -> None:
    """A secret of three letters would blot out every line."""
    assert without_secrets("the and of", ["and", ""]) == "the and of"
