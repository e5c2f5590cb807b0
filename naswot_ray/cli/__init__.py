"""The command line, `naswot-ray`: reads options, calls the work, prints, sets the exit status.

Exit status: 0 success, 1 partial (some rows are `failed` or missing), 2 a bad option, file or cluster, 130 interrupted.
"""

from naswot_ray.cli import ablating, analysing, auditing, fetching, filling, looking, plan, publishing, reading, searching
from naswot_ray.cli.app import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_PARTIAL, app

__all__ = ["EXIT_ERROR", "EXIT_INTERRUPTED", "EXIT_PARTIAL", "app", "main"]

_COMMANDS = {
    "score": filling.score,
    "join": filling.join,
    "accuracies": filling.import_accuracies,
    "query": reading.query,
    "info": reading.info,
    "check": reading.check,
    "plan": plan.plan,
    "audit": auditing.audit,
    "analyse": analysing.analyse,
    "search": searching.search,
    "ablate": ablating.ablate,
    "figures": looking.figures,
    "report": looking.report,
    "publish": publishing.publish_dataset,
    "fetch": fetching.fetch_files,
    "spaces": fetching.spaces,
}
"""In the order in which --help lists them."""

for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Entry point of the console script and of `jobs/`."""
    app()
