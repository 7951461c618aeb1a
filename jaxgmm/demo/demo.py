"""The demonstration: what the colours of a photograph are made of, and EM beside gradients.

A race between many starts finds the mixture. From a few starts EM and gradients then climb on the same rows, and are
compared after equal passes over them. A few lines say what was found, and one page shows it.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import jaxgmm
from jaxgmm import FitResult
from jaxgmm.fit.search import SEARCHES
from jaxgmm.inputs import arguments
from jaxgmm.mixture.whole_files import write_whole

N_COMPONENTS = 12
TOL = 1e-4
# Rounding to whole grey levels gives colours this variance, so a component narrower than that would describe the file
# format: the blown-out sky sits in a handful of colours. No component found is mostly ridge, in any direction.
REG_COVAR = 1 / 12
# Adam wants a step that shrinks. Of 0.03, 0.06, 0.12 and 0.2 this one ended highest.
ADAM_RATE = 0.06

Progress = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Findings:
    """What the demo found.

    Attributes:
        em: EM from all starts, by a race or to the end.
        plain: EM from the first few starts, every one run on all rows for as many passes as by gradients.
        gradients: the fits by gradients from those few starts, by the driver's name.
        seconds: wall time of everything, compilation included.
        files: what was written.
    """

    em: FitResult
    plain: FitResult
    gradients: dict[str, FitResult]
    seconds: float
    files: tuple[Path, ...]


def run_demo(
    folder: Path | str = "jaxgmm-demo", *, search: str = "race", n_restarts: int = 128, n_few: int = 3, every: int = 1,
    max_iter: int = 300, n_steps: int = 200, seed: int = 0, progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> Findings:  # fmt: skip
    """Clusters the pixel colours of scikit-learn's `china.jpg`, and writes a model and a picture.

    Args:
        folder: where the files go; made if it is not there.
        search: "race" between the starts, or "all" of them to the end.
        n_restarts: how many starts.
        n_few: from how many of them, the first ones, EM is set beside gradients.
        every: take every so many pixels along both sides of the image.
        max_iter: the most EM iterations of a start.
        n_steps: the steps by gradients, and of EM beside them: each reads the rows once.
        seed: of the starts.
        progress: from a title, a context that yields what to give to `fit(on_block=...)`.
        say: called with every line of text.

    Raises:
        ValueError: there is no such search.
        ModuleNotFoundError: matplotlib is missing.
        OSError: the folder cannot be written.
    """
    from jaxgmm.demo.page import draw_page

    begun = time.perf_counter()
    arguments.choice("search", search, SEARCHES)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress or (lambda title: contextlib.nullcontext())
    image = load_image(every)
    x = image.reshape(-1, 3)
    how = {"race": "a race between them", "all": "all to the end"}[search]
    say(
        f"china.jpg: {len(x)} pixel colours, {N_COMPONENTS} full covariances, {n_restarts} starts by k-means++, {how}; "
        f"float32, tol {TOL:g} nats per row, at most {max_iter} iterations, "
        f"reg_covar {REG_COVAR:.2g} squared grey levels"
    )

    def fit(title: str, **options: Any) -> FitResult:
        with progress(title) as on_block:
            return jaxgmm.fit(seed, x, N_COMPONENTS, reg_covar=REG_COVAR, on_block=on_block, **options)

    em = fit("EM", n_init=n_restarts, search=search, tol=TOL, max_iter=max_iter)
    say_em(em, len(x), say)

    # A seed's first starts are the same however many there are, so every driver sets out from the same ones. None of
    # them was chosen for how it ended. With tol 0 every driver takes all its steps: what gains little may gain more.
    alike: dict[str, Any] = {"n_init": n_few, "search": "all", "tol": 0.0, "max_iter": n_steps}
    gradients = {name: fit(name, driver=driver, **alike) for name, driver in drivers(n_steps).items()}
    plain = fit("EM beside gradients", **alike)
    say_comparison(plain, gradients, say)

    model, page = folder / "china.safetensors", folder / "china.png"
    jaxgmm.save(model, em.mixture)
    picture = io.BytesIO()
    draw_page(image, em, plain, gradients).savefig(picture, format="png", dpi=110)
    write_whole(page, picture.getvalue())
    seconds = time.perf_counter() - begun
    say(f"written: {model}, {page}")
    say(f"all in {seconds:.0f} s, compilation included")
    return Findings(em, plain, gradients, seconds, (model, page))


def load_image(every: int = 1) -> Any:
    """scikit-learn's photograph of a Chinese temple, (height, width, 3), float32 in 0 … 255."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")[::every, ::every].astype(np.float32)


def drivers(n_steps: int) -> dict[str, Any]:
    """The gradient drivers, by the name they are shown under. Each step must read the rows once.

    L-BFGS is left to `benchmarks/em_vs_gradient.py`: compiled and run, it would take two thirds of the race's time.
    """
    import optax

    rate = optax.cosine_decay_schedule(ADAM_RATE, n_steps)
    return {"Adam": jaxgmm.Gradient(optax.adam, learning_rate=rate)}


def say_em(em: FitResult, n_rows: int, say: Callable[[str], None]) -> None:
    """The best restart, how all ended, time and speed."""
    scores = em.log_likelihood / em.total_weight
    jumps = f", jumps out of an optimum: {em.moves[em.best]}" if em.rounds else ""
    ended = ", ".join(f"{n} {name.lower()}" for name, n in em.counts().items())
    # In a race most restarts end on samples, whose scores do not compare.
    others = scores[np.isfinite(scores)] if not em.rounds else scores[:0]
    spread = f", median {np.median(others):.4f}, worst {np.min(others):.4f}" if len(others) else ""
    say(
        f"EM: best {em.score:.4f} (restart {em.best}, {em.n_iter[em.best]} iterations{jumps}){spread} nats per row; "
        f"{ended}"
    )
    passes = float(np.sum(em.passes))
    say(
        f"EM: {em.seconds:.1f} s, compilation included; {passes:.0f} passes over the rows in all, "
        f"{n_rows * passes / em.seconds:.3g} rows × passes per second"
    )


def at_passes(result: FitResult, restart: int, passes: float) -> float:
    """Mean log-likelihood of an EM restart once it had made so many passes: its last, if it ended before."""
    curve = result.history[restart]
    return float(curve[min(int(passes) - 1, int(result.n_iter[restart]))])


def say_comparison(plain: FitResult, gradients: dict[str, FitResult], say: Callable[[str], None]) -> None:
    """EM against every gradient driver, from the same starts and after as many passes over the data."""
    n = len(plain.status)
    say(f"From the first {n} starts, after equal passes over all rows; best and mean, nats per row:")
    for name, result in gradients.items():
        scores = result.log_likelihood / result.total_weight
        rivals = np.array([at_passes(plain, i, result.passes[i]) for i in range(n)])
        arrived = [int(np.argmax(plain.history[i] >= scores.max())) + 1 for i in range(n) if rivals[i] >= scores.max()]
        ahead = f"; EM was there after {min(arrived)}" if arrived else ""
        say(
            f"  {name:6} {np.mean(result.passes):4.0f} passes  {scores.max():.4f} {scores.mean():.4f}   "
            f"EM {rivals.max():.4f} {rivals.mean():.4f}   {result.seconds:.1f} s{ahead}"
        )
