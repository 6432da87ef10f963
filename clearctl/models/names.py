"""Maps the names of weights in a file to those of a backbone or network: many naming schemes are in use.

    module.encoder_q.conv1.weight      MoCo v1 and v2; v3 has base_encoder
    online_network.encoder.conv1.weight   BYOL, whose codes use different names
    backbone.conv1.weight              mmcls, DINO
    conv1.weight                       torchvision, and what was converted from elsewhere

`read_weights` has cut off `module.` already.
"""

import re

from clearctl.models.state_dict import Weights

# Where mmcls and self-supervised methods keep the backbone: MoCo v1 and v2 in encoder_q, MoCo v3 in base_encoder.
PREFIXES = ("", "backbone.", "encoder_q.", "base_encoder.", "momentum_encoder.")
# Where a network of clearctl's and mmcls's keeps its own.
BACKBONE = "backbone."

# The names that differ in files of earlier releases: torchvision's DenseNet, torchvision's ViT, mmcls's Swin.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)"), r"\1"),
    (re.compile(r"(?<=\.mlp\.)linear_1\."), "0."),
    (re.compile(r"(?<=\.mlp\.)linear_2\."), "3."),
    (re.compile(r"^(backbone\.)?norm\."), r"\1norm3."),
)
# The entries that some files lack, and that no feature depends on: a batch norm's counter, a mask that Swin computes.
_NO_MATTER = ("num_batches_tracked", "attn_mask")


def that_matter(weights: Weights) -> Weights:
    """`weights` without those that no output depends on."""
    return {name: value for name, value in weights.items() if not name.endswith(_NO_MATTER)}


def find_module(own: Weights, weights: Weights) -> tuple[str, dict[str, str]]:
    """The prefix under which `weights` have most of the names `own`, and {name without it: name in the file}.

    Of prefixes with as many names the one with more equal shapes is taken, then one of `PREFIXES`, then the first.
    """
    others = [name[: dot.end()] for name in weights for dot in re.finditer(r"\.", name) if name[dot.end() :] in own]
    under = {
        prefix: {_current_name(name.removeprefix(prefix), own): name for name in weights if name.startswith(prefix)}
        for prefix in dict.fromkeys([*PREFIXES, *others])
    }
    return max(under.items(), key=lambda item: _cover(own, weights, item[1]))


def find_network(own: Weights, weights: Weights) -> tuple[str, dict[str, str]]:
    """As `find_module`, for a network whose backbone a file may hold alone, without the name `backbone.` before it."""
    whole = find_module(own, weights)
    of_backbone = {name.removeprefix(BACKBONE): value for name, value in own.items() if name.startswith(BACKBONE)}
    prefix, names = find_module(of_backbone, weights)
    alone = prefix, {BACKBONE + name: in_file for name, in_file in names.items()}
    return max(whole, alone, key=lambda found: _cover(own, weights, found[1]))


def _cover(own: Weights, weights: Weights, names: dict[str, str]) -> tuple[int, int]:
    shared = own.keys() & names.keys()
    return len(shared), sum(own[name].shape == weights[names[name]].shape for name in shared)


def _current_name(name: str, own: Weights) -> str:
    if name in own:
        return name
    renamed = (pattern.sub(replacement, name) for pattern, replacement in _RENAMED)
    return next((new for new in renamed if new in own), name)
