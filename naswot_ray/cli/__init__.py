"""The command line `naswot-ray`, with one module for each command.

A command reads its options, calls the rest of the package, prints the result and sets the exit status: 0 success, 1 partial
(some rows are `failed` or missing), 2 a bad option, file or cluster, 130 interrupted.
"""

from naswot_ray.cli import (
    ablate,
    accuracies,
    analyse,
    audit,
    check,
    fetch,
    figures,
    info,
    join,
    measures,
    plan,
    publish,
    query,
    report,
    score,
    score_module,
    search,
    spaces,
)
from naswot_ray.cli.app import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_PARTIAL, app

__all__ = ["EXIT_ERROR", "EXIT_INTERRUPTED", "EXIT_PARTIAL", "app", "main"]

_COMMANDS = {
    "score": score.score,
    "score-module": score_module.score_module,
    "join": join.join,
    "accuracies": accuracies.import_accuracies,
    "query": query.query,
    "info": info.info,
    "check": check.check,
    "plan": plan.plan,
    "audit": audit.audit,
    "analyse": analyse.analyse,
    "search": search.search,
    "ablate": ablate.ablate,
    "figures": figures.figures,
    "report": report.report,
    "publish": publish.publish_dataset,
    "fetch": fetch.fetch_files,
    "spaces": spaces.spaces,
    "measures": measures.measures,
}
"""The commands, in the order in which --help lists them."""

for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Entry point of the console script and of `jobs/`."""
    app()
