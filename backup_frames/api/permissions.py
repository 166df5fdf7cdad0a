"""What must be granted so that a request is allowed, in the words of both of Huawei's models.

In: the URL that was refused. Out: a sentence. An account decides by identity policies or by roles
(custom policies of the older kind); an action of one model has no effect in the other.
"""

from __future__ import annotations

import re
from typing import Final

# path of the request, action of an identity policy, action of a role or custom policy
_ACTIONS: Final = (
    (
        r"/instances/[^/]+/backups/policy",
        "gaussdbfornosql:instance:getBackupPolicy",
        "nosql:backup:list",
    ),
    (r"/instances", "gaussdbfornosql:instance:list", "nosql:instance:list"),
    (r"/backups", "gaussdbfornosql:backup:list", "nosql:backup:list"),
)


def advise_grant(url: str) -> str:
    """What to grant for this URL, in either model; where no action is known, whom to ask.

    Examples:
        >>> advise_grant("https://host/v3.1/0a1b/backups")
        'Grant gaussdbfornosql:backup:list (identity policy) or nosql:backup:list (role or custom \
policy) in this project; the two models do not mix: use the one that your account decides by.'
    """
    for path, identity, role in _ACTIONS:
        if re.search(rf"{path}$", url):
            return (
                f"Grant {identity} (identity policy) or {role} (role or custom policy) in this "
                "project; the two models do not mix: use the one that your account decides by."
            )
    return "Ask the account's administrator to allow it."
