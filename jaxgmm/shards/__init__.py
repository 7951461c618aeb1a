"""Rows over many devices: each has some of them, and what goes between devices is sums."""

from jaxgmm.shards.meshes import checked_mesh
from jaxgmm.shards.sharded import ShardedRows, sharded

__all__ = ["ShardedRows", "checked_mesh", "sharded"]
