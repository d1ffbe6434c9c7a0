"""Log lines in both formats."""

import logging
from collections.abc import Callable

from tests.serving.conftest import Lines

LOG = logging.getLogger("dce_tf.serving.lifetime")


def test_json_has_time_level_and_message(logged: Callable[..., Lines]) -> None:
    lines = logged("json")
    LOG.info("Version %d of %s is available.\nü", 2, "embedder")
    LOG.debug("nothing")
    (line,) = lines.objects()
    assert len(lines.texts()) == 1
    assert line["message"] == "Version 2 of embedder is available.\nü"
    assert line["level"] == "INFO"
    assert set(line) == {"time", "level", "message"}


def test_json_has_the_trace_of_an_error_in_one_line(
    logged: Callable[..., Lines],
) -> None:
    lines = logged("json")
    try:
        {}["x"]
    except KeyError:
        logging.getLogger("uvicorn.error").exception("It failed.")
    (line,) = lines.objects()
    assert line["level"] == "ERROR"
    assert line["exception"].splitlines()[-1] == "KeyError: 'x'"


def test_text_is_for_people(logged: Callable[..., Lines]) -> None:
    lines = logged("text")
    LOG.warning("A word.")
    (line,) = lines.texts()
    assert line.endswith(" WARNING A word.")
