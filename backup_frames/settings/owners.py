"""Who answers for what, and what people attest: the tables ``[[owner]]`` and ``[[attestation]]``.

In: the TOML file of settings. Out: owner rules and attestations, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from ..errors import ConfigError
from ..whole_files import is_utf8
from .toml_file import read_config_file


@dataclass(frozen=True, slots=True)
class OwnerRule:
    """Who answers for the instances that fit; of several rules the first that fits counts.

    Attributes:
        owner: a person or a team.
        enterprise_project_id: of the instances; None: any.
        instance_name: pattern of their names, ``*`` and ``?``, case counts; None: any.
    """

    owner: str
    enterprise_project_id: str | None = None
    instance_name: str | None = None

    def __post_init__(self) -> None:
        """Raises `ConfigError` for what is no text."""
        _check_texts(self)


@dataclass(frozen=True, slots=True)
class Attestation:
    """What somebody vouches for that the service does not show.

    Attributes:
        text: what is attested.
        who: by whom.
        when: the day, ISO.
        link: where the proof is; empty if there is none. It is shown as text.
    """

    text: str
    who: str
    when: str
    link: str = ""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for what is no text."""
        _check_texts(self)


def load_owners(config: str | Path | None = None) -> list[OwnerRule]:
    """The ``[[owner]]`` tables of the config file; empty without any.

    Raises:
        ConfigError: a table without owner, with neither condition, or with an unknown key.
    """
    rules = []
    for place, texts in _read_tables(config, "owner", OwnerRule):
        if "owner" not in texts or len(texts) == 1:
            raise ConfigError(
                f"{place} is no rule. Give owner, and enterprise_project_id or instance_name."
            )
        rules.append(OwnerRule(**texts))
    return rules


def load_attestations(config: str | Path | None = None) -> list[Attestation]:
    """The ``[[attestation]]`` tables of the config file; empty without any.

    Raises:
        ConfigError: a table lacks text, who or when, or has an unknown key.
    """
    found = []
    for place, texts in _read_tables(config, "attestation", Attestation):
        if missing := {"text", "who", "when"} - texts.keys():
            raise ConfigError(f"{place} lacks {min(missing)}. Give text, who, when, and a link.")
        found.append(Attestation(**texts))
    return found


def _read_tables(
    config: str | Path | None, name: str, row: type[OwnerRule | Attestation]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Of each table of that name: its place, and the texts that it gives a row."""
    file = read_config_file(config)
    known = [one.name for one in fields(row)]
    for number, table in enumerate(file.owners if name == "owner" else file.attestations, 1):
        place = f"{file.path}: [[{name}]] {number}"
        texts = {}
        for key, value in table.items():
            if key not in known:
                raise ConfigError(f"{place}: unknown key {key!r}. Use {', '.join(known)}.")
            text = value.isoformat() if isinstance(value, date) else value
            if not isinstance(text, str) or not text.strip():
                raise ConfigError(f"{place}: {key} is {value!r}. Write text.")
            texts[key] = text
        yield place, texts


def _check_texts(row: OwnerRule | Attestation) -> None:
    for one in fields(row):
        value = getattr(row, one.name)
        if value is None and one.default is None:
            continue
        if not isinstance(value, str) or not is_utf8(value):
            name = f"{one.name} of {type(row).__name__}"
            raise ConfigError(f"{name} is {value!r}; give a text in UTF-8.")
