"""What a Spark user may ask for: options, and the filters that Spark pushes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

import backup_frames as bf
from backup_frames.engines.spark.options import SourceOptions, narrow_options, parse_options
from backup_frames.engines.spark.plan import plan_ranges


@pytest.mark.parametrize(
    "name", ["token", "PASSWORD", "access_key", "secret_key", "sk", "authToken"]
)
def test_a_secret_is_refused_as_an_option(name: str) -> None:
    """The error names the environment and does not repeat the secret."""
    with pytest.raises(bf.ConfigError, match=r"spark\.executorEnv") as caught:
        parse_options({name: "canary-4711"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tabel": "backups"}, "no option 'tabel'"),
        ({"table": "sync_runs"}, "Option table is 'sync_runs'"),
        ({"partitions": "0"}, "whole number of 1 or more"),
        ({"present": "yes"}, "true or false"),
        ({"level": "instance"}, "'Instance' or 'DatabaseTable'"),
        ({"begin": "yesterday"}, "begin is 'yesterday'"),
        ({"begin": "2026-02-01", "end": "2026-01-01"}, "swap them"),
        ({"backup_type": "auto"}, "'Auto' or 'Manual'"),
        ({"timeout_s": "soon"}, "timeout_s"),
        ({"endpoint": "http://example.com"}, "endpoint"),
    ],
)
def test_a_wrong_option_is_told_before_any_request(options: dict[str, str], text: str) -> None:
    """Each says what is wrong, and what would be right."""
    with pytest.raises(bf.BackupFramesError, match=text):
        parse_options(options)


def test_options_are_read_in_any_case_and_hold_several_projects() -> None:
    """Spark lowers names; projects are separated by commas, each once."""
    options = parse_options(
        {"Project_ID": "a1, b2,a1", "TABLE": "backup_tables", "begin": "2026-01-01"}
    )
    assert options.project_ids == ("a1", "b2")
    assert options.table == "backup_tables"
    assert options.begin == datetime(2026, 1, 1, tzinfo=UTC)


# -- pushed filters --------------------------------------------------------------------------------


@dataclass(frozen=True)
class EqualTo:
    attribute: tuple[str, ...]
    value: Any


class GreaterThan(EqualTo):
    pass


class LessThanOrEqual(EqualTo):
    pass


class In(EqualTo):
    pass


@dataclass(frozen=True)
class Not:
    child: EqualTo


def test_filters_narrow_the_query() -> None:
    """Times, dates and equality narrow it; the wider bound stays where filters meet options."""
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    options = narrow_options(
        SourceOptions(begin=datetime(2026, 1, 1, tzinfo=UTC)),
        [
            GreaterThan(("begin_time",), moment),
            LessThanOrEqual(("begin_date",), date(2026, 3, 4)),
            EqualTo(("instance_id",), "i1"),
            In(("datastore_type",), ("redis",)),
            EqualTo(("backup_level",), "DatabaseTable"),
        ],
    )
    assert (options.begin, options.end) == (moment, datetime(2026, 3, 5, tzinfo=UTC))
    assert options.filters == {"instance_id": "i1", "datastore_type": "redis"}
    assert options.levels == ("DatabaseTable",)
    assert not options.is_empty


@pytest.mark.parametrize(
    "filter_",
    [
        Not(EqualTo(("instance_id",), "i1")),
        In(("backup_type",), ("Auto", "Manual")),
        EqualTo(("backup_type",), "auto"),
        EqualTo(("instance_id",), "no such id"),
        EqualTo(("status",), "FAILED"),
        EqualTo(("begin_time",), datetime(2026, 3, 1)),  # noqa: DTZ001  # a wall time says no moment
        EqualTo(("a", "instance_id"), "i1"),
        EqualTo(("instance_id",), None),
    ],
)
def test_a_filter_that_the_service_cannot_apply_changes_nothing(filter_: Any) -> None:
    """Spark applies it."""
    assert narrow_options(SourceOptions(), [filter_]) == SourceOptions()


def test_filters_that_contradict_each_other_ask_nobody() -> None:
    """The plan is empty, without settings or requests."""
    early = LessThanOrEqual(("begin_time",), datetime(2026, 1, 1, tzinfo=UTC))
    late = GreaterThan(("begin_time",), datetime(2026, 2, 1, tzinfo=UTC))
    assert plan_ranges(narrow_options(SourceOptions(), [early, late])) == []
