"""The command ``check``: what somebody should look at, as an alarm.

In: a lake, and how bad it must be. Out: a text fit for mail or chat; exit code 7 if there is any.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ...api.scrub import as_printable
from ..screen.exceptions import print_exceptions
from ..session.options import Config, EnterpriseProject, Lake, Owner, flag, lake_of, option
from ..session.session import Session, command

ALARM_CODE = 7


@command
def show_exceptions(
    session: Session,
    *,
    lake: Lake = None,
    fail_on: Annotated[
        Literal["high", "medium", "low"],
        option(None, "Count exceptions of this severity and worse ones."),
    ] = "high",
    new: Annotated[bool, flag("--new", "Only those that were none before the last run.")] = False,
    owner: Owner = None,
    enterprise_project: EnterpriseProject = None,
    config: Config = None,
) -> None:
    """Say what somebody should look at, as a short text; exit code 7 if there is anything.

    high: data could not be restored, or the numbers are not proven. medium: the policy is not kept.
    low: worth a look. With --new an alarm goes off once, not with every run.
    """
    url = lake_of(session.load(config, lake=lake))
    with session.step(f"Asking {url}", is_announced=False):
        from ...insight.kpi.changes import find_exceptions
        from ...settings.owners import load_owners
        from ...settings.resolve import load_project_ids

        found = find_exceptions(
            url, at_least=fail_on, new=new, owners=load_owners(config),
            projects=load_project_ids(config, url),
            owner=owner, enterprise_project_id=enterprise_project,
        )  # fmt: skip
    kind = f"{'new ' if new else ''}exception{'' if found.num_rows == 1 else 's'}"
    worse = "" if fail_on == "high" else " or worse"
    session.print(
        f"{found.num_rows or 'No'} {kind} of severity {fail_on}{worse} in {as_printable(url)}."
    )
    print_exceptions(found, url)
    if found.num_rows:
        session.exit_code = ALARM_CODE
        session.conclude(f"{found.num_rows} {kind} of severity {fail_on}{worse}.")
