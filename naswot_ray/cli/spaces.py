"""The command `spaces`, which lists the search spaces."""

from __future__ import annotations

import inspect

from naswot_ray.cli.app import reporting_errors, stdout
from naswot_ray.errors import ArchitectureError, BenchmarkError, SettingsError
from naswot_ray.spaces import all_spaces, facts_of, get_space, parameters_of


@reporting_errors
def spaces() -> None:
    """List the search spaces, with their sizes and parameters."""
    from_file: dict[str, list[str]] = {}
    for name in sorted(all_spaces()):
        if (file := facts_of(name).opened_from) is not None:
            from_file.setdefault(file, []).append(name)
            continue
        try:
            space = get_space(name)
            stdout.print(f"{name}: {len(space):,} architectures, the first is {space[0]}")
        except (SettingsError, BenchmarkError, ArchitectureError) as error:
            stdout.print(f"{name}: {error}")
        given = [_shown(parameter, default) for parameter, default in parameters_of(name).items()]
        if given:
            stdout.print(f"  --space-option {', '.join(given)}")
    for file, names in from_file.items():
        stdout.print(
            f"these are read from a file (`naswot-ray fetch {file}`, or --space-option source=PATH): {', '.join(names)}"
        )


def _shown(parameter: str, default: object) -> str:
    return f"{parameter}={'VALUE' if default is inspect.Parameter.empty else default}"
