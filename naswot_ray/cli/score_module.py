"""The command `score-module`, which scores a network of the user's own."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from naswot_ray.cli.app import reporting_errors, stdout
from naswot_ray.cli.options import Data, Images, ImageSize
from naswot_ray.dataset.inputs import local_path
from naswot_ray.errors import NaswotError, SettingsError
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.terminal import complain

if TYPE_CHECKING:
    from naswot_ray.engines.module.score import ModuleScores


@reporting_errors
def score_module(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="Function or class that is called without arguments and gives a torch.nn.Module, or a name of such a module. "
            "MODULE is the dotted name of a Python module, which may lie in the current folder, or the path of a .py file.",
        ),
    ],
    images: Images = "noise",
    data: Data = None,
    image_size: ImageSize = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Number of images.")] = 128,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Seed of the weights, of the images and of dropout.")
    ] = 0,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Measure to compute; repeat for several, or give all. Default: {' and '.join(DEFAULT_MEASURES)}.",
        ),
    ] = None,
    activations: Annotated[
        Literal["relu", "sign"],
        typer.Option(help="What counts: relu and its piecewise linear kin, or by its sign also gelu, silu and the like."),
    ] = "relu",
    outputs: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which output the score depends on: a key, an attribute or a position of what the module returns. Default: "
            "the first tensor.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with an error if there are activations that are not counted.")
    ] = False,
) -> None:
    """Score a network of your own, any torch.nn.Module.

    Prints every activation that the network executes, whether it counts, and the scores. The weights are those that the
    function draws after torch.manual_seed(SEED).

    Example: naswot-ray score-module torchvision.models:resnet18 --image-size 64 --measure all
    """
    chosen = [one.name for one in get_measures(measure or DEFAULT_MEASURES)]
    from naswot_ray.engines.module.score import score_module as scores_of  # noqa: PLC0415  torch takes seconds to import
    from naswot_ray.engines.module.target import describe_error, load_module  # noqa: PLC0415
    from naswot_ray.images.source import load_images  # noqa: PLC0415

    source = load_images(images, None if data is None else local_path(data), image_size=image_size)
    batch = source.batch(batch_size, seed)
    module = load_module(target, seed)
    shape = "x".join(map(str, source.shape))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        try:
            scores = scores_of(
                module,
                batch,
                measures=chosen,
                activations=activations,
                seed=seed,
                outputs=int(outputs) if outputs is not None and outputs.lstrip("-").isdecimal() else outputs,
                strict=strict,
            )
        except NaswotError:
            raise
        except ValueError as error:
            raise SettingsError(" ".join(str(error).split())) from error
        except Exception as error:  # of the module's own code: most often it takes images of another size
            raise SettingsError(
                f"{target} raised {describe_error(error)}, on images of {shape}; if it takes images of another size, give that "
                "with --image-size"
            ) from error
    for one in caught:
        complain(f"warning: {' '.join(str(one.message).split())}")
    stdout.print(f"{target} on {batch_size} images of {shape} from {source.name}, seed {seed}\n\n{scores.activations}\n")
    _print_scores(scores)


def _print_scores(scores: ModuleScores) -> None:
    lines = [(name, f"{value:.6g}") for name, value in scores.items()]
    lines += [(name, f"failed: {reason}") for name, reason in scores.errors.items()]
    lines += [
        ("units", f"{scores.num_units:,}"),
        ("units of naswot_paper", f"{scores.num_units_paper:,}"),
        ("units of the published code", f"{scores.num_units_published:,}"),
    ]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        stdout.print(f"{name:{width}}  {value}")
    if scores.why_singular is not None:
        stdout.print(f"singular: {scores.why_singular}")
    for note in scores.notes:
        stdout.print(f"note: {note}")
