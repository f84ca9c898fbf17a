"""Between numpy's types and the protocol's."""

from mizzen.serve.custom.tabular import from_np_dtype, to_np_dtype

__all__ = ["from_np_dtype", "to_np_dtype"]
