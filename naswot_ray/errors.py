"""Errors that a user can act on.

Every error whose cause lies outside this package (an option, a file, a cluster) is a `NaswotError`. Its message is one line
that names what is wrong and how to fix it. Entry points print that line and exit with status 2. Any other exception is a defect
of this package and keeps its traceback.
"""


class NaswotError(Exception):
    """Base of all errors that a user can act on."""


class ArchitectureError(NaswotError, ValueError):
    """An architecture is malformed or not in its space."""


class ImagesError(NaswotError, ValueError):
    """An image source cannot be read or cannot serve the batch asked for."""


class SettingsError(NaswotError, ValueError):
    """An option is out of range or contradicts what a dataset holds."""


class MeasureError(NaswotError, ArithmeticError):
    """A measure has no value for a network."""


class DatasetError(NaswotError):
    """A dataset cannot be opened, read or written."""


class BenchmarkError(NaswotError):
    """A benchmark file cannot be read as what it claims to be."""


class FetchError(NaswotError):
    """A file cannot be downloaded, or it is not the file that its publisher describes."""


class RunError(NaswotError):
    """A run cannot start or cannot go on."""


class PublishError(NaswotError):
    """A publication cannot be uploaded."""
