"""Settings given twice: arguments win over `settings=`, everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from support.fault_server import FaultServer, answer

import backup_frames as bf
from backup_frames.errors import ConfigError, RejectedError
from backup_frames.insight.kpi.changes import find_exceptions
from backup_frames.insight.kpi.query import query_lake
from backup_frames.sandbox import Sandbox
from backup_frames.settings import load_settings, resolve_settings
from backup_frames.settings.owners import Attestation, OwnerRule
from backup_frames.sync.one_project import sync_backups

READS: dict[str, Callable[..., Any]] = {
    "read_backups": bf.read_backups,
    "scan_backups": lambda **given: list(bf.scan_backups(**given)),
    "plan_read": bf.plan_read,
    "read_instances": bf.read_instances,
    "read_policies": bf.read_policies,
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "REGION", "PROJECT_ID", "TOKEN", "LAKE", "CONFIG"):
        monkeypatch.delenv(f"BACKUP_FRAMES_{name}", raising=False)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(backups=30, seed=3) as sandbox:
        yield sandbox


def wrong(**given: Any) -> bf.Settings:
    """Settings of which endpoint, project and credentials lead nowhere."""
    return load_settings(
        endpoint="http://127.0.0.1:9",
        project_id="nobody",
        access_key="AK",
        secret_key="SK",
        **given,
    )


@pytest.mark.parametrize("name", READS)
def test_arguments_win_over_settings_in_a_read(name: str, box: Sandbox) -> None:
    """Endpoint, project and token given beside settings are those that are used."""
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    READS[name](settings=wrong(), **given)


def test_arguments_win_over_settings_in_a_sync(box: Sandbox, tmp_path: Path) -> None:
    """So do the lake, how it is cut, its format, and how far a sync looks back."""
    settings = wrong(lake=str(tmp_path / "other"), lake_format="parquet", partition_by="day")
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    lake = str(tmp_path / "lake")
    sync_backups(settings=settings, lake=lake, lake_format="delta", partition_by="month", **given)
    assert (tmp_path / "lake" / "backups" / "_delta_log").is_dir()
    assert not (tmp_path / "other").exists()
    days = {path.name for path in (tmp_path / "lake" / "backups").glob("date=*")}
    assert days
    assert all(day.endswith("-01") for day in days)


def test_an_argument_replaces_the_settings_method() -> None:
    """A token given beside settings with keys is used, and the keys are not."""
    settings = resolve_settings(wrong(), token="t0ken")
    assert settings.credentials == "token"
    assert settings.access_key is None
    assert settings.endpoint == "http://127.0.0.1:9"


def test_what_is_not_given_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside settings the environment counts for nothing, and a default stays a default."""
    monkeypatch.setenv("BACKUP_FRAMES_TIMEOUT_S", "no number")
    monkeypatch.setenv("BACKUP_FRAMES_PARTITION_BY", "month")
    settings = bf.Settings(project_id="p", timeout_s=3, partition_by="day")
    resolved = resolve_settings(settings, project_id="q", token=None)
    assert (resolved.project_id, resolved.timeout_s, resolved.partition_by) == ("q", 3.0, "day")
    assert resolve_settings(settings) is settings


def test_a_bad_argument_beside_settings_is_told() -> None:
    """It is checked like any other, and the argument is named."""
    with pytest.raises(ConfigError, match=r"endpoint.*argument"):
        resolve_settings(wrong(), endpoint="http://example.com")


MISFITS: dict[str, list[Any]] = {
    "progress": [True, "yes", 5, object()],
    "clock": [5, "now"],
    "transport": [5, "https"],
}
BYTES = "x\udcff"  # what a shell hands on of bytes that are no UTF-8


@pytest.mark.parametrize(("name", "value"), [(k, one) for k, of in MISFITS.items() for one in of])
def test_what_cannot_be_called_is_told(box: Sandbox, tmp_path: Path, name: str, value: Any) -> None:
    """A read and a sync name the argument, show its value and say what to give; no bare error."""
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    for ask in (bf.read_backups, lambda **one: bf.sync_backups(lake=str(tmp_path / "l"), **one)):
        with pytest.raises(ConfigError, match=re.escape(f"{name} is {value!r}; give")):
            ask(**given | {name: value})


def connected(lake: Path, **given: Any) -> None:
    with bf.connect(
        **{name: given.pop(name) for name in ("endpoint", "project_id", "token")}
    ) as it:
        it.sync_backups(lake=lake / "new", **given)


def of_lake(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that asks no service."""
    return lambda lake, endpoint, project_id, token, **given: call(lake, **given)


SWITCHES: dict[str, tuple[str, Callable[..., Any]]] = {
    "read_backups": ("allow_incomplete", lambda lake, **given: bf.read_backups(**given)),
    "scan_backups": ("allow_incomplete", lambda lake, **given: next(bf.scan_backups(**given))),
    "sync_backups": (
        "full allow_mass_deletion accept_clock_skew dry_run inventory",
        lambda lake, **given: bf.sync_backups(lake=lake / "new", **given),
    ),
    "service.sync_backups": ("full", connected),
    "verify_lake": (
        "against_service repair",
        of_lake(lambda lake, **given: bf.verify_lake(lake, settings=wrong(), **given)),
    ),
    "open_lake": ("present", of_lake(lambda lake, **given: bf.open_lake(lake).tables(**given))),
    "publish_lake": (
        "materialize",
        of_lake(lambda lake, **given: bf.insight.publish_lake(lake, lake / "new", **given)),
    ),
    "connect_lake": ("materialize", of_lake(bf.insight.connect_lake)),
    "find_exceptions": ("new", of_lake(find_exceptions)),
}


@pytest.fixture(scope="module")
def lake(box: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    bf.sync_backups(lake=folder, endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    return folder


@pytest.mark.parametrize("call", SWITCHES)
def test_what_is_neither_true_nor_false_is_told(call: str, box: Sandbox, lake: Path) -> None:
    """ "false" of a template or a variable would be true: it is named, and nothing begins."""
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    switches, ask = SWITCHES[call]
    before = len(box.service.requests)
    for name in switches.split():
        for value in ("false", "", None, 2, np.array([True, False])):
            with pytest.raises(ConfigError, match=re.escape(f"{name} is {value!r}; give True or")):
                ask(lake, **given, **{name: value})
    assert len(box.service.requests) == before
    assert not (lake / "new").exists()


@pytest.mark.parametrize("call", ["read_backups", "scan_backups", "sync_backups"])
def test_a_wrong_switch_is_told_before_the_project_is_looked_up(call: str, tmp_path: Path) -> None:
    """Where only the region is given, not even the identity service is asked."""
    asked: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(401))
    settings = bf.Settings(region="eu-west-101", access_key="AK", secret_key="SK")
    switches, ask = SWITCHES[call]
    for name in switches.split():
        for value in ("false", np.zeros((2, 1))):
            shown = " ".join(repr(value).split())  # one line, whatever it is
            with pytest.raises(ConfigError, match=re.escape(f"{name} is {shown}; give True or")):
                ask(tmp_path, settings=settings, transport=transport, **{name: value})
    assert not asked


def test_numpy_tells_true_from_false_as_well(box: Sandbox) -> None:
    """What a comparison of arrays gives is taken, and 1 and 0."""
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    for value in (np.bool_(False), 0, np.bool_(True), 1):
        assert len(bf.read_backups(**given, allow_incomplete=value)) == 30


@pytest.mark.parametrize("name", ["instance_name", "instance_id", "backup_id", "datastore_type"])
@pytest.mark.parametrize("value", [BYTES, ["a", BYTES]])
def test_a_filter_that_is_no_text_is_told(box: Sandbox, name: str, value: Any) -> None:
    """Halves of surrogate pairs are refused by name, before any request."""
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    with pytest.raises(bf.QueryError, match=rf"{name} is 'x\\udcff'; give"):
        bf.read_backups(**given, **{name: value})


def test_a_lake_and_sql_that_are_no_text_are_told(tmp_path: Path) -> None:
    """So are a lake's address, which the lake writes down, and a query."""
    with pytest.raises(
        ConfigError, match=r"lake = '.*\\udcff' \(argument\): must be text in UTF-8"
    ):
        bf.sync_backups(lake=tmp_path / BYTES, settings=wrong())
    for sql in (BYTES, f"SELECT '{BYTES}'", 5):
        with pytest.raises(bf.QueryError, match="no text in UTF-8; give one SELECT"):
            query_lake(tmp_path, sql)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "given", "name"),
    [
        (OwnerRule, {"owner": BYTES}, "owner of OwnerRule"),
        (OwnerRule, {"owner": None}, "owner of OwnerRule"),
        (OwnerRule, {"owner": "a", "instance_name": BYTES}, "instance_name of OwnerRule"),
        (
            OwnerRule,
            {"owner": "a", "enterprise_project_id": 5},
            "enterprise_project_id of OwnerRule",
        ),
        (Attestation, {"text": BYTES, "who": "a", "when": "2026-01-01"}, "text of Attestation"),
        (Attestation, {"text": "a", "who": 5, "when": "2026-01-01"}, "who of Attestation"),
        (Attestation, {"text": "a", "who": "b", "when": "c", "link": BYTES}, "link of Attestation"),
    ],
)
def test_an_owner_or_attestation_that_is_no_text_is_told(
    kind: Callable[..., Any], given: dict[str, Any], name: str
) -> None:
    """They are refused where they are made, not where they are used."""
    with pytest.raises(ConfigError, match=f"{name} is .*; give a text"):
        kind(**given)


@pytest.mark.parametrize("version", ["v3.1", "v4"])
def test_one_setting_moves_all_reads_to_the_other_version(
    version: str, box: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """BACKUP_FRAMES_API_VERSION: every read, sync and check asks that path and no other."""
    monkeypatch.setenv("BACKUP_FRAMES_API_VERSION", version)
    given = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
    before = len(box.service.requests)
    frames = bf.read_backups(**given)
    bf.plan_read(**given)
    report = sync_backups(lake=str(tmp_path), **given)
    settings = load_settings(**given)
    assert bf.verify_lake(str(tmp_path), against_service=True, settings=settings) == []
    asked = {one.path for one in box.service.requests[before:] if one.operation == "backups"}
    assert asked == {f"/{version}/{box.project_id}/backups"}
    for certificate in (frames.certificate, report.certificate):
        assert (certificate.service, certificate.api_version) == ("geminidb", version)


def test_an_unknown_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the two versions with these models are taken."""
    monkeypatch.setenv("BACKUP_FRAMES_API_VERSION", "v3")
    with pytest.raises(ConfigError, match=r"api_version = 'v3'.*v3\.1.*v4"):
        load_settings()


@pytest.mark.parametrize(("version", "other"), [("v3.1", "v4"), ("v4", "v3.1")])
def test_a_404_tells_of_the_other_version(version: str, other: str) -> None:
    """Where the gateway knows no such API, the message says which setting to try."""
    unknown = {"error_code": "APIGW.0101", "error_msg": "The API does not exist."}
    with FaultServer(answer(unknown, 404)) as server:
        settings = load_settings(
            endpoint=server.endpoint, project_id="p", token="t", api_version=version
        )
        with pytest.raises(RejectedError, match=f"BACKUP_FRAMES_API_VERSION={other}"):
            bf.read_backups(settings=settings)
        assert len(server.requests) == 1


PASSWORD = {"username": "sandbox-user", "domain": "sandbox-account"}


def callers(box: Sandbox) -> dict[str, dict[str, str]]:
    return {
        "token": {"token": box.token},
        "keys": {"access_key": box.iam.access_key, "secret_key": box.iam.secret_key},
        "password": {**PASSWORD, "password": box.iam.password},
    }


def test_the_certificate_names_who_asked_and_no_secret(box: Sandbox) -> None:
    """The kind of credential, with a fingerprint that is the same each time; "token" for a token."""
    place = {"endpoint": box.endpoint, "project_id": box.project_id}
    for kind, credentials in callers(box).items():
        settings = load_settings(**place, **credentials)
        certificates = [bf.read_backups(settings=settings).certificate for _ in range(2)]
        assert len({certificate.caller for certificate in certificates}) == 1
        assert re.fullmatch(
            "token" if kind == "token" else rf"{kind} [0-9a-f]{{8}}", certificates[0].caller
        )
        shown = certificates[0].to_json() + certificates[0].to_text()
        assert certificates[0].caller in shown
        assert not any(secret in shown for secret in credentials.values())


@pytest.mark.parametrize("vanished", [2, 40])
def test_new_credentials_may_hide_what_left_the_list(vanished: int, tmp_path: Path) -> None:
    """Backups that vanish with a change of caller: report and certificate say so; without, nothing."""
    with Sandbox(backups=60, seed=3) as box:
        place = {"endpoint": box.endpoint, "project_id": box.project_id, "lake": str(tmp_path)}
        by = {kind: load_settings(**place, **one) for kind, one in callers(box).items()}
        first = sync_backups(settings=by["keys"])
        ids = box.fleet.ids()[: vanished + 1]
        box.fleet.delete(ids[0])
        assert sync_backups(settings=by["keys"]).warnings == ()
        assert sync_backups(settings=by["password"]).warnings == ()
        for backup_id in ids[1:]:
            box.fleet.delete(backup_id)
        report = sync_backups(settings=by["token"])
    assert first.certificate.caller.startswith("keys ")
    (warning,) = report.warnings
    assert [warning] == report.certificate.warnings
    assert re.search(r"from password [0-9a-f]{8} to token .*hidden .* rather than deleted", warning)
    assert warning in report.to_text()
    assert warning in report.certificate.to_text()
    runs = bf.open_lake(str(tmp_path)).runs().select(["caller", "service", "api_version"])
    kinds = [row["caller"].split(" ")[0] for row in runs.to_pylist()]
    assert kinds == ["keys", "keys", "password", "token"]
    assert {(row["service"], row["api_version"]) for row in runs.to_pylist()} == {
        ("geminidb", "v3.1")
    }
