"""The names that a config may use, each with a one-line description: for `clearctl list` and docs/config.md.

The line is the first sentence of the class's docstring, or ours if the library's says too little. Names that
configs may not use are in no registry's `classes`, and so not here.
"""

import inspect
import re
from collections.abc import Mapping, Sequence

from clearctl.config.registry import Factory, Registry
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.models.zoo import timm
from clearctl.models.zoo.names import TIMM
from clearctl.strategies.recipes import Filled, WithPlugin
from clearctl.wording import few

KINDS: Mapping[str, Registry] = {
    "strategies": CATALOGUE.strategies,
    "plugins": CATALOGUE.plugins,
    "backbones": CATALOGUE.backbones,
    "metrics": CATALOGUE.metrics,
    "transforms": CATALOGUE.transforms,
}

_GEM = "Gradient episodic memory (Lopez-Paz and Ranzato, NeurIPS 2017): no step may raise the loss of a bucket's memory"
_LWF = (
    "Learning without forgetting (Li and Hoiem, ECCV 2016): keeps outputs close to those of the model before the bucket"
)
_MAS = (
    "Memory aware synapses (Aljundi et al., ECCV 2018): penalises changes of the weights that outputs are sensitive to"
)

_STRATEGIES = {
    "CWRStar": "CWR* (Lomonaco et al., CVPR Workshops 2020): consolidated weights of the last layer",
    "Cumulative": "Training on all buckets so far, each time",
    "GEM": _GEM,
    "JointTraining": "Training on the whole stream at once",
    "LwF": _LWF,
    "MAS": _MAS,
    "MER": "Meta-experience replay (Riemer et al., ICLR 2019)",
    "Naive": "Fine-tuning on bucket after bucket, without measures against forgetting",
}
_PLUGINS = {
    "EarlyStoppingPlugin": "Stops a bucket's training after `patience` epochs or iterations without a better test",
    "GEMPlugin": _GEM,
    "LwFPlugin": _LWF,
    "MASPlugin": _MAS,
}
_METRICS = {
    "MAC_metrics": "Multiply-accumulate operations of a forward pass",
    "accuracy_matrix_metrics": "Avalanche's own matrix of accuracies",
    "accuracy_metrics": "Top-1 accuracy",
    "amca_metrics": "Average mean class accuracy",
    "bwt_metrics": "Accuracy now minus the accuracy right after training on the bucket",
    "class_accuracy_metrics": "Accuracy of each class",
    "confusion_matrix_metrics": "Counts of predicted classes for each class",
    "cpu_usage_metrics": "Processor use",
    "disk_usage_metrics": "Disk use",
    "forgetting_metrics": "Accuracy right after training on a bucket minus the accuracy now",
    "forward_transfer_metrics": "Accuracy on a bucket right before training on it minus that before any training",
    "gpu_usage_metrics": "GPU use",
    "images_samples_metrics": "Grids of sample images",
    "labels_repartition_metrics": "Counts of the images of each class",
    "loss_metrics": "Mean loss",
    "mean_scores_metrics": "Mean score of the true class, of new and of old classes",
    "ram_usage_metrics": "Memory use",
    "timing_metrics": "Seconds",
    "topk_acc_metrics": "Top-k accuracy",
}
_BACKBONES = {
    "AlexNet": "AlexNet (Krizhevsky et al., NeurIPS 2012)",
    "CSPDarkNet": "CSP-Darknet, YOLOv4's backbone (Bochkovskiy et al., 2020)",
    "CSPResNeXt": "ResNeXt with cross-stage partial connections (Wang et al., CVPR Workshops 2020)",
    "CSPResNet": "ResNet with cross-stage partial connections (Wang et al., CVPR Workshops 2020)",
    "Conformer": "Conformer, convolution and attention side by side (Peng et al., ICCV 2021)",
    "ConvMixer": "ConvMixer (Trockman and Kolter, 2022)",
    "ConvNeXt": "ConvNeXt (Liu et al., CVPR 2022)",
    "DenseNet": "DenseNet (Huang et al., CVPR 2017)",
    "DistilledVisionTransformer": "DeiT with a distillation token (Touvron et al., ICML 2021)",
    "EfficientFormer": "EfficientFormer (Li et al., NeurIPS 2022)",
    "EfficientNet": "EfficientNet (Tan and Le, ICML 2019)",
    "HRNet": "HRNet, high resolution throughout (Sun et al., CVPR 2019)",
    "HorNet": "HorNet, recursive gated convolutions (Rao et al., NeurIPS 2022)",
    "LeNet5": "LeNet-5 (LeCun et al., 1998), for 32 px grey images",
    "MViT": "MViTv2, multiscale vision transformer (Li et al., CVPR 2022)",
    "MlpMixer": "MLP-Mixer (Tolstikhin et al., NeurIPS 2021)",
    "MobileNetV2": "MobileNetV2 (Sandler et al., CVPR 2018)",
    "MobileNetV3": "MobileNetV3 (Howard et al., ICCV 2019)",
    "PCPVT": "Twins-PCPVT (Chu et al., NeurIPS 2021)",
    "PoolFormer": "PoolFormer (Yu et al., CVPR 2022)",
    "RegNet": "RegNet (Radosavovic et al., CVPR 2020)",
    "RepMLPNet": "RepMLPNet (Ding et al., CVPR 2022)",
    "RepVGG": "RepVGG (Ding et al., CVPR 2021)",
    "Res2Net": "Res2Net (Gao et al., TPAMI 2021)",
    "ResNeSt": "ResNeSt, split attention (Zhang et al., CVPR Workshops 2022)",
    "ResNeXt": "ResNeXt (Xie et al., CVPR 2017)",
    "ResNet": "ResNet (He et al., CVPR 2016)",
    "ResNetV1c": "ResNet with a stem of three 3x3 convolutions (He et al., CVPR 2019)",
    "ResNetV1d": "ResNetV1c with average pooling in its shortcuts (He et al., CVPR 2019)",
    "ResNet_CIFAR": "ResNet with a 3x3 stem that keeps the size, for small images",
    "SEResNeXt": "ResNeXt with squeeze-and-excitation (Hu et al., CVPR 2018)",
    "SEResNet": "ResNet with squeeze-and-excitation (Hu et al., CVPR 2018)",
    "SVT": "Twins-SVT (Chu et al., NeurIPS 2021)",
    "ShuffleNetV1": "ShuffleNet (Zhang et al., CVPR 2018)",
    "ShuffleNetV2": "ShuffleNetV2 (Ma et al., ECCV 2018)",
    "SwinTransformer": "Swin Transformer (Liu et al., ICCV 2021)",
    "SwinTransformerV2": "Swin Transformer V2 (Liu et al., CVPR 2022)",
    "T2T_ViT": "Tokens-to-Token ViT (Yuan et al., ICCV 2021)",
    "TIMMBackbone": "mmcls's wrapper of a model of timm: `timm:NAME` gives timm's own features",
    "TNT": "Transformer in Transformer (Han et al., NeurIPS 2021)",
    "VAN": "Visual Attention Network (Guo et al., 2022)",
    "VGG": "VGG (Simonyan and Zisserman, ICLR 2015)",
    "VisionTransformer": "ViT (Dosovitskiy et al., ICLR 2021)",
}
_TRANSFORMS = {
    "AugMix": "AugMix (Hendrycks et al., ICLR 2020): several augmented copies of an image, mixed",
    "AutoAugment": "AutoAugment (Cubuk et al., CVPR 2019): a policy learned on ImageNet, CIFAR-10 or SVHN",
    "RandAugment": "RandAugment (Cubuk et al., NeurIPS 2020): `num_ops` random operations of one magnitude",
    "TrivialAugmentWide": "TrivialAugment (Müller and Hutter, ICCV 2021): one random operation of a random magnitude",
}
MEANINGS: Mapping[str, str] = {**_STRATEGIES, **_PLUGINS, **_METRICS, **_BACKBONES, **_TRANSFORMS}


def list_names(kind: str) -> dict[str, str]:
    """{name: description} of everything of a kind, sorted by name. Raises KeyError for a kind not in KINDS."""
    classes = KINDS[kind].classes
    return {name: meaning(name, classes[name]) for name in sorted(classes, key=str.lower)}


def list_timm() -> dict[str, str]:
    """{`timm:NAME`: what weights timm has for it}, of every architecture of timm; none if it is not installed."""
    return {f"{TIMM}{name}": _weights(tags) for name, tags in timm.weights_by_name().items()}


def _weights(tags: Sequence[str]) -> str:
    return f"weights {few(tags)}" if tags else "no weights"


def meaning(name: str, factory: Factory) -> str:
    """A description of the class called `name`, in one line."""
    return MEANINGS.get(name) or summary(factory)


def summary(factory: Factory) -> str:
    """The first sentence of a class's docstring, or of that of the class that a recipe makes, without markup."""
    if isinstance(factory, WithPlugin):
        factory = factory.make_plugin
    elif isinstance(factory, Filled):
        factory = factory.strategy
    text = " ".join(inspect.cleandoc(factory.__doc__ or "").split("\n\n")[0].split())
    text = re.sub(r":class:`~?([^`]*)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"`([^`<]*?) ?<[^>`]*>`_*", r"\1", text)  # a link of reStructuredText
    sentence = re.split(r"(?<=[a-z0-9)`\"])\.(?: |$)", text)[0]
    return sentence.rstrip(".: ")
