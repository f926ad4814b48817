"""Digests: what is not the same has not the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import Tensor


def digest_of(*parts: Any) -> str:
    """32 hexadecimal digits of plain values: strings, numbers, None, lists and dictionaries.

    Example:
        >>> digest_of({"a": 1, "b": [2]}) == digest_of({"b": (2,), "a": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest_of_bytes(text.encode("utf-8", "surrogatepass"))


def digest_of_bytes(*contents: bytes | memoryview) -> str:
    """32 hexadecimal digits of bytes.

    Example:
        >>> digest_of_bytes(b"cat") == digest_of_bytes(b"c", b"at")
        True
    """
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()[:32]


def digest_of_tensor(tensor: Tensor) -> str:
    """32 hexadecimal digits of a tensor's shape, dtype and values.

    Example:
        >>> digest_of_tensor(torch.zeros(2)) == digest_of_tensor(torch.zeros(2, 1))
        False
    """
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return digest_of_bytes(f"{tuple(tensor.shape)} {tensor.dtype} ".encode(), values.data)
