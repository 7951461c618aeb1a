"""What annotations call an array: of JAX or of NumPy, and at rest its sums may be bare numbers.

What they are is checked where tests run (`tests/annotations.py`), which puts the types in.
"""

from __future__ import annotations

from typing import Any

Array = Any
