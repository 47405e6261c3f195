# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

basic = pytest.importorskip("ansible.module_utils.basic")
patch_module_args = pytest.importorskip("ansible.module_utils.testing").patch_module_args  # from ansible-core 2.19 on

from ansible_collections.holdfast.postgres.plugins.module_utils import _face  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.modules import archive_get, backup_info, check, expire  # noqa: E402

SECRET = "correct horse battery staple"


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose repository is empty."""
    for name in ("repository", "lock", "log"):
        (tmp_path / name).mkdir()
    path = tmp_path / "holdfast.conf"
    path.write_text(
        f"[global]\nrepo1-path={tmp_path}/repository\nlock-path={tmp_path}/lock\nlog-path={tmp_path}/log\n"
        "allow-root=y\n[main]\npg1-path=/nonexistent\n"
    )
    return path


def call(module: Any, capsys: pytest.CaptureFixture[str], check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
    """The result of a module, run in this process."""
    arguments = {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    umask = os.umask(0o022)
    try:
        with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
            module.main()
    finally:
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return json.loads(capsys.readouterr().out)


class FakeModule:
    """The parameters of a module; fail_json raises what it is given."""

    def __init__(self, **params: Any) -> None:
        self.params = {"stanza": "main", "options": {}, "secrets": [], **params}
        for name in ("config", "config_path", "config_include_path"):
            self.params.setdefault(name, None)

    def fail_json(self, **result: Any) -> None:
        raise ValueError(result["msg"])


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        (None, []),
        ("a b", ["--o=a b"]),
        (0, ["--o=0"]),
        (True, ["--o=y"]),
        (False, ["--o=n"]),
        ("True", ["--o=y"]),
        ("False", ["--o=n"]),
        ([], []),
        (["a", "b"], ["--o=a", "--o=b"]),
        ({}, []),
        ({"ts1": "/a", "ts2": "/b=c"}, ["--o=ts1=/a", "--o=ts2=/b=c"]),
    ],
)
def test_values_become_a_command_line(value: Any, arguments: list[str]) -> None:
    assert list(_face.render_option("o", value)) == arguments


def test_the_engine_understands_that_command_line(configured: Path) -> None:
    module = FakeModule(
        config=str(configured), process_max=3, start_fast=True, annotation={"why": "a=b c"},
        options={"repo1_bundle": True, "exclude": ["a/", "b/"], "archive-timeout": "90s"},
    )  # fmt: skip
    names = [*_face.SHARED, "process_max", "start_fast", "annotation"]
    config = load(["backup", *_face.option_arguments(module, names)], _face.environment(module))
    assert (config.stanza, config.process_max, config.start_fast) == ("main", 3, True)
    assert config.annotation == {"why": "a=b c"}
    assert (config.repos[0].bundle, config.exclude, config.archive_timeout) == (True, ("a/", "b/"), 90)


def test_secrets_go_through_the_environment_only(configured: Path) -> None:
    secret = {"option": "repo1-cipher-pass", "value": SECRET}
    module = FakeModule(config=str(configured), secrets=[secret], options={"repo1-cipher-type": "aes-256-cbc"})
    arguments = _face.option_arguments(module, _face.SHARED)
    assert SECRET not in " ".join(arguments)
    assert load(["info", *arguments], _face.environment(module)).repos[0].cipher_pass == SECRET


@pytest.mark.parametrize("option", ["repo1-cipher-pass", "repo2_s3_key_secret", "repo-cipher-pass"])
def test_a_secret_among_the_options_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="is a secret") as caught:
        _face.option_arguments(FakeModule(options={option: SECRET}), [])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("repo1-path", "/some/where", "not a secret"),
        ("repo1-cipher-pass", "abc123", "shorter"),
        ("nonsense", SECRET, "not a secret"),
    ],
)
def test_secrets_that_are_none_or_too_short_are_refused(option: str, value: str, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        _face.environment(FakeModule(secrets=[{"option": option, "value": value}]))
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "hint", "text"),
    [
        ("lock is held", "is another process running?", "Lock is held. Is another process running?"),
        ("archive_mode is off", "set it", "archive_mode is off. Set it."),
        ("pg1: no answer.", "", "pg1: no answer."),
        ("restore: refused", "use --delta", "restore: refused. Use --delta."),
    ],
)
def test_a_message_is_whole_by_itself(message: str, hint: str, text: str) -> None:
    assert _face.sentence(message, hint) == text


def test_what_the_engine_says_is_heard_and_nothing_is_left_behind() -> None:
    log = logging.getLogger("holdfast")
    before = (log.level, list(log.handlers))
    with _face.listening() as heard:
        log.debug("too much")
        log.info("one %s", "thing")
        log.warning("careful")
        log.error("wrong")
    assert heard.lines == ["one thing", "careful", "wrong"]
    assert heard.warnings == ["careful"]
    assert (log.level, list(log.handlers)) == before


def test_libraries_that_are_missing_make_the_module_go_to_the_venv(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(_face, "respawn_module", asked.append)
    monkeypatch.setattr(_face, "VENV_PYTHON", sys.executable)
    monkeypatch.setattr(_face, "missing", list)
    _face.use_libraries()
    assert asked == []
    monkeypatch.setattr(_face, "missing", lambda: ["psycopg2"])
    _face.use_libraries()
    assert asked == [sys.executable]
    monkeypatch.setattr(_face, "has_respawned", lambda: True)
    _face.use_libraries()
    monkeypatch.setattr(_face, "has_respawned", lambda: False)
    monkeypatch.setattr(_face, "VENV_PYTHON", "/nonexistent/python")
    _face.use_libraries()
    assert asked == [sys.executable]


# -- whole modules


def test_info_reports_a_stanza_that_is_not_there(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(backup_info, capsys, config=configured, stanza="main")
    assert (result["changed"], result["stanzas"][0]["status"]["code"]) == (False, 1)


def test_an_expected_failure_has_code_name_and_hint(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(expire, capsys, config=configured, stanza="main", options={"process-max": 2})
    assert result["failed"] and (result["rc"], result["error"]) == (31, "option-invalid")
    assert "process-max" in result["msg"] and result["hint"]
    assert "exception" not in result


def test_a_configuration_that_is_not_there_fails_in_check_mode_too(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"config": "/nonexistent/holdfast.conf", "stanza": "main"}
    result = call(check, capsys, check_mode=True, **arguments)
    assert result["failed"] and result["rc"] == 55


def test_check_mode_fetches_nothing(configured: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = {"config": configured, "stanza": "main", "wal": "000000010000000000000001", "dest": tmp_path / "wal"}
    result = call(archive_get, capsys, check_mode=True, **arguments)
    assert result["changed"] and not (tmp_path / "wal").exists()


def test_warnings_of_the_configuration_reach_the_user(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured.write_text(configured.read_text() + "no-such-option=1\n")
    result = call(backup_info, capsys, config=configured, stanza="main")
    # What a warning is on its way to the controller, a text or more, differs between versions of Ansible.
    assert ["no-such-option" in str(warning) for warning in result["warnings"]] == [True]
