"""What a model's configuration comes to here: which framework and file, which versions, how its requests are put to it.

Plain functions on the mapping that :mod:`~mizzen.serve.layouts.triton_schema` describes. Triton has more ways to run a
model than this server. A field that would change answers makes its model unavailable, in a sentence; one that would
only change how they are come by is named in a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mizzen.serve.errors import LoadError
from mizzen.serve.lanes.scheduling import Scheduling

Config = dict[str, Any]


class Backend(NamedTuple):
    """One of Triton's that this server has a runtime for.

    Attributes:
        runtime: in :mod:`mizzen.serve.runtimes.registry`.
        filenames: of its model in a version's folder; the first is what Triton expects.
    """

    name: str
    platform: str
    runtime: str
    filenames: tuple[str, ...]


BACKENDS = (
    Backend("onnxruntime", "onnxruntime_onnx", "onnx", ("model.onnx",)),
    Backend("pytorch", "pytorch_libtorch", "torch", ("model.pt", "model.pt2", "model.pth")),
    Backend("tensorflow", "tensorflow_savedmodel", "tensorflow", ("model.savedmodel",)),
)

# Fields that change only how answers are come by, and have no effect here.
_IDLE = {
    "optimization": "",
    "cc_model_filenames": "",
    "metric_tags": "",
    "model_warmup": "the first request warms the model",
    "response_cache": "answers are computed anew",
    "model_metrics": "",
    "runtime": "",
}

# Parameters of the backends that are read; see :func:`runtime_settings`.
_THREADS = ("intra_op_thread_count", "INTRA_OP_THREAD_COUNT", "TF_NUM_INTRA_THREADS")


def refusal(config: Config) -> str:
    """Why a model cannot be served so that it answers as Triton would; empty if it can."""
    if config.get("platform") == "ensemble" or "ensemble_scheduling" in config:
        return "it is an ensemble, which this server does not run: ask its models one by one, or use an InferenceGraph"
    if "sequence_batching" in config:
        return "sequence_batching keeps state between requests, which this server does not"
    if config.get("model_transaction_policy", {}).get("decoupled"):
        return "it is decoupled (any number of answers to a request), which this server does not do"
    for field in ("batch_input", "batch_output"):
        if config.get(field):
            return f"{field} gives the model inputs that this server does not make"
    if config.get("model_repository_agents", {}).get("agents"):
        return "model_repository_agents change the model's files before they are loaded, which this server does not do"
    if config.get("model_operations", {}).get("op_library_filename"):
        return "op_library_filename loads operators of your own, which this server does not do"
    for field in ("input", "output"):
        for tensor in config.get(field, ()):
            for option in ("is_shape_tensor", "is_non_linear_format_io", "allow_ragged_batch"):
                if tensor.get(option):
                    return f"{field} '{tensor.get('name', '')}' has {option}, which this server does not support"
            if tensor.get("data_type") == "TYPE_BF16":
                return f"{field} '{tensor.get('name', '')}' is of TYPE_BF16, which the protocol cannot carry"
    return ""


def idle(config: Config) -> list[str]:
    """Sentences about what the configuration says without effect here."""
    found = [f"{field}{f' ({why})' if why else ''}" for field, why in _IDLE.items() if config.get(field)]
    batching = config.get("dynamic_batching", {})
    for field in ("preserve_ordering", "priority_levels", "priority_queue_policy"):
        if batching.get(field):
            found.append(f"dynamic_batching.{field}")
    policy = batching.get("default_queue_policy", {})
    for field in ("default_timeout_microseconds", "timeout_action"):
        if policy.get(field) and policy[field] != "REJECT":
            found.append(f"dynamic_batching.default_queue_policy.{field} (requests may say timeout themselves)")
    for tensor in config.get("output", ()):
        if tensor.get("label_filename"):
            found.append(f"output '{tensor.get('name', '')}': label_filename (there is no classification extension)")
    for group in config.get("instance_group", ()):
        for field in ("rate_limiter", "secondary_devices", "profile", "passive", "host_policy", "gpus"):
            if group.get(field):
                found.append(f"instance_group.{field}")
    known = {*_THREADS, "TF_SIGNATURE_DEF", "TF_GRAPH_TAG"}
    found += [f"parameters[{key!r}]" for key in config.get("parameters", {}) if key not in known]
    return found


def backend(config: Config, folders: Sequence[Path]) -> Backend:
    """Which framework a model is for: by what the configuration says, else by the files of its versions.

    Raises:
        LoadError: none of those that are here.
    """
    platform, name = config.get("platform", ""), config.get("backend", "")
    for known in BACKENDS:
        if platform == known.platform or (name == known.name and platform in ("", known.platform)):
            return known
    if platform or name:
        said = f"platform {platform!r}" if platform else f"backend {name!r}"
        there = ", ".join(f"{known.platform} ({known.name})" for known in BACKENDS)
        raise LoadError(f"{said} is not served here; there are {there}")
    told = config.get("default_model_filename", "")
    for known in BACKENDS:
        names = (told,) if told else known.filenames
        suffixes = tuple(Path(one).suffix for one in known.filenames)
        if any((folder / one).exists() and one.endswith(suffixes) for folder in folders for one in names):
            return known
    if any((folder / "model.py").is_file() for folder in folders):
        raise LoadError("it is a model of Triton's python backend, which is not served here")
    files = " or ".join(name for known in BACKENDS for name in known.filenames[:1])
    raise LoadError(f"neither a platform or backend is configured, nor is there a file {told or files} in its versions")


def filename(config: Config, known: Backend, folder: Path) -> str:
    """The name of the model in a version's folder.

    Raises:
        LoadError: it is not there.
    """
    told = config.get("default_model_filename")
    names = (str(told),) if told else known.filenames
    for name in names:
        if (folder / name).exists():
            return name
    raise LoadError(f"version {folder.name} has no file {names[0]}")


def versions(config: Config, there: Sequence[int]) -> list[int]:
    """The versions that are to be served, in order.

    Args:
        there: those that have a folder.

    Raises:
        LoadError: the policy names none of them.
    """
    policy = config.get("version_policy", {})
    if len(policy) > 1:
        raise LoadError(f"version_policy says {' and '.join(policy)}: it can be one of them")
    found = sorted(there)
    if "specific" in policy:
        wanted = policy["specific"].get("versions", [])
        found = [version for version in found if version in wanted]
    elif "all" not in policy:
        count = policy.get("latest", {}).get("num_versions", 1) or 1
        found = found[-count:]
    if not found:
        known = ", ".join(str(version) for version in sorted(there)) or "none"
        raise LoadError(f"no version is to be served: there is {known}, and its version_policy is {policy or 'latest'}")
    return found


def scheduling(config: Config, base: Scheduling) -> Scheduling:
    """How requests are put to the model.

    Args:
        base: what holds where the configuration says nothing.
    """
    rows = config.get("max_batch_size", 0)
    batching = config.get("dynamic_batching")
    made = base
    if rows:
        made = replace(made, rows=rows)
    elif config.get("input"):
        # Without a batch axis there are no rows that requests could be joined by.
        made = replace(made, batching=False)
    if batching is not None and rows:
        made = replace(
            made,
            batching=True if base.batching is None else base.batching,
            latency=batching.get("max_queue_delay_microseconds", 0) / 1e6,
            queue=batching.get("default_queue_policy", {}).get("max_queue_size") or base.queue,
        )
    instances = sum(group.get("count", 0) or 1 for group in config.get("instance_group", ()))
    return replace(made, concurrency=instances) if instances else made


def runtime_settings(config: Config) -> dict[str, Any]:
    """What the backend's parameters say, in the words of our runtimes."""
    said: Mapping[str, Any] = config.get("parameters", {})
    found: dict[str, Any] = {}
    for key in _THREADS:
        if key in said:
            found["intra_op_thread_count"] = said[key].get("string_value", "")
    if "TF_SIGNATURE_DEF" in said:
        found["signature_name"] = said["TF_SIGNATURE_DEF"].get("string_value", "")
    if "TF_GRAPH_TAG" in said:
        found["tags"] = [said["TF_GRAPH_TAG"].get("string_value", "")]
    return found


def check(config: Config) -> None:
    """What a configuration must have of each tensor.

    Raises:
        LoadError: says which lacks what.
    """
    if config.get("max_batch_size", 0) < 0:
        raise LoadError(f"max_batch_size must not be negative, and is {config['max_batch_size']}")
    if "dynamic_batching" in config and not config.get("max_batch_size") and config.get("input"):
        raise LoadError("dynamic_batching needs a max_batch_size of at least 1")
    for field in ("input", "output"):
        seen = set()
        for at, tensor in enumerate(config.get(field, ())):
            where = f"{field}[{at}]"
            if not tensor.get("name"):
                raise LoadError(f"{where} needs a name")
            where = f"{field} '{tensor['name']}'"
            if tensor["name"] in seen:
                raise LoadError(f"{where} is there twice")
            seen.add(tensor["name"])
            if tensor.get("data_type", "TYPE_INVALID") == "TYPE_INVALID":
                raise LoadError(f"{where} needs a data_type")
            if "dims" not in tensor:
                raise LoadError(f"{where} needs dims")
            if any(size != -1 and size < 1 for size in tensor["dims"]):
                raise LoadError(f"{where}: dims must be positive, or -1 for any length; they are {tensor['dims']}")
            _check_reshape(tensor, where)


def _check_reshape(tensor: Config, where: str) -> None:
    shape = tensor.get("reshape", {}).get("shape")
    if shape is None:
        return
    known = [_size(sizes) for sizes in (tensor["dims"], shape)]
    if None not in known and known[0] != known[1]:
        raise LoadError(f"{where}: reshape {shape} has another number of elements than dims {tensor['dims']}")
    if shape.count(-1) > 1 and shape.count(-1) != tensor["dims"].count(-1):
        raise LoadError(f"{where}: reshape {shape} does not tell where the -1 of dims {tensor['dims']} go")


def _size(sizes: Sequence[int]) -> int | None:
    product = 1
    for size in sizes:
        if size < 0:
            return None
        product *= size
    return product
