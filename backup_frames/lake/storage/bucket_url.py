"""From an object store's URL and the environment to where it is and how it is addressed.

In: ``s3://bucket/prefix?…`` or ``obs://bucket/prefix?…`` and the environment's variables.
Out: an `ObjectAddress`, and an obstore client for it. The URL overrides the environment:

==============  ====================================================  =======================
in the URL      in the environment                                    else
==============  ====================================================  =======================
endpoint        AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL                 AWS, or OBS of the region
region          AWS_REGION, AWS_DEFAULT_REGION                        us-east-1
                (``obs://``: BACKUP_FRAMES_REGION before them)        (``obs://``: an error)
virtual_host    AWS_VIRTUAL_HOSTED_STYLE_REQUEST                      false (``obs://``: true)
checksum        AWS_CHECKSUM_ALGORITHM                                none beyond the signature
==============  ====================================================  =======================

OBS of the region is taken only where it lies in the cloud of BACKUP_FRAMES_ENDPOINT, if that is set:
the keys belong there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from ...errors import ConfigError, LakeError
from ...settings.endpoints import storage_address
from .store import check_key

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential

_OPTIONS = ("endpoint", "region", "virtual_host", "checksum")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_OTHER_LOGINS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
)


@dataclass(frozen=True)
class ObjectAddress:
    """Where a lake's objects are, and the credentials to get there.

    Attributes:
        bucket: the bucket's name.
        prefix: what every key of the lake begins with, without slashes at its ends.
        endpoint: the base URL of requests (with the bucket in its host if `is_virtual_host`),
            None for AWS itself.
        region: what requests are signed for.
        is_virtual_host: the bucket is part of the host name, not of the path.
        checksum: an extra checksum to send (``sha256``), None for the signature's own.
        credentials: access key, secret key, token; None where obstore finds them itself.
    """

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    is_virtual_host: bool
    checksum: str | None
    credentials: tuple[str, str, str | None] | None = field(repr=False)

    @property
    def secrets(self) -> list[str]:
        """What no message may repeat."""
        return [secret for secret in self.credentials or () if secret]


def read_object_url(url: str, environ: Mapping[str, str]) -> ObjectAddress:
    """Read a lake's URL. Costs no I/O.

    Raises:
        ConfigError: the URL holds a secret or an unknown option, or region or credentials are
            missing. The message repeats no value that might be a secret.
    """
    parts = urlsplit(url)
    is_obs = parts.scheme.lower() == "obs"
    _refuse_secrets(parts.netloc, parts.query, parts.fragment)
    options = _read_options(parts.query)
    prefix = unquote(parts.path).strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]{3,63}", parts.netloc) or (prefix and not _is_key(prefix)):
        raise ConfigError(
            f"{parts.scheme}://{parts.netloc}{parts.path} names no bucket and prefix. Write "
            f"{parts.scheme}://bucket/prefix, without empty parts and without '..'."
        )
    region = options.get("region") or _first(
        environ, *(["BACKUP_FRAMES_REGION"] if is_obs else []), "AWS_REGION", "AWS_DEFAULT_REGION"
    )
    endpoint = options.get("endpoint") or _first(environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if is_obs and not region:
        raise ConfigError(
            f"The region of {parts.scheme}://{parts.netloc} is unknown. Set BACKUP_FRAMES_REGION "
            "or AWS_REGION, or write ?region=eu-west-101 behind the URL."
        )
    if region and not re.fullmatch(r"[A-Za-z0-9-]{1,63}", region):  # it becomes part of a host
        raise ConfigError(f"{region!r} is no region. Write it like eu-west-101 or us-east-1.")
    credentials = _read_credentials(environ, is_obs=is_obs, is_aws=not is_obs and endpoint is None)
    if is_obs and not endpoint:
        service = environ.get("BACKUP_FRAMES_ENDPOINT") or None
        endpoint = storage_address(region, service)
        if endpoint is None:
            known = f"the service's {service}" if service else "Huawei Cloud's list"
            raise ConfigError(
                f"The object storage of region {region!r} is unknown: it is derived only for known "
                f"regions of the service's own cloud, here {known}, so that no key leaves it. "
                "Write ?endpoint=https://obs.… behind the lake's URL."
            )
    virtual_host = options.get("virtual_host") or environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
    is_virtual_host = is_obs if not virtual_host else _read_boolean(virtual_host)
    return ObjectAddress(
        bucket=parts.netloc,
        prefix=prefix,
        endpoint=_read_endpoint(endpoint, parts.netloc, is_virtual_host) if endpoint else None,
        region=region or "us-east-1",
        is_virtual_host=is_virtual_host,
        checksum=options.get("checksum") or environ.get("AWS_CHECKSUM_ALGORITHM") or None,
        credentials=credentials,
    )


def open_client(address: ObjectAddress, *, timeout_s: float, retries: int) -> S3Store:
    """An obstore client for the address; nothing is asked yet.

    Args:
        address: from `read_object_url`.
        timeout_s: total time of one request; no retry starts later than this after the first.
        retries: how often a request is sent again after 5xx, a timeout or a broken connection.

    Raises:
        ConfigError: obstore refuses an option, such as an unknown checksum.
    """
    config: S3Config = {
        "region": address.region,
        "virtual_hosted_style_request": address.is_virtual_host,
        # OBS and others want one DELETE per object, not AWS's POST ?delete.
        "disable_bulk_delete": True,
    }
    if address.endpoint:
        # Both, since AWS_ENDPOINT_URL_S3 of the environment would win over `endpoint` alone.
        config["endpoint"] = config["aws_endpoint_url_s3"] = address.endpoint
    if address.checksum:
        config["checksum_algorithm"] = address.checksum
    try:
        return S3Store(
            address.bucket,
            prefix=address.prefix or None,
            config=config,
            client_options={
                "allow_http": (address.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=timeout_s),
            },
            retry_config={
                "max_retries": retries,
                "retry_timeout": timedelta(seconds=timeout_s),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.2),
                    "max_backoff": timedelta(seconds=10),
                    "base": 2,
                },
            },
            credential_provider=_provider(address.credentials),
        )
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"The object store's settings are refused: {reason}. Check the options behind the "
            "lake's URL and the AWS_* variables of the environment."
        ) from None


def _provider(
    credentials: tuple[str, str, str | None] | None,
) -> Callable[[], S3Credential] | None:
    if credentials is None:
        return None
    access_key, secret_key, token = credentials

    def provide() -> S3Credential:
        return {
            "access_key_id": access_key,
            "secret_access_key": secret_key,
            "token": token,
            "expires_at": None,
        }

    return provide


def _read_credentials(
    environ: Mapping[str, str], *, is_obs: bool, is_aws: bool
) -> tuple[str, str, str | None] | None:
    """The first whole pair of the environment; pairs of different sources are never mixed."""
    aws = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    huawei = ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN")
    sources = [huawei, aws] if is_obs else [aws]
    for access_name, secret_name, token_name in sources:
        access_key, secret_key = environ.get(access_name), environ.get(secret_name)
        if access_key and secret_key:
            return access_key, secret_key, environ.get(token_name) or None
    # AWS's own machines log in without keys; elsewhere waiting for that would only cost time.
    if is_aws or any(environ.get(name) for name in _OTHER_LOGINS):
        return None
    names = " or ".join(f"{source[0]} and {source[1]}" for source in sources)
    raise ConfigError(
        f"There are no credentials for the lake's object store. Set {names} in the environment."
    )


def _read_endpoint(endpoint: str, bucket: str, is_virtual_host: bool) -> str:
    parts = urlsplit(endpoint)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "The object store's endpoint holds more than a host, perhaps a secret. Write "
            "http(s)://host:port alone; credentials belong into the environment."
        )
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f"{endpoint!r} is no endpoint of an object store. Write https://host or "
            "http://host:port."
        )
    host = parts.netloc
    if is_virtual_host and not host.startswith(f"{bucket}."):
        host = f"{bucket}.{host}"
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def _read_options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise ConfigError(
            f"The lake's URL has options that do not exist: {', '.join(unknown)}. Known are "
            f"{', '.join(_OPTIONS)}; credentials belong into the environment."
        )
    return options


def _refuse_secrets(netloc: str, query: str, fragment: str) -> None:
    names = " ".join(name for name, _ in parse_qsl(query, keep_blank_values=True))
    if "@" in netloc or fragment or re.search(r"(?i)key|secret|token|password|signature", names):
        raise ConfigError(
            "The lake's URL holds credentials, which would end up in logs and files. Set them in "
            "the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and write "
            "scheme://bucket/prefix alone."
        )


def _read_boolean(text: str) -> bool:
    if (value := _BOOLEANS.get(text.lower())) is None:
        raise ConfigError(
            f"Virtual-host addressing is {text!r}, which is neither true nor false. "
            "Write ?virtual_host=true or ?virtual_host=false behind the lake's URL."
        )
    return value


def _is_key(prefix: str) -> bool:
    try:
        return bool(check_key(prefix))
    except LakeError:
        return False


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((value for name in names if (value := environ.get(name))), None)
