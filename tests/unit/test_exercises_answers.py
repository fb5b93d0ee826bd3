"""What a file answers in words is taken in its form and size, from whomever it comes."""

from __future__ import annotations

from typing import Any

import pytest

from backpressure_lab.exercises import answers

GIVEN: answers.Answers = {"cause": " partner ", "all": [" a", "b "], "number": 7}


def test_what_has_its_form_stays_as_it_is() -> None:
    """Texts, whole numbers and lists of texts."""
    assert answers.checked(dict(GIVEN)) == GIVEN
    assert answers.checked({}) == {}


def test_an_answer_is_read_as_what_is_asked_for() -> None:
    """Another kind of answer is none."""
    assert (answers.text(GIVEN, "cause"), answers.texts(GIVEN, "all")) == ("partner", ["a", "b"])
    assert (answers.text(GIVEN, "all"), answers.texts(GIVEN, "cause"), answers.text(GIVEN, "none")) == ("", [], "")
    assert (answers.number(GIVEN, "number", 1), answers.number(GIVEN, "cause", 1)) == (7, 1)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (None, "must be a dict"),
        (["cause"], "must be a dict"),
        ({f"name {number}": 1 for number in range(21)}, "up to 20 names"),
        ({7: "seven"}, "must be a dict"),
        ({"x" * 501: 1}, "must be a dict"),
        ({"cause": "x" * 501}, "ANSWERS['cause']"),
        ({"cause": 1.5}, "got 1.5"),
        ({"cause": True}, "got True"),
        ({"cause": 2**60}, "a whole number"),
        ({"cause": ["x"] * 21}, "up to 20 texts"),
        ({"cause": [["x"]]}, "ANSWERS['cause']"),
        ({"cause": {"a": 1}}, "ANSWERS['cause']"),
    ],
)
def test_what_has_another_form_or_size_is_refused(value: Any, part: str) -> None:
    """With a short text that names it."""
    with pytest.raises(ValueError, match="ANSWERS") as refused:
        answers.checked(value)
    assert part in str(refused.value)
    assert len(str(refused.value)) < 500
