"""The proxy that the environment names, and the hosts that it leaves out.

In: ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as Python's own modules read them (on Windows and
macOS the system's settings, too). Out: a proxy or None; whether a host is to be reached without it.

``NO_PROXY`` is a list of host names, each with all names below it, addresses, networks such as
``10.0.0.0/8``, or ``*``; a port behind a name or an address bounds it to that port.
"""

from __future__ import annotations

import re
import urllib.request
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from ...errors import ConfigError


def find_proxy() -> httpx.Proxy | None:
    """The proxy for ``https://``, None if the environment names none.

    Raises:
        ConfigError: it names one that cannot be one.
    """
    proxies = urllib.request.getproxies()
    text = (proxies.get("https") or proxies.get("all") or "").strip()
    if not text:
        return None
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        is_host = re.fullmatch(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", url.raw_host.strip(b"[]"))
        if url.scheme not in ("http", "https") or not is_host or (url.port or 80) > 65535:
            raise ValueError("it must be http:// or https:// with a host and perhaps a port")
        return httpx.Proxy(url)
    except (httpx.InvalidURL, ValueError) as exc:
        shown = re.sub(r"[^/]*@", "***@", text)  # a user's password may stand before the host
        reason = f": {exc}" if "@" not in text else ""
        raise ConfigError(
            f"The environment's proxy (HTTPS_PROXY or ALL_PROXY) is {shown!r}, which is no usable "
            f"address{reason}. Set it to http://host:port, or unset it."
        ) from None


def is_direct(host: str, port: int) -> bool:
    """Whether the environment wants this host reached without proxy."""
    if urllib.request.proxy_bypass(host):
        return True
    address = _as_address(host)
    names = urllib.request.getproxies().get("no", "").lower().split(",")
    return any(_fits(name.strip(), host.lower(), port, address) for name in names)


def _fits(entry: str, host: str, port: int, address: IPv4Address | IPv6Address | None) -> bool:
    if address is not None:
        try:
            return address in ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # a name, or an address with a port
    name, _, wanted = entry.rpartition(":")
    if not (name and wanted.isdecimal()):
        name, wanted = entry, ""
    if wanted and int(wanted) != port:
        return False
    if address is not None:
        return address == _as_address(name)
    name = name.removeprefix("*").removeprefix(".").rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None
