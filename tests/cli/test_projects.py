"""Projects of one config side by side: one that waits never holds up the others."""

from __future__ import annotations

import threading

from backup_frames.cli.runs.log import RunLog
from backup_frames.cli.runs.projects import run_side_by_side
from backup_frames.sandbox import Sandbox
from backup_frames.settings import Settings


def projects(count: int) -> list[Settings]:
    return [Settings(project_id=f"p{n}", endpoint="http://127.0.0.1:1") for n in range(count)]


def ended(results) -> list[str]:
    return [one[0].project_id for one in results if one is not None]


def test_those_that_wait_give_their_turn_away():
    """Six projects that only wait, at two at once: the other six end first."""
    others_are_told = threading.Event()

    def run(settings, watch) -> None:
        if int(settings.project_id[1:]) < 6:
            watch.begin_wait()
            assert others_are_told.wait(timeout=60)
            watch.end_wait(is_answer=True)

    order = []
    for one in run_side_by_side(projects(12), run, at_once=2):
        if one is not None:
            assert one[1] is None
            order.append(one[0].project_id)
        if len(order) == 6:
            others_are_told.set()
    assert sorted(order[:6]) == sorted(f"p{n}" for n in range(6, 12))
    assert len(order) == 12


def test_no_more_are_busy_than_asked():
    """At three at once never more than three run, if none of them waits."""
    running, most, lock = 0, [0], threading.Lock()

    def run(settings, watch) -> None:
        nonlocal running
        with lock:
            running += 1
            most.append(running)
        with lock:
            running -= 1

    assert len(ended(run_side_by_side(projects(30), run, at_once=3))) == 30
    assert max(most) <= 3


def test_whatever_a_project_raises_is_its_result():
    """An error, even one that would end a process, stays with its project."""

    def run(settings, watch) -> None:
        raise SystemExit(3) if settings.project_id == "p0" else ValueError(settings.project_id)

    results = [one for one in run_side_by_side(projects(3), run, at_once=2) if one]
    assert all(isinstance(result, Exception) for _, result in results)


def test_closing_stops_all_of_them(monkeypatch):
    """Closed early, those that run end with an error at their next request or pause."""
    monkeypatch.setattr("backup_frames.cli.runs.projects.END_WITHIN_S", 60)
    stopped = []

    def run(settings, watch) -> None:
        try:
            while True:
                watch.clock.sleep(0.01)
        except Exception as error:
            stopped.append(error)

    results = run_side_by_side(projects(2), run, at_once=2)
    assert next(results) is None
    results.close()
    assert len(stopped) == 2


def test_without_threads_each_project_fails_alone(monkeypatch):
    """A machine that starts no threads is told for each project, and nothing hangs."""

    def refuse(thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    results = [one for one in run_side_by_side(projects(2), print, at_once=2) if one]
    assert [str(result) for _, result in results] == ["can't start new thread"] * 2


def config_of(path, endpoints: list[tuple[str, str, str]], lake) -> None:
    path.write_text(
        f'[lake]\nurl = "{lake}"\n'
        + "".join(
            f'[[project]]\nproject_id = "{p}"\nendpoint = "{e}"\ntoken_env = "{t}"\n'
            for p, e, t in endpoints
        )
    )


def test_a_throttled_project_does_not_hold_up_the_rest(run, monkeypatch, tmp_path):
    """At one at a time, behind one whose answers are late, the others are up to date first."""
    add, quick_is_told = RunLog.add, threading.Event()

    def add_and_note(log, project, result):
        add(log, project, result)
        if project.project_id == quick.project_id:
            quick_is_told.set()

    monkeypatch.setattr(RunLog, "add", add_and_note)
    with Sandbox(backups=20, seed=1) as slow, Sandbox(backups=20, seed=2) as quick:
        slow.on_request(lambda _: quick_is_told.wait(60) or quick_is_told.set())
        monkeypatch.setenv("SLOW", slow.token)
        monkeypatch.setenv("QUICK", quick.token)
        config = tmp_path / "c.toml"
        config_of(
            config,
            [(slow.project_id, slow.endpoint, "SLOW"), (quick.project_id, quick.endpoint, "QUICK")],
            tmp_path / "lake",
        )
        metrics = tmp_path / "m.prom"
        ran = run(
            "sync", "--config", config, "--max-projects", 1, "--metrics-file", metrics,
            "--without-inventory",
        )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.out.index(quick.project_id) < ran.out.index(slow.project_id)
    assert metrics.read_text().count("is_success{") == 2
