"""How to reach the service and the lake: one frozen `Settings`, checked before any I/O.

In: arguments, environment variables, a TOML file. Out: `Settings`, the list of them for many
projects, and rows that tell where each value came from.

Precedence: argument > environment > file > default. Two rules keep layers from mixing badly:

- Credentials go together. The highest layer that holds a secret decides the method; a token or key
  pair of another method further down is ignored, and so is a session token of other keys.
- In a file of many projects, what a ``[[project]]`` table says beats the environment: one exported
  project id or token must not stand in for all of them.

Nothing is read at import; every call of `load_settings` looks anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError
from .model import METHODS, PREFIX, Settings, environment_names, read_environment
from .toml_file import CONFIG_VARIABLE, ConfigFile, Given, Layer, read_config_file, read_table
from .values import Secret


class SettingRow(NamedTuple):
    """One line of ``backup-frames config``: a setting, its value as text, where it came from."""

    name: str
    value: str
    source: str


class RefusedProject(NamedTuple):
    """A ``[[project]]`` table that cannot be used: its project id or place in the file, and why."""

    label: str
    error: ConfigError


def load_settings(config: str | Path | None = None, **arguments: Any) -> Settings:
    """Put settings together: argument > environment > TOML file > default. Reads no network.

    Args:
        config: the TOML file; default: the one BACKUP_FRAMES_CONFIG names, if it is set. If it has
            ``[[project]]`` tables, the only one counts, or the one with the project id asked for.
        **arguments: fields of `Settings` by name; None means not given.

    Returns:
        Checked settings. Endpoint and credentials may be missing: a lake can be used without, and
        `Settings.require_connection` asks for them when the service is needed.

    Raises:
        ConfigError: unknown key, bad value, missing or unreadable file; names where it stands.

    Examples:
        >>> load_settings(region="eu-west-101").service_url
        'https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu'
    """
    file = read_config_file(config)
    return Settings.from_layer(*_merge(file, _fitting_project(file, arguments), arguments))


def resolve_settings(settings: Settings | None, **arguments: Any) -> Settings:
    """What a function goes by that takes settings and arguments: arguments win.

    Args:
        settings: all settings at once; None: as `load_settings` finds them.
        **arguments: fields of `Settings` by name; None means not given. A credential among them
            replaces the settings' own method.

    Raises:
        ConfigError: as `load_settings`, of which no environment is asked if settings are given.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if settings is None:
        return load_settings(**given)
    if not isinstance(settings, Settings):
        raise ConfigError(
            f"settings is of type {type(settings).__name__}; give what load_settings() returns."
        )
    if not given:
        return settings
    checked = Settings.of(**given)
    barred = dict.fromkeys(_barred_by(given))
    return settings.model_copy(update=barred | {name: getattr(checked, name) for name in given})


def load_projects(config: str | Path | None = None, **arguments: Any) -> list[Settings]:
    """Settings of every ``[[project]]`` of a TOML file, in its order; without any, of the file.

    Args:
        config: the TOML file; default: the one BACKUP_FRAMES_CONFIG names.
        **arguments: fields of `Settings` that hold for all; ``project_id`` picks one project.

    Returns:
        One `Settings` per project, at least one. A table's keys beat the environment. A credential
        whose variable is unset shows only when that project connects: the others still run.

    Raises:
        ConfigError: as `load_settings`; or two tables name one project, or none names that asked.
    """
    loaded = []
    for one in load_each_project(config, **arguments):
        if isinstance(one, RefusedProject):
            raise one.error
        loaded.append(one)
    return loaded


def load_each_project(
    config: str | Path | None = None, **arguments: Any
) -> list[Settings | RefusedProject]:
    """As `load_projects`, but a table that cannot be used stands in the list as what is wrong with it.

    Raises:
        ConfigError: the file, an argument, or a key that holds for all projects cannot be used.
    """
    file = read_config_file(config)
    if not file.projects:
        return [load_settings(config, **arguments)]
    wanted = arguments.get("project_id")
    tables = enumerate(file.projects, start=1)
    chosen = [(number, t) for number, t in tables if wanted in (None, t.get("project_id"))]
    if not chosen:
        raise ConfigError(
            f"{file.path} has no [[project]] for {wanted!r}. Add one, or drop the id."
        )
    shared, _ = read_table(file.shared, str(file.path), Settings.model_fields)
    for layer in (shared, _argued(arguments)):
        Settings.from_layer(layer)
    loaded: list[Settings | RefusedProject] = []
    taken = set[str]()
    for number, table in chosen:
        try:
            settings = Settings.from_layer(*_merge(file, table, arguments))
            if settings.project_id and settings.project_id in taken:
                raise ConfigError(
                    f"{file.path} has two [[project]] tables for {settings.project_id!r}. Remove one."
                )
        except ConfigError as error:
            named = table.get("project_id")
            label = named if isinstance(named, str) and named else f"[[project]] {number}"
            loaded.append(RefusedProject(label, error))
        else:
            loaded.append(settings)
            taken |= {settings.project_id or ""}
    return loaded


def load_project_ids(config: str | Path | None, lake: str) -> list[str]:
    """The projects that the ``[[project]]`` tables of a TOML file put into a lake; else none.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = read_config_file(config)
    homes = {
        str(one.get("project_id") or ""): one.get("lake", file.shared.get("lake"))
        for one in file.projects
    }
    return [one for one, home in homes.items() if one and home in (None, lake)]


def describe_settings(config: str | Path | None = None, **arguments: Any) -> list[SettingRow]:
    """Every setting with its value (secrets as ``***``) and its source, for people.

    Takes what `load_settings` takes and raises what it raises. An unset value is "". Endpoints that
    follow from the region are shown with that as their source.
    """
    file = read_config_file(config)
    given, unset = _merge(file, _fitting_project(file, arguments), arguments)
    settings = Settings.from_layer(given, unset)
    derived = {"endpoint": settings.service_url, "iam_endpoint": settings.iam_url}
    source = "argument" if config else f"environment {CONFIG_VARIABLE}" if file.path else "default"
    rows = [SettingRow("config", str(file.path or ""), source)]
    for name in Settings.model_fields:
        value = getattr(settings, name)
        source = given[name].source if value is not None and name in given else "default"
        if value is None and derived.get(name):
            value, source = derived[name], "follows from region or endpoint"
        shown = "***" if isinstance(value, Secret) else "" if value is None else str(value)
        rows.append(SettingRow(name, shown, source))
    return rows


def find_unknown_variables(config: str | Path | None = None) -> list[str]:
    """What to say of each environment variable that is named like a setting and is none.

    Takes the file because it may name variables of its own, and raises as `load_settings` does.
    """
    file = read_config_file(config)
    variables = {field: environment_names(field) for field in Settings.model_fields}
    variables["config"] = (CONFIG_VARIABLE,)
    tables = (file.shared, *file.projects)
    known = {str(v) for table in tables for key, v in table.items() if key.endswith("_env")}
    known.update(*variables.values())
    texts = []
    for name in sorted(os.environ.keys() - known):
        if name.upper().startswith(PREFIX) and os.environ[name]:
            field = name.upper().removeprefix(PREFIX).lower()
            close = get_close_matches(field, variables, n=1, cutoff=0.7)
            hint = f"Did you mean {variables[close[0]][0]}?" if close else "Unset it."
            texts.append(f"{name} is no setting and is not used. {hint}")
    return texts


def _fitting_project(file: ConfigFile, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one ``[[project]]`` table that a single-project call means; empty if none is clear."""
    if len(file.projects) == 1:
        return file.projects[0]
    in_environment = read_environment().get("project_id")
    wanted = arguments.get("project_id") or (in_environment and in_environment.value)
    for table in file.projects:
        if wanted == table.get("project_id"):
            return table
    return {}


def _merge(
    file: ConfigFile, project: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[Layer, tuple[str, ...]]:
    """One layer from all, and the unset environment variables that the file points to."""
    own, own_unset = read_table(project, f"{file.path} [[project]]", Settings.model_fields)
    if "region" in own:  # stands for its endpoints too: not those exported for another region
        for name in ("endpoint", "iam_endpoint"):
            own.setdefault(name, Given(None, own["region"].source))
    shared, shared_unset = read_table(file.shared, str(file.path), Settings.model_fields)
    merged: Layer = {}
    barred: set[str] = set()
    for layer in (_argued(arguments), own, read_environment(), shared):
        merged = {name: v for name, v in layer.items() if name not in barred} | merged
        barred |= _barred_by(layer)
    return merged, own_unset or shared_unset


def _argued(arguments: Mapping[str, Any]) -> Layer:
    return {name: Given(v, "argument") for name, v in arguments.items() if v is not None}


def _barred_by(layer: Mapping[str, Any]) -> set[str]:
    """The credentials of lower layers that this one stands for: they go together."""
    used = [fields for fields in METHODS.values() if fields[0] in layer]
    others = [fields for fields in METHODS.values() if used and fields not in used]
    session = ["security_token"] if "access_key" in layer else []
    return {*session, *(name for fields in others for name in fields)}
