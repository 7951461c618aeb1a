"""What annotations say of arrays: `Float[Array, "k d"]`. When the library runs they say nothing, and cost nothing.

Arrays are JAX's or NumPy's, whose sums may be bare numbers. Where tests run (`tests/annotations.py`), jaxtyping and the
types are put in here before anything reads them, and arguments and results are held against them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

Array = Any

if TYPE_CHECKING:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Int as Int
    from jaxtyping import Key as Key
    from jaxtyping import Num as Num
    from jaxtyping import Shaped as Shaped
    from jaxtyping import UInt as UInt
else:

    class _Unsaid:
        def __class_getitem__(cls, _: Any) -> Any:
            return Any

    Bool = Float = Int = Key = Num = Shaped = UInt = _Unsaid
