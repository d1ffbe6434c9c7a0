"""Flags of `serve` from the environment."""

import pytest
from absl import flags

from dce_tf.base.errors import UsageError
from dce_tf.commands.environment import take_from_environment
from dce_tf.commands.finding import flags_of

VALUES = {"bool": "true", "int": "7", "float": "7.5"}


def parsed(*words: str) -> flags.FlagValues:
    values = flags.FlagValues()
    flags_of("serve").define_flags(values)
    values(["serve", *words])
    return values


def take(values: flags.FlagValues, **variables: str) -> None:
    named = {f"DCE_TF_{name}": text for name, text in variables.items()}
    take_from_environment(values, "DCE_TF_", {**named, "PATH": "/bin"})


@pytest.mark.parametrize("name", list(parsed()))
def test_every_flag_has_its_variable(name: str) -> None:
    values = parsed()
    before = values[name].value
    text = "json" if name == "log_format" else VALUES.get(values[name].flag_type(), "x")
    take(values, **{name.upper(): text})
    found = values[name].value
    assert found != before
    assert str(found if not isinstance(found, list) else found[0]).lower() == text


def test_command_line_wins() -> None:
    values = parsed("--port=1", "--index=a", "--noread_only", "--access_log")
    take(values, PORT="2", INDEX="b", READ_ONLY="1", ACCESS_LOG="0", HOST="0.0.0.0")
    assert values["port"].value == 1
    assert values["index"].value == ["a"]
    assert values["read_only"].value is False
    assert values["access_log"].value is True
    assert values["host"].value == "0.0.0.0"


def test_word_on_the_command_line_is_the_source() -> None:
    values = parsed("RUN")
    variables = {"DCE_TF_RUN": "other"}
    take_from_environment(values, "DCE_TF_", variables, given=["run"])
    assert values["run"].value is None


def test_lists_have_commas_and_indexes_a_line_each() -> None:
    values = parsed()
    take(values, VERSIONS="1,2", INDEX="runs/a/index\npostgres://h1,h2/db#x\n")
    assert values["versions"].value == ["1", "2"]
    assert values["index"].value == ["runs/a/index", "postgres://h1,h2/db#x"]


def test_empty_variable_is_none() -> None:
    values = parsed()
    take(values, PORT="", ALLOWED_HOSTS="", TLS_CERT="")
    assert values["port"].value == 8501
    assert values["allowed_hosts"].value == []
    assert values["tls_cert"].value is None


def test_variable_for_no_flag_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"DCE_TF_PROT .*Did you mean 'DCE_TF_PORT'"):
        take(parsed(), PROT="80")


def test_value_that_the_flag_refuses_is_told_with_its_variable() -> None:
    # So Kubernetes does for a Service that is called `dce-tf`.
    with pytest.raises(UsageError, match=r"DCE_TF_PORT in .*tcp://10\.0\.0\.1:8501"):
        take(parsed(), PORT="tcp://10.0.0.1:8501")


def test_variables_of_services_in_kubernetes_are_left_alone() -> None:
    take(
        parsed(),
        SERVICE_HOST="10.0.0.1",
        SERVICE_PORT="8501",
        SERVICE_PORT_HTTP="8501",
        PORT_8501_TCP_ADDR="10.0.0.1",
        SEARCH_SERVICE_HOST="10.0.0.1",
        SEARCH_PORT="tcp://10.0.0.1:8501",
    )
