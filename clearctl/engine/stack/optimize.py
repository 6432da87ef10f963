"""SGD and Adam on stacked weights, with the options of each run: torch's arithmetic, which is element by element.

torch's own optimizers take one learning rate for a tensor, so that runs which differ in it would be stepped one by one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

Options = dict[str, Any]  # of an optimizer's parameter group: lr, momentum, ...
OptimizerState = dict[str, torch.Tensor]  # what an optimizer keeps of one weight


class Stepper(ABC):
    """Steps `weights`, each `[R, ...]`, of R runs; `states[r][k]` is what run r keeps of its k-th weight."""

    def __init__(self, weights: Sequence[torch.Tensor], states: Sequence[Sequence[OptimizerState]]) -> None:
        self.weights = list(weights)
        self._given: list[Options] = []
        self._load(states)

    def set_options(self, options: Sequence[Options]) -> None:
        """The options of each run for the steps to come. Copied to the device only where they have changed."""
        given = [{name: value for name, value in run.items() if name != "params"} for run in options]
        if given != self._given:
            self._given = given
            self._use(given)

    @abstractmethod
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step of every run."""

    @abstractmethod
    def states(self) -> list[list[OptimizerState]]:
        """What each run's optimizer would keep by now, on the CPU."""

    @abstractmethod
    def _load(self, states: Sequence[Sequence[OptimizerState]]) -> None: ...

    @abstractmethod
    def _use(self, options: list[Options]) -> None: ...

    def _stacked(self, states: Sequence[Sequence[OptimizerState]], name: str) -> list[torch.Tensor]:
        """`name` of each weight, `[R, ...]`; zeros for a run that has none yet."""
        found = []
        for index, weight in enumerate(self.weights):
            values = [run[index].get(name) for run in states]
            parts = [torch.zeros(weight.shape[1:]) if value is None else value for value in values]
            found.append(torch.stack(parts).to(weight))
        return found

    def _column(self, values: Sequence[float]) -> list[torch.Tensor]:
        """A number for each run, once for each weight, in a shape that goes with it."""
        column = torch.tensor(values, dtype=torch.float64).to(self.weights[0])
        return [column.view(-1, *[1] * (weight.ndim - 1)) for weight in self.weights]

    def _split(self, **stacked: list[torch.Tensor]) -> list[list[OptimizerState]]:
        """The states of each run, of what is kept of all of them."""
        kept = {name: [value.cpu() for value in values] for name, values in stacked.items()}
        return [
            [{name: values[index][run].clone() for name, values in kept.items()} for index in range(len(self.weights))]
            for run in range(len(self.weights[0]))
        ]


class SGD(Stepper):
    """As torch.optim.SGD, without dampening; all runs with `nesterov` or none."""

    def _load(self, states: Sequence[Sequence[OptimizerState]]) -> None:
        self.buffers = self._stacked(states, "momentum_buffer")  # one of zeros becomes the gradient at the first step

    def _use(self, options: list[Options]) -> None:
        self.lr, self.momentum, self.decay = (
            self._column([run[name] for run in options]) for name in ("lr", "momentum", "weight_decay")
        )
        self.nesterov = bool(options[0]["nesterov"])
        self.has_momentum = any(run["momentum"] for run in options)
        self.has_decay = any(run["weight_decay"] for run in options)

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step of every run."""
        for index, (weight, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            change = gradient
            if self.has_decay:
                change = change.addcmul(self.decay[index], weight)
            if self.has_momentum:
                buffer = self.buffers[index].mul_(self.momentum[index]).add_(change)
                change = change.addcmul(self.momentum[index], buffer) if self.nesterov else buffer
            weight.addcmul_(self.lr[index], change, value=-1)

    def states(self) -> list[list[OptimizerState]]:
        """What each run's optimizer would keep by now, on the CPU."""
        return self._split(momentum_buffer=self.buffers) if self.has_momentum else self._split()


class Adam(Stepper):
    """As torch.optim.Adam, or AdamW with `decoupled` weight decay; without amsgrad."""

    decoupled = False

    def _load(self, states: Sequence[Sequence[OptimizerState]]) -> None:
        self.means, self.squares = self._stacked(states, "exp_avg"), self._stacked(states, "exp_avg_sq")
        # In float64, as torch has these numbers: 1 - 0.999**step would lose four digits in float32.
        steps = [float(run[0].get("step", 0)) for run in states]
        self.steps = torch.tensor(steps, dtype=torch.float64, device=self.weights[0].device)

    def _use(self, options: list[Options]) -> None:
        device = self.weights[0].device
        self.lr, self.eps, self.decay = (
            self._column([run[name] for run in options]) for name in ("lr", "eps", "weight_decay")
        )
        self.kept, self.new = [], []
        for which in (0, 1):
            self.kept.append(self._column([run["betas"][which] for run in options]))
            self.new.append(self._column([1 - run["betas"][which] for run in options]))
        self.betas = torch.tensor([run["betas"] for run in options], dtype=torch.float64, device=device)
        self.rates = torch.tensor([run["lr"] for run in options], dtype=torch.float64, device=device)
        self.shrinking = self._column([1 - run["lr"] * run["weight_decay"] for run in options])
        self.has_decay = any(run["weight_decay"] for run in options)

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step of every run."""
        self.steps += 1
        corrections = 1 - self.betas ** self.steps[:, None]  # [R, 2]
        sizes = (self.rates / corrections[:, 0]).to(self.weights[0])
        roots = corrections[:, 1].sqrt().to(self.weights[0])
        for index, (weight, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            shape = self.lr[index].shape
            if self.has_decay and self.decoupled:
                weight.mul_(self.shrinking[index])
            elif self.has_decay:
                gradient = gradient.addcmul(self.decay[index], weight)
            mean = self.means[index].lerp_(gradient, self.new[0][index])
            square = self.squares[index].mul_(self.kept[1][index]).addcmul_(gradient * self.new[1][index], gradient)
            weight.addcmul_(sizes.view(shape), mean / (square.sqrt() / roots.view(shape) + self.eps[index]), value=-1)

    def states(self) -> list[list[OptimizerState]]:
        """What each run's optimizer would keep by now, on the CPU."""
        steps = self.steps.float()
        return self._split(step=[steps] * len(self.weights), exp_avg=self.means, exp_avg_sq=self.squares)


class AdamW(Adam):
    """As torch.optim.AdamW."""

    decoupled = True


STEPPERS: dict[str, type[Stepper]] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
