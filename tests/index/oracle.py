"""What a collection must do, in plain loops over a dictionary."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dce_tf.index import Id, Record

NUMBER, TEXT, TRUTH = "number", "text", "truth"


def kind_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return TRUTH
    if isinstance(value, int | float):
        return NUMBER
    return TEXT if isinstance(value, str) else None


def holds(operator: str, found: Any, wanted: Any) -> bool:
    if operator == "$ne":
        return not holds("$eq", found, wanted)
    if operator == "$in":
        return any(holds("$eq", found, each) for each in wanted)
    if kind_of(found) is None or kind_of(found) != kind_of(wanted):
        return False
    return {
        "$eq": found == wanted,
        "$lt": found < wanted,
        "$lte": found <= wanted,
        "$gt": found > wanted,
        "$gte": found >= wanted,
    }[operator]


def meets(where: Mapping[str, Any], record: Record) -> bool:
    for field, wanted in where.items():
        found = record.label if field == "label" else record.metadata.get(field)
        operators = wanted if isinstance(wanted, dict) else {"$eq": wanted}
        if not all(holds(name, found, value) for name, value in operators.items()):
            return False
    return True


class Oracle:
    def __init__(self) -> None:
        self.records: dict[Id, Record] = {}

    def upsert(self, records: list[Record]) -> None:
        self.records |= {record.id: record for record in records}

    def delete(self, ids: list[Id]) -> int:
        return sum(self.records.pop(each, None) is not None for each in ids)

    def scores(self, query: Any, where: Mapping[str, Any]) -> dict[Id, float]:
        query = np.asarray(query, np.float64)
        found = {}
        for record in self.records.values():
            if meets(where, record):
                vector = np.asarray(record.vector, np.float64)
                lengths = np.linalg.norm(query) * np.linalg.norm(vector)
                found[record.id] = float(query @ vector / lengths)
        return found
