"""One run of a sync, from plan to commit.

In: a reader of the service, a store, settings. Out: the lake brought up to the reader's moment.
The order of things is what makes it safe: additions and changes are written while the read
streams, backups are marked gone only when the whole read is proven, and the state moves only
after everything it speaks of is durable.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

from ..api.query import LEVELS
from ..clock import Clock
from ..errors import AuthError, ConfigError, LakeError
from ..lake.ledger.collect import PartitionCollector
from ..lake.ledger.counts import count_present
from ..lake.ledger.merge import Proof
from ..lake.ledger.metadata import Pending
from ..lake.ledger.recovery import DamagedFileError, read_records, survey_ledger
from ..lake.ledger.verified import note_verified
from ..lake.ledger.writer import LakeWriter, lean_memory
from ..lake.storage.layout import run_key
from ..lake.storage.store import Lock, Store
from ..scan.plan import to_moment
from ..scan.ranges import DAY_S, clip_spans, day_of, partition_of, partition_span
from .apply import LedgerMerge, Tally
from .closing import confirm_absences
from .planning.changes import estimate_requests
from .planning.plan import SyncPlan, SyncSettings, make_plan
from .planning.proof import has_failures, remember
from .planning.reader import Reader
from .report import SyncReport, run_row

MAX_SKEW_S: Final = DAY_S
"""A clock that is further off is set wrong, and is not to be worked around unasked."""


class SyncRun:
    """One run; see `sync_lake` for the arguments."""

    def __init__(
        self,
        reader: Reader,
        store: Store,
        project_id: str,
        clock: Clock,
        settings: SyncSettings,
    ) -> None:
        self._reader = reader
        self._store = store
        self._project_id = project_id
        self._clock = clock
        self._settings = settings
        self._started_at, self._started_s = clock.now(), clock.monotonic()
        self._records = read_records(store, project_id, settings.partition_by)
        self._grain = self._records.grain
        self._state = self._records.state or survey_ledger(store, self._records)
        self._damaged = set(map(date.fromisoformat, self._state.damaged))
        self._warnings = list[str]()

    def preview(self) -> SyncReport:
        """Say what `execute` would read; counts may be asked, nothing is written."""
        plan = self._plan()
        expected = plan.expected_requests
        if expected is None:  # all is read; counted without a window, which may be too wide
            expected = sum(estimate_requests(self._reader.count_all(level)) for level in LEVELS)
        self._take_moment()
        stored = map(date.fromisoformat, self._state.days)
        known = [day for day in stored if clip_spans(plan.spans, partition_span(day, "day"))]
        if self._state.as_of_s is not None and not plan.is_full:
            # Backups may also have begun on days since the last sync; on older ones few ever do.
            since_s = self._state.as_of_s - self._settings.overlap_s
            known += map(day_of, range(since_s // DAY_S * DAY_S, self._as_of_s + 1, DAY_S))
        days = sorted(set(known))
        partitions = sorted({partition_of(day, self._grain).isoformat() for day in days})
        return replace(
            self._report(plan, [], Tally()),
            is_dry_run=True,
            expected_requests=expected,
            days=tuple(day.isoformat() for day in days),
            partitions=tuple(partitions),
        )

    def execute(self, lock: Lock) -> SyncReport:
        """Read, merge and write, mark what is gone, commit."""
        with lean_memory():
            try:
                plan = self._plan()
                if plan.is_full:  # an incremental plan has counted, and heard the service's time
                    self._reader.count_all(LEVELS[0])
            except AuthError:
                self._check_clock()  # signatures of a wrong clock are refused as well
                raise
            self._take_moment()
            threads = self._settings.threads
            if threads < 2:
                return self._execute(plan, self._open_writer(lock))
            # Puts wait for the disk or the wire, encoders for a core: more would fight over it.
            with (
                ThreadPoolExecutor(threads) as pool,
                ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as encoders,
            ):
                return self._execute(plan, self._open_writer(lock, pool, encoders))

    def _execute(self, plan: SyncPlan, writer: LakeWriter) -> SyncReport:
        collector = PartitionCollector(
            plan.spans, is_full=plan.is_full, stored=self._records.partitions(), grain=self._grain
        )
        merge = LedgerMerge(writer, self._state, self._as_of_s)
        try:
            for part in self._reader.scan(plan.spans, is_full=plan.is_full):
                merge.add_all(collector.add(part))
            merge.add_all(collector.finish())
            doubt = confirm_absences(
                self._reader,
                merge,
                self._records,
                head_s=max(
                    self._reader.now_s - self._settings.overlap_s, self._reader.begin_floor_s
                ),
                unproven=[span for spans in collector.missing().values() for span in spans],
            )
        except LakeError:
            raise  # it is the store that fails: the next run settles what is half done
        except BaseException as error:
            self._keep_proven(plan, collector, merge, writer, error)
            raise
        certificate = self._reader.certificate
        reasons = [*certificate.reasons, *_gaps(collector), *([doubt] if doubt else [])]
        # else what is not shown may be there all the same
        is_trusted = not has_failures(certificate)
        guard = None
        if doubt is None and is_trusted:
            guard = merge.mark_absent(allow_mass_deletion=self._settings.allow_mass_deletion)
        is_marked = guard is None and doubt is None
        damage = self._note_damage(merge)
        note_verified(
            self._state,
            collector.proof if is_trusted else Proof(dict.fromkeys(LEVELS, ())),
            as_of_s=self._as_of_s,
            grain=self._grain,
            unproven={*merge.damaged, *(() if is_marked else merge.tally.absent)},
        )
        report = self._report(plan, reasons, merge.tally, writer, guard=guard, damage=damage)
        is_proven = certificate.is_complete and not reasons
        if is_proven:
            self._state.as_of_s = self._reader.now_s  # what is damaged is owed, and named
            if guard is None:
                self._state.caller = certificate.caller
        self._state.proof = remember(report.certificate, is_complete=is_proven)
        run = (self._run_key, self._store.encode(self._run_key, run_row(report)))
        writer.commit(self._state, run, verdict=report.verdict, is_finished=True)
        return report

    def _note_damage(self, merge: LedgerMerge) -> list[DamagedFileError]:
        """Remember which partitions are owed: what is listed for them could not be merged."""
        owed = {day for day in self._damaged if day not in merge.done} | merge.damaged.keys()
        self._state.damaged = sorted(day.isoformat() for day in owed)
        return [error for _, error in sorted(merge.damaged.items())]

    def _open_writer(
        self, lock: Lock, pool: Executor | None = None, encoders: Executor | None = None
    ) -> LakeWriter:
        pending = self._records.pending or Pending(self._project_id, "", 0)
        pending.run_id, pending.as_of_s = self._run_id, self._as_of_s
        return LakeWriter(
            store=self._store,
            lock=lock,
            clock=self._clock,
            records=self._records,
            pending=pending,
            pool=pool,
            encoders=encoders,
        )

    def _check_clock(self) -> None:
        """Go by the service's time, and say so if that is not this machine's.

        Raises:
            ConfigError: this machine's clock is more than a day off.
        """
        skew_s = self._reader.correct_clock()
        if skew_s is not None:
            off = (
                f"{timedelta(seconds=round(abs(skew_s)))} {'ahead of' if skew_s > 0 else 'behind'}"
            )
            skew = f"This machine's clock is {off} the service's"
            if abs(skew_s) > MAX_SKEW_S and not self._settings.accept_clock_skew:
                raise ConfigError(
                    f"{skew}. Set the clock (NTP); or, if it is the service's that is wrong and "
                    "you want it used, run with accept_clock_skew=True."
                )
            self._started_at -= timedelta(seconds=round(skew_s))
            self._warnings.append(f"{skew}, so the service's time was used. Set the clock (NTP).")

    def _take_moment(self) -> None:
        """The moment that the run stands for: the service's, and never before the ledger's newest."""
        self._check_clock()
        pending_s = self._records.pending.as_of_s if self._records.pending else 0
        self._as_of_s = max(self._reader.now_s, self._state.newest_s, pending_s)
        self._as_of = to_moment(self._as_of_s)
        self._run_id, self._run_key = self._name_run()

    def _plan(self) -> SyncPlan:
        plan, self._state = make_plan(
            self._reader,
            self._store,
            self._records,
            self._state,
            self._damaged,
            self._settings,
        )
        return plan

    def _keep_proven(
        self,
        plan: SyncPlan,
        collector: PartitionCollector,
        merge: LedgerMerge,
        writer: LakeWriter,
        error: BaseException,
    ) -> None:
        """Write what was read whole before the run failed; mark nothing, advance nothing."""
        with suppress(LakeError):  # what failed first is what the user must hear
            for fresh in collector.finish():
                merge.add(fresh)
            if writer.count_files()[0]:
                reasons = [f"The run ended early: {error or type(error).__name__}"]
                report = self._report(plan, reasons, merge.tally, writer)
                row = run_row(report, error=f"{type(error).__name__}: {error}")
                run = (self._run_key, self._store.encode(self._run_key, row))
                writer.commit(self._state, run, verdict=report.verdict, is_finished=False)

    def _report(
        self,
        plan: SyncPlan,
        reasons: list[str],
        tally: Tally,
        writer: LakeWriter | None = None,
        *,
        guard: str | None = None,
        damage: Sequence[DamagedFileError] = (),
    ) -> SyncReport:
        certificate = self._reader.certificate
        warnings = [*self._warnings, *self._caller_warning(tally.gone + tally.held_back)]
        oldest_s = min((day.verified_at_s for day in self._state.days.values()), default=None)
        oldest_at = to_moment(oldest_s) if oldest_s is not None else None
        file_count, byte_count = writer.count_files() if writer else (0, 0)
        reasons = [*reasons, *map(str, damage)]
        is_complete = certificate.verdict == "complete" and not reasons
        return SyncReport(
            run_id=self._run_id,
            project_id=self._project_id,
            verdict="complete" if is_complete else "incomplete",
            reasons=(*reasons, guard) if guard else tuple(reasons),
            is_full=plan.is_full,
            is_guarded=guard is not None,
            is_dry_run=False,
            counts={
                "new": tally.new,
                "changed": tally.changed,
                "returned": tally.returned,
                "gone": tally.gone,
                "held_back": tally.held_back,
                "present": sum(count_present(self._state).values()),
            },
            requests=certificate.requests,
            expected_requests=None,
            file_count=file_count,
            byte_count=byte_count,
            days=(),
            partitions=(),
            as_of=self._as_of,
            started_at=self._started_at,
            duration_s=self._clock.monotonic() - self._started_s,
            oldest_verified_at=oldest_at,
            certificate=replace(
                certificate,
                oldest_verified_at=oldest_at,
                warnings=[*certificate.warnings, *warnings],
            ),
            warnings=(*certificate.warnings, *warnings),
            damaged=tuple(str(error.path) for error in damage),
        )

    def _caller_warning(self, unlisted: int) -> list[str]:
        before, now = self._state.caller, self._reader.certificate.caller
        if not unlisted or before in (None, now):
            return []
        warning = (
            f"{unlisted:,} backups are no longer listed, and the credentials changed from {before} to "
            f"{now} since the last complete run: they may be hidden from these credentials rather "
            "than deleted. Sync once with the former ones: what is still there comes back."
        )
        return [warning]

    def _name_run(self) -> tuple[str, str]:
        """An id that sorts by the run's start, and the key of its row; never one that is taken."""
        stem = run_id = f"{self._started_at:%Y%m%dT%H%M%S%f}Z"
        number = 1
        day = partition_of(day_of(self._as_of_s), self._grain)
        while (key := run_key(day, self._project_id, run_id)) in self._records.manifest.files:
            number += 1
            run_id = f"{stem}-{number}"
        return run_id, key


def _gaps(collector: PartitionCollector) -> list[str]:
    """What was asked and not certified, should the certificate not say so itself."""
    return [
        f"{level}: {len(spans)} of the spans asked were not certified, the first from "
        f"{to_moment(spans[0][0]):%Y-%m-%d %H:%M:%S} UTC"
        for level, spans in collector.missing().items()
    ]
