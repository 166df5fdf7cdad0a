"""The settings of one run: every field with its check, and what follows from them.

In: values from arguments and the environment. Out: a frozen `Settings`, or a `ConfigError` that names the
field, its value and where it came from. No I/O.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

from ..errors import ConfigError
from .endpoints import explain_unknown_region, identity_address, region_of, service_address
from .toml_file import SECRETS, Given, Layer
from .values import (
    ApiVersion,
    LakeFormat,
    PartitionBy,
    Secret,
    check_catalog,
    check_choice,
    check_header,
    check_number,
    check_origin,
    check_place,
    check_project,
    check_region,
    check_secret,
    check_text,
)

PREFIX: Final = "BACKUP_FRAMES_"
HUAWEI_NAMES: Final = {
    "access_key": "HUAWEICLOUD_SDK_AK",
    "secret_key": "HUAWEICLOUD_SDK_SK",
    "security_token": "HUAWEICLOUD_SDK_SECURITY_TOKEN",
    "project_id": "HUAWEICLOUD_SDK_PROJECT_ID",
}
METHODS: Final[dict[str, tuple[str, ...]]] = {  # the first of each decides that it is used
    "token": ("token",),
    "keys": ("access_key", "secret_key", "security_token"),
    "password": ("password", "username", "domain"),
}


class Field(NamedTuple):
    """One setting: how a value is checked, and what holds if nobody gives one."""

    check: Callable[[Any], Any]
    default: Any = None


def _setting(check: Callable[[Any], Any], default: Any = None) -> Any:
    return Field(check, default)  # in the class; its instances have a value in its place


def environment_names(field: str) -> tuple[str, ...]:
    """Environment variables of a field: ours first, which wins; keys have Huawei's name only."""
    if field in METHODS["keys"]:
        return (HUAWEI_NAMES[field],)
    return (PREFIX + field.upper(), *filter(None, [HUAWEI_NAMES.get(field)]))


def read_environment() -> Layer:
    """The fields that environment variables give, of which an empty one counts as unset."""
    return {
        field: Given(os.environ[name], f"environment {name}")
        for field in Settings.model_fields
        for name in reversed(environment_names(field))  # the last one set stays
        if os.environ.get(name)
    }


class Settings:
    """Where the service and the lake are, and how hard to pull.

    Built by `load_settings` from all layers; ``Settings(...)`` reads arguments and the environment
    only, `Settings.of` arguments only. Frozen; secrets print as ``***``.

    Raises:
        ConfigError: an unknown name or a bad value; names where it came from.
    """

    endpoint: str | None = _setting(check_origin)  # default: the region's
    region: str | None = _setting(check_region)
    project_id: str | None = _setting(check_project)  # default: the region's own, looked up
    token: Secret | None = _setting(check_header)
    username: str | None = _setting(check_text)
    password: Secret | None = _setting(check_secret)
    domain: str | None = _setting(check_text)  # name of the account that the user belongs to
    iam_endpoint: str | None = _setting(check_origin)  # default: the region's
    access_key: Secret | None = _setting(check_header)
    secret_key: Secret | None = _setting(check_header)
    security_token: Secret | None = _setting(check_header)  # comes with temporary keys
    lake: str | None = _setting(check_place)
    partition_by: PartitionBy = _setting(check_choice(PartitionBy), "day")  # of a new lake
    lake_format: LakeFormat | None = _setting(check_choice(LakeFormat))  # likewise; else parquet
    iceberg_catalog: str | None = _setting(check_catalog)  # default: a file in the lake's folder
    iceberg_namespace: str = _setting(check_text, "backup_frames")  # of tables in the catalog
    timeout_s: float = _setting(check_number(float, 0.01, 3600), 60.0)  # per request, all in all
    api_version: ApiVersion = _setting(check_choice(ApiVersion), "v3.1")  # of the list of backups
    max_connections: int | None = _setting(check_number(int, 1, 64))
    max_requests_per_second: float | None = _setting(check_number(float, 0.01, 10_000))
    # A sync reads so far back again, and spends so many requests on old days.
    overlap_s: int = _setting(check_number(int, 0, 31 * 86_400), 3600)
    reread_requests: int = _setting(check_number(int, 0, 100_000), 10)

    model_fields: ClassVar[Mapping[str, Field]] = {
        name: one for name, one in dict(vars()).items() if isinstance(one, Field)
    }
    model_fields_set: frozenset[str]  # the names that somebody gave
    _unset: tuple[str, ...]  # variables that the file points to; asked for when needed

    def __init__(self, **arguments: Any) -> None:
        self._take(read_environment() | _argued(arguments))

    @classmethod
    def of(cls, **arguments: Any) -> Self:
        """Settings of these arguments alone, without the environment."""
        return cls.from_layer(_argued(arguments))

    @classmethod
    def from_layer(cls, given: Layer, unset: tuple[str, ...] = ()) -> Self:
        """Settings of values that know where they came from."""
        settings = cls.__new__(cls)
        settings._take(given, unset)
        return settings

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same with other values, which are taken as they are."""
        copy = type(self).__new__(type(self))
        is_given = self.model_fields_set | update.keys()
        vars(copy).update(vars(self), **update, model_fields_set=is_given)
        return copy

    def _take(self, given: Layer, unset: tuple[str, ...] = ()) -> None:
        for name in given.keys() - self.model_fields.keys():
            raise ConfigError(f"There is no setting {name!r}. See backup-frames config.")
        values = {
            name: field.default if name not in given else _checked(name, field, given[name])
            for name, field in self.model_fields.items()
        }
        vars(self).update(values, model_fields_set=frozenset(given), _unset=unset)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ConfigError(f"Settings are frozen: {name} cannot be set. Make others.")

    def __delattr__(self, name: str) -> None:
        raise ConfigError(f"Settings are frozen: {name} cannot be deleted. Make others.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.model_fields))

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.model_fields)
        return f"Settings({', '.join(values)})"

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
                "and password. Give project_id= or export BACKUP_FRAMES_PROJECT_ID."
            )
        if self.iam_url is None and (is_lookup or self.credentials == "password"):
            need = "look up the project id" if is_lookup else "log in with user and password"
            raise ConfigError(
                f"The identity service to {need} is unknown: it is derived from the region only "
                f"where the endpoint is that region's of Huawei Cloud, and {self.service_url} is "
                "not, so that no credential leaves its domain. Export BACKUP_FRAMES_IAM_ENDPOINT"
                + (", or give project_id=." if self.credentials == "keys" else ".")
            )

    def _what_endpoint_lacks(self) -> str:
        if self.region is None:
            return (
                "No endpoint is set. Give endpoint= or region=, or export BACKUP_FRAMES_ENDPOINT "
                "or BACKUP_FRAMES_REGION (to try without an account: backup-frames demo)."
            )
        return (
            f"{explain_unknown_region(self.region)} For a new region or a partner's cloud give "
            "endpoint=, and export BACKUP_FRAMES_IAM_ENDPOINT if the identity service is needed."
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


def _argued(arguments: Mapping[str, Any]) -> Layer:
    return {name: Given(value, "argument") for name, value in arguments.items()}


def _checked(name: str, field: Field, given: Given) -> Any:
    value, source = given
    if value is None and field.default is None:
        return None
    try:
        return field.check(value)
    except ValueError as error:
        # A user part in an address may be a password, whatever field it landed in.
        is_secret = name in SECRETS or "@" in str(value)
        shown = "" if is_secret else f" = {str(value)[:100]!r}"
        # without its cause, which would carry the value
        raise ConfigError(f"{name}{shown} ({source}): {error}.") from None
