"""Encode many rows to Parquet: in parts, in bounded memory, resumable after a crash."""

from ._encode import BulkResult, encode

__all__ = [
    "BulkResult",
    "encode",
]
