"""The fields of Triton's ``ModelConfig``, by message: what a configuration may say, as data.

Both forms in which configurations come, text and JSON, are read by it into the same plain mapping: fields under their
own names, enumerations by name, maps as mappings, and only what was said.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mizzen.serve.errors import LoadError

ROOT = "ModelConfig"

# A field and its kind: a scalar, an enumeration or a message; [x] is a list of such, {x} a map by string.
_MESSAGES = """
ModelConfig: name string, platform string, backend string, runtime string, version_policy VersionPolicy,
  max_batch_size int32, input [Input], output [Output], batch_input [BatchInput], batch_output [BatchOutput],
  optimization Optimization, dynamic_batching DynamicBatching, sequence_batching SequenceBatching,
  ensemble_scheduling Ensembling, instance_group [InstanceGroup], default_model_filename string,
  cc_model_filenames {string}, metric_tags {string}, parameters {Parameter}, model_warmup [Warmup],
  model_operations Operations, model_transaction_policy TransactionPolicy, model_repository_agents Agents,
  response_cache ResponseCache, model_metrics Metrics
VersionPolicy: latest Latest, all Empty, specific Specific
Latest: num_versions uint32
Specific: versions [int64]
Empty:
Input: name string, data_type DataType, format Format, dims [int64], reshape Reshape, is_shape_tensor bool,
  allow_ragged_batch bool, optional bool, is_non_linear_format_io bool
Output: name string, data_type DataType, dims [int64], reshape Reshape, label_filename string, is_shape_tensor bool,
  is_non_linear_format_io bool
Reshape: shape [int64]
BatchInput: kind BatchInputKind, target_name [string], data_type DataType, source_input [string]
BatchOutput: target_name [string], kind BatchOutputKind, source_input [string]
Optimization: graph OptimizationGraph, priority Priority, cuda Cuda, execution_accelerators Accelerators,
  input_pinned_memory PinnedMemory, output_pinned_memory PinnedMemory, gather_kernel_buffer_threshold uint32,
  eager_batching bool
OptimizationGraph: level int32
Cuda: graphs bool, busy_wait_events bool, graph_spec [GraphSpec], output_copy_stream bool
GraphSpec: batch_size int32, input {Dims}, graph_lower_bound LowerBound
LowerBound: batch_size int32, input {Dims}
Dims: dim [int64]
Accelerators: gpu_execution_accelerator [Accelerator], cpu_execution_accelerator [Accelerator]
Accelerator: name string, parameters {string}
PinnedMemory: enable bool
DynamicBatching: preferred_batch_size [int32], max_queue_delay_microseconds uint64, preserve_ordering bool,
  priority_levels uint64, default_priority_level uint64, default_queue_policy QueuePolicy,
  priority_queue_policy {QueuePolicy}
QueuePolicy: timeout_action TimeoutAction, default_timeout_microseconds uint64, allow_timeout_override bool,
  max_queue_size uint32
SequenceBatching: direct SequenceDirect, oldest SequenceOldest, max_sequence_idle_microseconds uint64,
  control_input [ControlInput], state [SequenceState], iterative_sequence bool
SequenceDirect: max_queue_delay_microseconds uint64, minimum_slot_utilization float
SequenceOldest: max_candidate_sequences int32, preferred_batch_size [int32], max_queue_delay_microseconds uint64,
  preserve_ordering bool
ControlInput: name string, control [Control]
Control: kind ControlKind, int32_false_true [int32], fp32_false_true [float], bool_false_true [bool],
  data_type DataType
SequenceState: input_name string, output_name string, data_type DataType, dims [int64], initial_state [InitialState],
  use_same_buffer_for_input_output bool, use_growable_memory bool
InitialState: data_type DataType, dims [int64], zero_data bool, data_file string, name string
Ensembling: step [EnsembleStep], max_inflight_requests uint32
EnsembleStep: model_name string, model_version int64, input_map {string}, output_map {string}, model_namespace string
InstanceGroup: name string, kind Kind, count int32, rate_limiter RateLimiter, gpus [int32],
  secondary_devices [SecondaryDevice], profile [string], passive bool, host_policy string
RateLimiter: resources [RateResource], priority uint32
RateResource: name string, global bool, count uint32
SecondaryDevice: kind SecondaryKind, device_id int64
Parameter: string_value string
Warmup: name string, batch_size uint32, inputs {WarmupInput}, count uint32
WarmupInput: data_type DataType, dims [int64], zero_data bool, random_data bool, input_data_file string
Operations: op_library_filename [string]
TransactionPolicy: decoupled bool
Agents: agents [Agent]
Agent: name string, parameters {string}
ResponseCache: enable bool
Metrics: metric_control [MetricControl]
MetricControl: metric_identifier MetricIdentifier, histogram_options HistogramOptions
MetricIdentifier: family string
HistogramOptions: buckets [double]
"""

# By number.
ENUMS: dict[str, tuple[str, ...]] = {
    "DataType": (
        *("TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8"),
        *("TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16"),
    ),
    "Format": ("FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"),
    "Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
    "SecondaryKind": ("KIND_NVDLA",),
    "BatchInputKind": (
        *("BATCH_ELEMENT_COUNT", "BATCH_ACCUMULATED_ELEMENT_COUNT", "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"),
        *("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", "BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN"),
    ),
    "BatchOutputKind": ("BATCH_SCATTER_WITH_INPUT_SHAPE",),
    "Priority": ("PRIORITY_DEFAULT", "PRIORITY_MAX", "PRIORITY_MIN"),
    "TimeoutAction": ("REJECT", "DELAY"),
    "ControlKind": (
        *("CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_READY", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_CORRID"),
    ),
}

_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}

SCALARS = {*_RANGES, "string", "bool", "float", "double"}


class Field(NamedTuple):
    """Attributes:
    kind: a scalar's, an enumeration's or a message's name.
    many: ``""``, ``"list"`` or ``"map"``.
    """

    kind: str
    many: str

    @property
    def is_message(self) -> bool:
        return self.kind in MESSAGES


def _field(text: str) -> Field:
    many = {"[": "list", "{": "map"}.get(text[0], "")
    return Field(text.strip("[]{}"), many)


def _messages(text: str) -> dict[str, dict[str, Field]]:
    found = {}
    for line in text.replace("\n  ", " ").strip().splitlines():
        message, _, fields = line.partition(":")
        pairs = [field.split() for field in fields.split(",") if field.strip()]
        found[message] = {name: _field(kind) for name, kind in pairs}
    return found


MESSAGES = _messages(_MESSAGES)


def scalar(kind: str, value: Any, where: str) -> Any:
    """A value of a scalar or an enumeration: numbers and names as both forms may write them.

    Raises:
        LoadError: it is none.
    """
    if kind in ENUMS:
        names = ENUMS[kind]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
            return names[value]
        if isinstance(value, str) and value in names:
            return value
        raise LoadError(f"{where}: {value!r} is not one of {', '.join(names)}")
    if kind in _RANGES:
        low, high = _RANGES[kind]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif kind == "bool":
        if isinstance(value, bool):
            return value
    elif kind == "string":
        if isinstance(value, str):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise LoadError(f"{where}: {value!r} is no {kind}")


def from_json(value: Any, where: str, message: str = ROOT) -> tuple[dict[str, Any], list[str]]:
    """A message in JSON's form, and the fields that it has and nobody knows.

    Raises:
        LoadError: a field is not of its kind.
    """
    if not isinstance(value, dict):
        raise LoadError(f"{where} must be an object, not {value!r}")
    fields = MESSAGES[message]
    by_name = {spelling: name for name in fields for spelling in (name, _camel(name))}
    found: dict[str, Any] = {}
    unknown = []
    for key, item in value.items():
        name = by_name.get(key)
        if name is None:
            unknown.append(f"{where}.{key}")
        elif item is not None:
            found[name] = _of_json(fields[name], item, f"{where}.{name}", unknown)
    return found, unknown


def _of_json(field: Field, item: Any, where: str, unknown: list[str]) -> Any:
    if field.many == "list":
        if not isinstance(item, list):
            raise LoadError(f"{where} must be a list, not {item!r}")
        return [_of_json(Field(field.kind, ""), one, f"{where}[{at}]", unknown) for at, one in enumerate(item)]
    if field.many == "map":
        if not isinstance(item, dict):
            raise LoadError(f"{where} must be an object, not {item!r}")
        return {key: _of_json(Field(field.kind, ""), one, f"{where}[{key!r}]", unknown) for key, one in item.items()}
    if field.is_message:
        inner, more = from_json(item, where, field.kind)
        unknown += more
        return inner
    if field.kind in _RANGES and isinstance(item, str) and item.removeprefix("-").isdecimal():
        item = int(item)  # JSON's form of 64-bit integers
    if field.kind in _RANGES and isinstance(item, float) and item.is_integer():
        item = int(item)
    return scalar(field.kind, item, where)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
