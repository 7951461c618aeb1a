"""Which restarts share a batch: few sizes, so that few programs are compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

# Smaller batches compile anew: only worth it when a step is this much work.
_COMPACTION_WORK = 1e9


def size_class(active: int, current: int, work_per_restart: float) -> int:
    """Places for `active` restarts in a batch of `current`: half or fewer when that saves more than it compiles."""
    size = current
    while active <= size // 2 and work_per_restart * size >= _COMPACTION_WORK:
        size = -(-size // 2)
    return size


def padded(members: Any, size: int, empty: int) -> Any:
    """`members` in a batch of `size`, the places left over filled with the number `empty`."""
    return np.concatenate([members, np.full(size - len(members), empty)]).astype(np.int32)


def in_powers(members: Any, empty: int, work_per_restart: float) -> Any:
    """`members` in the smallest batch that is a power of two; of eight where a pass costs less than compiling."""
    bits = (len(members) - 1).bit_length()
    size = 1 << bits if work_per_restart * empty >= _COMPACTION_WORK else min(8 ** -(-bits // 3), empty)
    return padded(members, size, empty)
