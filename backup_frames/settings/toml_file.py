"""The TOML file of settings, parsed and checked key by key.

In: a path, or what BACKUP_FRAMES_CONFIG names. Out: the keys for all, the ``[[project]]``
tables, and each table as values that know where they came from.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError

CONFIG_VARIABLE = "BACKUP_FRAMES_CONFIG"
SECRETS = ("token", "password", "access_key", "secret_key", "security_token")


class Given(NamedTuple):
    """A value that somebody gave, and where."""

    value: Any
    source: str


Layer = dict[str, Given]


class ConfigFile(NamedTuple):
    """A parsed file: keys that hold for all projects, and one table per project."""

    path: Path | None
    shared: Mapping[str, Any]
    projects: Sequence[Mapping[str, Any]]
    owners: Sequence[Mapping[str, Any]] = ()
    attestations: Sequence[Mapping[str, Any]] = ()


def read_config_file(config: str | Path | None) -> ConfigFile:
    """Parse the TOML file and check that it holds known keys; ``[lake]`` becomes two of them."""
    place = config or os.environ.get(CONFIG_VARIABLE)
    if not place:
        return ConfigFile(None, {}, [])
    import tomllib  # noqa: PLC0415 - most commands have no file, and it compiles its patterns

    path, asked = Path(place), "config=" if config else CONFIG_VARIABLE
    try:
        path = path.expanduser()
        data = path.read_bytes()
        is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        top = tomllib.loads(data.decode("utf-16" if is_wide else "utf-8-sig"))
    except (OSError, RuntimeError) as error:  # RuntimeError: ~nobody
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"Cannot read the config file {path}: {reason}. Check {asked}."
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} is not UTF-8, in line {line}. Save it as UTF-8.") from error
    except ValueError as error:  # it says line and column
        raise ConfigError(f"{path} is not TOML: {error}. Correct it.") from error
    projects, owners, attestations = (
        _tables(top, path, name) for name in ("project", "owner", "attestation")
    )
    lake = top.get("lake")
    if isinstance(lake, dict):
        if unknown := sorted(lake.keys() - {"url", "partition_by", "format"}):
            raise ConfigError(
                f"{path}: unknown key {unknown[0]!r} in [lake]. Use url, partition_by, format."
            )
        del top["lake"]
        names = {"url": "lake", "format": "lake_format"}
        top |= {str(names.get(name, name)): value for name, value in lake.items()}
    return ConfigFile(path, top, projects, owners, attestations)


def _tables(top: dict[str, Any], path: Path, name: str) -> list[Mapping[str, Any]]:
    tables = top.pop(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{path}: {name} is not a list of tables. Write [[{name}]].")
    return tables


def read_table(
    table: Mapping[str, Any], source: str, fields: Collection[str]
) -> tuple[Layer, tuple[str, ...]]:
    """Values of one TOML table; ``<secret>_env`` names the variable that holds the secret."""
    layer: Layer = {}
    unset = []
    known = [*fields, *(f"{name}_env" for name in SECRETS)]
    for key, value in table.items():
        if key not in known:
            close = get_close_matches(key.lower(), known, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(
                f"{source}: unknown key {key!r}.{meant} Known are {', '.join(known)}."
            )
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigError(f"{source}: {key} is {type(value).__name__}. Write text or a number.")
        name = key.removesuffix("_env")
        if name == key:
            layer[name] = Given(value, source)
        elif secret := os.environ.get(str(value)):
            layer[name] = Given(secret, f"environment {value} (named in {source})")
        else:
            layer[name] = Given(None, source)
            unset.append(str(value))
    return layer, tuple(unset)
