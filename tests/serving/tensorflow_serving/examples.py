"""Requests to classify and to regress, whose signatures no embedder has."""

from tests.serving.tensorflow_serving.cases import (
    CLASSIFIER,
    CORE,
    MODEL,
    REGRESSOR,
    Case,
    post,
)


def example(action: str, body: str, error: str, status: int = 400) -> Case:
    source = {"classify": CLASSIFIER, "regress": REGRESSOR}[action]
    return post(source, body, status, error, f"{MODEL}:{action}")


EXAMPLES = [
    example("classify", "", "JSON Parse error: The document is empty"),
    example("regress", "[]", "JSON Value: [] Is not object"),
    example(
        "classify",
        '{"signature_name": ["hello"], "examples": [{}]}',
        'JSON Value: {"signature_name":["hello"],"examples":[{}]} not formatted '
        "correctly. 'signature_name' key must be a string value.",
    ),
    example(
        "classify",
        '{"instances": [1]}',
        "JSON Value: {\"instances\":[1]} When method is classify, key 'examples' is "
        "expected and was not found",
    ),
    example(
        "regress",
        "{}",
        "JSON Value: {} When method is classify, key 'examples' is expected and was "
        "not found",
    ),
    example(
        "classify",
        '{"examples": {"names": ["foo"]}}',
        'JSON Value: {"examples":{"names":["foo"]}} Expecting \'examples\' value to be '
        "an list/array",
    ),
    example(
        "regress",
        '{"examples": []}',
        "JSON Value: {\"examples\":[]} 'examples' value is an empty array",
    ),
    example(
        "regress",
        '{"signature_name": "x", "examples": [{"x": 1}]}',
        "No signature was found with the name: x",
    ),
    example(
        "classify",
        '{"signature_name": "mixed", "examples": [{"x": 1}]}',
        "Expected one input Tensor.",
    ),
    example(
        "classify",
        '{"signature_name": "__saved_model_init_op", "examples": [{"x": 1}]}',
        "Expected one input Tensor.",
    ),
    example(
        "regress",
        '{"signature_name": "echo", "examples": [{"x": 1}]}',
        "Expected one output Tensor.",
    ),
    post(
        CORE,
        '{"examples": [{"x": 1}]}',
        404,
        "Servable not found for request: Latest(foo)",
        "/v1/models/foo:classify",
    ),
]
