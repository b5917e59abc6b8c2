"""An error of the file system becomes one that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import ErrorCode, RootUnavailable, TaskRefused
from daemon.storage.faults import explain, printable


def fault(code: int, path: str | int | None = "data/a/b") -> OSError:
    return OSError(code, os.strerror(code), path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO, errno.EUCLEAN, errno.ENODEV, errno.ENXIO])
def test_a_sick_file_system_is_a_matter_of_the_whole_root(code: int) -> None:
    error = explain(fault(code), "task_1", "doing it")
    assert isinstance(error, RootUnavailable)
    assert error.code is ErrorCode.ROOT_UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EACCES, ErrorCode.PERMISSION_DENIED),
        (errno.EPERM, ErrorCode.PERMISSION_DENIED),
        (errno.EXDEV, ErrorCode.UNSAFE_DIRECTORY),
        (errno.ENOTEMPTY, ErrorCode.DELETION_FAILED),
        (errno.EBUSY, ErrorCode.DELETION_FAILED),
        (errno.ESTALE, ErrorCode.DELETION_FAILED),
        (errno.ENOSPC, ErrorCode.DELETION_FAILED),
        (errno.EDQUOT, ErrorCode.DELETION_FAILED),
        (errno.EEXIST, ErrorCode.DELETION_FAILED),
        (errno.EMFILE, ErrorCode.DELETION_FAILED),
    ],
)
def test_everything_else_is_one_tasks_matter(code: int, expected: ErrorCode) -> None:
    error = explain(fault(code), "task_1", "doing it")
    assert isinstance(error, TaskRefused)
    assert error.code is expected
    assert error.details == {"task_id": "task_1", "path": "data/a/b", "errno": errno.errorcode[code]}
    assert "doing it failed at data/a/b" in str(error)


@pytest.mark.parametrize("path", [None, 5])
def test_an_error_without_a_path_names_the_task(path: int | None) -> None:
    assert explain(fault(errno.EIO, path), "task_1", "doing it").details["path"] == "task_1"


def test_an_error_without_a_number_is_explained_too() -> None:
    assert "odd" in str(explain(OSError("odd"), "task_1", "doing it"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("data/文件 1", "data/文件 1"),
        ("a\nb\x1b[31m\0", "a%0Ab%1B[31m%00"),
        (os.fsdecode(b"\xff/\xfe"), "%FF/%FE"),
        ("\ud800", "%ED%A0%80"),  # no file name, but a task id somebody may ask for
        ("\u202e", "%E2%80%AE"),
    ],
)
def test_paths_are_shown_without_what_a_log_or_terminal_chokes_on(path: str, shown: str) -> None:
    assert printable(path) == shown


@given(st.text(st.characters()))
def test_any_text_can_be_shown(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
