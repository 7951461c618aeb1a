"""Compiled programs kept between processes."""

from __future__ import annotations

import os
from pathlib import Path

from jaxgmm.inputs.lazily import jax


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> Path:
    """Lets JAX keep every compiled program in a folder, for this process and later ones. Returns the folder.

    This sets JAX's own options `jax_compilation_cache_dir` and `jax_persistent_cache_min_compile_time_secs` for the
    whole process, and is the only thing in jaxgmm that touches global configuration. Call it before the first fit.

    Args:
        path: the folder, made if need be; by default `jaxgmm` in the user's cache folder.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "jaxgmm" if path is None else Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # The default leaves out programs that compile in less than a second: a fit consists of many.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder
