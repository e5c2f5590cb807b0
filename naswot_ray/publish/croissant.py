"""The description for machines: Croissant 1.1 (https://docs.mlcommons.org/croissant) with the responsible-AI fields that venues
ask of every dataset (http://mlcommons.org/croissant/RAI/1.0)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from naswot_ray.dataset import schema
from naswot_ray.publish import card
from naswot_ray.publish.compaction import KEYS, FileFormat, PublishedTable
from naswot_ray.publish.contents import Contents

CONFORMS_TO: Final = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")

_LICENCE: Final = "https://spdx.org/licenses/MIT"
_MEDIA_TYPES: Final = {FileFormat.PARQUET: "application/x-parquet", FileFormat.ARROW: "application/vnd.apache.arrow.file"}

_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""Section "JSON-LD context" of the specification."""


def describe(contents: Contents) -> dict[str, Any]:
    """croissant.json: files with their digests, tables with their columns, and where it all comes from."""
    described: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
        "name": card.title(contents),
        "description": card.summary(contents),
        "license": [_LICENCE, *dict.fromkeys(f"{s.name}: {s.terms}" for s in contents.published_sources)],
        "creator": {"@type": "sc:Organization", "name": "the naswot-ray authors"},
        "citeAs": "\n\n".join(card.bibtex(contents)),
        "keywords": ["neural architecture search", "training-free", "zero-cost proxy", *contents.measured],
        "version": f"{contents.settings.schema_version}.0",
        "isLiveDataset": False,
    }
    if contents.repository is not None:
        described["url"] = f"https://huggingface.co/datasets/{contents.repository}"
    if contents.changed is not None:
        described["datePublished"] = contents.changed.date().isoformat()
    return (
        described
        | _responsible(contents)
        | {
            "distribution": [entry for table in contents.tables for entry in _distribution(contents, table)],
            "recordSet": [_record_set(contents, table) for table in contents.tables],
        }
    )


def _responsible(contents: Contents) -> dict[str, Any]:
    quality = contents.quality
    started = min((run.started for run in contents.runs), default=None)
    collected = [moment.isoformat() for moment in (started, contents.changed) if moment is not None]
    return {
        "rai:dataCollection": "Computed: a forward pass of each untrained network on a batch of images. The measures are taken "
        "from the signs and values of what its ReLUs read; each column's description has the formula.",
        "rai:dataCollectionType": ["Experiments"],
        "rai:dataCollectionTimeFrame": collected,
        "rai:dataCollectionMissingData": f"{quality.num_missing} of {quality.num_wanted} planned score rows are missing or "
        f"lack a measure; {quality.num_failed} rows failed and are kept without any value and with the reason. "
        f"{_gaps(contents)}",
        "rai:dataLimitations": [
            "Values of different batch sizes, image sources or search spaces cannot be compared with each other.",
            "A measure predicts accuracy only roughly; parameters, FLOPs or the number of layers often do as well.",
        ],
        "rai:dataBiases": [
            "The search spaces hold convolutional networks for small image classification. Most measures grow with a network's "
            "size."
        ],
        "rai:personalSensitiveInformation": ["None: the dataset holds numbers about network architectures, and no images."],
        "rai:dataUseCases": [
            "Studying training-free measures; training-free architecture search; a reference for other implementations.",
            "Not for claims about networks outside these search spaces.",
        ],
        "rai:dataSocialImpact": "Saves the computation of scoring whole search spaces again; no effect on people is foreseen.",
        "rai:hasSyntheticData": any(group.images.startswith("noise") for group in quality.groups),
        "prov:wasDerivedFrom": [*contents.spaces, *sorted(contents.settings.settings.images)],
        "prov:wasGeneratedBy": contents.commands,
    }


def _gaps(contents: Contents) -> str:
    """How many rows have no value of each measure."""
    num_rows = sum(group.num_rows for group in contents.quality.groups)
    gaps = {
        name: num_rows - sum(c.num_values for c in contents.quality.measures if c.measure == name) for name in contents.measures
    }
    return "Null in so many rows: " + ", ".join(f"{name} {number}" for name, number in gaps.items()) + "."


def _distribution(contents: Contents, table: PublishedTable) -> Iterator[dict[str, Any]]:
    for file in contents.files_of(table):
        yield {
            "@type": "cr:FileObject",
            "@id": str(file.path),
            "name": file.path.name,
            "contentUrl": str(file.path),
            "contentSize": f"{file.num_bytes} B",
            "encodingFormat": _MEDIA_TYPES[contents.format],
            "sha256": file.sha256,
        }
    yield {
        "@type": "cr:FileSet",
        "@id": f"files/{table.config}",
        "name": f"files of {table.config}",
        "encodingFormat": _MEDIA_TYPES[contents.format],
        "includes": contents.pattern_of(table),
    }


def _record_set(contents: Contents, table: PublishedTable) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.config,
        "name": table.config,
        "description": schema.TABLES[table.table],
        "key": [{"@id": f"{table.config}/{name}"} for name in KEYS[table.table]],
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{table.config}/{column.name}",
                "name": column.name,
                "description": column.meaning,
                "dataType": _data_type(column.type),
                "source": {"fileSet": {"@id": f"files/{table.config}"}, "extract": {"column": column.name}},
            }
            for column in contents.columns_of(table.table)
        ],
    }


def _data_type(type_: pa.DataType) -> str:
    return {pa.string(): "sc:Text", pa.int32(): "cr:Int32", pa.int64(): "cr:Int64", pa.float64(): "cr:Float64"}[type_]
