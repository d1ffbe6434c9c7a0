"""What this server answers otherwise, as serving/README.md lists it."""

from tests.serving.tensorflow_serving.cases import (
    DEEP,
    get,
    item,
    no_columns,
    no_rows,
    post,
    rows,
    unread,
    wrong_type,
)

README = "serving/README.md"
DIFFERENT = [
    no_rows(
        README,
        "alike",
        "[[[1.0]]]",
        'Input tensor "x" has shape [1,1,1], expected [-1,-1].',
    ),
    no_rows(README, "int8", "[128]", item(0, wrong_type("128", "Number", "int8"))),
    no_rows(
        README, "int16", "[-32769]", item(0, wrong_type("-32769", "Number", "int16"))
    ),
    no_rows(README, "uint8", "[-1]", item(0, wrong_type("-1", "Number", "uint8"))),
    rows(README, "float16", "[0.5, 1e9]", [0.5, float("inf")]),
    rows(README, "bfloat16", "[0.5]", [0.5]),
    no_columns(
        README,
        "float32",
        "[" * 65 + "1" + "]" * 65,
        "Lists are nested more than 64 deep, and no tensor here has as many axes.",
    ),
    no_columns(
        README,
        "float32",
        f"[{DEEP}]",
        "Lists are nested more than 64 deep, and no tensor here has as many axes.",
    ),
    rows(README, "float32", '[{"x": 1, "x": 2}]', [1.0]),
    no_rows(
        README,
        "mixed",
        '[{"b64": "eA=="}]',
        "instances is a plain list, but expecting list of objects as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    unread(
        b'{"instances": ["\xff"]}', "Invalid encoding in string. at offset: 16", README
    ),
    unread(
        '{"instances": ["\\udc00"]}',
        "The surrogate pair in string is invalid. at offset: 16",
        README,
    ),
    post(
        README,
        '{"examples": [{"x": null}, 7], "context": 1}',
        404,
        "Servable not found for request: Latest(foo)",
        "/v1/models/foo:classify",
    ),
    get(README, "/v1/models/%zz", 400, "No URL looks like this: /v1/models/%zz"),
    get(README, "/v2", 404, "Not Found"),
]
