"""Which records count in a search: `{"label": "x", "price": {"$lt": 5}}`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dce_tf.datasets.labels import clean_label

Scalar = str | float | bool

# What an operator is called in SQL, and in Milvus but for equality.
COMPARISONS = {
    "$eq": "=",
    "$ne": "!=",
    "$lt": "<",
    "$lte": "<=",
    "$gt": ">",
    "$gte": ">=",
}
OPERATORS = (*COMPARISONS, "$in")
LABEL = "label"
_EQUALITIES = ("$eq", "$ne", "$in")
# A whole filter is one query of SQLite, which takes 32,766 parameters.
MOST_VALUES = 1000  # Of one `$in`.
MOST_CONDITIONS = 32

_GRAMMAR = (
    'expected a JSON object such as {"label": "x", "price": {"$gte": 2, "$lt": 5}}, '
    f"with operators {', '.join(OPERATORS)} and text, numbers, true or false as values"
)
# What SQLite calls them.
_TYPES = {bool: "('true', 'false')", str: "('text')", float: "('integer', 'real')"}


@dataclasses.dataclass(frozen=True)
class Condition:
    """One of the conditions that a record must meet.

    Attributes:
        field: `label`, or a field of the metadata.
        operator: One of `OPERATORS`.
        values: What it is compared with: one value, or any number for `$in`.
    """

    field: str
    operator: str
    values: tuple[Scalar, ...]


def parse_filter(where: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """Reads a filter.

    A value is compared with what is of its own type: text by code points, numbers by
    size. A label is also equal to one in the spelling of `clean_label`. `$ne` is met by
    what does not meet `$eq`, so also by a record without the field.

    Args:
        where: A JSON object; None and the empty one leave nothing out.

    Returns:
        Conditions, all of which must be met.

    Raises:
        ValueError: If it is no filter.
    """
    if where is None:
        return ()
    if not isinstance(where, Mapping):
        raise _refused(f"received {_shown(where)}; {_GRAMMAR}")
    conditions: list[Condition] = []
    count = 0
    for field, wanted in where.items():
        _check_field(field)
        operators = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
        if not operators:
            raise _refused(f"{field!r} has no operator; {_GRAMMAR}")
        count += len(operators)
        for operator, operand in operators.items():
            condition = _condition(field, operator, operand)
            conditions += _however_spelled(condition) if field == LABEL else [condition]
    if count > MOST_CONDITIONS:
        raise _refused(
            f"received {count} conditions; expected at most {MOST_CONDITIONS}"
        )
    return tuple(conditions)


def _refused(text: str) -> ValueError:
    return ValueError(f"filter: {text}.")


def is_filterable(field: str) -> bool:
    """Returns whether a field of the metadata can be named in a filter."""
    # SQLite's paths know no escape for these.
    bad = any(letter in '"\\' or ord(letter) < 32 for letter in field)
    return 0 < len(field) <= 255 and not bad and _is_unicode(field)


def _check_field(field: Any) -> None:
    if not isinstance(field, str) or not is_filterable(field):
        raise _refused(
            f"received the field {_shown(field)}; expected the label or a field of the "
            "metadata, of 1 to 255 letters without quotes, backslashes and control "
            "characters"
        )


def _condition(field: str, operator: Any, operand: Any) -> Condition:
    if operator not in OPERATORS:
        raise _refused(f"{field!r} has the operator {_shown(operator)}; {_GRAMMAR}")
    if operator != "$in":
        values: Sequence[Any] = [operand]
    elif isinstance(operand, list | tuple) and len(operand) <= MOST_VALUES:
        values = operand
    else:
        raise _refused(
            f"{field!r} has $in with {_shown(operand)}; expected a list of at most "
            f"{MOST_VALUES} values"
        )
    checked = tuple(_value(field, operator, value) for value in values)
    return Condition(field, operator, checked)


def _however_spelled(condition: Condition) -> list[Condition]:
    """Returns the condition also for a label as `embed` spells it, such as in NFC."""
    values = tuple(
        dict.fromkeys(
            spelling
            for value in condition.values
            for spelling in (value, clean_label(str(value)))
        )
    )
    if values == condition.values or condition.operator not in _EQUALITIES:
        return [condition]
    if condition.operator == "$ne":
        return [dataclasses.replace(condition, values=(value,)) for value in values]
    return [Condition(LABEL, "$in", values)]


def _value(field: str, operator: str, value: Any) -> Scalar:
    ordered = operator not in _EQUALITIES
    if isinstance(value, bool) and not ordered and field != LABEL:
        return value
    if isinstance(value, str) and _is_unicode(value):
        return value
    if _is_number(value) and field != LABEL:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise _refused(
                f"{field!r} has {operator} {_shown(value)}, a whole number of more "
                "than 64 bits, which is not compared exactly; store such as text"
            )
        return value
    wanted = "a label is text" if field == LABEL else _GRAMMAR
    raise _refused(f"{field!r} has {operator} {_shown(value)}; {wanted}")


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def as_sql(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    """Returns conditions as SQL on the columns `label` and `metadata`.

    Args:
        conditions: Of `parse_filter`.

    Returns:
        An expression that is true for the records that count, and its parameters: all
        that a user wrote, but for names of fields, which `parse_filter` has checked.
    """
    terms: list[str] = []
    parameters: list[Any] = []
    for condition in conditions:
        is_negated = condition.operator == "$ne"
        alternatives = []
        for kind, values in _by_kind(condition.values).items():
            comparison = _comparison(condition.operator, len(values))
            term, compared = _compare(condition.field, comparison, kind, values)
            # What is not there is not equal; elsewhere a NULL is as good as false, and
            # SQLite finds a bare comparison of the label in its index.
            alternatives.append(f"coalesce({term}, 0)" if is_negated else term)
            parameters += compared
        term = f"({' OR '.join(alternatives) or '0'})"
        terms.append(f"NOT {term}" if is_negated else term)
    return " AND ".join(terms) or "1", parameters


def _by_kind(values: Sequence[Scalar]) -> dict[type, list[Scalar]]:
    """Returns values with their like: each is compared only with its own kind."""
    kinds: dict[type, list[Scalar]] = {}
    for value in values:
        kind = type(value) if isinstance(value, bool | str) else float
        kinds.setdefault(kind, []).append(value)
    return kinds


def _comparison(operator: str, num_values: int) -> str:
    if operator == "$in":
        # Not one OR a value: SQLite nests no more than a thousand terms.
        return f"IN ({', '.join('?' * num_values)})"
    return f"{COMPARISONS['$eq' if operator == '$ne' else operator]} ?"


def _compare(
    field: str, comparison: str, kind: type, values: list[Scalar]
) -> tuple[str, list[Any]]:
    if field == LABEL:
        return f"label {comparison}", values
    value, value_type = field_value(field), field_type(field)
    return f"{value} {comparison} AND {value_type} IN {_TYPES[kind]}", values


def field_value(field: str) -> str:
    """Returns what a field of the metadata holds, as SQL; true is 1, false is 0.

    The name is part of the expression, and not a parameter: so an index of the same
    expression is found.
    """
    return _of_field("json_extract", field)


def field_type(field: str) -> str:
    """Returns the type of what a field of the metadata holds, as SQL."""
    return _of_field("json_type", field)


def _of_field(function: str, field: str) -> str:
    # SQLite compares names as they are written; collections of before 2026-12 have
    # letters beyond ASCII escaped.
    names = dict.fromkeys((field, json.dumps(field)[1:-1]))
    paths = ('$."{}"'.format(name.replace("'", "''")) for name in names)
    found = [f"{function}(metadata, '{path}')" for path in paths]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"
