"""Adam over named parameter groups, on gradients summed by several workers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tangrid.devices import HOST
from tangrid.encodings.resampling import Resampling
from tangrid.errors import ConfigError
from tangrid.fields.contract import Field
from tangrid.fields.workers import Workers
from tangrid.ops.adam_update import AdamState, adam_update
from tangrid.ops.adam_update.reference import AdamNumbers
from tangrid.training.settings import TrainingSettings

SPARSE_GROUP = "grid"
"""Group whose entries of zero gradient are left alone, as InstantNGP leaves them."""


_SMALLEST_SHARE = 4096
"""Entries below which handing work over costs more than the work."""


@dataclass(frozen=True)
class _Slot:
    """One parameter with all that training keeps for it."""

    name: str
    group: str
    parameter: nn.Parameter
    state: AdamState
    grads: Tensor


class Adam:
    """Update a field's parameters from the gradients that workers add up.

    Args:
        field: What is trained.
        settings: Rates by group, decays, eps.
        workers: Threads that add to gradients of their own and share the updates.
    """

    def __init__(
        self, field: Field, settings: TrainingSettings, workers: Workers
    ) -> None:
        self._settings = settings
        self._workers = workers
        names = {id(p): name for name, p in field.named_parameters()}
        self._slots: list[_Slot] = []
        for group, parameters in field.parameter_groups().items():
            trained = [p for p in parameters if p.requires_grad]
            if trained and group not in settings.rates:
                raise ConfigError(
                    f"training.rates: expected a rate for the group '{group}', got "
                    f"rates for {', '.join(settings.rates)}."
                )
            for parameter in trained:
                grads = parameter.new_zeros(workers.count, *parameter.shape)
                self._slots.append(
                    _Slot(
                        names[id(parameter)],
                        group,
                        parameter,
                        AdamState.zeros_like(parameter.detach()),
                        grads,
                    )
                )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained, in a fixed order."""
        return [slot.parameter for slot in self._slots]

    def worker_grads(self, worker: int) -> list[Tensor]:
        """Return the gradients that one worker adds to, in the order of parameters.

        Args:
            worker: Number of the worker.
        """
        return [slot.grads[worker] for slot in self._slots]

    @property
    def measures(self) -> Mapping[str, float]:
        """Numbers of its own that belong into the log: none."""
        return {}

    @property
    def all_grads(self) -> list[Tensor]:
        """The gradients of all workers, in the order of parameters."""
        return [slot.grads for slot in self._slots]

    def warm_up(self) -> None:
        """Compile what a step runs, and set the gradients of all workers to zero."""
        for slot in self._slots:
            slot.grads.zero_()
            if self._workers.device == HOST:
                self._update(slot, 0.0, (0, 0), None)
                continue
            # An empty launch compiles nothing.
            held = torch.ones((), device=slot.grads.device)
            self._update(slot, 0.0, (0, slot.parameter.numel()), held)

    def step(self, factor: float, held: Tensor | None = None) -> dict[str, float]:
        """Move all parameters once and clear the gradients.

        Args:
            factor: What the schedule multiplies the rates by.
            held: One number; if it is not 0 gradients are cleared and nothing moves.

        Returns:
            The rate of each group.
        """
        settings = self._settings
        rates = {group: rate * factor for group, rate in settings.rates.items()}

        def work(worker: int) -> None:
            for slot in self._slots:
                span = share(slot.parameter.numel(), worker, self._workers.count)
                self._update(slot, rates[slot.group], span, held)

        self._workers.run(work)
        # In the order of the field: that of a set changes from process to process.
        return {slot.group: rates[slot.group] for slot in self._slots}

    def _update(
        self, slot: _Slot, rate: float, span: tuple[int, int], held: Tensor | None
    ) -> None:
        numbers = AdamNumbers(
            rate=rate,
            betas=self._settings.betas,
            eps=self._settings.eps,
            skips_zeros=slot.group == SPARSE_GROUP,
        )
        adam_update(slot.parameter, slot.state, slot.grads, numbers, span, held=held)

    def grow(self, field: Field, maps: Mapping[str, Resampling]) -> None:
        """Take a field's new parameters in the place of those that they replace.

        Args:
            field: What is trained, as it is now.
            maps: By the name of each new parameter, what makes moments and counts for
                it of those of the old one.
        """
        parameters = dict(field.named_parameters())
        for place, slot in enumerate(self._slots):
            if slot.name in maps:
                moved, resample = parameters[slot.name], maps[slot.name]
                state = AdamState(
                    resample(slot.state.first),
                    resample(slot.state.second),
                    resample(slot.state.counts),
                )
                grads = moved.new_zeros(self._workers.count, *moved.shape)
                self._slots[place] = _Slot(slot.name, slot.group, moved, state, grads)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return moments and counts by name; changing them changes the optimiser."""
        tensors = {}
        for slot in self._slots:
            tensors[f"first/{slot.name}"] = slot.state.first
            tensors[f"second/{slot.name}"] = slot.state.second
            tensors[f"counts/{slot.name}"] = slot.state.counts
        return tensors


def share(size: int, worker: int, count: int) -> tuple[int, int]:
    """Return the first entry that a worker updates, and the one after its last.

    Args:
        size: Entries of the parameter.
        worker: Number of the worker.
        count: Number of workers.
    """
    entries = max(-(-size // (64 * count)) * 64, _SMALLEST_SHARE)
    return min(worker * entries, size), min((worker + 1) * entries, size)
