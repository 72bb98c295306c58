"""How large a model is and what it takes to serve and train it: exact where it can be, term by term where it is estimated."""

from harness.sizing.count import Count, adapted, approximate, count, lora_parameters
from harness.sizing.gpus import GPUS, Gpu, needed, parse_gpu
from harness.sizing.memory import (
    DTYPES,
    GIB,
    METHODS,
    Job,
    Method,
    Term,
    checkpoint_bytes,
    kv_bytes,
    kv_bytes_per_token,
    simple_rule,
    total,
    training_terms,
    weight_bytes,
)
from harness.sizing.named import NAMED
from harness.sizing.shape import Linear, Shape, load_shape, shape_of

__all__ = [
    "DTYPES",
    "GIB",
    "GPUS",
    "METHODS",
    "NAMED",
    "Count",
    "Gpu",
    "Job",
    "Linear",
    "Method",
    "Shape",
    "Term",
    "adapted",
    "approximate",
    "checkpoint_bytes",
    "count",
    "kv_bytes",
    "kv_bytes_per_token",
    "load_shape",
    "lora_parameters",
    "needed",
    "parse_gpu",
    "shape_of",
    "simple_rule",
    "total",
    "training_terms",
    "weight_bytes",
]
