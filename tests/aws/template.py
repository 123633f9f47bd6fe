"""What a CloudFormation template says once its parameters are filled in, for what moto does not deploy."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cfnlint.decode.cfn_yaml import load

FOLDER = Path(__file__).parents[2] / "migrations" / "aws"
LANDING, CUSTOMER = FOLDER / "landing.yaml", FOLDER / "customer.yaml"
ABSENT = object()
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::NoValue": ABSENT,
}


def resources(path: Path, **parameters: str) -> dict[str, Any]:
    """The properties of each resource that these parameters make, by its name in the template.

    What one resource knows of another (its ARN, its key) stays as `{Name}` or `{Name.Attribute}`.
    """
    text, resolve = _opened(path, parameters)
    return {
        name: resolve(resource.get("Properties", {}))
        for name, resource in text["Resources"].items()
        if "Condition" not in resource or resolve({"Condition": resource["Condition"]})
    }


def refusals(path: Path, **parameters: str) -> list[str]:
    """What the template's own rules say against these parameters."""
    text, resolve = _opened(path, parameters)
    return [
        assertion["AssertDescription"]
        for rule in text["Rules"].values()
        if resolve(rule.get("RuleCondition", True))
        for assertion in rule["Assertions"]
        if not resolve(assertion["Assert"])
    ]


def _opened(path: Path, parameters: Mapping[str, str]) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    text = load(str(path))
    values = {name: str(given.get("Default", "")) for name, given in text["Parameters"].items()}
    assert set(parameters) <= set(values)
    values |= parameters

    def resolve(node: Any) -> Any:
        if isinstance(node, Mapping):
            if len(node) == 1:
                (function, argument), *_ = node.items()
                if function in FUNCTIONS:
                    return FUNCTIONS[function](argument)
                if function == "Condition" and isinstance(argument, str):
                    return resolve(text["Conditions"][argument])
            found = {name: resolve(value) for name, value in node.items()}
            return {name: value for name, value in found.items() if value is not ABSENT}
        if isinstance(node, list):
            return [item for item in map(resolve, node) if item is not ABSENT]
        return node

    def ref(name: str) -> Any:
        return values.get(name, PSEUDO.get(name, f"{{{name}}}"))

    def choose(argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return resolve(then if resolve({"Condition": condition}) else otherwise)

    FUNCTIONS = {  # noqa: N806 - a table
        "Ref": ref,
        "Fn::Sub": lambda pattern: re.sub(r"\$\{(.+?)\}", lambda name: str(ref(name[1])), pattern),
        "Fn::GetAtt": lambda path: f"{{{'.'.join(path)}}}",
        "Fn::If": choose,
        "Fn::Equals": lambda pair: resolve(pair[0]) == resolve(pair[1]),
        "Fn::And": lambda parts: all(map(resolve, parts)),
        "Fn::Or": lambda parts: any(map(resolve, parts)),
        "Fn::Not": lambda one: not resolve(one[0]),
    }
    return text, resolve
