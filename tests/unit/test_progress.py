"""Progress of long work: a bar for people, nothing for logs."""

import sys

from hdkd.progress import progress


def test_progress_draws_nothing_in_a_pipe(capsys):
    assert list(progress([1, 2], "counting")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_progress_draws_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert list(progress(iter("abc"), "counting", 3)) == ["a", "b", "c"]
    shown = capsys.readouterr()
    assert "counting" in shown.err
    assert shown.out == ""
