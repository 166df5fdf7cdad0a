from __future__ import annotations

import os
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_frames.errors import ConfigError
from backup_frames.settings import (
    Settings,
    describe_settings,
    find_unknown_variables,
    load_each_project,
    load_projects,
    load_settings,
    resolve_settings,
)

LOOPBACK = "http://127.0.0.1:8080"
CANARY = "canary-6f1d"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("BACKUP_FRAMES_", "HUAWEICLOUD_")):
            monkeypatch.delenv(name)


@pytest.fixture
def write_config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_an_argument_beats_the_environment_which_beats_the_file(monkeypatch, write_config):
    """Precedence is argument, environment, file, default."""
    path = write_config('region = "cn-north-1"\nmax_connections = 2\ntimeout_s = 3')
    monkeypatch.setenv("BACKUP_FRAMES_REGION", "cn-north-2")
    monkeypatch.setenv("BACKUP_FRAMES_MAX_CONNECTIONS", "4")
    settings = load_settings(path, region="cn-north-4")
    assert (settings.region, settings.max_connections, settings.timeout_s) == ("cn-north-4", 4, 3.0)
    assert settings.overlap_s == 3600


def test_none_is_not_given(monkeypatch):
    """An argument of None leaves the environment's value."""
    monkeypatch.setenv("BACKUP_FRAMES_REGION", "cn-north-2")
    assert load_settings(region=None).region == "cn-north-2"


def test_an_empty_variable_is_not_given(monkeypatch):
    """An empty environment variable counts as unset."""
    monkeypatch.setenv("BACKUP_FRAMES_ENDPOINT", "")
    assert load_settings().endpoint is None


def test_our_project_id_beats_huaweis(monkeypatch):
    """Of both project ids in the environment ours wins; Huawei's alone is understood."""
    monkeypatch.setenv("HUAWEICLOUD_SDK_PROJECT_ID", "theirs")
    assert load_settings().project_id == "theirs"
    monkeypatch.setenv("BACKUP_FRAMES_PROJECT_ID", "ours")
    assert load_settings().project_id == "ours"


def test_huaweis_keys_are_understood(monkeypatch):
    """AK, SK and security token come from Huawei's own variables."""
    for name in ("AK", "SK", "SECURITY_TOKEN"):
        monkeypatch.setenv(f"HUAWEICLOUD_SDK_{name}", name)
    settings = load_settings()
    assert settings.credentials == "keys"
    assert [
        secret.get_secret_value()
        for secret in (settings.access_key, settings.secret_key, settings.security_token)
        if secret
    ] == ["AK", "SK", "SECURITY_TOKEN"]


def test_the_environment_is_read_at_the_call(monkeypatch):
    """A variable set after import counts; one removed no longer does."""
    monkeypatch.setenv("BACKUP_FRAMES_LAKE", "one")
    assert load_settings().lake == "one"
    monkeypatch.delenv("BACKUP_FRAMES_LAKE")
    assert load_settings().lake is None


def test_a_chosen_grain_can_be_told_from_the_default(monkeypatch):
    """`model_fields_set` names partition_by only if somebody gave it."""
    assert "partition_by" not in load_settings().model_fields_set
    monkeypatch.setenv("BACKUP_FRAMES_PARTITION_BY", "day")
    assert "partition_by" in load_settings().model_fields_set


def test_settings_survive_pickling_and_are_frozen():
    """Settings travel to other processes and cannot be changed."""
    settings = load_settings(token="t", endpoint=LOOPBACK)
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(ValueError, match="frozen"):
        settings.region = "cn-north-4"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("region", "service", "iam"),
    [
        (
            "cn-north-4",
            "https://gaussdb-nosql.cn-north-4.myhuaweicloud.com",
            "https://iam.cn-north-4.myhuaweicloud.com",
        ),
        (
            "eu-west-101",
            "https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu",
            "https://iam.myhuaweicloud.eu",
        ),
    ],
)
def test_a_region_gives_both_endpoints(region, service, iam):
    """The region decides the addresses, and the service's address tells the region."""
    assert load_settings(region=region).service_url == service
    assert load_settings(region=region).iam_url == iam
    assert load_settings(endpoint=service).iam_url == iam
    assert load_settings(endpoint=service).known_region == region


def test_an_explicit_endpoint_beats_the_region():
    """The endpoint given is used as given, without its trailing slash."""
    settings = load_settings(endpoint="https://proxy.example.com:8443/", region="cn-north-4")
    assert settings.service_url == "https://proxy.example.com:8443"
    assert settings.iam_url is None


def test_a_sandbox_serves_iam_too():
    """Beside a loopback endpoint no password is sent to the real identity service."""
    assert load_settings(endpoint=LOOPBACK, region="cn-north-4").iam_url == LOOPBACK


@pytest.mark.parametrize(
    ("endpoint", "taken"),
    [
        ("https://h.example.", "https://h.example"),
        ("https://H.example.:8443/", "https://h.example:8443"),
    ],
)
def test_a_whole_host_name_is_the_same_host(endpoint, taken):
    """The dot that ends a whole name is left out, so that it is known for what it is."""
    assert load_settings(endpoint=endpoint).endpoint == taken


@pytest.mark.parametrize("endpoint", [LOOPBACK, "http://localhost", "http://[::1]:9", "https://h"])
def test_a_good_endpoint_is_taken(endpoint):
    """https anywhere and http on this machine are fine."""
    assert load_settings(endpoint=endpoint + "/").endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.999.0.1",
        "http://127.1",
        "ftp://example.com",
        "example.com",
        "https://example.com/v3.1",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://example.com\n",
        "https://exam ple.com",
        "https://example.com:0",
        "https://example.com:99999",
        "https://",
        "",
    ],
)
def test_a_bad_endpoint_is_refused(endpoint):
    """What would leak the token or is no origin is refused; the message shows it."""
    with pytest.raises(ConfigError, match="endpoint"):
        load_settings(endpoint=endpoint)


@pytest.mark.parametrize("settings", [{"endpoint": LOOPBACK}, "settings.toml", Settings])
def test_settings_of_another_kind_are_refused(settings):
    """What is no `Settings` is told as the caller's mistake, with its type."""
    with pytest.raises(ConfigError, match=r"settings is of type \w+; give what load_settings"):
        resolve_settings(settings)


def test_a_password_in_an_endpoint_is_not_shown():
    """User information in an address is refused without repeating it."""
    with pytest.raises(ConfigError) as caught:
        load_settings(endpoint=f"https://user:{CANARY}@example.com")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("field", ["token", "access_key", "secret_key", "security_token"])
@pytest.mark.parametrize("bad", ["\n", "\r\nX-Evil: 1", " ", "é", "\0"])
def test_a_secret_that_breaks_a_header_is_refused_unseen(field, bad):
    """The message names the field, neither it nor its cause shows the value."""
    with pytest.raises(ConfigError, match=field) as caught:
        load_settings(**{field: CANARY + bad})
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(min_size=1))
def test_only_the_closed_alphabet_is_a_project_id(text):
    """A project id is taken if and only if it is 1 to 64 of A-Z a-z 0-9 _ -."""
    is_good = len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    if is_good:
        assert load_settings(project_id=text).project_id == text
    else:
        with pytest.raises(ConfigError, match="project_id"):
            load_settings(project_id=text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("region", "CN-NORTH-4"),
        ("region", "cn-north-4.evil.com/"),
        ("region", "cn-north-4\n"),
        ("partition_by", "year"),
        ("timeout_s", "soon"),
        ("timeout_s", 0),
        ("max_connections", 0),
        ("max_connections", "many"),
        ("max_requests_per_second", float("nan")),
        ("max_requests_per_second", 1e-300),
        ("max_requests_per_second", "1e300"),
        ("timeout_s", "inf"),
        ("timeout_s", 1e-9),
        ("timeout_s", b"5"),
        ("max_connections", "1_0"),
        ("max_connections", "١٢"),
        ("max_connections", Decimal("NaN")),
        ("overlap_s", True),
        ("overlap_s", -1),
        ("nonsense", 1),
    ],
)
def test_a_bad_value_is_a_config_error(name, value):
    """Every bad value is refused, by name."""
    with pytest.raises(ConfigError, match=name):
        load_settings(**{name: value})


def test_secrets_do_not_show():
    """Neither repr, str nor the described settings show a secret."""
    secrets = ("token", "password", "access_key", "secret_key", "security_token")
    given_secrets = {name: f"{CANARY}-{name}" for name in secrets}
    settings = load_settings(**given_secrets)
    rows = describe_settings(**given_secrets)
    assert CANARY not in repr(settings) + str(settings) + str(rows)
    assert {row.value for row in rows if row.name in secrets} == {"***"}


def test_sources_are_named(monkeypatch, write_config):
    """The table says of each value where it came from."""
    path = write_config('lake = "here"\ntoken_env = "MY_TOKEN"')
    monkeypatch.setenv("MY_TOKEN", "x")
    monkeypatch.setenv("HUAWEICLOUD_SDK_PROJECT_ID", "p")
    rows = {row.name: row for row in describe_settings(path, region="cn-north-4")}
    assert rows["region"].source == "argument"
    assert rows["project_id"].source == "environment HUAWEICLOUD_SDK_PROJECT_ID"
    assert rows["lake"].source == str(path)
    assert rows["token"].source == f"environment MY_TOKEN (named in {path})"
    assert rows["overlap_s"].source == "default"
    assert rows["endpoint"].value == "https://gaussdb-nosql.cn-north-4.myhuaweicloud.com"
    assert "region" in rows["endpoint"].source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokn = 'x'", "tokn"),
        ("[lake]\nurll = 'x'", "urll"),
        ("[[project]]\nidd = 'x'", "idd"),
        ("max_connections = true", "max_connections"),
        ("region = ['cn-north-4']", "region"),
        ("project = 1", "project"),
        ("region = ", "TOML"),
        ("timeout_s = 'x'", "timeout_s"),
    ],
)
def test_a_bad_file_is_a_config_error(write_config, text, message):
    """Unknown keys, bad types and bad TOML are refused; the message names file and key."""
    path = write_config(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_a_config_error(monkeypatch, tmp_path):
    """A file that is not there is refused, also when the environment names it."""
    monkeypatch.setenv("BACKUP_FRAMES_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_settings()


def test_a_lake_table_gives_address_and_grain(write_config):
    """[lake] url and partition_by are the settings lake and partition_by."""
    path = write_config('[lake]\nurl = "s3://b/p"\npartition_by = "month"')
    settings = load_settings(path)
    assert (settings.lake, settings.partition_by) == ("s3://b/p", "month")


BAD_TABLES = {
    "project_id = 'b'\nnonsense = 1": "b",
    "project_id = '../b'": "../b",
    "project_id = 7": "[[project]] 2",
    "project_id = 'b'\ntimeout_s = nan": "b",
    "project_id = 'b'\nmax_connections = true": "b",
    "project_id = 'b'\nendpoint = 'ftp://h'": "b",
    "project_id = 'b'\nlake = ['x']": "b",
    "project_id = 'a'\nregion = 'cn-north-4'": "a",
}


@pytest.mark.parametrize(("table", "label"), BAD_TABLES.items())
def test_a_table_that_cannot_be_used_costs_no_other(write_config, table, label):
    """It stands in the list as what is wrong with it; asked for all, the first error is raised."""
    text = f"[[project]]\nproject_id = 'a'\n[[project]]\n{table}\n[[project]]\nproject_id = 'c'"
    path = write_config(text)
    first, refused, last = load_each_project(path)
    assert (first.project_id, refused.label, last.project_id) == ("a", label, "c")
    assert str(path) in str(refused.error)
    with pytest.raises(ConfigError):
        load_projects(path)


@pytest.mark.parametrize("top", ["nonsense = 1", "timeout_s = -1", "lake = ''", "[lake]\nurl = 1"])
def test_a_key_for_all_projects_stops_all(write_config, top):
    """What holds for every project and cannot be used is told once."""
    with pytest.raises(ConfigError):
        load_each_project(write_config(f"{top}\n[[project]]\nproject_id = 'a'"))


MANY = """
username = "reader"
[lake]
url = "s3://b/p"
[[project]]
project_id = "a"
endpoint = "https://a.example.com"
token_env = "TOKEN_A"
[[project]]
project_id = "b"
region = "eu-west-101"
access_key_env = "AK_B"
secret_key_env = "SK_B"
[[project]]
project_id = "c"
"""


def test_a_projects_table_beats_the_environment(monkeypatch, write_config):
    """What a [[project]] says of itself holds; what it leaves out comes from the environment."""
    for name, value in {
        "TOKEN_A": "token-a",
        "AK_B": "ak",
        "SK_B": "sk",
        "BACKUP_FRAMES_PROJECT_ID": "z",
        "BACKUP_FRAMES_ENDPOINT": "https://z.example.com",
        "BACKUP_FRAMES_TOKEN": "token-z",
    }.items():
        monkeypatch.setenv(name, value)
    a, b, c = load_projects(write_config(MANY))
    assert [s.project_id for s in (a, b, c)] == ["a", "b", "c"]
    assert [s.lake for s in (a, b, c)] == ["s3://b/p"] * 3
    assert a.service_url == "https://a.example.com"
    assert a.token is not None
    assert a.token.get_secret_value() == "token-a"
    assert b.service_url == "https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu"
    assert (b.credentials, b.token) == ("keys", None)
    assert c.service_url == "https://z.example.com"
    assert c.token is not None
    assert c.token.get_secret_value() == "token-z"


def test_a_projects_unset_variable_stops_only_that_project(monkeypatch, write_config):
    """The project says what to export; it does not borrow another's token."""
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "token-z")
    a, _, c = load_projects(write_config(MANY), endpoint=LOOPBACK)
    with pytest.raises(ConfigError, match="TOKEN_A"):
        a.require_connection()
    c.require_connection()


def test_one_project_of_many_can_be_picked(write_config):
    """A project id picks its table, for a sync of many and for a single call alike."""
    path = write_config(MANY)
    assert [s.project_id for s in load_projects(path, project_id="b")] == ["b"]
    assert load_settings(path, project_id="b").region == "eu-west-101"
    assert load_settings(path).project_id is None
    with pytest.raises(ConfigError, match="nobody"):
        load_projects(path, project_id="nobody")


def test_two_tables_for_one_project_are_refused(write_config):
    """A project that stands twice in the file would be synced twice."""
    with pytest.raises(ConfigError, match="two"):
        load_projects(write_config('[[project]]\nproject_id="a"\n[[project]]\nproject_id="a"'))


def test_a_file_without_projects_is_one_project(write_config):
    """Top-level keys alone make one project."""
    path = write_config('project_id = "a"\n[lake]\nurl = "x"')
    assert [(s.project_id, s.lake) for s in load_projects(path)] == [("a", "x")]


def test_credentials_of_a_higher_layer_replace_the_lower_method(monkeypatch, write_config):
    """AK and SK of the environment are used, not the token of the file; user names may mix."""
    path = write_config('token = "t"\nusername = "u"\ndomain = "d"\nsecurity_token = "old"')
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "ak")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "sk")
    settings = load_settings(path)
    assert (settings.credentials, settings.token, settings.security_token) == ("keys", None, None)
    monkeypatch.delenv("HUAWEICLOUD_SDK_AK")
    monkeypatch.delenv("HUAWEICLOUD_SDK_SK")
    monkeypatch.setenv("BACKUP_FRAMES_PASSWORD", "p")
    assert load_settings(path).credentials == "password"


KEYS = {"access_key": "ak", "secret_key": "sk"}
LOGIN = {"username": "u", "password": "p", "domain": "d"}


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ({}, "BACKUP_FRAMES_ENDPOINT"),
        ({"endpoint": LOOPBACK}, "BACKUP_FRAMES_TOKEN"),
        ({"endpoint": LOOPBACK, "access_key": "ak"}, "HUAWEICLOUD_SDK_SK"),
        ({"endpoint": LOOPBACK, "username": "u"}, "BACKUP_FRAMES_PASSWORD"),
        ({"endpoint": LOOPBACK, "token": "t"}, "BACKUP_FRAMES_PROJECT_ID"),
        ({"endpoint": "https://h", **KEYS}, "BACKUP_FRAMES_PROJECT_ID"),
        ({"endpoint": "https://h", "project_id": "p", **LOGIN}, "BACKUP_FRAMES_IAM_ENDPOINT"),
    ],
)
def test_what_a_connection_lacks_is_named(arguments, missing):
    """The message names the variable to export."""
    with pytest.raises(ConfigError, match=missing):
        load_settings(**arguments).require_connection()


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoint": LOOPBACK, "token": "t", "project_id": "p"},
        {"endpoint": LOOPBACK, "project_id": "p", **LOGIN},
        {"region": "cn-north-4", **KEYS},
        {"region": "cn-north-4", **LOGIN},
    ],
)
def test_enough_for_a_connection_is_enough(arguments):
    """A token needs a project id; keys and logins find it by region."""
    load_settings(**arguments).require_connection()


def test_settings_built_directly_read_the_environment(monkeypatch):
    """`Settings()` is arguments over environment."""
    monkeypatch.setenv("BACKUP_FRAMES_LAKE", "one")
    assert Settings().lake == "one"
    assert Settings(lake="two").lake == "two"


def test_import_reads_no_environment():
    """A broken environment does not hurt an import."""
    code = "import backup_frames.settings"
    environment = os.environ | {"BACKUP_FRAMES_TIMEOUT_S": "x", "BACKUP_FRAMES_CONFIG": "/none"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_password_with_a_project_id_is_enough():
    """User, password and project id make a connection; the account's name defaults to the user's."""
    login = {"username": "u", "password": "p", "project_id": "p1", "endpoint": LOOPBACK}
    settings = load_settings(**login)
    settings.require_connection()
    assert settings.credentials == "password"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark_is_read(tmp_path, encoding):
    """Editors of other systems put a mark before the text, in whatever encoding it is."""
    path = tmp_path / "config.toml"
    mark = "\ufeff" if encoding.endswith("e") else ""
    path.write_bytes((mark + 'lake = "café"').encode(encoding))
    assert load_settings(path).lake == "café"


def test_the_source_of_a_missing_file_is_named(monkeypatch, tmp_path):
    """Whether the option or the variable named it, and a home that is unknown is told likewise."""
    with pytest.raises(ConfigError, match="config="):
        load_settings(tmp_path / "none.toml")
    monkeypatch.setenv("BACKUP_FRAMES_CONFIG", "~nobody-of-this-name/none.toml")
    with pytest.raises(ConfigError, match="Check BACKUP_FRAMES_CONFIG"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("BACKUP_FRAMES_REGOIN", "BACKUP_FRAMES_REGION"),
        ("BACKUP_FRAMES_ACCESS_KEY", "HUAWEICLOUD_SDK_AK"),
        ("backup_frames_lake", "BACKUP_FRAMES_LAKE"),
        ("BACKUP_FRAMES_CONFG", "BACKUP_FRAMES_CONFIG"),
        ("BACKUP_FRAMES_X", "Unset it"),
    ],
)
def test_a_variable_that_is_no_setting_is_named(monkeypatch, name, hint):
    """It is named with what was meant, and never its value."""
    monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "t")
    (text,) = find_unknown_variables()
    assert text.startswith(f"{name} is no setting")
    assert hint in text
    assert CANARY not in text


def test_a_variable_that_the_file_names_is_known(monkeypatch, write_config):
    """A project's own variable may be called as it likes; an empty one is unset."""
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN_A", "x")
    monkeypatch.setenv("BACKUP_FRAMES_Y", "")
    path = write_config('[[project]]\nproject_id = "a"\ntoken_env = "BACKUP_FRAMES_TOKEN_A"')
    assert find_unknown_variables(path) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "timeout_s",
            "soon",
            "timeout_s = 'soon' (argument): must be a number from 0.01 to 3600.",
        ),
        (
            "timeout_s",
            True,
            "timeout_s = 'True' (argument): must be a number from 0.01 to 3600.",
        ),
        ("timeout_s", 10**400, "must be a number from 0.01 to 3600."),
        ("max_connections", 2.5, "must be a whole number from 1 to 64."),
        ("max_connections", float("inf"), "must be a whole number from 1 to 64."),
        ("partition_by", "year", "must be 'day' or 'month'."),
        ("lake_format", ["delta"], "must be 'parquet', 'delta' or 'iceberg'."),
        ("project_id", 7, "project_id = '7' (argument): is of type int; give text."),
        ("token", b"t", "token (argument): is of type bytes; give text."),
        ("lake", "", "lake = '' (argument): is empty; give a text, or leave it out."),
    ],
)
def test_a_bad_value_is_told_in_our_words(name, value, message):
    """The message says what was given, by whom, and what to give, however settings are made."""
    for make in (load_settings, Settings, Settings.of):
        with pytest.raises(ConfigError) as caught:
            make(**{name: value})
        assert str(caught.value).endswith(message)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("timeout_s", " 2.5 ", 2.5),
        ("timeout_s", 3, 3.0),
        ("max_connections", "4", 4),
        ("overlap_s", 60.0, 60),
        ("lake", Path("a/b"), "a/b"),
    ],
)
def test_a_value_of_another_type_is_taken_for_what_it_says(name, value, taken):
    """Texts of the environment become numbers, paths become texts."""
    got = getattr(load_settings(**{name: value}), name)
    assert (got, type(got)) == (taken, type(taken))


def test_settings_of_arguments_alone_read_no_environment(monkeypatch):
    """`Settings.of` is arguments over defaults; an unknown name is refused."""
    monkeypatch.setenv("BACKUP_FRAMES_LAKE", "one")
    assert Settings.of(region="cn-north-4").lake is None
    with pytest.raises(ConfigError, match="nonsense"):
        Settings.of(nonsense=1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("max_connection = 4", "max_connections"),
        ("region_ = 'eu-west-101'", "region"),
        ("Project_ID = 'p'", "project_id"),
    ],
)
def test_a_misspelt_key_of_the_file_is_told_with_the_one_meant(tmp_path, written, meant):
    """The message names the key nearest to it, as it does for a variable of the environment."""
    path = tmp_path / "config.toml"
    path.write_text(written)
    with pytest.raises(ConfigError, match=f"unknown key '.*'. Did you mean {meant}\\? Known are"):
        load_settings(path)
