"""The command `spaces`."""

from __future__ import annotations

from naswot_ray.cli.app import reporting_errors, stdout
from naswot_ray.spaces import SPACES, get_space, parameters_of


@reporting_errors
def spaces() -> None:
    """List the search spaces."""
    from_file = [name for name in sorted(SPACES) if "source" in parameters_of(name)]
    for name in sorted(SPACES.keys() - from_file):
        space, parameters = get_space(name), parameters_of(name)
        stdout.print(f"{name}: {len(space):,} architectures, the first is {space[0]}")
        if parameters:
            stdout.print(f"  --space-option {', '.join(f'{key}={default}' for key, default in parameters.items())}")
    stdout.print(f"opened from their file (`naswot-ray fetch nds`, or --space-option source=PATH): {', '.join(from_file)}")
