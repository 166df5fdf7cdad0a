"""The lock in a bucket: who gets it, how long it lasts, and on which stores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from support.bucket_server import BucketServer, Request, Stored, open_bucket

from backup_frames.errors import LakeConflictError, LakeError
from backup_frames.lake.storage import lease as object_lock
from backup_frames.lake.storage.urls import check_store, open_store

SCRATCH = "_meta/p/tmp"
LOCK = "_meta/p/lock"
VICES = {
    "ignores both": {"ignores": {"if-none-match", "if-match"}},
    "ignores If-None-Match": {"ignores": {"if-none-match"}},
    "ignores If-Match": {"ignores": {"if-match"}},
    "refuses both with 501": {"refuses_conditions": True},
}


def spoil(bucket: BucketServer, vice: str) -> None:
    for name, value in VICES[vice].items():
        setattr(bucket, name, value)


def is_free(bucket: BucketServer) -> bool:
    """Whether nothing is there but a lock that says that its run has ended."""
    return [*bucket.files] == [f"lake/{LOCK}"] and bucket.files[f"lake/{LOCK}"].data.endswith(
        b"free\n"
    )


def renewals() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "backup-frames-lease"}


def test_a_held_lock_tells_by_whom(bucket: BucketServer) -> None:
    """The second run is told at once, not after tries, and of process, host and time of the first."""
    first, second = open_bucket(bucket), open_bucket(bucket)
    with first.lock(LOCK):
        bucket.requests.clear()
        with pytest.raises(LakeConflictError, match=rf"process {os.getpid()} on .* since 20"):
            second.lock(LOCK).__enter__()
        assert bucket.methods("/lock").count("GET") == 1
    assert is_free(bucket)


def test_a_dead_owner_blocks_for_a_minute_at_most(bucket: BucketServer) -> None:
    """After kill -9 the lock stands for its lease by the store's clock, then it is free."""
    script = f"""
import sys
from backup_frames.lake.storage.urls import open_store
with open_store({bucket.url!r}, scratch={SCRATCH!r}).lock({LOCK!r}):
    print("held", flush=True)
    sys.stdin.read()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout.readline() == "held\n"
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    store = open_bucket(bucket)
    bucket.ahead_s = 60
    with pytest.raises(LakeConflictError, match=f"process {owner.pid}"):
        store.lock(LOCK).__enter__()
    bucket.ahead_s = 61
    with store.lock(LOCK) as lock:
        lock.check()
        assert store.warnings == ()
    assert is_free(bucket)


@pytest.mark.parametrize("vice", [None, *VICES])
def test_a_lost_lock_is_noticed_and_not_removed(bucket: BucketServer, vice: str | None) -> None:
    """A run that was silent too long sees at its check that another has the lock, and leaves it."""
    if vice:
        spoil(bucket, vice)
    first, second = open_bucket(bucket), open_bucket(bucket)
    with first.lock(LOCK) as stale:
        bucket.ahead_s = 61
        with second.lock(LOCK) as fresh:
            with pytest.raises(LakeConflictError, match="was lost"):
                stale.check()
            with pytest.raises(LakeConflictError, match="was lost"):
                stale.check()
            fresh.check()
        assert is_free(bucket)
    assert is_free(bucket)


def test_the_end_of_a_lost_lock_leaves_the_new_one(bucket: BucketServer) -> None:
    """A run that ends after it was overtaken, without a check, does not free the other's lock."""
    first, second = open_bucket(bucket), open_bucket(bucket)
    overtaken = first.lock(LOCK)
    overtaken.__enter__()
    bucket.ahead_s = 61
    with second.lock(LOCK) as fresh:
        overtaken.__exit__(None, None, None)
        fresh.check()


def test_a_removed_lock_is_noticed(bucket: BucketServer) -> None:
    """Somebody who deletes the lock object ends the run at its next check."""
    with open_bucket(bucket).lock(LOCK) as lock:
        del bucket.files[f"lake/{LOCK}"]
        with pytest.raises(LakeConflictError, match="somebody removed _meta/p/lock"):
            lock.check()


def test_the_lease_is_renewed_until_the_end(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread keeps the lock fresh, survives a failed renewal, and stops with the lock."""
    pauses, of_others = list[float](), renewals()

    class QuickEvent(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return super().wait(0.01)

    parts = SimpleNamespace(Event=QuickEvent, Lock=threading.Lock, Thread=threading.Thread)
    monkeypatch.setattr(object_lock, "threading", parts)
    with open_bucket(bucket).lock(LOCK) as lock:
        assert len(renewals() - of_others) == 1
        begun = len(bucket.requests)
        vices = iter(["drop"])
        bucket.answer = lambda request: next(vices, None)
        bucket.wait_for(lambda: len(bucket.requests) >= begun + 2)
        lock.check()
    assert renewals() <= of_others
    assert is_free(bucket)
    assert set(pauses) == {object_lock.LEASE_S / 3}


@pytest.mark.parametrize("quotes", ["either", "always", "never"])
def test_either_form_of_etags_will_do(bucket: BucketServer, quotes: str) -> None:
    """Stores that know If-Match only quoted, or only unquoted (Ceph), are good stores."""
    bucket.quotes = quotes
    store = open_bucket(bucket)
    with store.lock(LOCK) as lock:
        assert store.warnings == ()
        lock.check()
        bucket.ahead_s = 61
        with open_bucket(bucket).lock(LOCK) as taken:
            taken.check()
            with pytest.raises(LakeConflictError):
                lock.check()
    assert is_free(bucket)


@pytest.mark.parametrize("vice", VICES)
def test_a_store_without_conditions_is_recognised_and_works(
    bucket: BucketServer, vice: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said on the store, in the log and by the doctor; one run at a time still goes well."""
    spoil(bucket, vice)
    store = open_bucket(bucket)
    with store.lock(LOCK) as lock:
        store.put("a/f", b"x")
        lock.check()
        assert len(store.warnings) == 1
        assert "best effort" in store.warnings[0]
        with pytest.raises(LakeConflictError, match="locked by process"):
            open_bucket(bucket).lock(LOCK).__enter__()
        lock.check()
    assert sorted(bucket.files) == [f"lake/{LOCK}", "lake/a/f"]
    assert "best effort" in caplog.text
    steps = check_store(bucket.url, scratch="_meta/p/doctor")
    assert all(step.is_ok for step in steps)
    assert "best effort" in steps[1].message


def test_of_many_runs_at_once_one_gets_the_lock(bucket: BucketServer) -> None:
    """Eight runs that start together: exactly one holds the lock, seven are told."""
    together, done = threading.Barrier(8), threading.Barrier(8)
    outcomes: list[str] = []

    def run() -> None:
        store = open_bucket(bucket)
        together.wait()
        try:
            with store.lock(LOCK):
                outcomes.append("held")
                done.wait(20)
        except LakeConflictError:
            outcomes.append("told")
            done.wait(20)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + ["told"] * 7


def test_a_lost_answer_to_the_lock_is_no_conflict(bucket: BucketServer) -> None:
    """The lock was written, its answer lost, and sent again it meets itself: that is ours."""
    vices = iter(["lose"])
    bucket.answer = lambda request: next(vices, None) if request.method == "PUT" else None
    with open_bucket(bucket, retries=2).lock(LOCK) as lock:
        lock.check()
    assert is_free(bucket)


def test_a_lost_answer_to_a_renewal_is_no_conflict(bucket: BucketServer) -> None:
    """A renewal that was done but not answered is an error of the store; the lock stays ours."""
    with open_bucket(bucket).lock(LOCK) as lock:
        vices = iter(["lose"])
        bucket.answer = lambda request: next(vices, None)
        with pytest.raises(LakeError, match="Cannot renew the lock") as caught:
            lock.check()
        assert not isinstance(caught.value, LakeConflictError)
        lock.check()
    assert is_free(bucket)


def test_a_silent_store_does_not_hold_up_the_end(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the store hangs when the run ends, the end comes soon and the lease runs out."""
    assert object_lock._RELEASE_S <= 3
    monkeypatch.setattr(object_lock, "_RELEASE_S", 0.2)
    store = open_bucket(bucket)
    with store.lock(LOCK):
        before, asked = set(threading.enumerate()), len(bucket.requests)
        bucket.answer = lambda request: "hang"
    bucket.wait_for(lambda: len(bucket.requests) > asked)
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert "backup-frames-store" in left, "it waited for the answer"
    assert f"lake/{LOCK}" in bucket.files


def test_a_failure_while_locking_leaves_no_lock(bucket: BucketServer) -> None:
    """If the store fails between taking the lock and using it, the lock is given back."""
    of_others = renewals()
    bucket.answer = lambda request: (403, b"") if "list-type" in request.url else None
    with pytest.raises(LakeError, match="HTTP 403"):
        open_bucket(bucket).lock(LOCK).__enter__()
    assert is_free(bucket)
    assert renewals() <= of_others


def test_a_foreign_lock_object_is_respected_for_its_lease(bucket: BucketServer) -> None:
    """A lock object that is no record of ours blocks a minute and is then taken over."""
    store = open_bucket(bucket)
    store.put(LOCK, b"\xff not a record")
    with pytest.raises(LakeConflictError, match="locked by another run"):
        store.lock(LOCK).__enter__()
    bucket.ahead_s = 62
    with store.lock(LOCK):
        record = json.loads(bucket.files[f"lake/{LOCK}"].data.partition(b"\n")[0])
    assert record["pid"] == os.getpid()


def test_the_lock_costs_few_requests(moto_url: str, bucket: BucketServer) -> None:
    """A lock on a good store takes at most 12 small requests, its end and each check few."""
    with open_bucket(bucket).lock(LOCK) as lock:
        taken = len(bucket.requests)
        assert taken <= 12
        lock.check()
        assert len(bucket.requests) == taken + 1
    assert len(bucket.requests) <= taken + 3
    with open_store(moto_url, scratch=SCRATCH).lock(LOCK) as lock:
        lock.check()


@pytest.mark.parametrize("vice", [None, *VICES])
def test_a_free_lock_is_taken_at_once(bucket: BucketServer, vice: str | None) -> None:
    """The lock of a run that ended waits for nobody, and nothing is ever removed on its behalf."""
    if vice:
        spoil(bucket, vice)
    for _ in range(3):
        with open_bucket(bucket).lock(LOCK) as lock:
            lock.check()
            with pytest.raises(LakeConflictError):
                open_bucket(bucket).lock(LOCK).__enter__()
    assert "DELETE" not in bucket.methods(LOCK)


def test_an_end_that_comes_late_leaves_the_next_runs_lock(bucket: BucketServer) -> None:
    """The last request of a run, held up until another has the lock, changes nothing."""
    first, second = open_bucket(bucket), open_bucket(bucket)
    overtaken, fresh = first.lock(LOCK), second.lock(LOCK)
    overtaken.__enter__()
    theirs = []

    def hold_up(request: Request) -> None:
        if not theirs and request.method in ("PUT", "DELETE"):
            theirs.append(Stored(b'{"pid": 1}\n', bucket.now_s()))
            bucket.files[f"lake/{LOCK}"] = theirs[0]

    bucket.answer = hold_up
    overtaken.__exit__(None, None, None)
    assert theirs
    assert bucket.files == {f"lake/{LOCK}": theirs[0]}
    with pytest.raises(LakeConflictError):
        fresh.__enter__()
