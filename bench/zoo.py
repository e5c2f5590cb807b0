"""The zoo of docs/your-own-network.md: what `score_module` sees in models of torchvision and timm.

    python -m bench.zoo -o zoo.jsonl                                  # all of bench.models.MODELS, a line of JSON each
    python -m bench.zoo -o zoo.jsonl torchvision:resnet18             # these
    python -m bench.zoo -o zoo.jsonl --table                          # print what was found as a Markdown table

Models are built without weights and scored on one batch of noise in a process of their own, on one thread. Those that the file
has are passed over, so a run that was interrupted goes on. Needs torchvision and timm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from bench.models import MODELS, build
from naswot_ray import score_module
from naswot_ray.engines.module.activations import Fate

NUM_IMAGES = 16


def main(
    models: Annotated[list[str] | None, typer.Argument(help="Models; default is all.")] = None,
    output: Annotated[Path, typer.Option("-o", help="File of results, a line of JSON for each model.")] = Path("zoo.jsonl"),
    table: Annotated[bool, typer.Option("--table", help="Print the file as a table instead of scoring.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Score the one model in this process and print its line.")] = False,
) -> None:
    """Score models, or print the table."""
    if table:
        print(_markdown([json.loads(line) for line in output.read_text().splitlines()]))
        return
    if here:
        assert models is not None
        print(json.dumps(_row(models[0])))
        return
    known = {json.loads(line)["model"] for line in output.read_text().splitlines()} if output.exists() else set()
    for model in models or MODELS:
        if model in known:
            continue
        command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "bench.zoo", model, "--here"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        row = done.stdout.splitlines()[-1] if done.returncode == 0 else json.dumps({"model": model, "error": "ended early"})
        with output.open("a") as file:
            print(row, file=file)
        print(row, flush=True)


def _row(model: str) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    module, size = build(model)
    images = torch.randn(NUM_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0))
    row: dict[str, Any] = {"model": model, "size": size}
    for activations, name in (("relu", "naswot"), ("sign", "naswot_sign")):
        begin = time.process_time()
        try:
            result = score_module(module, images, activations=activations)  # type: ignore[arg-type]
        except ValueError as error:
            row[name] = {"error": str(error)}
            continue
        row[name] = {
            "value": result[name],
            "num_units": result.num_units,
            "num_units_paper": result.num_units_paper,
            "num_units_published": result.num_units_published,
            "num_counted": sum(one.fate is Fate.COUNTED for one in result.activations),
            "seconds": time.process_time() - begin,
        }
        row["executed"] = Counter(
            one.operation.split("(")[0].removesuffix("_")
            + (" (dead)" if one.fate is Fate.DEAD else " (constant)" if one.fate is Fate.CONSTANT else "")
            for one in result.activations
        )
    return row


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| model | executed activations | counted | units | published rule | naswot | by sign | naswot_sign | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['model']} | {row['error']} | | | | | | | |")
            continue
        relu, sign = row["naswot"], row["naswot_sign"]
        either = relu if "value" in relu else sign
        executed = ", ".join(
            f"{name} ×{number}" for name, number in sorted(row.get("executed", {}).items(), key=lambda item: -item[1])
        )
        lines.append(
            f"| {row['model']} | {executed} | {relu.get('num_counted', 0)} | {relu.get('num_units', 0):,} "
            f"| {either.get('num_units_published', 0):,} | {_value(relu)} | {sign.get('num_counted', 0)} | {_value(sign)} "
            f"| {relu.get('seconds', sign.get('seconds', 0)):.1f} |"
        )
    return "\n".join(lines)


def _value(found: dict[str, Any]) -> str:
    return f"{found['value']:.2f}" if "value" in found else "none"


if __name__ == "__main__":
    typer.run(main)
