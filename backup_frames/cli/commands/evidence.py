"""The command ``evidence``: a pack for auditors, its check, and the calendar of days.

In: a lake and some days, or a pack. Out: an archive, a folder or a page; or findings, one per line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ...api.scrub import as_printable
from ...errors import ConfigError
from ...whole_files import absolute_path
from ..session.options import (
    Config,
    EnterpriseProject,
    Lake,
    Owner,
    known_of,
    lake_of,
    option,
    written,
)
from ..session.session import Session, command


@command
def make_evidence(  # noqa: PLR0913 - the options of a command
    session: Session,
    *,
    lake: Lake = None,
    begin: Annotated[
        str | None, option("DAY", "First day, such as 2026-01-01 (UTC).", name="--from")
    ] = None,
    end: Annotated[str | None, option("DAY", "Last day, included.", name="--to")] = None,
    out: Annotated[
        Path | None,
        option("PACK", "What to write: a name with .zip, or a new folder.", parser=written),
    ] = None,
    calendar: Annotated[
        Path | None,
        option("FILE.html", "Write the calendar of days of each instance.", parser=written),
    ] = None,
    verify: Annotated[
        Path | None,
        option("PACK", "Check a pack against its sums, and with --lake against the lake."),
    ] = None,
    owner: Owner = None,
    enterprise_project: EnterpriseProject = None,
    instance_id: Annotated[str | None, option("ID", "Only this instance, in the calendar.")] = None,
    config: Config = None,
) -> None:
    """Write what auditors ask for as a pack that anybody can check, or check one.

    The same lake and days give the same bytes. A pack has one CSV per control with every instance and
    day, the backups, the certificate of every run, gaps, definitions, a cover and SHA256SUMS. --verify
    names each file that is not as it was made, and ends with exit code 5 if there is any.
    """
    session.options |= {"from": "--from", "to": "--to"}  # of the words that Python cannot name so
    if verify is not None:
        if any(one is not None for one in (begin, end, out, calendar, owner, enterprise_project)):
            raise ConfigError("--verify takes a pack, and --lake. Drop the other options.")
        _verify(session, verify, lake)
        return
    if begin is None or end is None or (out is None and calendar is None):
        raise ConfigError(
            "Give --from and --to, and --out for a pack or --calendar for a page; or --verify PACK."
        )
    if instance_id is not None and out is not None:
        raise ConfigError(
            "--instance-id is for --calendar: a pack has every instance, or an owner's."
        )
    url = lake_of(session.load(config, lake=lake))
    from ...evidence.files import check_pack_target

    if out is not None:  # before the page, lest only half of what was asked be there
        check_pack_target(absolute_path(out), url)
    known = known_of(config, url)
    if calendar is not None:
        from ...evidence.calendar import write_calendar

        write_calendar(
            url, calendar, begin=begin, end=end, instance_id=instance_id, owner=owner,
            enterprise_project_id=enterprise_project, owners=known["owners"],
            attestations=known["attestations"],
        )  # fmt: skip
        session.note(f"Wrote {calendar}")
    if out is not None:
        from ...evidence.pack import write_evidence

        made = write_evidence(
            url, out, begin=begin, end=end, owner=owner,
            enterprise_project_id=enterprise_project, **known,
        )  # fmt: skip
        session.print(
            f"{made.counts['ok']:,} ok, {made.counts['alarm']:,} alarm, {made.counts['not_due']:,} not "
            f"due, {made.counts['cannot_be_known']:,} cannot be known; {made.gap_count:,} gap"
            f"{'' if made.gap_count == 1 else 's'}."
        )
        session.note(f"Wrote {out}: {len(made.files):,} files.")


def _verify(session: Session, pack: Path, lake: str | None) -> None:
    from ...evidence.verify import verify_evidence

    findings = verify_evidence(pack, lake=lake)
    for finding in findings:
        line = f"{finding.path}: {finding.kind}: {finding.message}"
        session.print(session.scrub(as_printable(line)))
    session.exit_code = 5 if findings else 0
    if findings:
        session.conclude(f"Findings: {len(findings):,}, the first: {findings[0].path}.")
    else:
        against = "its sums and the lake" if lake else "its sums"
        session.note(f"The pack is as it was made, by {against}.")
