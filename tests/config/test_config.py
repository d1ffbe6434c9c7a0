import pytest
from absl import flags

from dce_tf import config
from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.config.whole import PARTS, all_fields

# What METHOD and the contract promise to scripts, with the 2019 program's names.
CONTRACT = (
    "dataset data_dir log_dir dir exp overwrite random_seed deterministic backbone "
    "loss miner embedding_dim num_clusters recluster_every num_epochs "
    "full_embedding_epoch finetune_epoch batch_size samples_per_class image_size "
    "backbone_lr backbone_wd embedding_lr embedding_wd backend val_fraction "
    "select_on allow_partial_data max_bad_images evaluate_every nb_clusters "
    "nb_epochs sz_batch sz_embedding mod_epoch num_workers cuda_device verbose"
)


def parse(*words: str) -> Config:
    values = flags.FlagValues()
    config.define_flags(values)
    values(["main.py", *words])
    return config.from_flags({name: values[name].value for name in values})


def test_every_promised_name_is_a_flag() -> None:
    values = flags.FlagValues()
    config.define_flags(values)
    assert [name for name in CONTRACT.split() if name not in values] == []


def test_flags_become_settings() -> None:
    assert parse() == Config()
    parsed = parse("--num_clusters=4", "--loss=margin(beta=1)", "--overwrite")
    assert parsed == Config(num_clusters=4, loss="margin(beta=1)", overwrite=True)


def test_reference_names_are_aliases() -> None:
    parsed = parse("--nb_clusters=4", "--sz_batch=40", "--mod_epoch=3", "--nb_epochs=9")
    assert parsed == Config(
        num_clusters=4, batch_size=40, recluster_every=3, num_epochs=9
    )


def test_each_setting_belongs_to_one_part() -> None:
    names = [field.name for field in all_fields()]
    assert len(set(names)) == len(names)
    assert not {name for name in names if name in PARTS} - {"loss", "optimizer"}


def test_parts_can_be_had_by_themselves() -> None:
    assert config.LossSettings(batch_size=12).samples_per_class == 4
    with pytest.raises(UsageError, match="nearest that works is --batch_size=80"):
        config.LossSettings(batch_size=81)


def test_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'num_epochs'"):
        Config(num_epoch=3)


def test_flags_of_settings_are_read_back() -> None:
    settings = Config(num_clusters=4, overwrite=True, export=False, finetune_epoch=7)
    assert parse(*config.to_flags(settings)) == settings


def test_json_roundtrip_keeps_every_setting() -> None:
    settings = Config(num_clusters=2, data_dir="ä b", finetune_epoch=5)
    assert Config.from_json(settings.to_json()) == settings


def test_unknown_setting_in_json_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"'num_cluster'\. Did you mean 'num_clusters'"
    ):
        Config.from_json('{"num_cluster": 3}')


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"embedding_dim": 100, "num_clusters": 8}, "works is --embedding_dim=96"),
        ({"batch_size": 81}, "nearest that works is --batch_size=80"),
        ({"hierarchical": True}, "--parts=masks or --parts=fixed_masks"),
        ({"parts": "mask"}, "Did you mean 'masks'"),
        (
            {"parts": "fixed_masks", "embedding_dim": 30, "num_clusters": 4},
            "works is --embedding_dim=32",
        ),
        ({"ema": 1.0}, "--ema=1.0 must be below 1"),
        ({"cluster_balance": 0.5}, "--cluster_balance=0.5 must be at least 1"),
        ({"min_cluster_classes": 1}, "must be at least 2"),
        ({"batch_size": 4}, "at least --batch_size=8"),
        ({"select_on": "tset"}, "Did you mean 'test'"),
        ({"val_fraction": 1.0}, "must be below 1"),
        ({"num_folds": 1}, "Use at least 2, or 0"),
        ({"num_folds": 3, "fold": 3}, "--fold=3: expected a fold below 3"),
        ({"fold": 0}, "--fold=0: expected --num_folds too"),
        ({"num_folds": 3, "select_on": "test"}, "Pass one of the two"),
        ({"num_epochs": 0}, "--num_epochs=0 must be at least 1"),
        ({"backbone_lr": float("nan")}, "--backbone_lr=nan must be at least 0"),
    ],
)
def test_values_that_cannot_work_name_what_would(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**values)


def test_stage_defaults_follow_the_number_of_epochs() -> None:
    assert Config(num_epochs=200).division.finetune_from == 190
    assert Config(num_epochs=4).division.finetune_from == 3
    assert Config(num_epochs=200).division.full_embedding_from == 190
    assert (
        Config(num_epochs=200, full_embedding_epoch=80).division.full_embedding_from
        == 80
    )


def test_only_settings_that_make_another_run_are_differences() -> None:
    one = Config()
    assert one.differences(one.replace(verbose=True, exp="1")) == {}
    changed = one.differences(one.replace(loss="other"))
    assert changed == {"loss": ("margin", "other")}


def test_masks_need_no_divisor() -> None:
    assert (
        Config(parts="masks", embedding_dim=100, num_clusters=8).division.num_clusters
        == 8
    )


def test_rates_of_masks_and_losses_follow_that_of_the_embedding() -> None:
    assert Config(embedding_lr=1e-4).optimizer.rate_of("mask") == pytest.approx(1e-2)
    assert Config(embedding_lr=1e-4, loss_lr=0.5).optimizer.rate_of("loss") == 0.5
    assert Config(mask_lr=0.0).optimizer.rate_of("mask") == 0


@pytest.mark.parametrize("steps", ["20", "30,20", "a,b", "20,20", "1,2,3", ""])
def test_profiled_steps_are_a_first_and_a_last(steps: str) -> None:
    with pytest.raises(UsageError, match="such as --profile_steps=20,30"):
        Config(profile_steps=steps)
    assert Config(profile_steps="20, 30").run.profiled_steps == (20, 30)
    assert Config().run.profiled_steps == ()


def test_running_features_are_no_embeddings() -> None:
    with pytest.raises(UsageError, match="gathers features, not embeddings"):
        Config(cluster_features="running", cluster_on="embedding")
