"""Which endings of a call count as failures."""

from collections.abc import Callable
from typing import Any, NamedTuple

from backpressure.breaker.state import Result
from backpressure.errors import BackpressureError

Matcher = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""An exception class, several, or a function that says whether an exception matches."""


class Classifier(NamedTuple):
    """Sorts endings into success, failure and neither.

    Attributes:
        counted: Exceptions that are failures. Everything else a call can raise is neither.
        ignored: Exceptions that are neither, though they are counted.
        is_failure: Says whether a returned value is a failure, such as a response with an error status.
    """

    counted: Matcher = Exception
    ignored: Matcher = ()
    is_failure: Callable[[Any], bool] | None = None

    def of_value(self, value: object) -> Result:
        """How a call ended that returned `value`."""
        return Result.FAILURE if self.is_failure is not None and self.is_failure(value) else Result.SUCCESS

    def of_exception(self, exception: BaseException) -> Result:
        """How a call ended that raised `exception`.

        A refusal or a storage error of this package within the call is never a failure: the other side was not asked.
        """
        if isinstance(exception, BackpressureError) or self.ignores(exception):
            return Result.IGNORED
        return Result.FAILURE if _matches(self.counted, exception) else Result.IGNORED

    def ignores(self, exception: BaseException) -> bool:
        """Whether the exception is among those that the breaker's owner wants to be neither."""
        return _matches(self.ignored, exception)


def check_matcher(name: str, matcher: object) -> None:
    """Raise ValueError unless the matcher can be used."""
    types = matcher if isinstance(matcher, tuple) else (matcher,)
    good = all(isinstance(each, type) and issubclass(each, BaseException) for each in types)
    if not good and (isinstance(matcher, type | tuple) or not callable(matcher)):
        raise ValueError(
            f"{name} must be an exception class, a tuple of them, or a function of an exception, not {matcher!r}"
        )


def _matches(matcher: Matcher, exception: BaseException) -> bool:
    if isinstance(matcher, type | tuple):
        return isinstance(exception, matcher)
    return matcher(exception)
