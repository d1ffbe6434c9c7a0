from tests.runs.conftest import base, config, data

__all__ = ["base", "config", "data"]
