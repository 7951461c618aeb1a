"""Trees as a few buffers, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgmm.many.packing import Layout


def tree(lead):
    """Leaves of three dtypes, some of them single numbers, in no order."""
    n = int(np.prod(lead))
    return {
        "factor": np.arange(n * 6, dtype=np.float32).reshape(*lead, 2, 3),
        "status": np.arange(n, dtype=np.int32).reshape(lead),
        "lost": (np.arange(n * 2) % 3 == 0).reshape(*lead, 2),
        "value": -np.arange(n, dtype=np.float32).reshape(lead),
        "none": None,
    }


@pytest.mark.parametrize("lead", [(4,), (3, 2), (0, 2)])
def test_what_is_packed_is_unpacked(lead):
    held = tree(lead)
    layout = Layout.of(held, len(lead))
    buffers = layout.pack(held)
    assert sorted(buffer.dtype.name for buffer in buffers) == ["bool", "float32", "int32"]
    assert all(buffer.shape[:-1] == lead for buffer in buffers)
    jax.tree.map(np.testing.assert_array_equal, layout.unpack(buffers), held)
    traced = jax.jit(lambda tree: layout.pack(layout.unpack(layout.pack(tree))))(jax.tree.map(jnp.asarray, held))
    for one, other in zip(traced, buffers, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_numpy_leaves_are_views():
    layout = Layout.of(tree((3,)), 1)
    buffers = layout.pack(tree((3,)))
    layout.unpack(buffers)["factor"][1] = -7
    assert (layout.unpack(buffers)["factor"][1] == -7).all()


def test_a_layout_fits_other_leading_axes_and_is_equal_to_its_like():
    layout = Layout.of(tree((3, 2)), 2)
    assert layout == Layout.of(tree((5, 1)), 2)
    assert hash(layout) == hash(Layout.of(tree((5, 1)), 2))
    part = tuple(buffer[1:, 0] for buffer in layout.pack(tree((3, 2))))
    np.testing.assert_array_equal(layout.unpack(part)["lost"], tree((3, 2))["lost"][1:, 0])
