"""Inputs by row and by column: names, shapes and batches."""

from tests.serving.tensorflow_serving.cases import (
    JSON,
    JSON_TEST,
    columns,
    item,
    no_columns,
    no_rows,
    rows,
    wrong_type,
)
from tests.serving.tensorflow_serving.documents import MIXED, MIXED_ANSWER

ROWS = [
    no_rows(
        JSON,
        "",
        '[{"foo": 1}]',
        item(0, "JSON object: does not have named input: foo", "foo"),
    ),
    no_rows(
        JSON,
        "",
        "[{}]",
        "Failed to process element: 0 of 'instances' list. JSON object: {} keys must "
        "be equal to: image_bytes",
    ),
    no_rows(
        JSON,
        "mixed",
        f'[{MIXED}, {{"word": "b", "count": [1, 2]}}]',
        "Failed to process element: 1 of 'instances' list. JSON object: "
        '{"word":"b","count":[1,2]} keys must be equal to: count,flag,word',
    ),
    no_rows(
        JSON,
        "mixed",
        f'[{MIXED}, {{"word": 1}}]',
        item(1, wrong_type("1", "Number", "string"), "word"),
    ),
    no_rows(
        JSON,
        "mixed",
        f'[{MIXED}, {{"flag": true, "extra": 1}}]',
        item(1, "JSON object: does not have named input: extra", "extra"),
    ),
    no_rows(
        JSON,
        "",
        '[{"image_bytes": 1}]',
        item(0, wrong_type("1", "Number", "string"), "image_bytes"),
    ),
    no_rows(JSON, "", '["x", null]', item(1, wrong_type("null", "Null", "string"))),
    no_rows(
        JSON_TEST,
        "",
        '[{"image_bytes": "x"}, [1, 20, 30]]',
        "Expecting object but got list at item 1 of input list",
    ),
    no_rows(
        JSON,
        "",
        '[{"image_bytes": "x"}, {"b64": "eA=="}]',
        "Expecting object but got list at item 1 of input list",
    ),
    no_rows(
        JSON_TEST,
        "",
        '["baz", {"image_bytes": "x"}]',
        "Expecting value/list but got object at item 1 of input list",
    ),
    no_rows(
        JSON,
        "",
        '[{"b64": "eA=="}, {"b64": "eA==", "x": 1}]',
        "Expecting value/list but got object at item 1 of input list",
    ),
    no_rows(
        JSON_TEST,
        "alike",
        "[[1,2],[3,4],[5,6,7]]",
        item(2, "Expecting tensor size: 2 but got: 3"),
    ),
    no_rows(
        JSON_TEST,
        "alike",
        "[[1,2],[3,4],[[5,6]]]",
        item(2, "Expecting shape [2] but got: [1,2]"),
    ),
    no_rows(
        JSON_TEST, "float32", "[1, [1]]", item(1, "Expecting shape [] but got: [1]")
    ),
    no_rows(
        JSON_TEST,
        "alike",
        '[[1,2],["a", "b"]]',
        item(1, wrong_type('"a"', "String", "float")),
    ),
    no_rows(
        JSON_TEST,
        "mixed",
        f'[{MIXED}, {{"count": [1, 2, 3], "flag": true, "word": "a"}}]',
        item(1, "Expecting tensor size: 2 but got: 3", "count"),
    ),
    no_rows(
        JSON_TEST,
        "mixed",
        f'[{MIXED}, {{"count": [[1, 2]], "flag": true, "word": "a"}}]',
        item(1, "Expecting shape [2] but got: [1,2]", "count"),
    ),
    no_rows(
        JSON,
        "mixed",
        '["x"]',
        "instances is a plain list, but expecting list of objects as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    no_rows(
        JSON,
        "alike",
        "[[1, [2]]]",
        item(0, "Encountered list at unexpected level: 1 expected < 1"),
    ),
    no_rows(
        JSON,
        "alike",
        "[[[1], 2]]",
        item(
            0,
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at "
            "level: 2",
        ),
    ),
    rows(JSON, "mixed", f"[{MIXED}]", [MIXED_ANSWER | {"word_bytes": {"b64": "YQ=="}}]),
    rows(JSON, "float32", '[{"x": 1}, {"x": 2}]', [1.0, 2.0]),
    rows(
        JSON_TEST, "alike", "[[1,2],[3,4],[5,6]]", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    ),
    rows(
        JSON_TEST,
        "float32",
        "[1, 2.0, 3, 4, 5.003, 0.007, 0.0]",
        [1.0, 2.0, 3.0, 4.0, 5.003, 0.007, 0.0],
    ),
    rows(
        JSON_TEST,
        "float64",
        "[1.0, 2, 3, 4, 0.662, 0, 0.0]",
        [1.0, 2.0, 3.0, 4.0, 0.662, 0.0, 0.0],
    ),
    rows(
        JSON_TEST,
        "string",
        '[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]',
        ["hello", "world"],
    ),
]

COLUMNS = [
    no_columns(
        JSON,
        "",
        '{"foo": ["x"]}',
        "Missing named input: image_bytes in 'inputs' object.",
    ),
    no_columns(
        JSON,
        "mixed",
        '{"count": [[1, 2]], "word": ["a"]}',
        "Missing named input: flag in 'inputs' object.",
    ),
    no_columns(
        JSON,
        "mixed",
        '["x"]',
        "inputs is a plain value/list, but expecting an object as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    no_columns(
        JSON,
        "mixed",
        '{"b64": "eA=="}',
        "inputs is a plain value/list, but expecting an object as multiple input "
        "tensors required as per tensorinfo_map",
    ),
    no_columns(
        JSON,
        "",
        "[[1], 2]",
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at "
        "level: 2",
    ),
    no_columns(
        JSON, "", "[1, [2]]", "Encountered list at unexpected level: 1 expected < 1"
    ),
    no_columns(
        JSON,
        "",
        "[[1], [2, 3]]",
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    no_columns(JSON, "float32", '["x"]', wrong_type('"x"', "String", "float")),
    no_columns(
        JSON,
        "complex64",
        "[1]",
        "Conversion of JSON Value: 1 to type: complex64",
        501,
    ),
    no_rows(
        JSON,
        "complex64",
        "[1]",
        "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
        "Conversion of JSON Value: 1 to type: complex64",
    ),
    columns(JSON, "float32", "[3.0, 4.0]", [3.0, 4.0]),
    columns(JSON, "float32", '{"x": [3.0, 4.0], "unused": true}', [3.0, 4.0]),
    columns(
        JSON,
        "mixed",
        '{"count": [[1, 2]], "flag": [true], "word": ["a"]}',
        {
            "count": [[2, 4]],
            "flag": [False],
            "word": ["A"],
            "word_bytes": [{"b64": "YQ=="}],
        },
    ),
    columns(JSON, "total", "[1.5, 2]", 3.5),
    columns(JSON, "total", "[]", 0.0),
    columns(JSON, "joined", '["a", "é"]', "aé"),
    columns(JSON, "joined", "[]", ""),
    columns(JSON, "emptied", "[1]", []),
]

ANSWERS = [
    rows(JSON_TEST, "emptied", "[1, 2]", []),
    no_rows(
        JSON_TEST, "total", "[1.0]", "Tensor name: total has no shape information "
    ),
    no_rows(
        JSON_TEST,
        "uneven",
        "[1, 2]",
        "Tensor name: x has inconsistent batch size: 2 expecting: 1",
    ),
    no_rows(
        JSON_TEST,
        "to_complex",
        "[1]",
        "Failed to write JSON value for tensor type: complex64",
    ),
    columns(
        JSON_TEST,
        "uneven",
        "[1, 2]",
        {"one": [1.0], "x": [1.0, 2.0]},
    ),
]
