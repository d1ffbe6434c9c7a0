"""The public face: complete, documented, and light."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import pytest

import dce_tf
from dce_tf.base import keras_names
from tests.slow import rest_is_slow

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NAMES = [name for name in dce_tf.__all__ if name != "__version__"]


def run(code: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_neither_tensorflow_nor_keras() -> None:
    heavy = "{'tensorflow', 'keras', 'numpy', 'scipy', 'absl'}"
    assert run(f"import dce_tf, sys; print({heavy} & set(sys.modules))") == "set()\n"


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(dce_tf, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert f"`{name}`" in PAGE
    assert name in dir(dce_tf)


def test_lists_of_names_are_the_same() -> None:
    tree = ast.parse(Path(dce_tf.__file__).read_text(encoding="utf-8"))
    typed = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module not in ("dce_tf", "dce_tf.base")
        for alias in node.names
        if node.module.startswith("dce_tf")
    }
    assert typed == {f"dce_tf.{home}.{name}" for name, home in dce_tf._HOMES.items()}
    assert set(NAMES) == set(dce_tf._HOMES)


def test_documented_names_are_public() -> None:
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, flags=re.MULTILINE)
    documented = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    assert documented == set(NAMES)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"'MarginLos'.*MarginLoss"):
        dce_tf.MarginLos  # noqa: B018


def test_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    dynamic = project["tool"]["setuptools"]["dynamic"]["version"]
    assert dynamic == {"attr": "dce_tf.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", dce_tf.__version__)


def test_every_serialisable_class_is_announced() -> None:
    for module in pkgutil.walk_packages(dce_tf.__path__, "dce_tf."):
        if module.name.split(".")[1] in ("layers", "losses", "metrics", "model"):
            importlib.import_module(module.name)
    announced = {
        f"dce_tf>{name}": getattr(importlib.import_module(module), name)
        for module, names in keras_names.REGISTERED.items()
        for name in names
    }
    known = keras.saving.get_custom_objects().items()
    assert announced == {k: v for k, v in known if k.startswith("dce_tf>")}


ORDERS = {
    "ours first": "import dce_tf, keras",
    "Keras first": "import keras, dce_tf",
    "by TensorFlow": "import dce_tf, tensorflow as tf; keras = tf.keras",
    "a part of ours first": "import dce_tf.network.layers, keras",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    inputs = keras.Input((6,))
    backbone = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    layer = dce_tf.DivideConquerEmbedding(4, 2)
    model = dce_tf.EmbeddingModel(backbone, layer)
    model.build((None, 6))
    loss = dce_tf.ProxyAnchorLoss(num_classes=3)
    model.compile("adam", loss, metrics=[dce_tf.RecallAtK(1)])
    model.save(path)
    return path


@pytest.mark.parametrize("order", rest_is_slow(ORDERS))
def test_keras_loads_our_models_after_import(order: str, saved: Path) -> None:
    said = run(
        f"import sys; {ORDERS[order]}; m = keras.models.load_model(sys.argv[1]); "
        "print(type(m).__name__, type(m.metric_loss).__name__, m.embedding.units)",
        str(saved),
    )
    assert said == "EmbeddingModel ProxyAnchorLoss 4\n"


def test_load_model_takes_files_and_runs(saved: Path, tmp_path: Path) -> None:
    assert dce_tf.load_model(saved).embedding.units == 4
    assert dce_tf.load_model(str(saved)).embedding.units == 4
    with pytest.raises(ValueError, match="not a run directory"):
        dce_tf.load_model(tmp_path)
