"""A network built of mmcls's backbone, neck and head that maps a batch to class scores."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import nn

from clearctl.config.registry import Registry
from clearctl.models.pretrained import is_pretrained, load_init_cfg
from clearctl.models.registry import BACKBONES, HEADS, NECKS, TORCH_MODELS
from clearctl.models.zoo.backbone import TimmBackbone
from clearctl.progress import Listener, ignore

PartConfig = Mapping[str, Any]

_OUTPUTS = "head_outputs"
# A batch size is compiled once it has occurred this often: not for the odd last batch of a short bucket.
PASSES_BEFORE_COMPILING = 10

_loss_is_scaled: ContextVar[bool] = ContextVar("_loss_is_scaled", default=False)


@contextmanager
def loss_scaled() -> Iterator[None]:
    """While scores are computed whose loss will be scaled before backward, as float16 needs."""
    token = _loss_is_scaled.set(True)
    try:
        yield
    finally:
        _loss_is_scaled.reset(token)


class Classifier(nn.Module):
    """backbone → neck → head, each of which may be absent but the head.

    forward: `x [B, 3, H, W] float32` (or `[B, D]` features if there is no backbone) → scores `[B, num_classes]`.

    `autocast` is the precision that it computes in, if that is not float32; the scores are float32 in any case.
    `channels_last` has the batches in that memory format. Both, and whether it is compiled, go with a deep copy.
    """

    backbone: nn.Module | None
    neck: nn.Module | None
    head: Any  # mmcls's heads have their own methods

    def __init__(self, backbone: nn.Module | None, neck: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.frozen: tuple[str, ...] = ()
        self.autocast: torch.dtype | None = None
        self.channels_last = False
        self.compiled = False
        self._passes: Counter[tuple[bool, bool, int]] = Counter()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As nn.Module's, whose copies are no longer compiled."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.compiled:
            self.compile_parts()

    def compile_parts(self) -> None:
        """Compile backbone and neck in place, for each batch size that occurs often enough; names are unchanged.

        The head is left as it is: strategies watch its last layer by hooks, which compiled code does not call.
        """
        self.compiled = True
        for part in (self.backbone, self.neck):
            if part is not None:
                part.compile(dynamic=False)

    def train(self, mode: bool = True) -> "Classifier":
        """As nn.Module's, but the `frozen` parts stay in eval mode: their batch norms' running means are fixed too."""
        super().train(mode)
        for part in self.frozen:
            getattr(self, part).eval()
        return self

    def features(self, x: torch.Tensor) -> Any:
        """The input of the head: the output of backbone and neck, a tensor or mmcls's tuple of stages."""
        if self.backbone is not None:
            x = self.backbone(x)
        if self.neck is not None:
            x = self.neck(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, num_classes]`: of a head with several outputs (ConformerHead) their sum.

        The sum is what mmcls predicts from; its loss however is the mean of the outputs' losses. `head_outputs`
        gives a criterion the outputs that such scores are the sum of.
        """
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        if self.autocast is None and not self.compiled:
            scores = self._scores(self.features(x))
        else:
            with self._precision(x), self._compilation(x):
                scores = self._scores(self.features(x))
        if isinstance(scores, torch.Tensor):
            return self._widened(scores)
        return sum_of_outputs(tuple(self._widened(output) for output in scores))

    def _scores(self, features: Any) -> Any:
        if hasattr(self.head, "simple_test"):
            return self.head.simple_test(features, softmax=False, post_process=False)
        return self.head(features[-1] if isinstance(features, tuple) else features)  # a user-defined head

    def _precision(self, x: torch.Tensor) -> AbstractContextManager[Any]:
        """Autocast, if asked for. A pass in float16 whose loss is not scaled would lose its gradients: float32."""
        unscaled = torch.is_grad_enabled() and not _loss_is_scaled.get()
        if self.autocast is None or (self.autocast is torch.float16 and unscaled):
            return nullcontext()
        return torch.autocast(x.device.type, self.autocast)

    def _compilation(self, x: torch.Tensor) -> AbstractContextManager[Any]:
        """The compiled parts as they were before, if the batch size has not come often enough."""
        if not self.compiled:
            return nullcontext()
        kind = (self.training, torch.is_grad_enabled(), len(x))
        self._passes[kind] += 1
        if self._passes[kind] > PASSES_BEFORE_COMPILING:
            return nullcontext()
        return cast(AbstractContextManager[Any], torch.compiler.set_stance("force_eager"))

    def _widened(self, scores: torch.Tensor) -> torch.Tensor:
        return scores if self.autocast is None else scores.float()


def sum_of_outputs(outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Scores `[B, num_classes]` that are the sum of a head's outputs, and of which `head_outputs` knows them."""
    total = torch.stack(outputs).sum(0)
    setattr(total, _OUTPUTS, outputs)
    return total


def head_outputs(scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The outputs `[B, num_classes]` that a Classifier's scores are the sum of: mostly one, the scores themselves.

    They are known of the very tensor that forward returned; a slice or copy of it counts as one output.
    """
    outputs: tuple[torch.Tensor, ...] = getattr(scores, _OUTPUTS, (scores,))
    return outputs


def build_classifier(
    backbone: PartConfig | None = None,
    neck: PartConfig | Sequence[PartConfig] | None = None,
    head: PartConfig | None = None,
    torchmodel: PartConfig | None = None,
    init_cfg: PartConfig | Sequence[PartConfig] | None = None,
    pretrained: str | None = None,
    freeze: Sequence[str] = (),
    on_left: Callable[[str, list[str]], None] = lambda key, names: None,
    listener: Listener = ignore,
) -> nn.Module:
    """The network that the model section of a config describes, its weights initialised as `init_cfg` says.

    Each part is dict(type=..., **arguments) as mmcls takes it, and a neck may be a list of them; `torchmodel` is a
    module of torch.nn that stands alone. The parts named in `freeze` are not trained. `pretrained` is a checkpoint
    for the whole network, the same as `init_cfg=dict(type='Pretrained', checkpoint=...)`. `on_left` is called with the
    key of the model section and the names of the weights that a checkpoint lacks, and `listener` when weights are
    fetched, which timm's backbones do with `pretrained=True`. Raises ValueError for a checkpoint
    that is a network address or that nothing of fits.
    """
    if torchmodel is not None:
        return cast(nn.Module, _build(TORCH_MODELS, torchmodel))
    assert head is not None
    network = Classifier(
        _build_backbone(backbone, listener) if backbone else None,
        _build_neck(neck) if neck else None,
        _build(HEADS, {**head, "topk": tuple(head["topk"])} if isinstance(head.get("topk"), list) else head),
    )
    _initialise(network, _entries(init_cfg), pretrained, on_left)
    for part in freeze:
        for parameter in getattr(network, part).parameters():
            parameter.requires_grad = False
    network.frozen = tuple(freeze)
    return network.train()


def _build(registry: Registry, part: PartConfig) -> Any:
    arguments = {name: copy.deepcopy(value) for name, value in part.items() if name != "type"}
    return registry[part["type"]](**arguments)


def _build_backbone(backbone: PartConfig, listener: Listener) -> nn.Module:
    factory = BACKBONES[backbone["type"]]
    if isinstance(factory, TimmBackbone):
        return factory.build({name: value for name, value in backbone.items() if name != "type"}, listener)
    return cast(nn.Module, _build(BACKBONES, backbone))


def _build_neck(neck: PartConfig | Sequence[PartConfig]) -> nn.Module:
    """One neck, or several one after another, as mmcls's HRNet has them."""
    if isinstance(neck, Mapping):
        return cast(nn.Module, _build(NECKS, neck))
    from clearctl.models.openmmlab import Sequential as InitialisedSequential

    return cast(nn.Module, InitialisedSequential(*(_build(NECKS, part) for part in neck)))


def _entries(init_cfg: Any) -> list[PartConfig]:
    if not init_cfg:
        return []
    return [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg)


def _initialise(
    network: Classifier,
    init_cfg: list[PartConfig],
    pretrained: str | None,
    on_left: Callable[[str, list[str]], None],
) -> None:
    """mmcv's own initialisation: each part's, then the network's `init_cfg`, then its `pretrained`.

    As in mmcv, a part whose only initialisation is a checkpoint is filled from that alone.
    """
    from clearctl.models.openmmlab import initialize, quiet

    for name, part in network.named_children():
        if hasattr(part, "init_weights") and not type(part).__module__.startswith("timm."):  # it has done it already
            entries = _entries(getattr(part, "init_cfg", None))
            from_files = [entry for entry in entries if is_pretrained(entry)]
            if from_files:
                cast(Any, part).init_cfg = [entry for entry in entries if not is_pretrained(entry)]
            if len(entries) > len(from_files) or not from_files:
                with quiet():
                    cast(Any, part).init_weights()
            for entry in from_files:
                on_left(f"{name}.init_cfg", load_init_cfg(part, entry))
    for entry in init_cfg:
        if is_pretrained(entry):
            on_left("init_cfg", load_init_cfg(network, entry))
        else:
            with quiet():
                initialize(network, dict(entry))
    if pretrained is not None:
        on_left("pretrained", load_init_cfg(network, {"checkpoint": pretrained}))
