"""An evaluator of IAM policies, with the conditions that these templates use; AWS's own rules, in small."""

import re
from collections.abc import Mapping
from typing import Any


def permits(policy: Mapping[str, Any], action: str, resource: str, **context: str) -> bool:
    """Whether the policy allows the action: some statement allows it and none denies it.

    `context` is what the request carries, condition keys with _ for : and -, `s3_if_none_match="*"`.
    """
    keys = {re.sub(r"[:-]", "_", key).lower(): key for key in _keys(policy)}
    assert set(context) <= {*keys, "s3_if_none_match", "s3_prefix"}, "no statement asks for this"
    carried = {keys[name]: value for name, value in context.items() if name in keys}
    effects = {
        statement["Effect"]
        for statement in _list(policy["Statement"])
        if any(_like(pattern, action) for pattern in _list(statement["Action"]))
        and any(_like(pattern, resource) for pattern in _list(statement["Resource"]))
        and _holds(statement.get("Condition", {}), carried)
    }
    return effects == {"Allow"}


def _keys(policy: Mapping[str, Any]) -> set[str]:
    return {
        key
        for statement in _list(policy["Statement"])
        for wanted in statement.get("Condition", {}).values()
        for key in wanted
    }


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    return all(
        OPERATORS[operator](context.get(key), _list(value))
        for operator, wanted in condition.items()
        for key, value in wanted.items()
    )


OPERATORS = {
    "Null": lambda found, wanted: [str(found is None).lower()] == wanted,
    "Bool": lambda found, wanted: found in wanted,
    "StringEquals": lambda found, wanted: found in wanted,
    "StringLike": lambda found, wanted: found is not None and any(_like(item, found) for item in wanted),
}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(pattern: str, text: str) -> bool:
    wanted = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(wanted, text, re.DOTALL) is not None
