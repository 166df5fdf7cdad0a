"""The driver's view of a read: what was planned, each task's certificate, and their joint proof.

In: `ReadProof` after `ReadProof`, from the plan and from each finished task, carried by a Spark
accumulator. Out: one merged certificate per project, complete only if the ranges that tasks have
certified tile the whole. No Spark is needed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ...errors import IncompleteReadError
from ...scan.certificate import Certificate
from ...scan.plan import to_moment
from .plan import PlannedRange

_KEPT_READS = 64


@dataclass(frozen=True)
class ReadProof:
    """One read of the service, as far as the driver knows.

    Attributes:
        planned: the ranges that were planned, all projects.
        by_range: certificates of those that were read, by position. A task that ran twice, after a
            lost executor or a stage retry, counts once.
    """

    planned: Sequence[PlannedRange] = ()
    by_range: Mapping[int, Certificate] = field(default_factory=dict)

    def certificates(self) -> list[Certificate]:
        """One complete certificate per project, merged from all tasks; none if nothing was asked.

        Raises:
            IncompleteReadError: ranges were not read: none is after ``explain()``, and not all are
                after ``show()`` or ``take()``; or those planned do not tile the whole.
        """
        missing = len(self.planned) - len(self.by_range)
        reasons = [f"{missing} of {len(self.planned)} ranges were not read"] if missing else []
        for project in dict.fromkeys(one.project_id for one in self.planned):
            reasons += find_holes(one for one in self.planned if one.project_id == project)
        merged = _merge_projects(self.planned, self.by_range)
        reasons += [reason for certificate in merged for reason in certificate.reasons]
        if reasons:
            raise IncompleteReadError(
                f"The read is not proven complete: {'; '.join(reasons[:3])}. "
                "Run an action that reads all rows, such as count() or a write.",
                certificate=merged[0] if merged else None,
            )
        return merged


Proofs = dict[str, ReadProof]
"""By read."""


def add_proofs(proofs: Proofs, others: Proofs) -> Proofs:
    """Take over proofs in place; of many reads the newest stay."""
    for read_id, new in others.items():
        old = proofs.get(read_id, ReadProof())
        by_range = {**old.by_range, **new.by_range}
        proofs[read_id] = ReadProof(new.planned or old.planned, by_range)
    for read_id in list(proofs)[:-_KEPT_READS]:
        del proofs[read_id]
    return proofs


def find_holes(planned: Iterable[PlannedRange]) -> list[str]:
    """Why planned ranges of one project do not tile their whole; empty if they do."""
    ranges = sorted(planned, key=lambda one: one.begin_s)
    kinds = {one.kind for one in ranges}
    if kinds == {"whole"}:
        return []
    begin_s, end_s = ranges[0].whole
    spans = [(one.begin_s, one.end_s) for one in ranges if one.kind == "range"]
    edges = [begin_s, *(edge for span in spans for edge in span), end_s]
    holes = [
        f"{to_moment(before)} to {to_moment(after)} was not read"
        for before, after in zip(edges[::2], edges[1::2], strict=True)
        if before != after
    ]
    if ranges[0].is_full and "untimed" not in kinds:
        holes.append("rows without begin time were not looked for")
    return holes


def _merge_projects(
    planned: Sequence[PlannedRange], by_range: Mapping[int, Certificate]
) -> list[Certificate]:
    by_project: dict[str, list[Certificate]] = {}
    for index in sorted(by_range):
        by_project.setdefault(by_range[index].project_id, []).append(by_range[index])
    firsts = {one.project_id: one for one in reversed(planned)}
    return [_merge(firsts[project], found) for project, found in by_project.items()]


def _merge(planned: PlannedRange, certificates: Sequence[Certificate]) -> Certificate:
    as_of = min(one.as_of for one in certificates)
    ended_at = max(one.as_of + timedelta(seconds=one.duration_s) for one in certificates)
    reasons = [reason for one in certificates for reason in one.reasons]
    unknown: dict[str, set[str]] = {}
    for one in certificates:
        for name, values in one.unknown_values.items():
            unknown.setdefault(name, set()).update(values)
    return replace(
        certificates[0],
        begin=None if planned.is_full else to_moment(planned.whole[0]),
        end=None if planned.is_full else to_moment(planned.whole[1]),
        as_of=as_of,
        verdict="incomplete" if reasons else "complete",
        reasons=reasons,
        rows=sum(one.rows for one in certificates),
        requests=sum(one.requests for one in certificates),
        retries=sum(one.retries for one in certificates),
        throttles=sum(one.throttles for one in certificates),
        duplicates_removed=sum(one.duplicates_removed for one in certificates),
        unknown_values={name: sorted(values) for name, values in unknown.items()},
        duration_s=round((ended_at - as_of).total_seconds(), 3),
        ranges=tuple(one for certificate in certificates for one in certificate.ranges),
    )
