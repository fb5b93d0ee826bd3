"""What adaptive limits tell their listeners; see `backpressure.events`."""

from dataclasses import dataclass

from backpressure.events import Event


@dataclass(frozen=True, slots=True)
class LimitRevised(Event):
    """A limit changed, from `before` to `after` calls at once. Told once, by the process that revised it."""

    before: int
    after: int
