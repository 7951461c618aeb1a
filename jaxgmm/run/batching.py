"""Which restarts share a batch: few sizes, so that few programs are compiled. And how many batches run at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxgmm.em.choice import KERNEL_NAMES
from jaxgmm.inputs.cores import n_cores
from jaxgmm.inputs.lazily import jax
from jaxgmm.inputs.typing import Int

# Smaller batches compile anew: only worth it when a step is this much work.
_COMPACTION_WORK = 1e9
# The kernel that holds at any conditioning: the others go by features.
_ANY = len(KERNEL_NAMES) - 1
# Measured on CPU: where a step is this much work, batches twice as wide are faster by up to a fifth a restart while
# all of them run; of many restarts some always end early, and narrow batches become fewer without a new program.
_TOGETHER, _WIDEST, _WORTH_PARTING = 32, 16, 1e6


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def width_for(n: int, work_per_restart: float) -> int:
    """How many of `n` restarts share a batch: few on CPUs, all where wide products are what a device is best at."""
    if not _on_cpu() or n <= _TOGETHER or work_per_restart < _WORTH_PARTING:
        return n
    return -(-n // -(-n // _WIDEST))


def width_of_few(n: int) -> int:
    """As `width_for`, of so few restarts that a program of their own width would cost more than it saves."""
    return 1 if _on_cpu() else n


def width_of_many(n: int) -> int:
    """As `width_for`, of rounds of a race: always the same on CPUs, so that they share one program."""
    return _WIDEST if _on_cpu() else n


def groups(
    active: Int[np.ndarray, " a"], kernels: Int[np.ndarray, " r"], width: int, empty: int, work_per_restart: float
) -> Iterator[tuple[str, Int[np.ndarray, " b"]]]:
    """The batches to run: names of kernels, and the `active` members that have them.

    Batches of `width`, or one smaller one; places left over are filled with the number `empty`. Where a batch costs
    much the same whoever is in it, all go by the slowest kernel by features that one of them needs: two batches would
    cost twice as much.
    """
    by_features = active[kernels[active] < _ANY]
    if work_per_restart * width < _COMPACTION_WORK and len(by_features):
        kernels = np.where(kernels < _ANY, np.max(kernels[by_features]), kernels)
    for number, name in enumerate(KERNEL_NAMES):
        members = active[kernels[active] == number]
        for first in range(0, len(members), width):
            part = members[first : first + width]
            size = size_class(len(part), width, work_per_restart) if len(members) <= width else width
            yield name, with_empty_places(part, size, empty)


def size_class(active: int, current: int, work_per_restart: float) -> int:
    """Places for `active` restarts in a batch of `current`: half or fewer when that saves more than it compiles."""
    size = current
    while active <= size // 2 and work_per_restart * size >= _COMPACTION_WORK:
        size = -(-size // 2)
    return size


def with_empty_places(members: Int[np.ndarray, " m"], size: int, empty: int) -> Int[np.ndarray, " size"]:
    """`members` in a batch of `size`, the places left over filled with the number `empty`."""
    return np.concatenate([members, np.full(size - len(members), empty)]).astype(np.int32)


def in_powers(members: Int[np.ndarray, " m"], empty: int, work_per_restart: float) -> Int[np.ndarray, " b"]:
    """`members` in the smallest batch that is a power of two; of eight where a pass costs less than compiling."""
    bits = (len(members) - 1).bit_length()
    size = 1 << bits if work_per_restart * empty >= _COMPACTION_WORK else min(8 ** -(-bits // 3), empty)
    return with_empty_places(members, size, empty)


def n_threads() -> int:
    """How many batches run at once: on CPUs one a core, as XLA does not spread small operations over them."""
    if not _on_cpu():
        return 1
    return n_cores()
