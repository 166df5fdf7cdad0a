"""Secrets that must show nowhere, and the ways to authenticate with them."""

from __future__ import annotations

from typing import NamedTuple

from support.fault_server import Act, answer

WORD = "cAnArY"
# as long as IAM's, so that a text cut anywhere shows a part; signs that are escaped differently
TOKEN = f"MII{WORD}" + f'+/="<&>%{WORD}' * 250
ISSUED = f"MII{WORD}issued" + f"+/=&%{WORD}" * 250
PASSWORD = f'{WORD} pässw"örd<&>\\%{WORD}'
ACCESS_KEY, SECRET_KEY, SECURITY = f"AK{WORD}", f"SK{WORD}+/", f"ST{WORD}=+/" * 200


class Method(NamedTuple):
    """A way to authenticate: its secrets, its environment, and what IAM answers first."""

    secrets: tuple[str, ...]
    environment: dict[str, str]
    before: tuple[Act, ...] = ()


LOGIN = answer({"token": {"expires_at": "2099-01-01T00:00:00Z"}}, 201, {"X-Subject-Token": ISSUED})
BY_PASSWORD = {
    "BACKUP_FRAMES_USERNAME": "user",
    "BACKUP_FRAMES_PASSWORD": PASSWORD,
    "BACKUP_FRAMES_DOMAIN": "domain",
}
METHODS = {
    "token": Method((TOKEN,), {"BACKUP_FRAMES_TOKEN": TOKEN}),
    "password": Method((PASSWORD, ISSUED), BY_PASSWORD, (LOGIN,)),
    "login": Method((PASSWORD,), BY_PASSWORD),  # IAM itself echoes
    "keys": Method(
        (ACCESS_KEY, SECRET_KEY, SECURITY),
        {
            "HUAWEICLOUD_SDK_AK": ACCESS_KEY,
            "HUAWEICLOUD_SDK_SK": SECRET_KEY,
            "HUAWEICLOUD_SDK_SECURITY_TOKEN": SECURITY,
        },
    ),
}
