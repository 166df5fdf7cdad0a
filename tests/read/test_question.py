"""What people write as filters and moments: understood, or refused in words that help."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.clocks import VirtualClock

import backup_frames as bf
from backup_frames.read.question import Question
from backup_frames.sandbox import Sandbox


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(backups=400, seed=1) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def given(box: Sandbox) -> dict[str, str]:
    return {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}


@pytest.fixture(scope="module")
def everything(given: dict[str, str]) -> pd.DataFrame:
    return bf.read_backups(**given).backups


def picked(frames: bf.BackupFrames) -> list[str]:
    assert frames.certificate is not None
    assert frames.certificate.verdict == "complete"
    return sorted(frames.backups["backup_id"])


@pytest.mark.parametrize("name", ["instance_id", "instance_name", "backup_id", "datastore_type"])
@pytest.mark.parametrize("kind", [list, tuple, pd.Series])
def test_a_filter_of_several_values_gives_the_backups_of_each(
    name: str, kind: Any, given: dict[str, str], everything: pd.DataFrame
) -> None:
    """Proven over the whole list, picked after it; and the certificate says so."""
    values = list(everything[name].unique()[:2])
    frames = bf.read_backups(**given, **{name: kind(values)})
    wanted = everything[everything[name].isin(values)]
    assert picked(frames) == sorted(wanted["backup_id"])
    assert frames.certificate.filters == {name: ", ".join(values)}
    (said,) = frames.certificate.warnings
    assert said.startswith(f"{name}: matched after the read")


def test_a_name_is_matched_after_the_read_by_every_call(
    given: dict[str, str], everything: pd.DataFrame
) -> None:
    """Read, stream, plan and a connection take it; the plan says that it counts without it."""
    name = everything["instance_name"].iloc[0]
    wanted = sorted(everything.loc[everything["instance_name"] == name, "backup_id"])
    assert picked(bf.read_backups(**given, instance_name=name)) == wanted
    parts = list(bf.scan_backups(**given, instance_name=name))
    assert sorted(one for part in parts for one in part.backups["backup_id"]) == wanted
    with bf.connect(**given) as service:
        assert picked(service.read_backups(instance_name=name)) == wanted
        plan = service.plan_read(instance_name=[name])
    assert plan.matched_after == ("instance_name",)
    assert sum(plan.rows.values()) == len(everything)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("datastore_type", "Cassandra", "cassandra"),
        ("datastore_type", " REDIS ", "redis"),
        ("backup_type", "manual", "Manual"),
        ("level", "databasetable", "DatabaseTable"),
        ("level", ["INSTANCE"], "Instance"),
    ],
)
def test_case_does_not_matter(name: str, written: Any, meant: str, given: dict[str, str]) -> None:
    """A closed value in another case is sent as the service spells it."""
    certificate = bf.read_backups(**given, **{name: written}).certificate
    asked = certificate.levels if name == "level" else [certificate.filters[name]]
    assert list(asked) == [meant]
    assert certificate.warnings == []


def test_an_unknown_engine_is_warned_of_and_the_filters_are_named(given: dict[str, str]) -> None:
    """It may be a new one, so it is asked; where it is refused, the error names what was sent."""
    with (
        pytest.warns(
            UserWarning, match=r"'mysql'.*cassandra.*filters: instance_id, datastore_type"
        ),
        pytest.raises(
            bf.FetchError, match="Filters sent: instance_id='i-1', datastore_type='mysql'"
        ),
    ):
        bf.read_backups(**given, datastore_type="mysql", instance_id="i-1")


def test_a_name_given_as_an_id_is_told_apart(given: dict[str, str]) -> None:
    """Nothing is found, and the message says which argument takes names; so does the refusal."""
    with pytest.warns(UserWarning, match="instance_name='orders-prod'"):
        frames = bf.read_backups(**given, instance_id="orders-prod")
    assert "instance_name='orders-prod'" in frames.certificate.warnings[0]
    with pytest.warns(UserWarning, match="instance_name='orders-prod'"):
        list(bf.scan_backups(**given, instance_id="orders-prod"))
    with pytest.raises(bf.QueryError, match="instance_name= for an instance's name"):
        bf.read_backups(**given, instance_id="Orders of Spain")


def test_an_id_that_is_one_draws_no_advice(given: dict[str, str]) -> None:
    """An id of the right form without backups is an empty read like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = bf.read_backups(**given, instance_id="0" * 32 + "in06")
    assert (len(frames), frames.certificate.warnings) == (0, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instance_id", []),
        ("instance_name", ""),
        ("instance_id", ["a", None]),
        ("backup_id", 7),
        ("backup_type", ["Auto", "Weekly"]),
        ("level", ["Instance", "Cluster"]),
        ("datastore_type", float("nan")),
        ("instance_id", b"orders"),
    ],
)
def test_a_filter_that_is_none_is_refused_before_any_request(name: str, value: Any) -> None:
    """The message names the argument, and bytes as what they are."""
    with pytest.raises(bf.QueryError, match=f"{name} is b'orders'" if value == b"orders" else name):
        Question(**{name: value})


@pytest.mark.parametrize(
    "begin", ["7d", "168h", "1w", timedelta(days=7), np.timedelta64(7, "D"), pd.Timedelta(days=7)]
)
def test_a_time_back_is_counted_from_the_clock_handed_in(begin: Any) -> None:
    """Not from the machine's, so that a simulation can have its own."""
    clock = VirtualClock()
    question = Question(begin=begin, clock=clock)
    assert question.begin == clock.now() - timedelta(days=7)
    assert type(question.begin) is datetime


def test_a_plan_and_a_lake_have_a_picture_and_a_text(
    given: dict[str, str], box: Sandbox, tmp_path: Path
) -> None:
    """A notebook shows them as tables, escaped; a lake's costs no data file."""
    plan = bf.plan_read(**given, instance_name="<b>")
    assert "counted without" in str(plan)
    assert plan.to_dict()["matched_after"] == ["instance_name"]
    assert f"{sum(plan.rows.values()):,}" in plan._repr_html_()
    url = str(tmp_path / "<lake>")
    bf.sync_backups(**given, lake=url)
    lake = bf.open_lake(url)
    picture = lake._repr_html_()
    assert "&lt;lake&gt;" in picture
    assert box.project_id in picture
    assert "complete" not in picture  # no verdict, no badge
    assert str(lake) == f"Lake({url!r})"
    assert lake.backups(begin="2026-01", end="2026-02").num_rows == (
        lake.backups(begin=np.datetime64("2026-01-01"), end=pd.Timestamp("2026-02-01")).num_rows
    )
    with pytest.raises(bf.QueryError, match="begin is NaT"):
        lake.backups(begin=pd.NaT)
