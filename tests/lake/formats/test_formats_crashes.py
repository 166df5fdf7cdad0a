"""Delta Lake and Iceberg: whatever dies, one more run, and the lake is as if nothing was."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from support.crash_scenes import SCENES, first, fleet
from support.format_lake import FORMATS, FormatLake, Strike
from support.lake_life import simulate
from support.lake_service import DAY, HOUR, PROJECT, ModelService, sync
from support.stores import Fault, FaultStore, Killed, faults_of

from backup_frames.errors import LakeError
from backup_frames.sync.maintenance.check import check_lake

SCRATCH = f"_meta/{PROJECT}/tmp"
Blow = Fault | Strike


class Stage(NamedTuple):
    """A lake before a run, and what an undisturbed one makes of it."""

    service: ModelService
    lake: FormatLake
    settings: dict[str, object]
    before: Path
    expected: dict[str, bytes]
    blows: list[Blow]


def staged(folder: Path, lake_format: str, name: str, days: int = 2) -> Stage:
    """Every place where a run of this scene can die: each call, and around each table's commit."""
    scene, service, lake = SCENES[name], fleet(days), FormatLake(folder / "lake", lake_format)
    if scene.change is not first:
        sync(service, lake.store(), partition_by=scene.grain)
    scene.change(service)
    service._index = None
    before = lake.save()
    calm = FaultStore(lake.store(), scratch=SCRATCH)
    service.random.seed(5)
    sync(service, calm, **scene.settings)
    expected = lake.data()
    blows: list[Blow] = [fault for fault in faults_of(calm.calls) if fault.how == "kill"]
    for number in range(len(lake.tables.swaps)):
        blows += [Strike(number, "before"), Strike(number, "after")]
    return Stage(service, lake, scene.settings, before, expected, blows)


def heals(stage: Stage, blow: Blow) -> None:
    """Kill the run there: the lake is sound; run again: it is as after the undisturbed run."""
    service, lake, settings, before, expected, _ = stage
    lake.restore(before)
    service.random.seed(5)
    with suppress(Killed, LakeError):
        if isinstance(blow, Strike):
            sync(service, lake.store(strike=blow), **settings)
        else:
            sync(service, FaultStore(lake.store(), fault=blow, scratch=SCRATCH), **settings)
    assert check_lake(lake.store()) == [], blow
    service.random.seed(6)
    sync(service, lake.store(), **settings)
    assert lake.data() == expected, blow
    assert check_lake(lake.store()) == [], blow


@pytest.mark.parametrize("lake_format", FORMATS)
def test_a_death_between_two_tables_commits_heals(tmp_path: Path, lake_format: str) -> None:
    """Children are in place, their backups are not: verify stays silent, one more run heals."""
    stage = staged(tmp_path, lake_format, "incremental")
    heals(stage, Strike(2, "before"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first", "incremental", "full", "month"])
@pytest.mark.parametrize("lake_format", FORMATS)
def test_sampled_crash_points_heal(tmp_path: Path, lake_format: str, name: str) -> None:
    """Each table commit, and every third of the calls to the store."""
    stage = staged(tmp_path, lake_format, name)
    faults = [blow for blow in stage.blows if isinstance(blow, Fault)]
    strikes = [blow for blow in stage.blows if isinstance(blow, Strike)]
    blows = [*strikes, *faults[::3]]
    assert len(blows) > 15
    for blow in blows:
        heals(stage, blow)


@pytest.mark.parametrize("lake_format", ["delta", pytest.param("iceberg", marks=pytest.mark.slow)])
def test_a_week_of_syncs_equals_the_model(tmp_path: Path, lake_format: str) -> None:
    """Daily syncs with retention, losses and mishaps; after each the lake equals the model."""
    simulate(3, days=6, instances=4, every=DAY, lake=FormatLake(tmp_path / "l", lake_format))


@pytest.mark.slow
@pytest.mark.parametrize("lake_format", FORMATS)
def test_weeks_of_syncs_equal_the_model(tmp_path: Path, lake_format: str) -> None:
    """Five days hourly, and six weeks daily."""
    simulate(4, days=5, instances=5, every=HOUR, lake=FormatLake(tmp_path / "h", lake_format))
    simulate(5, days=42, instances=6, every=DAY, lake=FormatLake(tmp_path / "d", lake_format))
