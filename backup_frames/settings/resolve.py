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
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AliasChoices,
    AliasGenerator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..errors import ConfigError
from .endpoints import explain_unknown_region, identity_address, region_of, service_address
from .toml_file import (
    CONFIG_VARIABLE,
    SECRETS,
    ConfigFile,
    Given,
    Layer,
    read_config_file,
    read_table,
)
from .values import (
    ApiVersion,
    Catalog,
    HeaderSecret,
    LakeFormat,
    LakePlace,
    Origin,
    ProjectId,
    Region,
    Text,
)

PREFIX = "BACKUP_FRAMES_"
HUAWEI_NAMES = {
    "access_key": "HUAWEICLOUD_SDK_AK",
    "secret_key": "HUAWEICLOUD_SDK_SK",
    "security_token": "HUAWEICLOUD_SDK_SECURITY_TOKEN",
    "project_id": "HUAWEICLOUD_SDK_PROJECT_ID",
}
METHODS: dict[str, tuple[str, ...]] = {  # the first field of each decides that it is used
    "token": ("token",),
    "keys": ("access_key", "secret_key", "security_token"),
    "password": ("password", "username", "domain"),
}


def environment_names(field: str) -> tuple[str, ...]:
    """Environment variables of a field: ours first, which wins; keys have Huawei's name only."""
    if field in METHODS["keys"]:
        return (HUAWEI_NAMES[field],)
    return (PREFIX + field.upper(), *filter(None, [HUAWEI_NAMES.get(field)]))


class Settings(BaseSettings):
    """Where the service and the lake are, and how hard to pull.

    Built by `load_settings`, which explains a bad value as a `ConfigError`. Built directly,
    ``Settings(...)`` reads arguments and the environment only. Frozen; secrets print as ``***``.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        case_sensitive=True,
        env_ignore_empty=True,
        validate_by_name=True,
        alias_generator=AliasGenerator(
            validation_alias=lambda field: AliasChoices(*environment_names(field))
        ),
        hide_input_in_errors=True,
    )

    endpoint: Origin | None = None  # default: the region's
    region: Region | None = None
    project_id: ProjectId | None = None  # default: the region's own, looked up
    token: HeaderSecret | None = None
    username: Text | None = None
    password: SecretStr | None = None
    domain: Text | None = None  # name of the account that the user belongs to
    iam_endpoint: Origin | None = None  # default: the region's
    access_key: HeaderSecret | None = None
    secret_key: HeaderSecret | None = None
    security_token: HeaderSecret | None = None  # comes with temporary keys
    lake: LakePlace | None = None
    partition_by: Literal["day", "month"] = "day"  # of a new lake
    lake_format: LakeFormat | None = None  # of a new lake; default: as it is, else parquet
    iceberg_catalog: Catalog | None = None  # default: an SQLite file in the lake's folder
    iceberg_namespace: Text = "backup_frames"  # of the lake's tables in the catalog
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60  # per request, all in all
    api_version: ApiVersion = "v3.1"  # of the list of backups
    max_connections: Annotated[int, Field(ge=1, le=64)] = 8
    max_requests_per_second: Annotated[float, Field(gt=0, le=10_000)] | None = None
    overlap_s: Annotated[int, Field(ge=0, le=31 * 86_400)] = 3600  # a sync reads so far back again
    reread_requests: Annotated[int, Field(ge=0, le=100_000)] = 10  # a sync spends on old days

    # Names of unset environment variables that the file points to; asked for when needed.
    _unset: tuple[str, ...] = PrivateAttr(default=())

    @property
    def service_url(self) -> str | None:
        """The endpoint given, else the region's; None if neither is known."""
        return self.endpoint or (service_address(self.region) if self.region else None)

    @property
    def iam_url(self) -> str | None:
        """The identity service: as given, else beside a sandbox or in the endpoint's cloud."""
        if self.iam_endpoint:
            return self.iam_endpoint
        if self.endpoint and self.endpoint.startswith("http://"):
            return self.endpoint  # loopback only: a sandbox serves both
        return identity_address(self.known_region, self.endpoint)

    @property
    def known_region(self) -> str | None:
        """The region given, else the one that the endpoint's host names, else None."""
        return self.region or (region_of(self.endpoint) if self.endpoint else None)

    @property
    def credentials(self) -> Literal["token", "keys", "password"] | None:
        """The method in use: token before AK/SK before user and password; None if incomplete."""
        if self.token:
            return "token"
        if self.access_key and self.secret_key:
            return "keys"
        if self.username and self.password:
            return "password"
        return None

    def require_connection(self) -> None:
        """Check that the service can be asked at all; no I/O.

        Raises:
            ConfigError: endpoint, credentials or project id are missing; says how to give them.
        """
        if self.service_url is None:
            raise ConfigError(self._what_endpoint_lacks())
        named = region_of(self.endpoint) if self.endpoint else None
        if named and self.region and named != self.region:
            raise ConfigError(
                f"endpoint {self.endpoint} is of region {named}, but region is {self.region!r}. "
                "Give one of them, or make them agree."
            )
        if self.credentials is None:
            raise ConfigError(self._what_credentials_lack())
        is_lookup = self.project_id is None
        if is_lookup and (self.credentials == "token" or self.known_region is None):
            raise ConfigError(
                "No project id is set, and it can be looked up only by region with AK/SK or user "
                "and password. Give --project-id or export BACKUP_FRAMES_PROJECT_ID."
            )
        if self.iam_url is None and (is_lookup or self.credentials == "password"):
            need = "look up the project id" if is_lookup else "log in with user and password"
            raise ConfigError(
                f"The identity service to {need} is unknown: it is derived from the region only "
                f"where the endpoint is that region's of Huawei Cloud, and {self.service_url} is "
                "not, so that no credential leaves its domain. Export BACKUP_FRAMES_IAM_ENDPOINT"
                + (", or give --project-id." if self.credentials == "keys" else ".")
            )

    def _what_endpoint_lacks(self) -> str:
        if self.region is None:
            return (
                "No endpoint is set. Give --endpoint or --region, or export BACKUP_FRAMES_ENDPOINT "
                "or BACKUP_FRAMES_REGION (to try without an account: backup-frames demo)."
            )
        return (
            f"{explain_unknown_region(self.region)} For a new region or a partner's cloud give "
            "--endpoint, and export BACKUP_FRAMES_IAM_ENDPOINT if the identity service is needed."
        )

    def _what_credentials_lack(self) -> str:
        if self._unset:
            return (
                f"No credentials: the config file points to {' and '.join(self._unset)}, "
                "which the environment does not hold. Export it."
            )
        for fields in (METHODS["keys"][:2], METHODS["password"][:2]):
            missing = [name for name in fields if getattr(self, name) is None]
            if 0 < len(missing) < len(fields):
                names = " and ".join(environment_names(name)[0] for name in missing)
                return (
                    f"Credentials are incomplete: {' and '.join(missing)} missing. Export {names}."
                )
        return (
            "No credentials are set. Export BACKUP_FRAMES_TOKEN, or HUAWEICLOUD_SDK_AK and "
            "HUAWEICLOUD_SDK_SK, or BACKUP_FRAMES_USERNAME and BACKUP_FRAMES_PASSWORD (with "
            "BACKUP_FRAMES_DOMAIN, unless the account bears the user's name)."
        )


class SettingRow(NamedTuple):
    """One line of ``backup-frames config``: a setting, its value as text, where it came from."""

    name: str
    value: str
    source: str


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
    return _build(*_merge(file, _fitting_project(file, arguments), arguments))


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
    if settings is None or not given:
        return settings or load_settings(**given)
    defaults = {name: Given(one.default, "default") for name, one in Settings.model_fields.items()}
    argued = {name: Given(value, "argument") for name, value in given.items()}
    checked = _build(defaults | argued, ())  # a value for each field: none is left to pydantic
    barred = dict.fromkeys(_barred_by(argued))
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
    file = read_config_file(config)
    if not file.projects:
        return [load_settings(config, **arguments)]
    wanted = arguments.get("project_id")
    chosen = [table for table in file.projects if wanted in (None, table.get("project_id"))]
    if not chosen:
        raise ConfigError(
            f"{file.path} has no [[project]] for {wanted!r}. Add one, or drop the id."
        )
    loaded = [_build(*_merge(file, table, arguments)) for table in chosen]
    ids = [settings.project_id for settings in loaded if settings.project_id is not None]
    for twice in {project_id for project_id in ids if ids.count(project_id) > 1}:
        raise ConfigError(f"{file.path} has two [[project]] tables for {twice!r}. Remove one.")
    return loaded


def describe_settings(config: str | Path | None = None, **arguments: Any) -> list[SettingRow]:
    """Every setting with its value (secrets as ``***``) and its source, for people.

    Takes what `load_settings` takes and raises what it raises. An unset value is "". Endpoints that
    follow from the region are shown with that as their source.
    """
    file = read_config_file(config)
    given, unset = _merge(file, _fitting_project(file, arguments), arguments)
    settings = _build(given, unset)
    derived = {"endpoint": settings.service_url, "iam_endpoint": settings.iam_url}
    source = "argument" if config else f"environment {CONFIG_VARIABLE}" if file.path else "default"
    rows = [SettingRow("config", str(file.path or ""), source)]
    for name in Settings.model_fields:
        value = getattr(settings, name)
        source = given[name].source if value is not None and name in given else "default"
        if value is None and derived.get(name):
            value, source = derived[name], "follows from region or endpoint"
        shown = "***" if isinstance(value, SecretStr) else "" if value is None else str(value)
        rows.append(SettingRow(name, shown, source))
    return rows


def _fitting_project(file: ConfigFile, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one ``[[project]]`` table that a single-project call means; empty if none is clear."""
    if len(file.projects) == 1:
        return file.projects[0]
    in_environment = _environment().get("project_id")
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
    argued = {name: Given(v, "argument") for name, v in arguments.items() if v is not None}
    merged: Layer = {}
    barred: set[str] = set()
    for layer in (argued, own, _environment(), shared):
        merged = {name: v for name, v in layer.items() if name not in barred} | merged
        barred |= _barred_by(layer)
    return merged, own_unset or shared_unset


def _barred_by(layer: Layer) -> set[str]:
    """The credentials of lower layers that this one stands for: they go together."""
    used = [fields for fields in METHODS.values() if fields[0] in layer]
    others = [fields for fields in METHODS.values() if used and fields not in used]
    session = ["security_token"] if "access_key" in layer else []
    return {*session, *(name for fields in others for name in fields)}


def _environment() -> Layer:
    return {
        field: Given(os.environ[name], f"environment {name}")
        for field in Settings.model_fields
        for name in reversed(environment_names(field))  # the last one set stays
        if os.environ.get(name)
    }


def _build(given: Layer, unset: tuple[str, ...]) -> Settings:
    # None for what no layer gave, lest pydantic look into the environment for a barred field. The
    # rest stays out, so that `model_fields_set` tells a chosen partition_by from the default.
    values = {name: None for name, field in Settings.model_fields.items() if field.default is None}
    try:
        settings = Settings(**values | {name: value for name, (value, _) in given.items()})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        if name not in Settings.model_fields:
            raise ConfigError(f"There is no setting {name!r}. See backup-frames config.") from None
        value, source = given[name]
        text = first["msg"].removeprefix("Value error, ")
        # A user part in an address may be a password, whatever field it landed in.
        is_secret = name in SECRETS or "@" in str(value)
        shown = "" if is_secret else f" = {str(value)[:100]!r}"
        message = f"{name}{shown} ({source}): {text[0].lower()}{text[1:]}."
        raise ConfigError(message) from None  # the cause would carry the value
    settings._unset = unset
    return settings
