"""The page is read as the Hub reads it: YAML between lines of dashes, then Markdown."""

import copy
from typing import Any

import huggingface_hub
import pytest

from dce_tf.hub.address import HubAddress
from dce_tf.hub.card import is_ours, write_page
from tests.hub.conftest import CARD

ADDRESS = HubAddress("ann/birds")


def page_of(card: dict[str, Any], **given: Any) -> str:
    settings = {"license_name": None, "has_keras": False, **given}
    return write_page(huggingface_hub, card, ADDRESS, **settings)


def read(page: str) -> tuple[dict[str, Any], str]:
    card = huggingface_hub.ModelCard(page)
    return card.data.to_dict(), card.text


def test_front_matter_is_what_the_hub_looks_for() -> None:
    known, _ = read(page_of(CARD, license_name="apache-2.0"))
    assert known["library_name"] == "dce_tf"
    assert known["pipeline_tag"] == "image-feature-extraction"
    assert "image-retrieval" in known["tags"]
    assert known["license"] == "apache-2.0"
    assert known["metrics"] == ["recall@1", "map@r"]
    (model,) = known["model-index"]
    assert model["name"] == "birds"
    (result,) = model["results"]
    assert result["task"] == {"type": "image-feature-extraction"}
    assert [each["value"] for each in result["metrics"]] == [0.735, 0.306]
    assert [each["name"] for each in result["metrics"]] == [
        "recall@1 (95 % interval 0.7010 to 0.7670)",
        "map@r",
    ]


def test_scores_stand_beside_their_intervals() -> None:
    _, text = read(page_of(CARD))
    assert "| recall@1 | 0.7350 | 0.7010 to 0.7670 |" in text
    assert "| map@r | 0.3060 |  |" in text
    assert "mean_distance" not in text
    assert "classes held out from training" in text
    assert "hf://ann/birds" in text
    assert "load_model" not in text
    assert 'load_model("hf://ann/birds")' in page_of(CARD, has_keras=True)


def test_epoch_that_was_chosen_on_the_test_is_called_so() -> None:
    card = copy.deepcopy(CARD)
    card["data"]["selected_on"] = "test"
    assert "the scores are optimistic" in page_of(card)


def test_model_without_a_run_has_a_page_without_scores() -> None:
    card = {key: CARD[key] for key in ("fingerprint", "embedding_dim", "license")}
    known, text = read(page_of(card))
    assert "metrics" not in known
    assert "model-index" not in known
    assert "license" not in known
    assert "## Results" not in text


def test_calibration_is_told() -> None:
    card = {**CARD, "calibration": {"threshold": 0.61234, "far": 0.001}}
    assert "from a cosine of 0.6123 on" in page_of(card)
    assert "0.001 false accepts" in page_of(card)


@pytest.mark.parametrize("name", ["a|b", "<script>x</script>", "[x](http://y)", "`a`"])
def test_text_of_a_card_is_no_markup(name: str) -> None:
    card = copy.deepcopy(CARD)
    card["trained_with"]["backbone"] = f"{name}\n---\n# x"
    page = page_of(card)
    assert name not in page
    assert "\n# x" not in page
    card["data"]["dataset"] = 'x"\nlicense: evil\n- y: {'
    known, _ = read(page_of(card))
    assert "license" not in known


def test_page_tells_whether_somebody_edited_it() -> None:
    page = page_of(CARD)
    assert page == page_of(CARD)
    assert is_ours(page)
    assert is_ours(page + "\n")
    assert not is_ours(page.replace("An embedder", "The best embedder"))
    assert not is_ours(page + "More.\n")
    assert not is_ours("# birds\n")
