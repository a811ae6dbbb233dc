"""Mutants that no test can notice, or none should, each with its reason: `survivors.toml`, by function and its source."""

import ast
import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("survivors.toml")
NAME = re.compile(r"(?P<module>[\w.]+)\.(?:xǁ(?P<owner>\w+)ǁ|x_)(?P<function>\w+)__mutmut_(?P<number>\d+)")


def reasons() -> dict[str, str]:
    """Why each of the mutants named in the list survives; one of a function that has changed since is not among them."""
    found: dict[str, str] = {}
    for entry in tomllib.loads(LIST.read_text())["function"]:
        module, _, name = entry["name"].rpartition(".")
        if digest(module, name) != entry["digest"]:
            continue
        for why, numbers in entry["because"].items():
            found |= {f"{entry['name']}__mutmut_{number}": why for number in numbers}
    return found


def digest(module: str, name: str) -> str:
    """A short hash of the function's source; empty where there is none of that name. `name` is as the tool writes it."""
    owner, function = name[2:].split("ǁ", 1) if name.startswith("xǁ") else ("", name.removeprefix("x_"))
    source = _functions(module).get((owner, function))
    return "" if source is None else hashlib.sha256(source.encode()).hexdigest()[:12]


@cache
def _functions(module: str) -> dict[tuple[str, str], str]:
    file = ROOT / (module.replace(".", "/") + ".py")
    text = file.read_text()
    found = {}
    for node in ast.parse(text).body:
        for owner, one in [
            ("", node),
            *((node.name, inner) for inner in getattr(node, "body", []) if isinstance(node, ast.ClassDef)),
        ]:
            if isinstance(one, ast.FunctionDef):
                found[owner, one.name] = ast.get_source_segment(text, one) or ""
    return found
