"""What a task says in its log of each step, and what a program finds of it there."""

from __future__ import annotations

import pytest
from backpressure.phases import phase, phases


def test_a_step_is_found_again_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """With its name, its time, whether it went well, and what was added."""
    with phase("fetch", request="r-7"):
        pass
    (found,) = phases([{"event": "something else"}, {"event": capsys.readouterr().out.strip()}, {}])
    assert (found["phase"], found["request"], found["ok"]) == ("fetch", "r-7", True)
    assert 0 <= found["seconds"] < 5


def test_a_step_that_an_error_ended_is_said_to_have_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """The error goes on its way."""
    with pytest.raises(LookupError), phase("fetch"):
        raise LookupError
    (found,) = phases([{"event": capsys.readouterr().out.strip()}])
    assert found["ok"] is False


def test_what_json_can_not_say_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The block does not run, so that no error of its own is hidden."""
    ran = False
    with pytest.raises(TypeError, match="not JSON serializable"), phase("fetch", request=object()):
        ran = True
    assert not ran
    assert capsys.readouterr().out == ""


def test_a_line_that_was_cut_off_is_passed_over() -> None:
    """A log may end anywhere."""
    assert phases([{"event": '{"phase": "fetch", "sec'}]) == []
