"""How the error of a pass's sums grows with the number of rows: compensated, as `e_step` sums, and without.

Rows are made from their numbers inside the pass, so that 10⁹ of them need no memory. All three sums add the same
float32 chunk sums: in float32 with compensation (`rows.Compensated`), in float32 plainly, and in float64, to
which the other two are held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import number, parser, provenance, record, seconds, table, write
from jax import lax
from jaxtyping import Array, Float, Int

from jaxgmm import Mixture
from jaxgmm.em import KERNELS, e_step
from jaxgmm.families import FAMILIES
from jaxgmm.inputs import precision
from jaxgmm.mixture import posterior
from jaxgmm.rows import Chunk, Compensated, Rows

KERNEL = "centred"
#: chunks of the smallest and largest size that `rows.base.chunk_size` gives, each with the largest number of rows
CHUNKS = {2048: 10**9, 128: 10**8}
SMALLEST = 10**4


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GeneratedRows(Rows):
    """A place for rows (`rows.base`) that keeps none: two clumps on a line, each row a hash of its number."""

    n: int = field(metadata={"static": True})

    @property
    def total_weight(self) -> Float[Array, ""]:
        return jnp.asarray(self.n, jnp.float32)

    @property
    def n_rows(self) -> Int[Array, ""]:
        return jnp.asarray(self.n, jnp.int32)

    @property
    def n_features(self) -> int:
        return 1

    @property
    def n_slots(self) -> int:
        return self.n

    def rows(self, index: Int[Array, " b"]) -> Float[Array, "1 b"]:
        bits = _hashed(index.astype(jnp.uint32))
        side = jnp.where(bits & 1, 1.5, -1.0).astype(jnp.float32)
        # The sum of two uniform numbers is near enough to a Gaussian for its tails not to matter here.
        high, low = (bits >> 16).astype(jnp.float32), ((bits >> 1) & 0x7FFF).astype(jnp.float32)
        return (side + high / 65536 + low / 32768 - 1)[None]

    def chunk(self, index: Int[Array, " b"]) -> Chunk:
        return Chunk(self.rows(index), (index < self.n).astype(jnp.float32), index)

    def sums(self, function: Callable[[Any, Chunk], Any], operand: Any, chunk: int) -> tuple[Any, Any, Any]:
        """Σ over chunks: the compensated pair, the plain sum, the sum in float64."""
        shapes = jax.eval_shape(lambda: function(operand, self.chunk(jnp.arange(chunk, dtype=jnp.int32))))
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), zero)

        def step(carry: tuple[Any, Any, Any], number: Int[Array, ""]) -> tuple[tuple[Any, Any, Any], None]:
            pair, plain, wide = carry
            index = number * chunk + jnp.arange(chunk, dtype=jnp.int32)
            term = function(operand, self.chunk(index))
            # Kept from being folded into the sums, which would then add something else than the pass does.
            term = lax.optimization_barrier(term)
            wide = jax.tree.map(lambda total, part: total + part.astype(jnp.float64), wide, term)
            return (pair.plus(term), jax.tree.map(jnp.add, plain, term), wide), None

        numbers = jnp.arange(-(-self.n // chunk), dtype=jnp.int32)
        return lax.scan(step, (Compensated(zero, zero), zero, wide), numbers)[0]

    def total(self, function: Callable[[Any, Chunk], Any], operand: Any, chunk: int) -> Compensated[Any]:
        return self.sums(function, operand, chunk)[0]


def _hashed(bits: Any) -> Any:
    """Well mixed bits of a row's number (MurmurHash3's finaliser)."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


@partial(jax.jit, static_argnames="chunk")
def _sums(mixture: Mixture, rows: GeneratedRows, chunk: int) -> Any:
    return rows.sums(lambda prepared, some: KERNELS[KERNEL].chunk(prepared, some, posterior), mixture, chunk)


@partial(jax.jit, static_argnames="chunk")
def _pass(mixture: Mixture, rows: GeneratedRows, chunk: int) -> Any:
    return e_step(mixture, rows, kernel=KERNEL, chunk=chunk)


def start() -> Mixture:
    """Near enough to the rows that both components hold some of each clump."""
    spherical = FAMILIES["spherical"]
    means, scale = jnp.array([[-0.8], [1.2]], jnp.float32), jnp.array([[0.6], [0.7]], jnp.float32)
    return Mixture(jnp.array([0.45, 0.55], jnp.float32), spherical(means, scale))  # type: ignore[call-arg]


def parts(sums: Any) -> dict[str, Any]:
    """The sums that are reported, in float64."""
    counts, moments = sums.rest
    found = {"log_likelihood": sums.log_likelihood, "counts": counts, "second_moments": moments.second}
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def errors(sums: dict[str, Any], wide: dict[str, Any]) -> dict[str, float]:
    """Relative to the float64 sums, the worst component."""
    return {name: float(np.max(np.abs(sums[name] / wide[name] - 1))) for name in wide}


def measure(n: int, chunk: int) -> dict[str, Any]:
    """Errors of both float32 sums for `n` rows; the library's own pass must give the very sums that are shown."""
    rows, mixture = GeneratedRows(n), start()
    # A scope, so that the float64 sums can exist; everything else stays float32.
    with precision.scope(np.dtype(np.float64)):
        held: list[Any] = []
        taken = seconds(lambda: held.append(jax.block_until_ready(_sums(mixture, rows, chunk))))
        sums, plain, wide = held[0]
        statistics = _pass(mixture, rows, chunk)
        same = bool(statistics.log_likelihood == sums.value.log_likelihood) and bool(
            statistics.log_likelihood_error == sums.error.log_likelihood
        )
        exact = parts(wide)
        value, error = parts(sums.value), parts(sums.error)
        pair = {name: part + error[name] for name, part in value.items()}
        per_row = abs(float(exact["log_likelihood"])) / n
        return {
            "n": n,
            "chunk": chunk,
            "compensated": errors(pair, exact),
            "value_alone": errors(value, exact),
            "plain": errors(parts(plain), exact),
            "log_likelihood_per_row": per_row,
            "same_as_e_step": same,
            "seconds": taken,
        }


def report(results: list[dict[str, Any]]) -> str:
    """The table: log-likelihood in nats per row, the others relative."""
    header = ["rows", "chunk", "log-lik: pair", "plain", "counts: pair", "plain ", "second moments: pair", " plain"]
    body = []
    for found in results:
        nats = found["log_likelihood_per_row"]
        cells = []
        for name, unit in (("log_likelihood", nats), ("counts", 1.0), ("second_moments", 1.0)):
            values = [found[kind][name] * unit for kind in ("compensated", "plain")]
            cells += [number(value, 2) if value else "0" for value in values]
        body.append([f"10^{round(np.log10(found['n']))}", str(found["chunk"]), *cells])
    return table(header, body)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--most", type=float, default=1e9, help="the largest number of rows (default: %(default)g)")
    arguments = options.parse_args()
    most = 10**6 if arguments.quick else int(arguments.most)
    where = record(kernel=KERNEL, family="spherical", k=2, d=1, dtype="float32", chunks=CHUNKS)
    results = []
    for chunk, limit in CHUNKS.items():
        n = SMALLEST
        while n <= min(limit, most):
            results.append(measure(n, chunk))
            print(f"{n} rows in chunks of {chunk}: {results[-1]['seconds']:.1f} s", flush=True)
            n *= 10
    title = (
        "# Summation\n\nError of float32 sums over chunks against float64 sums of the same chunks: log-likelihood in "
        "nats per row, counts and second moments relative. *Pair* is value + error, as `e_step` returns them; *plain* "
        "adds float32 numbers without compensation."
    )
    markdown = "\n\n".join([title, report(results), provenance(where)])
    print(markdown)
    if not all(found["same_as_e_step"] for found in results):
        raise SystemExit("e_step gave other sums than those shown")
    write(arguments.out, "summation", {"record": where, "results": results}, markdown)


if __name__ == "__main__":
    main()
