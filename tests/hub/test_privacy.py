import pytest

from dce_tf.hub.privacy import without_paths


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/ann/nets/small.keras", "small.keras"),
        ("/home/ann of/my nets/a b.keras", "a b.keras"),
        ("~/nets/small.keras", "small.keras"),
        ("C:\\Users\\ann\\small.keras", "small.keras"),
        ("\\\\server\\share\\small.keras", "small.keras"),
        ("file:///home/ann/small.keras", "small.keras"),
        ("hf(path='/home/ann/birds', test=None)", "hf(path='birds', test=None)"),
        ('resnet50(weights="/home/ann/w.pt")', 'resnet50(weights="w.pt")'),
        ("mix(csv=/home/ann/a b/birds, glyphs)", "mix(csv=birds, glyphs)"),
        ("mix(folder(test_fraction=0.2)=~/x)", "mix(folder(test_fraction=0.2)=x)"),
        ("mix(csv= /home/ann/birds, glyphs)", "mix(csv= birds, glyphs)"),
        ("mix(shelf:csv = ~/private/x, glyphs)", "mix(shelf:csv = x, glyphs)"),
        ("mix(csv=ann/birds, glyphs)", "mix(csv=ann/birds, glyphs)"),
        ("hf(path='ann/birds')", "hf(path='ann/birds')"),
        ("8/7", "8/7"),
        ("margin(beta=1.2)", "margin(beta=1.2)"),
        ("Linux-6.1-x86_64-with-glibc2.36", "Linux-6.1-x86_64-with-glibc2.36"),
    ],
)
def test_of_an_absolute_path_only_its_last_name_is_left(text: str, left: str) -> None:
    assert without_paths({"a": [text, 1.5, None, True]}) == {
        "a": [left, 1.5, None, True]
    }
