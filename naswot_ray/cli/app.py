"""What all commands share: the application, the handling of options and errors, exit statuses and consoles."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Annotated, Any, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.core import TyperGroup
from typer.models import ArgumentInfo, ParameterInfo

from naswot_ray import __version__
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.errors import NaswotError, SettingsError
from naswot_ray.paths import OUTPUT, PathOption, hide_credentials
from naswot_ray.terminal import Terminal, complain, printable

EXIT_PARTIAL = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class _Commands(TyperGroup):
    """The group of commands. It reports errors of the command line and of the system without secrets and control characters."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _shown_safely():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        with _shown_safely():
            return super().invoke(*args, **kwargs)


@contextlib.contextmanager
def _shown_safely() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # such as `| head`, which has read all that it wants
        raise
    except OSError as failure:  # such as a full disk behind the standard output, or no more file handles
        if failure.errno is None:
            raise
        _stop_writing()
        complain(f"error: {failure.filename or 'the output or a file'}: {failure.strerror}")
        raise typer.Exit(EXIT_ERROR) from None
    except Exception as caught:
        error: Any = caught
        if hasattr(error, "format_message") and isinstance(error.message, str):  # an error of click, of which typer has a copy
            error.message = printable(hide_credentials(error.message))
        raise


app = typer.Typer(
    cls=_Commands,
    help="Training-free NASWOT scores of whole neural-architecture search spaces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_METAVARS: dict[Any, str] = {int: "N", float: "X", str: "TEXT"}
stderr, stdout = Terminal(stderr=True), Terminal()

DatasetPath = Annotated[str, typer.Argument(help="Directory of the dataset, a path or URI.", metavar="DATASET"), OUTPUT]


def with_options(model: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a decorator that gives a command the fields of a pydantic model as options, so that each is defined only once."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = []
        for name, field in model.model_fields.items():
            flags = [f"--{name.replace('_', '-')}", *(["-o"] if name == "output" else [])]
            kinds = [t for t in (get_args(field.annotation) or (field.annotation,)) if t is not NoneType]
            marks = [mark for mark in field.metadata if isinstance(mark, PathOption)]
            is_path = any(not mark.is_assignment for mark in marks)
            metavar = None if kinds == [bool] else "PATH" if is_path else _METAVARS.get(kinds[0])
            option = typer.Option(*flags, help=field.description, metavar=metavar)
            default = inspect.Parameter.empty if field.default is PydanticUndefined else field.default
            parameters.append(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=Annotated[field.annotation, option, *marks],
                )
            )
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters += [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command, so that errors that the user can act on end it with one line and an exit status, not a traceback.

    The decorated command also expands and checks every path that it is given (`PathOption.settled`).
    """
    paths = list(path_options(command))

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            for name, given in kwargs.items():
                _check_text(name, given)
            for name, label, path in paths:
                if isinstance(given := kwargs.get(name), str):
                    kwargs[name] = path.settled(given, label)
                elif given is not None:
                    kwargs[name] = [path.settled(text, label) for text in given]
            command(*args, **kwargs)
        except NaswotError as error:
            complain(f"error: {error}")
            raise typer.Exit(EXIT_ERROR) from None
        except KeyboardInterrupt:
            complain("interrupted; everything written is kept, and the same command does the rest")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return run


def _check_text(name: str, given: Any) -> None:
    """Refuse arguments that are not text. Python passes such bytes on as surrogates, which no library accepts."""
    for text in given if isinstance(given, (list, tuple)) else [given]:
        if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
            raise SettingsError(f"{name.replace('_', '-')} {text!r}: expected text in {sys.getfilesystemencoding()}")


def path_options(command: Callable[..., None]) -> Iterator[tuple[str, str, PathOption]]:
    """Yield the parameters of a command that are marked as paths: the name, what users call it, and the mark."""
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        marks = [mark for mark in get_args(parameter.annotation) if isinstance(mark, PathOption)]
        if marks:
            (info,) = (mark for mark in get_args(parameter.annotation) if isinstance(mark, ParameterInfo))
            # Inside Annotated, typer keeps the first flag where the default would be otherwise.
            given = (info.default, *(info.param_decls or ()))
            flags = [flag for flag in given if isinstance(flag, str) and flag.startswith("--")]
            label = (info.metavar or name).strip("[]") if isinstance(info, ArgumentInfo) else f"--{name.replace('_', '-')}"
            yield name, flags[0] if flags else label, marks[0]


def _escape_what_cannot_be_shown() -> None:
    """Print an escape for a character that the terminal or pipe cannot encode, instead of ending with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _stop_writing() -> None:
    """Close a standard output that cannot be written to. Otherwise Python would report it once more when it exits."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _print_version(asked: bool) -> None:
    if asked:
        stdout.print(f"naswot-ray {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    _escape_what_cannot_be_shown()


def only_space(dataset: Dataset) -> str:
    """The only space that a dataset has scores of.

    Raises:
        SettingsError: the dataset has scores of several spaces, or of none.
    """
    spaces = sorted(dataset.manifest.settings.spaces)
    if len(spaces) != 1:
        raise SettingsError(
            f"{dataset.storage.root} holds scores of {', '.join(spaces) or 'no space'}: choose one with --space"
        )
    return spaces[0]
