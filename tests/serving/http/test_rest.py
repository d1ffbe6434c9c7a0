import gzip
import io
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf import json_format
from PIL import Image
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from dce_tf.serving.limits import Limits
from dce_tf.serving.model.servable import Servable
from tests.images.gif_files import COMMENT, spliced
from tests.images.test_file_kinds import HEIC, SVG
from tests.serving.conftest import (
    DIM,
    SIZE,
    Client,
    GatedServable,
    Served,
    b64,
    picture,
)

GIF_OF_SMALL_FRAMES = (
    "a GIF whose frames do not fill its screen of 10 by 9 pixels is not read; "
    "convert it to PNG"
)


def animation() -> bytes:
    """Returns a WebP of two frames, the first of which is `picture()`."""
    frames = [Image.open(io.BytesIO(picture(seed=seed))) for seed in (0, 1)]
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": frames[1:], "lossless": True}
    frames[0].save(buffer, "WEBP", **options)
    return buffer.getvalue()


IMAGES = [picture(kind, seed=i) for i, kind in enumerate(("PNG", "JPEG", "WEBP"))]


@pytest.fixture(scope="module")
def expected(served: Served) -> np.ndarray:
    """What the model says itself."""
    inputs = {"image_bytes": np.array(IMAGES, object)}
    return served.servable().run("serving_default", inputs)["embedding"]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"instances": [b64(image) for image in IMAGES]}, "predictions"),
        (
            {"instances": [{"image_bytes": b64(image)} for image in IMAGES]},
            "predictions",
        ),
        ({"inputs": [b64(image) for image in IMAGES]}, "outputs"),
        ({"inputs": {"image_bytes": [b64(image) for image in IMAGES]}}, "outputs"),
        (
            {
                "signature_name": "serving_default",
                "instances": [b64(image) for image in IMAGES],
            },
            "predictions",
        ),
    ],
)
def test_images_are_embedded_in_every_form(
    client: Client, expected: np.ndarray, body: dict[str, object], key: str
) -> None:
    answer = client.predict(body)
    assert answer.status_code == 200
    assert list(answer.json()) == [key]
    assert np.array_equal(np.array(answer.json()[key], np.float32), expected)


def test_pixels_are_embedded(client: Client) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3))
    body = {"signature_name": "serve_tensor", "instances": pixels.tolist()}
    answer = client.predict(body)
    embedding = np.array(answer.json()["predictions"])
    assert embedding.shape == (2, DIM)
    assert np.allclose(np.linalg.norm(embedding, axis=1), 1)


def test_several_outputs_are_objects_by_name(client: Client) -> None:
    rows = [
        {"count": [1, 2], "flag": True, "word": "é"},
        {"count": [3, -4], "flag": False, "word": "b"},
    ]
    answer = client.predict({"signature_name": "mixed", "instances": rows})
    assert answer.json() == {
        "predictions": [
            {
                "count": [2, 4],
                "flag": False,
                "word": "é",
                "word_bytes": b64("é".encode()),
            },
            {"count": [6, -8], "flag": True, "word": "B", "word_bytes": b64(b"b")},
        ]
    }
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    answer = client.predict({"signature_name": "mixed", "inputs": columns})
    assert answer.json() == {
        "outputs": {
            "count": [[2, 4], [6, -8]],
            "flag": [False, True],
            "word": ["é", "B"],
            "word_bytes": [b64("é".encode()), b64(b"b")],
        }
    }


def test_whole_numbers_are_floats_too(client: Client) -> None:
    answer = client.predict({"signature_name": "alike", "instances": [[1, 2.5]]})
    assert answer.text == '{"predictions":[[1.0,2.5]]}'


def test_a_scalar_answers_a_scalar(client: Client) -> None:
    answer = client.predict({"signature_name": "total", "inputs": [1.5, 2]})
    assert answer.json() == {"outputs": 3.5}


def test_an_empty_batch_is_answered_in_column_form(client: Client) -> None:
    answer = client.predict({"inputs": []})
    assert answer.json() == {"outputs": []}


def test_bytes_end_with_their_zeros(client: Client) -> None:
    rows = [{"count": [0, 0], "flag": True, "word": b64(b"a\0\0")}]
    answer = client.predict({"signature_name": "mixed", "instances": rows})
    assert answer.json()["predictions"][0]["word_bytes"] == b64(b"a\0\0")


def test_nan_and_infinity_are_taken_and_given(client: Client) -> None:
    body = (
        b'{"signature_name": "alike", "instances": [[NaN, -Infinity, Infinity, 0.1]]}'
    )
    answer = client.predict(content=body)
    assert answer.text == '{"predictions": [[NaN, -Infinity, Infinity, 0.1]]}'
    values = json.loads(answer.text)["predictions"][0]
    assert math.isnan(values[0])
    assert values[1:3] == [-math.inf, math.inf]


def test_floats_come_back_to_the_bit(client: Client) -> None:
    values = np.random.default_rng(0).normal(0, 1e-3, 500).astype(np.float32)
    values[:3] = [np.finfo(np.float32).max, np.finfo(np.float32).tiny, 1e-45]
    for row in (values, np.append(values, np.float32("nan"))):
        text = json.dumps(
            {"signature_name": "alike", "instances": [row.astype(float).tolist()]}
        )
        answer = json.loads(client.predict(content=text).text)["predictions"][0]
        assert np.array_equal(np.array(answer, np.float32), row, equal_nan=True)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("", 2),
        ("/versions/1", 1),
        ("/versions/2", 2),
        ("/labels/stable", 1),
        ("/labels/canary", 2),
    ],
)
def test_versions_and_labels_choose_the_model(
    client: Client, path: str, version: int
) -> None:
    answer = client.predict({"signature_name": "echo", "instances": [3.0]}, path)
    assert answer.json() == {"predictions": [{"version": float(version), "y": 3.0}]}


def test_status_is_tensorflow_servings_message(client: Client) -> None:
    answer = client.get("/v1/models/embedder")
    status = {"error_code": "OK", "error_message": ""}
    versions = [
        {"version": version, "state": "AVAILABLE", "status": status}
        for version in ("2", "1")
    ]
    assert answer.json() == {"model_version_status": versions}
    message = get_model_status_pb2.GetModelStatusResponse()
    assert len(json_format.Parse(answer.text, message).model_version_status) == 2
    one = client.get("/v1/models/embedder/versions/1").json()
    assert one == {"model_version_status": versions[1:]}


def test_addresses_may_be_written_in_capitals(client: Client) -> None:
    expected = client.get("/v1/models/embedder").json()
    for path in ("/V1/Models/embedder", "/v1/MODELS/embedder"):
        assert client.get(path).json() == expected
    assert client.get("/v1/models/Embedder").status_code == 404


def test_metadata_are_the_signatures(client: Client) -> None:
    answer = client.get("/v1/models/embedder/labels/stable/metadata").json()
    assert answer["model_spec"] == {
        "name": "embedder",
        "signature_name": "",
        "version": "1",
    }
    signatures = answer["metadata"]["signature_def"]
    message = get_model_metadata_pb2.SignatureDefMap()
    parsed = json_format.ParseDict(signatures, message).signature_def
    assert set(parsed) >= {"serving_default", "serve_tensor", "__saved_model_init_op"}
    assert signatures["signature_def"]["serving_default"]["inputs"]["image_bytes"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}],
            "unknown_rank": False,
        },
        "name": "serving_default_image_bytes:0",
    }


def test_packed_requests_and_answers(client: Client) -> None:
    plain = {"signature_name": "alike", "instances": [[0.5] * 4000]}
    body = gzip.compress(json.dumps(plain).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    answer = client.predict(content=body, headers=headers)
    assert answer.json() == {"predictions": [[0.5] * 4000]}
    assert answer.headers["content-encoding"] == "gzip"
    answer = client.predict(content=body, headers=headers | {"Accept-Encoding": "br"})
    assert "content-encoding" not in answer.headers


def test_items_fail_one_by_one_if_the_client_wants_it(client: Client) -> None:
    good = b64(IMAGES[0])
    broken = b64(IMAGES[0][:80])
    huge = b64(picture(size=(200, 200)))
    items = [good, broken, 7, huge, {"b64": "?"}, [good], good]
    headers = {"X-Per-Item-Errors": "1"}
    answer = client.predict({"instances": items}, headers=headers)
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert predictions[0] == predictions[-1]
    assert len(predictions[0]) == DIM
    errors = [item["error"] for item in predictions[1:-1]]
    for error, words in zip(
        errors,
        (
            "Invalid PNG data",
            "element: 2",
            "200 × 200 pixels",
            "element: 4",
            "has shape [1,1]",
        ),
        strict=True,
    ):
        assert words in error
    assert client.predict({"instances": items}).status_code == 400


def test_items_that_all_fail_are_answered(client: Client) -> None:
    headers = {"X-Per-Item-Errors": "1"}
    answer = client.predict({"instances": [1, 2]}, headers=headers)
    assert answer.status_code == 200
    assert all("error" in item for item in answer.json()["predictions"])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_images_of_too_many_pixels_are_refused(client: Client, kind: str) -> None:
    assert client.predict({"instances": [b64(picture(kind))]}).status_code == 200
    answer = client.predict({"instances": [b64(picture(kind, (101, 100)))]})
    assert answer.status_code == 400
    assert "100 × 101 pixels" in answer.json()["error"]


def test_a_gif_is_refused_for_any_of_its_frames(client: Client) -> None:
    fine, bomb = spliced((100, 50), (100, 50)), spliced((1, 1), (100, 101))
    assert client.predict({"instances": [b64(fine)]}).status_code == 200
    answer = client.predict({"instances": [b64(bomb)]})
    assert answer.status_code == 400
    assert "An image of 100 × 101 pixels in 2 frames;" in answer.json()["error"]
    blocks = spliced((1, 1))[:-1] + COMMENT + b"\1\1" * 2**18
    answer = client.predict({"instances": [b64(blocks)]})
    assert answer.status_code == 400
    assert "262,144 blocks" in answer.json()["error"]


def test_no_model_gets_an_animation_that_overwrites_memory(client: Client) -> None:
    # Models exported earlier decode what they are given as it is.
    unsafe = animation()
    assert unsafe[20] & 0x12 == 0x02
    instance = {"count": [1, 2], "flag": True, "word": b64(unsafe)}
    answer = client.predict({"signature_name": "mixed", "instances": [instance]})
    safe = unsafe[:20] + bytes([unsafe[20] | 0x10]) + unsafe[21:]
    assert answer.json()["predictions"][0]["word_bytes"] == b64(safe)


def test_an_animation_is_embedded_as_its_first_frame(client: Client) -> None:
    given = [b64(animation()), b64(picture("PNG"))]
    animated, still = client.predict({"instances": given}).json()["predictions"]
    np.testing.assert_allclose(animated, still, atol=1e-6)


def test_an_image_is_as_large_as_its_decoder_takes_it_for(client: Client) -> None:
    # TensorFlow's decoder takes this for a GIF, others do not.
    hidden = b"GIF88a" + picture("GIF", (101, 100))[6:]
    answer = client.predict({"instances": [b64(hidden)]})
    assert answer.status_code == 400
    assert "An image of 100 × 101 pixels;" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_a_header_that_is_cut_short_is_refused(client: Client, kind: str) -> None:
    answer = client.predict({"instances": [b64(picture(kind)[:15])]})
    assert answer.json() == {"error": f"The header of a {kind} image cannot be read."}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEIC, "HEIC is not read; convert it to JPEG or PNG."),
        (SVG, "SVG is not read; convert it to JPEG or PNG."),
        (b"\xff\x0a" + bytes(50), "JPEG XL is not read; convert it to JPEG or PNG."),
        (picture("TIFF"), "TIFF is not read; convert it to JPEG or PNG."),
        (picture("AVIF"), "AVIF is not read; convert it to JPEG or PNG."),
        (spliced((9, 9))[:6] + b"\x0a" + spliced((9, 9))[7:], GIF_OF_SMALL_FRAMES),
    ],
)
def test_what_is_not_read_is_told_with_what_to_convert_it_to(
    client: Client, content: bytes, says: str
) -> None:
    answer = client.predict({"instances": [b64(content)]})
    assert answer.status_code == 400
    assert answer.json() == {"error": says}


def test_a_request_of_many_images_is_cut_into_batches(
    serve: Callable[..., Served],
) -> None:
    served = serve(max_batch_size=4)
    items = [b64(picture(seed=seed)) for seed in range(10)]
    answer = served.client.predict({"instances": items})
    one = served.client.predict({"instances": items[9:]})
    assert len(answer.json()["predictions"]) == 10
    sizes = ":tensorflow:serving:batching_session:processed_batch_size_bucket"
    assert f'{sizes}{{le="4.0"}} 4.0' in served.metrics.page().decode()
    assert np.allclose(answer.json()["predictions"][9], one.json()["predictions"][0])


def test_an_answer_that_takes_too_long_is_a_504(serve: Callable[..., Served]) -> None:
    served = serve(load=GatedServable, limits=Limits(answer_seconds=1))
    gate = served.servable().gate
    gate.clear()
    answer = served.client.predict({"instances": [b64(IMAGES[0])]})
    gate.set()
    assert answer.status_code == 504
    assert answer.json() == {"error": "There was no answer within 1 seconds."}
    assert served.client.predict({"instances": [b64(IMAGES[0])]}).status_code == 200


def test_nothing_is_worked_out_for_a_request_that_has_failed(
    serve: Callable[..., Served],
) -> None:
    served = serve(load=GatedServable, max_batch_size=1, num_threads=1)
    servable = served.servable()
    while servable.running.acquire(blocking=False):
        pass  # Warm-up requests.
    answer = served.client.predict({"instances": ["no image"] * 200})
    assert answer.status_code == 400
    assert served.client.predict({"instances": [b64(IMAGES[0])]}).status_code == 200
    calls = 0
    while servable.running.acquire(blocking=False):
        calls += 1
    assert calls < 200


def test_requests_beyond_the_queue_are_refused_at_once(
    serve: Callable[..., Served],
) -> None:
    served = serve(load=GatedServable, max_batch_size=2, max_queued=4, num_threads=1)
    servable = served.servable()
    while servable.running.acquire(blocking=False):
        pass  # Warm-up requests.
    servable.gate.clear()
    body = {"instances": [b64(IMAGES[0])] * 2}
    running = [served.client.begin("POST", "/v1/models/embedder:predict", json=body)]
    assert servable.running.acquire(timeout=60)
    running += [
        served.client.begin("POST", "/v1/models/embedder:predict", json=body)
        for _ in range(2)
    ]
    while served.batcher.queued < 4:
        pass
    refused = served.client.predict(body)
    servable.gate.set()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "queue to which this task was submitted is full" in refused.json()["error"]
    assert [each.result(60).status_code for each in running] == [200] * 3


def test_a_model_that_breaks_is_a_500_without_its_secrets(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    monkeypatch.setattr(Servable, "run", lambda *_: 1 / 0)
    answer = served.client.predict({"instances": ["x"]})
    assert answer.status_code == 500
    assert answer.json() == {"error": "The model failed; the server's log has why."}


def test_requests_are_counted_under_tensorflow_servings_names(
    serve: Callable[..., Served],
) -> None:
    served = serve()
    served.client.predict({"instances": [b64(IMAGES[0])] * 3})
    served.client.predict({"instances": ["no image"]})
    served.client.get("/v1/models/embedder")
    served.client.get("/v1/nothing")
    served.client.post("/v1/models/nobody:predict", json={"instances": [1]})
    latency = ":tensorflow:serving:request_latency_count"
    for path in ("/monitoring/prometheus/metrics", "/metrics"):
        page = served.client.get(path)
        assert page.headers["content-type"].startswith("text/plain")
        for line in (
            "# TYPE :tensorflow:serving:request_count counter",
            ':tensorflow:serving:request_count{model_name="embedder",status="OK"} 2.0',
            ':tensorflow:serving:request_count{model_name="embedder",'
            'status="INVALID_ARGUMENT"} 1.0',
            ':tensorflow:serving:request_count{model_name="",'
            'status="INVALID_ARGUMENT"} 1.0',
            f'{latency}{{API="predict",entrypoint="REST",model_name="embedder"}} 1.0',
            f'{latency}{{API="",entrypoint="REST",model_name="embedder"}} 1.0',
            ':tensorflow:serving:request_example_counts_sum{model="embedder"} 3.0',
            ':tensorflow:serving:runtime_latency_count{API="Predict",'
            'model_name="embedder",runtime="TF1"} 1.0',
            ":tensorflow:serving:batching_session:processed_batch_size_count 2.0",
            "process_resident_memory_bytes",
        ):
            assert line in page.text
        assert "nobody" not in page.text
        assert "_created" not in page.text


def test_what_the_model_refuses_is_told_without_its_graph(client: Client) -> None:
    answer = client.predict({"instances": ["no image"]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("not an image; expected")
    assert "\n" not in answer.json()["error"]


def test_shapes_are_checked_against_the_signature(client: Client) -> None:
    answer = client.predict({"signature_name": "serve_tensor", "instances": [[1.0]]})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": 'Input tensor "images" has shape [1,1], expected [-1,8,8,3].'
    }
