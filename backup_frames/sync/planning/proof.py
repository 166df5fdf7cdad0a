"""What a sync remembers of the service's proof, so that an hourly run need not repeat it.

In: the state's record, a certificate. Out: what may be taken as proven, and the next record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...lake.ledger.metadata import ProofState
from ...scan.ranges import DAY_S
from ...version import VERSION

if TYPE_CHECKING:
    from ...scan.assumptions import ServiceProof
    from ...scan.certificate import Certificate

MAX_AGE_S: Final = 7 * DAY_S
"""After so long what was proven is proven again."""


def recall(past: ProofState | None, asked: Certificate, *, now_s: int) -> ServiceProof | None:
    """What need not be proven again: not after a week, nor by another version or endpoint.

    Args:
        past: the state's record.
        asked: a certificate of this run's reader, which names the endpoint.
        now_s: the run's moment.
    """
    if past is None or (past.endpoint, past.tool_version) != (_asked(asked), VERSION):
        return None
    return past.service if 0 <= now_s - past.service.at_s < MAX_AGE_S else None


def remember(certificate: Certificate, *, is_complete: bool) -> ProofState | None:
    """The record of what a run has proven; None if the next is to prove it anew."""
    proof = certificate.proof
    if not is_complete or proof is None:
        return None
    return ProofState(_asked(certificate), VERSION, proof)


def has_failures(certificate: Certificate) -> bool:
    """Whether an assumption about the service failed: what a read lacks may be there all the same."""
    return certificate.proof is not None and bool(certificate.proof.failures)


def _asked(certificate: Certificate) -> str:
    """Which list was asked; another version of the API is another list."""
    return f"{certificate.endpoint}/{certificate.api_version}"
