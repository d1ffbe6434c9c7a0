"""torchvision's ResNet-50, against one written again in NumPy with torch's layout."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.resnet50 import load_torchvision

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BLOCKS = (3, 4, 6, 3)


def make_tensors() -> dict[str, np.ndarray]:
    """Draws all tensors of torchvision's ResNet-50, by its names."""
    rng = np.random.default_rng(0)
    tensors = {"fc.weight": np.zeros((10, 2048)), "fc.bias": np.zeros(10)}

    def add(convolution: str, norm: str, out: int, into: int, kernel: int) -> None:
        shape = (out, into, kernel, kernel)
        deviation = (2 / (into * kernel**2)) ** 0.5
        tensors[f"{convolution}.weight"] = rng.normal(0, deviation, shape)
        tensors[f"{norm}.weight"] = rng.uniform(0.5, 1, out)
        tensors[f"{norm}.bias"] = rng.normal(0, 0.1, out)
        tensors[f"{norm}.running_mean"] = rng.normal(0, 0.1, out)
        tensors[f"{norm}.running_var"] = rng.uniform(0.5, 2, out)
        tensors[f"{norm}.num_batches_tracked"] = np.array(7)

    add("conv1", "bn1", 64, 3, 7)
    into = 64
    for stage, blocks in enumerate(BLOCKS, 1):
        width = 32 * 2**stage
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            add(f"{name}.conv1", f"{name}.bn1", width, into, 1)
            add(f"{name}.conv2", f"{name}.bn2", width, width, 3)
            add(f"{name}.conv3", f"{name}.bn3", 4 * width, width, 1)
            if block == 0:
                down = f"{name}.downsample"
                add(f"{down}.0", f"{down}.1", 4 * width, into, 1)
            into = 4 * width
    return {name: np.asarray(t, np.float32) for name, t in tensors.items()}


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int, pad: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    side = (x.shape[1] - kernel.shape[2]) // stride + 1
    total = np.zeros((len(kernel), side, side))
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            part = x[:, i : i + stride * side : stride, j : j + stride * side : stride]
            total += np.einsum("oc,chw->ohw", kernel[:, :, i, j], part[:, :side, :side])
    return total


def by_loop(image: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the feature map (2048, height, width) of an image (height, width, 3)."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scale, bias, mean, variance = (
            tensors[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + bias

    x = ((image / 255 - MEAN) / STD).transpose(2, 0, 1)
    x = np.maximum(norm(convolve(x, tensors["conv1.weight"], 2, 3), "bn1"), 0)
    x = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    side = (x.shape[1] - 3) // 2 + 1
    x = np.max(
        [
            x[:, i : i + 2 * side : 2, j : j + 2 * side : 2][:, :side, :side]
            for i in range(3)
            for j in range(3)
        ],
        axis=0,
    )
    for stage, blocks in enumerate(BLOCKS, 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1

            def step(x, part, stride=1, pad=0, name=name):
                kernel = tensors[f"{name}.conv{part}.weight"]
                return norm(convolve(x, kernel, stride, pad), f"{name}.bn{part}")

            y = np.maximum(step(x, 1), 0)
            y = np.maximum(step(y, 2, stride, 1), 0)
            y = step(y, 3)
            if block == 0:
                kernel = tensors[f"{name}.downsample.0.weight"]
                x = norm(convolve(x, kernel, stride, 0), f"{name}.downsample.1")
            x = np.maximum(x + y, 0)
    return x


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return make_tensors()


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 45])
def test_converted_weights_give_the_features_of_torchvision(
    tmp_path: Path, tensors: dict[str, np.ndarray], size: int
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    model = build_backbone(f"resnet50(weights='{path}')")
    image = np.random.default_rng(1).uniform(0, 255, (size, size, 3))
    expected = by_loop(image, tensors).transpose(1, 2, 0)
    got = model(image[None].astype(np.float32))[0].numpy()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-3 * expected.max())


# In a process of its own: torchvision and TensorFlow may not load together.
TORCHVISION = """
import sys, numpy as np, torch, torchvision
model = torchvision.models.resnet50(weights=None).eval()
torch.save(model.state_dict(), sys.argv[1])
model.avgpool = model.fc = torch.nn.Identity()
images = torch.tensor(np.load(sys.argv[2])).float()
np.save(sys.argv[3], model(images).detach().numpy())
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "torchvision")),
    reason="torch and torchvision are not installed",
)
def test_equals_torchvision_itself(tmp_path: Path) -> None:
    weights, given, result = (
        tmp_path / name for name in ("resnet50.pth", "given.npy", "result.npy")
    )
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3))
    np.save(given, ((image / 255 - MEAN) / STD).transpose(0, 3, 1, 2))
    paths = (str(path) for path in (weights, given, result))
    subprocess.run([sys.executable, "-c", TORCHVISION, *paths], check=True)
    expected = np.load(result).reshape(2, 2048, 2, 2)
    model = build_backbone(f"resnet50(weights='{weights}')")
    got = model(image.astype(np.float32)).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * expected.max())


def deeper(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Adds the blocks that ResNet-101 has more than ResNet-50."""
    third = {k: v for k, v in tensors.items() if k.startswith("layer3.5.")}
    more = {
        name.replace("layer3.5.", f"layer3.{block}."): value
        for block in range(6, 23)
        for name, value in third.items()
    }
    return {**tensors, **more}


def without(tensors: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    return {name: value for name, value in tensors.items() if name not in names}


def test_weights_of_another_network_are_refused(tensors) -> None:
    model = build_backbone("resnet50(weights=None)")
    scaled = {"layer1.0.se.fc1.weight": np.ones((4, 64, 1, 1), np.float32)}
    for found, message in (
        ({"patch_embed.weight": np.zeros(3, np.float32)}, "Found 1 tensors; .* 265 "),
        (deeper(tensors), r"255 belong to another network \(layer3.10.bn1.bias, .*, …"),
        ({**tensors, **scaled}, r"1 belong .*\(layer1.0.se.fc1.weight\).*a head"),
        (
            without(tensors, "layer4.2.bn3.bias", "conv1.weight"),
            r"2 are missing \(conv1.weight, layer4.2.bn3.bias\)",
        ),
        (
            {**tensors, "layer1.0.conv2.weight": np.zeros((128, 128, 3, 3))},
            r"layer1.0.conv2.weight has the shape \(128, .*; expected \(64, 64, 3, 3\)",
        ),
        (
            {**tensors, "layer1.0.bn2.weight": np.zeros(63)},
            r"layer1.0.bn2.weight has the shape \(63,\); expected \(64,\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            load_torchvision(model, found, Path("of.pth"))


def test_heads_may_be_there_besides(tensors) -> None:
    model = build_backbone("resnet50(weights=None)")
    heads = ("embedding.weight", "masks.0", "projection_head.0.weight", "head.weight")
    given = {**tensors, **dict.fromkeys(heads, np.zeros(3))}
    load_torchvision(model, given, Path("of.pth"))
    kernel = model.get_layer("layer3_block5_conv3").kernel
    expected = tensors["layer3.5.conv3.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)


def test_file_of_another_network_is_named(tmp_path: Path, tensors) -> None:
    path = tmp_path / "resnet101.safetensors"
    save_file(deeper(tensors), path)
    with pytest.raises(ValueError, match=r"resnet101.safetensors: These are not the"):
        build_backbone(f"resnet50(weights='{path}')")


def test_file_that_is_not_there_and_one_that_is_broken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        build_backbone("resnet50(weights='nowhere.safetensors')")
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no header")
    with pytest.raises(ValueError, match=r"broken.safetensors: "):
        build_backbone(f"resnet50(weights='{path}')")


def test_offline_says_where_the_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("URL fetch failure: no network")

    monkeypatch.setattr("keras.utils.get_file", offline)
    with pytest.raises(ValueError, match=r"no network.*timm/resnet50.tv_in1k.*FILE"):
        build_backbone("resnet50")


def test_pickled_weights_need_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resnet50.pth"
    path.touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="needs PyTorch: pip install torch"):
        build_backbone(f"resnet50(weights='{path}')")
