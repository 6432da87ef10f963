"""SGD, Adam and AdamW on stacked weights, with the options of each run, in torch's arithmetic.

torch's own optimizers have one learning rate for a tensor, so runs with other rates would need one step each.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from clearctl.data.pixels import without_waiting

Options = dict[str, Any]  # of an optimizer's parameter group: lr, momentum, ...
OptimizerState = dict[str, torch.Tensor]  # what an optimizer keeps of one weight


class Stepper(ABC):
    """Updates `weights`, each `[R, ...]`, of R runs; `states[r][k]` is the optimizer state of weight k of run r.

    Weights, states and options keep their memory, so `step` can be captured in a CUDA graph, which is valid as long as
    `branches` is the same.
    """

    numbers: tuple[str, ...]  # what `_numbers_of` returns for each run

    def __init__(self, weights: Sequence[torch.Tensor], states: Sequence[Sequence[OptimizerState]]) -> None:
        self.weights = list(weights)
        self.branches: tuple[bool, ...] = ()  # the options that `step` branches on in Python
        self._given: list[Options] = []
        first = self.weights[0]
        self._exact = torch.zeros(len(self.numbers), len(first), dtype=torch.float64, device=first.device)
        self._rounded = self._exact.to(first.dtype)
        self._load(states)

    def set_options(self, options: Sequence[Options]) -> None:
        """Set the options of each run for the next steps. They are copied to the device only if they changed."""
        given = [{name: value for name, value in run.items() if name != "params"} for run in options]
        if given != self._given:
            self._given = given
            exact = torch.tensor([self._numbers_of(run) for run in given], dtype=torch.float64).T.contiguous()
            self._exact.copy_(without_waiting(exact, self._exact.device))
            self._rounded.copy_(self._exact)
            self._use(given)

    @abstractmethod
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step of every run."""

    @abstractmethod
    def states(self) -> list[list[OptimizerState]]:
        """The optimizer states of each run, on the CPU."""

    @abstractmethod
    def _load(self, states: Sequence[Sequence[OptimizerState]]) -> None: ...

    @abstractmethod
    def _numbers_of(self, run: Options) -> list[float]: ...

    @abstractmethod
    def _use(self, options: list[Options]) -> None: ...

    def _stacked(self, states: Sequence[Sequence[OptimizerState]], name: str) -> list[torch.Tensor]:
        """The state `name` of each weight, `[R, ...]`; zeros for a run that has none yet."""
        found = []
        for index, weight in enumerate(self.weights):
            values = [run[index].get(name) for run in states]
            parts = [torch.zeros(weight.shape[1:]) if value is None else value for value in values]
            found.append(torch.stack(parts).to(weight))
        return found

    def _column(self, name: str) -> list[torch.Tensor]:
        """One of the `numbers` of each run, for each weight, in a shape that broadcasts with it."""
        column = self._rounded[self.numbers.index(name)]
        return [column.view(-1, *[1] * (weight.ndim - 1)) for weight in self.weights]

    def _split(self, **stacked: list[torch.Tensor]) -> list[list[OptimizerState]]:
        """The states of each run, from the stacked ones."""
        kept = {name: [value.cpu() for value in values] for name, values in stacked.items()}
        return [
            [{name: values[index][run].clone() for name, values in kept.items()} for index in range(len(self.weights))]
            for run in range(len(self.weights[0]))
        ]


class SGD(Stepper):
    """As torch.optim.SGD, without dampening; all runs with `nesterov` or none."""

    numbers = ("lr", "momentum", "weight_decay")

    def _load(self, states: Sequence[Sequence[OptimizerState]]) -> None:
        self.buffers = self._stacked(states, "momentum_buffer")  # one of zeros becomes the gradient at the first step
        self.lr, self.momentum, self.decay = (self._column(name) for name in self.numbers)

    def _numbers_of(self, run: Options) -> list[float]:
        return [run[name] for name in self.numbers]

    def _use(self, options: list[Options]) -> None:
        self.nesterov = bool(options[0]["nesterov"])
        self.has_momentum = any(run["momentum"] for run in options)
        self.has_decay = any(run["weight_decay"] for run in options)
        self.branches = (self.nesterov, self.has_momentum, self.has_decay)

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
        """The optimizer states of each run, on the CPU."""
        return self._split(momentum_buffer=self.buffers) if self.has_momentum else self._split()


class Adam(Stepper):
    """As torch.optim.Adam, or AdamW with `decoupled` weight decay; without amsgrad."""

    decoupled = False
    numbers = ("lr", "beta1", "beta2", "eps", "weight_decay", "1 - beta1", "1 - beta2", "1 - lr * weight_decay")

    def _load(self, states: Sequence[Sequence[OptimizerState]]) -> None:
        self.means, self.squares = self._stacked(states, "exp_avg"), self._stacked(states, "exp_avg_sq")
        device = self.weights[0].device
        # In float64, as torch has these numbers: 1 - 0.999**step would lose four digits in float32.
        self.steps = torch.tensor([float(run[0].get("step", 0)) for run in states], dtype=torch.float64, device=device)
        self.rates = self._exact[0]
        self.betas = torch.zeros(len(states), 2, dtype=torch.float64, device=device)
        self.kept, self.eps, self.decay = (self._column(name) for name in ("beta2", "eps", "weight_decay"))
        self.new_mean, self.new_square = self._column("1 - beta1"), self._column("1 - beta2")
        self.shrinking = self._column("1 - lr * weight_decay")

    def _numbers_of(self, run: Options) -> list[float]:
        lr, eps, decay, (beta1, beta2) = run["lr"], run["eps"], run["weight_decay"], run["betas"]
        return [lr, beta1, beta2, eps, decay, 1 - beta1, 1 - beta2, 1 - lr * decay]

    def _use(self, options: list[Options]) -> None:
        self.betas.copy_(self._exact[1:3].T)
        self.has_decay = any(run["weight_decay"] for run in options)
        self.branches = (self.has_decay,)

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step of every run."""
        self.steps += 1
        corrections = 1 - self.betas ** self.steps[:, None]  # [R, 2]
        sizes = (self.rates / corrections[:, 0]).to(self.weights[0])
        roots = corrections[:, 1].sqrt().to(self.weights[0])
        for index, (weight, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            shape = self.eps[index].shape
            if self.has_decay and self.decoupled:
                weight.mul_(self.shrinking[index])
            elif self.has_decay:
                gradient = gradient.addcmul(self.decay[index], weight)
            mean = self.means[index].lerp_(gradient, self.new_mean[index])
            square = self.squares[index].mul_(self.kept[index]).addcmul_(gradient * self.new_square[index], gradient)
            weight.addcmul_(sizes.view(shape), mean / (square.sqrt() / roots.view(shape) + self.eps[index]), value=-1)

    def states(self) -> list[list[OptimizerState]]:
        """The optimizer states of each run, on the CPU."""
        steps = self.steps.float()
        return self._split(step=[steps] * len(self.weights), exp_avg=self.means, exp_avg_sq=self.squares)


class AdamW(Adam):
    """As torch.optim.AdamW."""

    decoupled = True


STEPPERS: dict[str, type[Stepper]] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
