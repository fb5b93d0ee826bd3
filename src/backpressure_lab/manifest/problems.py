"""What is wrong with a file, and where: the one form in which the manifest and the author's check report."""

from __future__ import annotations

from dataclasses import dataclass

from backpressure_lab.errors import LabError


@dataclass(frozen=True, order=True)
class Problem:
    """One defect of a file of the course.

    Attributes:
        file: The file's path, relative to the root of the course.
        line: The line that shows the defect, counted from 1.
        message: The value, the reason and the remedy.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ManifestError(LabError):
    """The manifest cannot be used; ``problems`` holds every defect found, in the order of lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
