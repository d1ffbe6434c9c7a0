"""Numbers and strings of each type."""

from tests.serving.tensorflow_serving.cases import (
    JSON,
    JSON_TEST,
    READER,
    item,
    no_columns,
    no_rows,
    rows,
    wrong_type,
)

FLOATS = [
    rows(JSON, "float32", "[16777216]", [16777216.0]),
    rows(JSON, "float32", "[16777217]", [16777216.0]),
    # The shortest digits that give the float32 1435774336 again.
    rows(JSON, "float32", "[1435774380]", [1435774300.0]),
    rows(JSON, "float32", "[3.4028235e38]", [3.4028235e38]),
    rows(JSON, "float32", "[1e39, -1e39]", [float("inf"), float("-inf")]),
    rows(JSON, "float32", "[1.79769e+308]", [float("inf")]),
    rows(JSON, "float32", "[1e-46, -0.0]", [0.0, -0.0]),
    rows(READER, "float32", "[18446744073709551616]", [1.8446744e19]),
    rows(
        READER,
        "float32",
        "[NaN, Infinity, -Infinity]",
        [float("nan"), float("inf"), float("-inf")],
    ),
    rows(
        READER,
        "float32",
        "[Inf, -Inf, -NaN]",
        [float("inf"), float("-inf"), float("nan")],
    ),
    rows(JSON, "float64", "[9007199254740993]", [9007199254740992.0]),
    rows(JSON, "float64", "[1.79769e+308, 1e-320]", [1.79769e308, 1e-320]),
    rows(
        READER, "float64", "[123456789012345678901234567890]", [1.2345678901234566e29]
    ),
    rows(
        JSON_TEST,
        "float32",
        "[9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5]",
        [9e6, 999999.0, 0.5, 0.0003, 3e-05, 555557.5],
    ),
    no_rows(JSON, "float32", "[true]", item(0, wrong_type("true", "True", "float"))),
    no_rows(JSON, "float32", "[false]", item(0, wrong_type("false", "False", "float"))),
    no_rows(
        JSON, "float32", '["NaN"]', item(0, wrong_type('"NaN"', "String", "float"))
    ),
    no_rows(JSON, "float32", "[null]", item(0, wrong_type("null", "Null", "float"))),
    no_rows(
        JSON,
        "float32",
        '[{"b64": "AA=="}]',
        item(0, wrong_type('{"b64":"AA=="}', "Object", "float")),
    ),
    no_rows(JSON, "float64", '["1"]', item(0, wrong_type('"1"', "String", "double"))),
]

WHOLE = [
    rows(JSON, "int8", "[-128, 127]", [-128, 127]),
    rows(JSON, "int16", "[-32768, 32767]", [-32768, 32767]),
    rows(JSON, "uint8", "[0, 255]", [0, 255]),
    rows(JSON, "int32", "[-2147483648, 2147483647]", [-2147483648, 2147483647]),
    rows(
        JSON,
        "int64",
        "[-9223372036854775808, 9223372036854775807]",
        [-9223372036854775808, 9223372036854775807],
    ),
    rows(JSON, "uint32", "[0, 4294967295]", [0, 4294967295]),
    rows(JSON, "uint64", "[0, 18446744073709551615]", [0, 18446744073709551615]),
    rows(JSON, "int32", "[-0]", [0]),
    *(
        no_rows(JSON, kind, f"[{value}]", item(0, wrong_type(value, "Number", kind)))
        for kind, value in [
            ("int32", "2147483648"),
            ("int32", "-2147483649"),
            ("int64", "9223372036854775808"),
            ("uint32", "4294967296"),
            ("uint32", "-1"),
            ("uint64", "-1"),
            ("int32", "1.0"),
            ("int64", "1.5"),
            ("int8", "2147483648"),
            ("uint8", "0.5"),
        ]
    ),
    no_rows(JSON, "int32", "[1e3]", item(0, wrong_type("1000.0", "Number", "int32"))),
    no_rows(JSON, "int32", "[NaN]", item(0, wrong_type("NaN", "Number", "int32"))),
    no_rows(JSON, "int32", "[true]", item(0, wrong_type("true", "True", "int32"))),
    no_rows(JSON, "int32", '["7"]', item(0, wrong_type('"7"', "String", "int32"))),
    rows(JSON, "bool", "[true, false]", [True, False]),
    no_rows(JSON, "bool", "[1]", item(0, wrong_type("1", "Number", "bool"))),
    no_rows(JSON, "bool", '["true"]', item(0, wrong_type('"true"', "String", "bool"))),
    no_rows(JSON, "bool", "[null]", item(0, wrong_type("null", "Null", "bool"))),
]

STRINGS = [
    rows(
        JSON, "string", '["é", "\\u00e9", "\\ud83d\\ude00", ""]', ["é", "é", "😀", ""]
    ),
    rows(JSON, "string", '["a", {"b64": "Yg=="}]', ["a", "b"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": "YQ"}]', ["a"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": "YQ.."}]', ["a"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": " Y\\nQ = =\\t"}]', ["a"]),
    rows("absl/strings/escaping.cc", "string", '[{"b64": ""}]', [""]),
    rows(READER, "string", '["a\\u0000b"]', ["a\0b"]),
    *(
        no_rows(
            "absl/strings/escaping.cc",
            "string",
            f'[{{"b64": "{text}"}}]',
            item(0, "Unable to base64 decode"),
        )
        for text in ("!", "A", "AAAAA", "AA=", "A=AA", "AA-_", "AAé=")
    ),
    no_rows(JSON, "string", "[1.5]", item(0, wrong_type("1.5", "Number", "string"))),
    no_rows(JSON, "string", "[true]", item(0, wrong_type("true", "True", "string"))),
    no_columns(
        JSON,
        "string",
        '[{"b64": 1}]',
        'JSON Value: {"b64":1} not formatted correctly for base64 data',
    ),
    no_columns(
        JSON,
        "string",
        '[{"b64": "YQ==", "x": 1}]',
        'JSON Value: {"b64":"YQ==","x":1} not formatted correctly for base64 data',
    ),
    no_columns(
        JSON,
        "string",
        "[{}]",
        "JSON Value: {} not formatted correctly for base64 data",
    ),
]
