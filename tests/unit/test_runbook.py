"""Runbooks: read from Markdown, checked as a whole, and carried out step by step."""

from __future__ import annotations

from itertools import count

import pytest
from backpressure.runbook import Then, carry_out, done_at, listed, parse

TEXT = """\
# Too much work for the pool

Thresholds of today.

## Detection
1. `watch 6 15` Six tasks wait.
## Escalation
2. `page on-call` Somebody looks.
3) `settled 2` Enough if two wait.
4. `page "team lead"`
## Recovery
5. `size api 4`
"""
VERBS = ("watch", "page", "settled", "size")


def actions(done: list[tuple[str, ...]], **then: Then) -> dict[str, object]:
    """Actions that write down how they were called, and what follows each verb; the next step where nothing is said."""

    def action(verb: str) -> object:
        def act(*arguments: str) -> Then:
            done.append((verb, *arguments))
            return then.get(verb, Then.NEXT)

        return act

    return {verb: action(verb) for verb in VERBS}


def test_steps_are_the_commands_of_numbered_lines() -> None:
    """Phase, line, verb and arguments; what else is written is for people."""
    steps = parse(TEXT, dict.fromkeys(VERBS))
    assert [(step.phase, step.line, str(step)) for step in steps] == [
        ("Detection", 6, "watch 6 15"),
        ("Escalation", 8, "page on-call"),
        ("Escalation", 9, "settled 2"),
        ("Escalation", 10, "page team lead"),
        ("Recovery", 12, "size api 4"),
    ]
    assert steps[3].arguments == ("team lead",)
    assert parse(TEXT) == steps
    assert listed(TEXT, "page") == ("on-call", "team lead")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("6. `reboot everything`", "line 13: no action 'reboot'"),
        ("6. Think.", "line 13: the step has no command"),
    ],
)
def test_a_step_that_cannot_be_carried_out_is_an_error(line: str, said: str) -> None:
    """The whole runbook is refused, by the line, before its first step is taken."""
    with pytest.raises(ValueError, match=said):
        parse(TEXT + line, dict.fromkeys(VERBS))


@pytest.mark.parametrize(("text", "said"), [("# Nothing\n", "no step"), ("1. `watch 1`\n", "in no phase")])
def test_a_file_without_procedure_is_an_error(text: str, said: str) -> None:
    """No step, or a step before the first phase."""
    with pytest.raises(ValueError, match=said):
        parse(text, dict.fromkeys(VERBS))


def test_every_step_is_taken_and_written_down() -> None:
    """With its arguments, its phase, and when it began and ended."""
    done: list[tuple[str, ...]] = []
    instants = count(100)
    taken = carry_out(parse(TEXT, dict.fromkeys(VERBS)), actions(done), lambda: next(instants))  # type: ignore[arg-type]
    assert done[0] == ("watch", "6", "15")
    assert [one.step for one in taken] == ["watch 6 15", "page on-call", "settled 2", "page team lead", "size api 4"]
    assert taken[1].to_dict() == {
        "phase": "Escalation",
        "step": "page on-call",
        "began": 102,
        "ended": 103,
        "then": "next step",
    }


def test_a_phase_may_be_over_before_its_last_step() -> None:
    """Once it is settled nobody else is paged, and the next phase goes on."""
    done: list[tuple[str, ...]] = []
    carry_out(parse(TEXT, dict.fromkeys(VERBS)), actions(done, settled=Then.NEXT_PHASE))  # type: ignore[arg-type]
    assert [one[0] for one in done] == ["watch", "page", "settled", "size"]


def test_where_nothing_is_found_nothing_is_done() -> None:
    """A step that says stop is the last one."""
    done: list[tuple[str, ...]] = []
    taken = carry_out(parse(TEXT, dict.fromkeys(VERBS)), actions(done, watch=Then.STOP))  # type: ignore[arg-type]
    assert [one[0] for one in done] == ["watch"]
    assert taken[-1].then == "stop"


def test_the_log_tells_when_a_step_was_done() -> None:
    """By the words that it begins with; a step that was not reached, or ended the procedure, was not done."""
    instants = count(100)
    known = actions([], size=Then.STOP)
    taken = carry_out(parse(TEXT, dict.fromkeys(VERBS)), known, lambda: next(instants))  # type: ignore[arg-type]
    log = [one.to_dict() for one in taken]
    assert done_at(log, "page") == 103
    assert done_at(log, "page team") == 107
    assert done_at(log, "size api") is None
    assert done_at(log, "reboot") is None
