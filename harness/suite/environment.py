"""``${VAR}`` and ``${VAR:-default}`` in the strings of a document, after parsing: a value can never become YAML.

Case rows and examples are data and are left as they are, or a row with ``${OPENAI_API_KEY}`` in its text would send the key to
a model. ``$${`` writes a literal ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import Fault
from harness.suite.document import Location

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_SECRET_NAME = re.compile(r"(?:^|[_-])(?:api)?(?:key|token|secret|password|passwd|credentials?)(?:$|[_-])", re.IGNORECASE)
MIN_SECRET = 6  # shorter values ("EMPTY", "none") are placeholders; hiding them would black out ordinary text


@dataclass
class Resolver:
    """Fills in variables and remembers which values must not be shown."""

    env: Mapping[str, str]
    where: Callable[[Location], str]
    data: Callable[[Location], bool]  # True: everything below is data, leave it alone
    faults: list[Fault] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    unset: set[Location] = field(default_factory=set)  # where a variable is missing: the reference stays as it is written

    def resolve(self, value: Any, location: Location = ()) -> Any:
        if self.data(location):
            return value
        if isinstance(value, dict):
            return {key: self.resolve(item, (*location, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*location, number)) for number, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda match: self._one(match, location), value)
        return value

    def _one(self, match: re.Match[str], location: Location) -> str:
        name, default = match.group(1), match.group(2)
        if match.group() == "$${":
            return "${"
        if name is None:
            self.faults.append(
                Fault(self.where(location), "`${` without a variable name", "write ${NAME}, or $${ for a literal ${")
            )
            return ""
        value = self.env.get(name) or (default if default is not None else self.env.get(name))
        if value is None:
            todo = f"export {name}, or give a default: ${{{name}:-...}}"
            self.faults.append(Fault(self.where(location), f"the environment variable {name} is not set", todo))
            self.unset.add(location)
            return match.group()
        if len(value) >= MIN_SECRET and (_SECRET_NAME.search(name) or is_secret(location)):
            self.secrets.add(value)
        return value


def is_secret(location: Location) -> bool:
    """The key that holds the value says that it is one."""
    keys = [key for key in location if isinstance(key, str)]
    return bool(keys) and bool(_SECRET_NAME.search(keys[-1]))
