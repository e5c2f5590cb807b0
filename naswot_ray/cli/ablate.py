"""The command `ablate`: how much does a value depend on seeds, images and batch size?"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

import typer
from rich.progress import track

from naswot_ray.cli.app import reporting_errors, stderr, stdout
from naswot_ray.cli.options import Data, Images
from naswot_ray.dataset.inputs import local_option, local_path
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.measures import get_measures
from naswot_ray.paths import OUTPUT, SPACE_OPTION
from naswot_ray.spaces import check_name, open_spaces

BATCH_SIZES = (16, 32, 64, 128, 256)
MAX_REPEATS = 10_000
"""The largest number of seeds of each kind."""


@reporting_errors
def ablate(
    space: Annotated[str, typer.Option(metavar="TEXT", help="Search space.")] = "nasbench201",
    measure: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Measure to compute; repeat for several, or give all. Default: naswot."),
    ] = None,
    num: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of random architectures. They are always the same ones.")
    ] = 10,
    repeats: Annotated[
        int,
        typer.Option(
            min=2, max=MAX_REPEATS, metavar="N", help="Number of seeds of the weights, of the minibatches and of the noise."
        ),
    ] = 20,
    batch_size: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of images, where something else is changed.")
    ] = 128,
    images: Images = "noise",
    data: Data = None,
    space_option: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Parameter of the space, PARAMETER=VALUE."), SPACE_OPTION
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="Folder for ablation.parquet, .md, .svg and .png."),
        OUTPUT,
    ] = None,
) -> None:
    """Measure a few architectures while one thing changes: the initialisation, the minibatch, random images or the batch size.

    In a dataset, one seed chooses both the weights and the minibatch. Here each of them has a seed of its own.

    Example: naswot-ray ablate --images cifar10 --data ~/cifar10 -o ablation
    """
    from naswot_ray.ablation import levels, results  # noqa: PLC0415  torch takes seconds to import
    from naswot_ray.ablation.figure import draw  # noqa: PLC0415  matplotlib
    from naswot_ray.analysis.figures.style import render  # noqa: PLC0415
    from naswot_ray.images.source import load_images  # noqa: PLC0415

    chosen = get_measures(measure or ["naswot"])
    names = [one.name for one in chosen]
    check_name(space)
    folder = None if output is None else Storage(output)
    if folder is not None and not folder.is_empty():
        raise SettingsError(f"{folder.address.name} is not empty; name another folder")
    opened = open_spaces([space], [local_option(option) for option in space_option or ()])[space]
    source = load_images(images, None if data is None else local_path(data))
    noise = load_images("noise", image_size=source.shape[1])
    most = len(source.pixels) if source.pixels is not None else max(BATCH_SIZES)
    wanted = levels.levels(source, noise, batch_size, [n for n in BATCH_SIZES if n <= most], repeats)
    arch_ids = levels.draw_architectures(opened, num)
    found = list(
        track(
            levels.ablate(opened, arch_ids, [source, noise], wanted, chosen),
            "computing",
            total=len(wanted) * len(arch_ids),
            console=stderr,
            disable=not stderr.is_terminal,
        )
    )
    facts = [
        f"{len(arch_ids)} random architectures of {space}",
        f"{source.name} images",
        f"batch size {batch_size}",
        f"{repeats} seeds",
    ]
    sizes = [str(level.batch_size) for level in wanted if level.factor is levels.Factor.BATCH_SIZE]
    noise_too = [f"{noise.name} where images are random"] if noise.name != source.name else []
    text = results.markdown(
        results.effects(found, names), [*facts, *noise_too, f"batch sizes {', '.join(sizes)} where that is changed"]
    )
    stdout.print(text, end="")
    if folder is not None:
        folder.write_table(PurePosixPath("ablation.parquet"), results.rows_of(space, found, names))
        folder.write_bytes(PurePosixPath("ablation.md"), text.encode())
        for suffix, content in render(draw(found, names, facts)).items():
            folder.write_bytes(PurePosixPath(f"ablation{suffix}"), content)
        stdout.print(f"written to {folder.address.name}")
