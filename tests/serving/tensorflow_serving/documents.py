"""What is no JSON, and which keys a document has."""

from tests.serving.tensorflow_serving.cases import (
    DEEP,
    ECHO,
    HANDLER,
    HANDLER_TEST,
    JSON,
    JSON_TEST,
    READER,
    post,
    unread,
)
from tests.serving.tensorflow_serving.urls import ASKED

MIXED = '{"count": [1, 2], "flag": true, "word": "a"}'
MIXED_ANSWER = {"count": [2, 4], "flag": False, "word": "A"}

TEXTS = [
    unread("", "The document is empty", HANDLER_TEST),
    unread("  ", "The document is empty. at offset: 2"),
    unread("instances = [1, 2]", "Invalid value. at offset: 0", HANDLER_TEST),
    unread("{", "Missing a name for object member. at offset: 1"),
    unread("{'a':1}", "Missing a name for object member. at offset: 1"),
    unread('{"a":1,}', "Missing a name for object member. at offset: 7"),
    unread('{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
    unread('{"a":}', "Invalid value. at offset: 5"),
    unread('{"a":tru}', "Invalid value. at offset: 8"),
    unread('{"a":-}', "Invalid value. at offset: 6"),
    unread('{"a":Infinit}', "Invalid value. at offset: 12"),
    unread('{"a":+1}', "Invalid value. at offset: 5"),
    unread('{"a":.5}', "Invalid value. at offset: 5"),
    unread("// a\n{}", "Invalid value. at offset: 0"),
    unread("[1,]", "Invalid value. at offset: 3"),
    unread("[" * 300, "Invalid value. at offset: 300"),
    unread("[1 2]", "Missing a comma or ] after an array element. at offset: 3"),
    unread(
        '{"a":["]" 2]}', "Missing a comma or ] after an array element. at offset: 10"
    ),
    unread('{"a":[1,2}', "Missing a comma or ] after an array element. at offset: 9"),
    unread(
        '{"a":{"b":1]', "Missing a comma or } after an object member. at offset: 11"
    ),
    unread('{"a":[] 1}', "Missing a comma or } after an object member. at offset: 8"),
    unread('{"a":01}', "Missing a comma or } after an object member. at offset: 6"),
    unread('{"é":1 2}', "Missing a comma or } after an object member. at offset: 8"),
    unread(
        b'\xef\xbb\xbf{"a":1 2}',
        "Missing a comma or } after an object member. at offset: 10",
        "rapidjson/encodedstream.h",
    ),
    unread('{"a":"x', "Missing a closing quotation mark in string. at offset: 7"),
    unread('{"a":"\\x"}', "Invalid escape character in string. at offset: 6"),
    unread(
        '{"a":"\\u12g4"}',
        "Incorrect hex digit after \\u escape in string. at offset: 6",
    ),
    unread('{"a":"\\ud800"}', "The surrogate pair in string is invalid. at offset: 6"),
    unread('{"a":"\x01"}', "Invalid encoding in string. at offset: 6"),
    unread('{"a":1.}', "Miss fraction part in number. at offset: 7"),
    unread('{"a":1e}', "Miss exponent in number. at offset: 7"),
    unread('{"a":1e+}', "Miss exponent in number. at offset: 8"),
    unread('{"a":1e400}', "Number too big to be stored in double. at offset: 5"),
    unread(
        f'{{"a":{"9" * 5000}}}',
        "Number too big to be stored in double. at offset: 5",
    ),
]

DOCUMENTS = [
    post(JSON, "[1]", 400, "JSON Value: [1] Is not object"),
    post(JSON, "NaN", 400, "JSON Value: NaN Is not object"),
    post(JSON, '"x"', 400, 'JSON Value: "x" Is not object'),
    post(JSON, "null", 400, "JSON Value: null Is not object"),
    post(
        HANDLER_TEST,
        '{ "signature_name": 100 }',
        400,
        'JSON Value: {"signature_name":100} not formatted correctly. '
        "'signature_name' key must be a string value.",
    ),
    post(
        JSON_TEST,
        '{"signature_name": 5, "instances": [[1,2],[3,4],[5,6,7]]}',
        400,
        'JSON Value: {"signature_name":5,"instances":[[1,2],[3,4],[5,6,7]]} not '
        "formatted correctly. 'signature_name' key must be a string value.",
    ),
    post(
        JSON,
        f'{{"signature_name": null, "x": "{"y" * 1000}"}}',
        400,
        f'JSON Value: {{"signature_name":null,"x":"{"y" * 228} not formatted '
        "correctly. 'signature_name' key must be a string value.",
    ),
    post(
        HANDLER,
        '{"signature_name": "x", "instances": [1]}',
        400,
        'Serving signature name: "x" not found in signature def',
    ),
    post(
        JSON,
        '{"signature_name": "__saved_model_init_op", "instances": [1]}',
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    post(JSON, "{}", 400, "Missing 'inputs' or 'instances' key"),
    post(JSON, '{"Instances": [1]}', 400, "Missing 'inputs' or 'instances' key"),
    post(
        JSON,
        '{"instances": 1}',
        400,
        "JSON Value: {\"instances\":1} Expecting 'instances' to be an list/array",
    ),
    post(
        JSON,
        '{"instances": {"b64": "eA=="}}',
        400,
        'JSON Value: {"instances":{"b64":"eA=="}} Expecting \'instances\' to be an '
        "list/array",
    ),
    post(
        JSON,
        '{"instances": null}',
        400,
        "JSON Value: {\"instances\":null} Expecting 'instances' to be an list/array",
    ),
    post(
        JSON,
        '{"instances": []}',
        400,
        "JSON Value: {\"instances\":[]} No values in 'instances' array",
    ),
    post(
        JSON_TEST,
        '{"instances": [[1,2],[3,4],[5,6,7]], "inputs": [[1,2],[3,4],[5,6,7]]}',
        400,
        'JSON Value: {"instances":[[1,2],[3,4],[5,6,7]],"inputs":[[1,2],[3,4],[5,6,7]]}'
        " Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
        "to exist ",
    ),
    post(READER, f"{ECHO} and more", 200, ASKED[0].answer),
    post(READER, f"{ECHO}}}", 200, ASKED[0].answer),
    post(READER, f"{ECHO}{ECHO}", 200, ASKED[0].answer),
    post(READER, f"{ECHO}\0", 200, ASKED[0].answer),
    post(READER, ECHO.encode() + b"\xff", 200, ASKED[0].answer),
    post(
        "rapidjson/encodedstream.h",
        b"\xef\xbb\xbf" + ECHO.encode(),
        200,
        ASKED[0].answer,
    ),
    post(READER, f'{{"x": {DEEP}, {ECHO[1:]}', 200, ASKED[0].answer),
    post(JSON, f'{{"x": [{{"y": null}}], {ECHO[1:]}', 200, ASKED[0].answer),
    post(
        "rapidjson/document.h", f'{ECHO[:-1]}, "instances": [4]}}', 200, ASKED[0].answer
    ),
    post(
        "rapidjson/document.h",
        f'{ECHO[:-1]}, "signature_name": 7}}',
        200,
        ASKED[0].answer,
    ),
    post(
        "rapidjson/document.h",
        '{"signature_name": "float32", "inputs": {"x": [1], "x": [2]}}',
        200,
        {"outputs": [1.0]},
    ),
    post(JSON, '{"signature_name": "", "inputs": []}', 200, {"outputs": []}),
]
