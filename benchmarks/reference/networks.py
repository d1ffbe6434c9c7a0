"""The networks, in plain PyTorch: ResNet-50, EfficientNet-Lite0, `small`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Kernel, stride, expansion, width and repeats of each stage (Tan and Le, ICML 2019);
# Lite0 has neither squeeze-and-excitation nor swish.
_LITE0 = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_RESNET = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # Width, blocks, stride.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class SamePadding(nn.Conv2d):
    """A convolution padded as TensorFlow's `same`: an odd pixel at right and bottom."""

    def forward(self, images: Tensor) -> Tensor:
        """Returns the feature map."""
        pads = []
        for axis in (1, 0):
            side, kernel, stride = (
                images.shape[2 + axis],
                self.kernel_size[axis],
                self.stride[axis],
            )
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        if any(pads):
            images = functional.pad(images, pads)
        return functional.conv2d(
            images, self.weight, self.bias, self.stride, 0, 1, self.groups
        )


def _normed(convolution: nn.Module, width: int, relu: nn.Module | None) -> nn.Module:
    norm = nn.BatchNorm2d(width, eps=1e-3)
    return nn.Sequential(convolution, norm, *([relu] if relu else []))


class InvertedResidual(nn.Module):
    """Expands, filters each channel by itself, projects; adds its input if it can."""

    def __init__(
        self, channels: int, width: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = channels * expansion
        parts: dict[str, nn.Module] = {}
        if expansion > 1:
            expand = nn.Conv2d(channels, inner, 1, bias=False)
            parts["expand"] = _normed(expand, inner, nn.ReLU6(inplace=True))
        depthwise = SamePadding(inner, inner, kernel, stride, groups=inner, bias=False)
        parts["depthwise"] = _normed(depthwise, inner, nn.ReLU6(inplace=True))
        project = nn.Conv2d(inner, width, 1, bias=False)
        parts["project"] = _normed(project, width, None)
        self.parts = nn.ModuleDict(parts)
        self.adds = stride == 1 and channels == width

    def forward(self, images: Tensor) -> Tensor:
        """Returns the feature map."""
        outputs = images
        for part in self.parts.values():
            outputs = part(outputs)
        return images + outputs if self.adds else outputs


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier, from 0–255 RGB, channels first."""

    num_features = 1280

    def __init__(self) -> None:
        super().__init__()
        stem = SamePadding(3, 32, 3, 2, bias=False)
        self.stem = _normed(stem, 32, nn.ReLU6(inplace=True))
        blocks, channels = [], 32
        for kernel, stride, expansion, width, repeats in _LITE0:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(
                    InvertedResidual(channels, width, kernel, step, expansion)
                )
                channels = width
        self.blocks = nn.ModuleList(blocks)
        head = nn.Conv2d(channels, self.num_features, 1, bias=False)
        self.head = _normed(head, self.num_features, nn.ReLU6(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        """Returns the feature map, `(batch, 1280, height, width)`."""
        outputs = self.stem((images - 127) / 128)
        for block in self.blocks:
            outputs = block(outputs)
        return self.head(outputs)


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions, its stride in the 3×3 one."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1 or channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False),
                nn.BatchNorm2d(4 * width),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Returns the feature map."""
        shortcut = images if self.downsample is None else self.downsample(images)
        outputs = self.relu(self.bn1(self.conv1(images)))
        outputs = self.relu(self.bn2(self.conv2(outputs)))
        return self.relu(self.bn3(self.conv3(outputs)) + shortcut)


class ResNet50(nn.Module):
    """ResNet-50 without its classifier, parameters named as torchvision names them."""

    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        for name, values in zip(("mean", "deviation"), _IMAGENET, strict=True):
            scaled = 255 * torch.tensor(values)[:, None, None]
            self.register_buffer(name, scaled, persistent=False)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        channels = 64
        for stage, (width, blocks, stride) in enumerate(_RESNET, 1):
            rows = []
            for block in range(blocks):
                step = stride if block == 0 else 1
                rows.append(Bottleneck(channels, width, step))
                channels = 4 * width
            self.add_module(f"layer{stage}", nn.Sequential(*rows))

    def forward(self, images: Tensor) -> Tensor:
        """Returns the feature map, `(batch, 2048, height, width)`."""
        outputs = self.conv1((images - self.mean) / self.deviation)
        outputs = self.maxpool(self.relu(self.bn1(outputs)))
        for stage in range(1, 5):
            outputs = getattr(self, f"layer{stage}")(outputs)
        return outputs


class Small(nn.Module):
    """Four blocks of 3×3 convolution, group norm, ReLU and 2×2 max-pooling."""

    num_features = 256

    def __init__(self) -> None:
        super().__init__()
        blocks, channels = [], 3
        for width in (32, 64, 128, 256):
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(channels, width, 3, padding=1),
                    nn.GroupNorm(8, width, eps=1e-3),
                    nn.ReLU(inplace=True),
                    nn.MaxPool2d(2, ceil_mode=True),
                )
            )
            channels = width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the feature map, `(batch, 256, height, width)`."""
        return self.blocks(images / 127.5 - 1)


class Embedder(nn.Module):
    """Backbone, global average pooling, dropout and one linear embedding.

    Args:
        backbone: One of the above.
        embedding_dim: Width of the embedding.
        num_slices: Learners that share it; each slice is initialised by itself.
    """

    def __init__(
        self, backbone: nn.Module, embedding_dim: int = 128, num_slices: int = 1
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(0.01)
        self.embedding = nn.Linear(backbone.num_features, embedding_dim)
        self.num_slices = num_slices
        for part in self.embedding.weight.data.chunk(num_slices):
            nn.init.xavier_normal_(part)

    def train(self, mode: bool = True) -> Embedder:
        """Keeps the statistics of batch norm as they are."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Returns pooled features, `(batch, num_features)`."""
        return self.backbone(images).mean((2, 3))

    def forward(self, images: Tensor, learner: int | None = None) -> Tensor:
        """Returns the embedding, whole or of one learner, of unit length."""
        outputs = self.embedding(self.dropout(self.features(images)))
        if learner is not None:
            outputs = outputs.chunk(self.num_slices, dim=1)[learner]
            return functional.normalize(outputs, dim=1)
        parts = outputs.chunk(self.num_slices, dim=1)
        whole = torch.cat([functional.normalize(part, dim=1) for part in parts], dim=1)
        return whole / self.num_slices**0.5


BACKBONES: dict[str, Callable[[], Any]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "resnet50": ResNet50,
    "small": Small,
}
