"""What each column means, in one line: for the card and the Croissant file. Their names and types are `dataset.schema`'s."""

from __future__ import annotations

from typing import Final

_KEY: Final = {
    "space": "search space",
    "arch_id": "the benchmark's own key of the architecture: arch string, module hash, channel string, or index and digest",
    "arch_index": "position in the space's order",
    "images": "image source: noise, cifar10, cifar100 or imagenet16-120, with the size behind it if enlarged",
    "batch_size": "N, the number of images",
    "seed": "of the weights and of the batch",
}

_SCORE: Final = {
    "score": "log|det K| as the published code counts: ReLUs in ReLU-Conv-BN blocks twice; -inf where K is singular, null "
    "where status is failed",
    "score_paper": "the same with every counted ReLU once: the paper's formula",
    "num_units": "N_A of score: live ReLU units with multiplicities, the diagonal of K",
    "status": "ok, singular (two images cannot be told apart, det K = 0) or failed (see error)",
}

_BASELINES: Final = {
    "params": "trainable parameters of the network as the benchmark trained it",
    "flops": "multiply-accumulates of convolutions and linear layers, plus one per bias",
    "num_relus": "ReLU layers that the output depends on, each once",
    "num_layers": "convolutions and linear layers",
}

_ACCURACY: Final = {
    "dataset": "what it was trained on",
    "split": "valid, test or valtest, as the benchmark names them",
    "epochs": "length of the training",
    "accuracy": "percent; where seed is null, the mean over repeats",
    "max_accuracy": "beside a mean: the best repeat",
    "num_repeats": "repeats in a mean, where the source tells",
}

MEANING: Final[dict[str, dict[str, str]]] = {
    "scores": {
        **_KEY,
        **_SCORE,
        "error": "why it failed; null otherwise",
        "engine": "what computed it: exact, fast or cuda, within 1e-3 of each other in float32; none if no worker survived it",
        "dtype": "precision of the forward pass",
        "device": "cpu or cuda; none likewise",
        "seconds": "time that this row took",
        "run_id": "the run that wrote the row; see provenance.json",
    },
    "architectures": {
        **{name: _KEY[name] for name in ("space", "arch_id", "arch_index")},
        "benchmark_index": "position in the benchmark's own order, where it has one",
        "architecture": "the architecture itself, in the benchmark's notation",
        "isomorphism_class": "key of the architectures with the same cell under renaming",
        **_BASELINES,
        "status": "ok, or failed where the network could not be built",
        "error": "why; null otherwise",
    },
    "accuracies": {
        **{name: _KEY[name] for name in ("space", "arch_id")},
        **{name: _ACCURACY[name] for name in ("dataset", "split", "epochs")},
        "seed": "of one repeat; null for the mean over repeats",
        **{name: _ACCURACY[name] for name in ("accuracy", "max_accuracy", "num_repeats")},
        "training_seconds": "time that the training took, where the source tells",
        "params": "of the trained network, as the source tells",
        "flops": "of the trained network, as the source tells",
        "optimiser": "the training's settings as JSON, where they differ from architecture to architecture",
        "source_digest": "SHA-256 of the file it was read from",
    },
    "joined": {**_KEY, **_SCORE, **_BASELINES, **_ACCURACY},
}
"""Table -> column -> meaning."""

TABLE_MEANING: Final = {
    "scores": "a row per architecture, image source, batch size and seed",
    "architectures": "a row per architecture, with the baselines that a score has to beat",
    "accuracies": "trained accuracies from the benchmark's file",
    "joined": "scores, baselines and mean accuracies: a row per score and (dataset, split, epochs)",
}
