"""What a user writes beside a config: one class of each kind that a config may name."""

from typing import Any

import torch
from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from avalanche.logging import BaseLogger
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from avalanche.training.templates import SupervisedTemplate
from mmcls.models import BACKBONES
from torch import nn


class Average:
    """Part of the plugin's state, of a class that the config does not name itself."""

    def __init__(self) -> None:
        self.means: dict[int, float] = {}


class Anchor(SupervisedPlugin):
    """Pulls the weights to those of the bucket before."""

    shareable = True

    def __init__(self, strength: float = 0.1) -> None:
        super().__init__()
        self.strength = strength
        self.before: list[torch.Tensor] | None = None
        self.average = Average()

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self.before is not None:
            pairs = zip(strategy.model.parameters(), self.before, strict=True)
            strategy.loss = strategy.loss + self.strength * sum(((new - old) ** 2).sum() for new, old in pairs)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.before = [weight.detach().clone() for weight in strategy.model.parameters()]
        self.average.means[strategy.clock.train_exp_counter] = float(self.before[0].mean())


class Counter:
    """Keeps what no state can hold, and says itself what its state is."""

    def __init__(self) -> None:
        self.steps = 0
        self.handle = memoryview(b"")

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


class Fading(SupervisedPlugin):
    """Lowers the loss from step to step."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = Counter()

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.counter.steps += 1
        strategy.loss = strategy.loss * 0.99**self.counter.steps


class Unsaveable(SupervisedPlugin):
    """Has something that no state can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.handle = memoryview(b"")


class Noisy(SupervisedTemplate):
    """Adds noise to the gradients."""

    def __init__(self, *, model: nn.Module, optimizer: Any, criterion: Any, noise: float = 0.01, **others: Any) -> None:
        super().__init__(model=model, optimizer=optimizer, criterion=criterion, **others)
        self.noise = noise

    def optimizer_step(self) -> None:
        for weight in self.model.parameters():
            weight.grad.add_(self.noise * torch.randn_like(weight.grad))
        super().optimizer_step()


class FirstBuffer(ReservoirSamplingBuffer):
    """A reservoir under another name."""


class Focus(nn.Module):
    """A loss: (scores [B, C], class indices [B]) to a number."""

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        chosen = scores.log_softmax(1).gather(1, target[:, None])[:, 0]
        return -((1 - chosen.exp()) ** self.power * chosen).mean()


class SignDescent(torch.optim.Optimizer):
    """Steps of one length, and a count of them."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                count = self.state[weight].setdefault("steps", torch.zeros(()))
                count += 1
                weight -= group["lr"] / count * weight.grad.sign()


class Halving(torch.optim.lr_scheduler.LRScheduler):
    """Half the learning rate at every step."""

    def __init__(self, optimizer: Any, floor: float = 0.0) -> None:
        self.floor = floor
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [max(rate * 0.5**self.last_epoch, self.floor) for rate in self.base_lrs]


class Largest(PluginMetric):
    """The largest weight after each bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 0.0

    def reset(self, **kwargs: Any) -> None:
        self.value = 0.0

    def result(self, **kwargs: Any) -> float:
        return self.value

    def after_training_exp(self, strategy: Any) -> list[MetricValue]:
        self.value = max(float(weight.detach().abs().max()) for weight in strategy.model.parameters())
        return [MetricValue(self, "Largest/train_phase", self.value, strategy.clock.train_iterations)]


class Lines(BaseLogger):
    """Counts the values that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
        self.count += 1


class Tiny(nn.Module):
    """A backbone: images [B, 3, H, W] to features [B, width]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.conv = nn.Conv2d(3, width, 3, stride=2)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)),)


@BACKBONES.register_module()
class RegisteredTiny(Tiny):
    """The same, found by its name in mmcls's registry."""


class Double(nn.Module):
    """A neck: features twice as wide, a tuple as mmcls has them."""

    def forward(self, x: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (torch.cat([x[-1], -x[-1]], dim=1),)


class TwoLayers(nn.Module):
    """A head: features [B, width] to scores [B, classes]."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Whole(nn.Module):
    """A whole network of images."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body, self.head = Tiny(8), nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x)[0])


class Invert:
    """A transform of a PIL image."""

    def __init__(self, chance: float = 0.5) -> None:
        self.chance = chance

    def __call__(self, image: Any) -> Any:
        from PIL import ImageOps

        return ImageOps.invert(image) if torch.rand(()) < self.chance else image


def wider(width: int = 8) -> nn.Module:
    """A function may stand for a class."""
    return Tiny(2 * width)


NOT_A_CLASS = 3
