"""Which hosts a region stands for, so that no credential leaves the cloud it belongs to.

In: a region, and the endpoint that was given, if any. Out: addresses in that endpoint's own cloud, or
None where none can be concluded: then they must be given.

Huawei Cloud is two clouds of separate accounts, ``.com`` and ``.eu``. Partner clouds have hosts and
identity services of their own, which no document lists; a derived address is never one of theirs.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

_WORLD: Final = "myhuaweicloud.com"
_EUROPE: Final = "myhuaweicloud.eu"
_EUROPEAN_REGION: Final = "eu-west-101"
_NUMBERED: Final = {
    "af-south-": (1,),
    "ap-southeast-": (1, 2, 3, 4, 5),
    "cn-east-": (2, 3, 4),
    "cn-north-": (1, 2, 4, 9, 11),
    "cn-south-": (1, 2, 4),
    "cn-southwest-": (2, 3),
    "la-north-": (2,),
    "la-south-": (2,),
    "me-east-": (1,),
    "ru-moscow-": (1,),
    "ru-northwest-": (2,),
    "sa-brazil-": (1,),
    "tr-west-": (1,),
}
REGIONS: Final = {
    **{f"{name}{number}": _WORLD for name, numbers in _NUMBERED.items() for number in numbers},
    _EUROPEAN_REGION: _EUROPE,
}
"""The regions that offer GeminiDB (of the official SDK's list), each with its cloud's domain."""

_SERVICE_HOST = re.compile(
    r"gaussdb-nosql\.(?P<region>[a-z0-9-]+)\.(?:myhuaweicloud\.com|myhuaweicloud\.eu)"
)


def region_of(endpoint: str) -> str | None:
    """The region that Huawei's own host name names, else None."""
    match = _SERVICE_HOST.fullmatch(urlsplit(endpoint).hostname or "")
    return match["region"] if match else None


def service_address(region: str) -> str | None:
    """GeminiDB's endpoint in a known region."""
    cloud = REGIONS.get(region)
    return f"https://gaussdb-nosql.{region}.{cloud}" if cloud else None


def identity_address(region: str | None, endpoint: str | None) -> str | None:
    """The identity service (IAM) beside the endpoint; without endpoint the region's."""
    cloud = _shared_cloud(region, endpoint)
    if cloud is None:
        return None
    return f"https://iam.{cloud}" if cloud == _EUROPE else f"https://iam.{region}.{cloud}"


def storage_address(region: str | None, endpoint: str | None) -> str | None:
    """The object storage (OBS) beside the endpoint; without endpoint the region's."""
    cloud = _shared_cloud(region, endpoint)
    return f"https://obs.{region}.{cloud}" if cloud else None


def explain_unknown_region(region: str) -> str:
    """What to say of a region that is not in the list."""
    close = get_close_matches(region, REGIONS, n=1, cutoff=0.7)
    hint = f" Did you mean {close[0]}?" if close else f" Known are {', '.join(sorted(REGIONS))}."
    return f"Region {region!r} is not known.{hint}"


def _shared_cloud(region: str | None, endpoint: str | None) -> str | None:
    """The cloud that region and endpoint both lie in; None if they do not, or one is unknown."""
    if region is None:
        return None
    if endpoint is None:
        return REGIONS.get(region)
    host = urlsplit(endpoint).hostname or ""
    cloud = next((one for one in (_WORLD, _EUROPE) if host.endswith(f".{one}")), None)
    # A region that is not in the list is believed if the endpoint names it as well.
    is_known = region in REGIONS or region == region_of(endpoint)
    return cloud if is_known and REGIONS.get(region, cloud) == cloud else None
