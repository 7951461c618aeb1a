"""The demonstration: what the colours of a photograph are made of, by EM from many starts, and by gradients.

It runs the library's main job on real input, says in a few lines what was found, and draws one page.
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
from jaxgmm.mixture.whole_files import write_whole
from jaxgmm.run.status import SOUND

N_COMPONENTS = 12
TOL = 1e-4
# Colours are whole grey levels, and the file's compression errs by about one: a component narrower than that describes
# the file format (the blown-out sky sits in a handful of colours), and its likelihood could grow without end.
REG_COVAR = 1.0
# Adam wants a step that shrinks: 0.06 still wanders at the end, and at 0.02 300 steps do not suffice.
ADAM_RATE = 0.06

Progress = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Findings:
    """What the demo found.

    Attributes:
        em: EM from every start.
        few: numbers of the starts with which EM ended best, best first, (f,).
        gradients: the fits by gradients from those starts, by the driver's name.
        seconds: wall time of everything, compilation included.
        files: what was written.
    """

    em: FitResult
    few: Any
    gradients: dict[str, FitResult]
    seconds: float
    files: tuple[Path, ...]


def run_demo(
    folder: Path | str = "jaxgmm-demo", *, n_restarts: int = 128, n_few: int = 4, every: int = 1, max_iter: int = 300,
    max_steps: dict[str, int] | None = None, seed: int = 0, progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> Findings:  # fmt: skip
    """Clusters the pixel colours of scikit-learn's `china.jpg`, and writes a model and a picture.

    Args:
        folder: where the files go; made if it is not there.
        n_restarts: how many starts.
        n_few: how many of the best are also climbed by gradients.
        every: take every so many pixels along both sides of the image.
        max_iter: the most EM iterations.
        max_steps: the most steps by gradients, for "adam" and "lbfgs".
        seed: of the starts.
        progress: from a title, a context that yields what to give to `fit(on_block=...)`.
        say: called with every line of text.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        OSError: the folder cannot be written.
    """
    from jaxgmm.demo.page import draw_page

    begun = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress or (lambda title: contextlib.nullcontext())
    steps = {"adam": 300, "lbfgs": 150} | (max_steps or {})
    image = load_image(every)
    x = image.reshape(-1, 3)
    say(
        f"china.jpg: {len(x)} pixel colours, {N_COMPONENTS} full covariances, {n_restarts} restarts from k-means++; "
        f"float32, tol {TOL:g} nats per row, at most {max_iter} iterations, reg_covar {REG_COVAR:g} squared grey levels"
    )

    def fit(title: str, **options: Any) -> FitResult:
        with progress(title) as on_block:
            return jaxgmm.fit(seed, x, N_COMPONENTS, reg_covar=REG_COVAR, on_block=on_block, **options)

    # The starts themselves, so that every driver sets out from the same ones.
    starts = fit("starts", n_init=n_restarts, max_iter=0).mixtures
    em = fit("EM", init=starts, tol=TOL, max_iter=max_iter)
    few = np.argsort(-np.where(np.isin(em.status, SOUND), em.log_likelihood, -np.inf), kind="stable")[:n_few]
    say_em(em, len(x), say)

    gradients = {}
    for name, driver in drivers(steps).items():
        # A step of Adam may gain little and the next much, so it takes all its steps.
        tol = 0.0 if name == "Adam" else TOL / 10
        gradients[name] = fit(
            name, init=starts[few], driver=driver, tol=tol, max_iter=steps[name.lower().replace("-", "")]
        )
    say_comparison(em, few, gradients, say)

    model, page = folder / "china.safetensors", folder / "china.png"
    jaxgmm.save(model, em.mixture)
    picture = io.BytesIO()
    draw_page(image, em, few, gradients).savefig(picture, format="png", dpi=110)
    write_whole(page, picture.getvalue())
    seconds = time.perf_counter() - begun
    say(f"written: {model}, {page}")
    say(f"all in {seconds:.0f} s, compilation included")
    return Findings(em, few, gradients, seconds, (model, page))


def load_image(every: int = 1) -> Any:
    """scikit-learn's photograph of a Chinese temple, (height, width, 3), float32 in 0 … 255."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")[::every, ::every].astype(np.float32)


def drivers(steps: dict[str, int]) -> dict[str, Any]:
    """The gradient drivers, by the name they are shown under."""
    import optax

    rate = optax.cosine_decay_schedule(ADAM_RATE, steps["adam"])
    return {"Adam": jaxgmm.Gradient(optax.adam, learning_rate=rate), "L-BFGS": jaxgmm.Gradient("lbfgs")}


def say_em(em: FitResult, n_rows: int, say: Callable[[str], None]) -> None:
    """Best, median and worst restart, time and speed."""
    scores = em.log_likelihood / em.total_weight
    scores = scores[np.isfinite(scores)]
    ended = ", ".join(f"{n} {name.lower()}" for name, n in em.counts().items())
    work = n_rows * float(np.sum(em.n_iter))
    say(
        f"EM: best {em.score:.4f} (restart {em.best}, {em.n_iter[em.best]} iterations), "
        f"median {np.median(scores):.4f}, worst {np.min(scores):.4f} nats per row; {ended}"
    )
    say(f"EM: {em.seconds:.1f} s, {work / em.seconds:.3g} rows × restarts × iterations per second")


def at_passes(result: FitResult, restart: int, passes: float) -> float:
    """Mean log-likelihood of an EM restart once it had made so many passes: its last, if it ended before."""
    curve = result.history[restart]
    return float(curve[min(int(passes) - 1, int(result.n_iter[restart]))])


def say_comparison(em: FitResult, few: Any, gradients: dict[str, FitResult], say: Callable[[str], None]) -> None:
    """EM against every gradient driver, from the same starts and after as many passes over the data."""
    say(
        f"From the {len(few)} starts where EM ended best (a choice that favours EM), after equal passes over the data; "
        "best and mean, nats per row:"
    )
    for name, result in gradients.items():
        scores = result.log_likelihood / result.total_weight
        rivals = np.array([at_passes(em, i, p) for i, p in zip(few, result.passes, strict=True)])
        arrived = [
            int(np.argmax(em.history[i] >= scores.max())) + 1 for i in few if np.nanmax(em.history[i]) >= scores.max()
        ]
        ahead = f"; EM was there after {min(arrived)}" if arrived else ""
        say(
            f"  {name:6} {np.mean(result.passes):4.0f} passes  {scores.max():.4f} {scores.mean():.4f}   "
            f"EM {rivals.max():.4f} {rivals.mean():.4f}   {result.seconds:.1f} s{ahead}"
        )
