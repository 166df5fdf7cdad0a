"""What may be shown: foreign texts without control of a terminal, and nothing with credentials.

In: the secrets of a client, and texts that may hold them, because a server echoed them. Out: the same
texts with ``***`` instead. And texts of any origin: what would steer a terminal or turn the line
around is spelled out in them. Log lines of httpcore pass here as well: at DEBUG they quote
status lines and headers of answers.
"""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeVar

from ..errors import BackupFramesError

_ISSUED: Final = "x-subject-token"  # the header of IAM's answer that holds a token not known yet
_MIN_LENGTH: Final = 4  # a shorter one is no secret, and blotting it out would spoil every text
_MASK: Final = "***"
_ENTITIES: Final = {"&": "|amp", "<": "|lt", ">": "|gt", '"': "|quot", "'": "|apos"}

# C0, DEL and C1 but line breaks; marks that turn or break lines, or that nobody sees; lone surrogates
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)

E = TypeVar("E", bound=BackupFramesError)


def as_printable(text: str, *, keep_lines: bool = False) -> str:
    r"""Spell out in a text what a terminal would obey instead of show, as ``\uXXXX``.

    Works on JSON, too: within its strings the escapes mean what they stand for. Anything may go
    through it twice.

    Args:
        text: from wherever.
        keep_lines: leave line breaks as they are; else they are spelled out as well.

    Example:
        >>> print(as_printable("a\x1b[31mb"))
        a\u001b[31mb
    """
    text = _UNPRINTABLE.sub(lambda match: _escaped(match[0]), text)
    return text if keep_lines else text.replace("\n", "\\u000a")


def _escaped(char: str) -> str:
    """As JSON writes it: what lies beyond the first plane in two halves."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with ``***`` instead of these secrets, however they are escaped in it.

    To be used before a text is cut: half a secret is not found.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if _MIN_LENGTH <= len(secret) <= len(text):  # no escape is shorter than what it means
            text = _pattern(secret).sub(_MASK, text)
    return text


class Scrubber:
    """Takes secrets out of texts, however a server may have escaped them.

    Args:
        secrets: tells the secrets as of now (a login adds its token).
    """

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        with _SCRUBBERS_LOCK:
            _SCRUBBERS.add(self)

    def text(self, text: str) -> str:
        """The text without secrets."""
        return without_secrets(text, self._secrets())

    def data(self, data: bytes) -> bytes:
        """The bytes, UTF-8 as far as they are text, without secrets."""
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def error(self, error: E) -> E:
        """The error, its texts without secrets.

        It forgets what caused it, too: httpx's exceptions hold the request with its headers.
        """
        error.args = tuple(self.text(arg) if isinstance(arg, str) else arg for arg in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self.text(value))
        error.__cause__ = error.__context__ = None
        return error


@lru_cache(maxsize=64)
def _pattern(secret: str) -> re.Pattern[str]:
    """Finds a secret as it is, in JSON, Python or HTML escapes, in a URL, or nested in several."""
    # no backslashes before the first: a text of nothing else would be searched from each of them
    return re.compile(r"\\*".join(map(_spellings, secret)), re.IGNORECASE)


def _spellings(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    code, parts = ord(char), char.encode("utf-8", "surrogatepass")
    units = char.encode("utf-16-be", "surrogatepass")
    ways = [
        re.escape(char),
        r"\\*".join(f"%(?:25)*{part:02x}" for part in parts),
        r"\\*".join(f"x{part:02x}" for part in parts),
        r"\\*".join(f"u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)),
        f"&(?:amp;)*(?:#0*{code}|#x0*{code:x}{_ENTITIES.get(char, '')});",
    ]
    return f"(?:{'|'.join(ways)})"


_SCRUBBERS: weakref.WeakSet[Scrubber] = weakref.WeakSet()
_SCRUBBERS_LOCK = threading.Lock()  # a client may be made while another one logs


class _LogFilter(logging.Filter):
    """Drops lines that quote a token just issued, and scrubs the rest."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = clean = record.getMessage()
        if _ISSUED in text.lower():
            return False
        with _SCRUBBERS_LOCK:
            scrubbers = list(_SCRUBBERS)
        for scrubber in scrubbers:
            clean = scrubber.text(clean)
        if clean != text:
            record.msg, record.args = clean, ()
        return True


for _name in ("httpcore.connection", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_LogFilter())
