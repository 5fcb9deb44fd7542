"""Steps that were started, on a GPU that goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ...backends.memory import Arrival
from .report import StepOutcome


class Begun(NamedTuple):
    """A step that was started.

    Attributes:
        info: as `StartedStep` has it.
        terms: of the objective by name; empty if all there is arrives with the outcome.
        follow: steps the corrections; None without any.
    """

    info: dict[str, Any]
    terms: Mapping[str, Tensor] = {}
    follow: Callable[[], None] | None = None

    def told(self, outcome: StepOutcome) -> StepOutcome:
        """The outcome with the terms; the corrections follow if the splats did."""
        if outcome.changed and self.follow is not None:
            self.follow()
        terms = {name: float(term) for name, term in self.terms.items()}
        return outcome._replace(terms=terms or {"photometric": outcome.loss})


class StartedStep:
    """A step of a fit that was started and may not be done yet. Once it is, it holds nothing but
    its outcome: reports of steps may be kept for as long as a run.

    Attributes:
        info: what gsplat's strategies read of gsplat's `info`, with the gradient of `means2d`, once
            the step is done and until another one is started.
    """

    def __init__(
        self, start: Callable[[], Begun], needed: Callable[[int], None], arrival: Arrival
    ) -> None:
        self._waiting: tuple[Callable[[], Begun], Callable[[int], None], Arrival] | None
        self._waiting = (start, needed, arrival)
        self._outcome: StepOutcome | None = None
        self._begun = start()
        self.info = self._begun.info

    @property
    def known(self) -> bool:
        """Whether `outcome` does not have to wait."""
        return self._outcome is not None

    def outcome(self) -> StepOutcome:
        """What the step did. Waits for it; takes it again where lists were too short, whatever was
        started since."""
        while self._outcome is None:
            assert self._waiting is not None
            start, needed, arrival = self._waiting
            found = StepOutcome.of(arrival.wait())
            needed(found.pairs)
            if found.fitted:
                self._outcome = self._begun.told(found)
                self._waiting, self._begun = None, Begun({})
            else:
                self._begun = start()
                self.info = self._begun.info
        return self._outcome

    def release(self) -> None:
        """Let go of `info`."""
        self.info = {}
