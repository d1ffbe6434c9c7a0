"""Recipes: flagfiles with the settings that go with a data set and a profile."""

from __future__ import annotations

import re
from pathlib import Path

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest

RECIPES = Path(__file__).parents[1] / "recipes"
_STATED = re.compile(r"^# (Hours|Hardware|Measured): +(.*)$", re.MULTILINE)
DEFAULT = "default"
ANY = "any"
"""Stands for every data set that has no recipe of its own in the profile."""


def find_recipe(profile: str, dataset: str) -> Path | None:
    """Returns the flagfile of a profile for a data set.

    Args:
        profile: Such as `"paper2019"`; `"default"` is the one that a data set has
            without naming any.
        dataset: As for `--dataset`, with options or without.

    Returns:
        The file, or None where the default has none.

    Raises:
        UsageError: If there is no such profile, or not for this data set.
    """
    name = dataset.partition("(")[0].strip()
    if profile == DEFAULT:
        path = RECIPES / f"{name}.flags"
        return path if path.is_file() else None
    known = profiles()
    if profile not in known:
        raise UsageError(
            f"--profile={profile}: unknown.{suggest(profile, known)} "
            f"Known: {', '.join([DEFAULT, *known])}."
        )
    if name not in known[profile] and ANY in known[profile]:
        name = ANY
    if name not in known[profile]:
        raise UsageError(
            f"--profile={profile} has no recipe for --dataset={name}, only for "
            f"{', '.join(known[profile])}. Copy one of them from dce_tf/recipes/ and "
            "pass it with --flagfile=FILE."
        )
    return RECIPES / f"{profile}-{name}.flags"


def profiles() -> dict[str, list[str]]:
    """Returns the data sets of each profile that has a name; `ANY` is any other."""
    found: dict[str, list[str]] = {}
    for path in sorted(RECIPES.glob("*-*.flags")):
        profile, _, dataset = path.stem.partition("-")
        found.setdefault(profile, []).append(dataset)
    return found


def measured_cost(recipe: Path) -> str | None:
    """Returns a sentence on what training with a recipe cost where it was measured.

    Args:
        recipe: The file.

    Returns:
        None if it was not measured.
    """
    text = recipe.read_text(encoding="utf-8")
    stated = dict(_STATED.findall(text))
    if not stated.get("Measured", "").startswith("yes"):
        return None
    return (
        f"Training with {recipe.name} took {stated['Hours']} hours with "
        f"{stated['Hardware']} of memory ({stated['Measured'].removeprefix('yes, ')}); "
        "elsewhere that is an estimate."
    )
