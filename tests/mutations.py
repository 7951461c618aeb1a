"""Breaks the core on purpose, one line at a time, in a copy of the repository: every break must turn a test red."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RED, BROKEN = 1, 2


class Mutation(NamedTuple):
    """One line of `file` with `old` replaced by `new`; `tests` are what should notice."""

    file: str
    old: str
    new: str
    tests: str


TEXTBOOK = "tests/test_families.py::test_one_em_iteration_is_the_textbook_update"
MODE = "tests/test_prior.py::test_the_m_step_is_the_mode_given_responsibilities"
REPORTED = "tests/test_laws.py::test_what_is_reported_is_what_the_mixture_says[full-float64-n16-d2-k3]"

# fmt: off
MUTATIONS = {
    # densities
    "sign of the quadratic": Mutation("families/gaussian.py", "return -0.5 * namespace(y).sum(y * y, axis=-2)", "return 0.5 * namespace(y).sum(y * y, axis=-2)", "tests/test_families.py::test_log_prob_is_the_textbook_density"),
    "no log-determinant": Mutation("families/gaussian.py", "normaliser = self.log_det() + 0.5", "normaliser = 0 * self.log_det() + 0.5", "tests/test_families.py::test_log_prob_is_the_textbook_density"),
    "pairs counted once": Mutation("families/linalg.py", "np.where(i == j, 1, 2)", "np.where(i == j, 1, 1)", "tests/test_em.py::test_kernels_agree[full]"),
    "posterior without its maximum": Mutation("mixture/density.py", "largest = xp.max(joint, axis=-2)", "largest = 0 * xp.max(joint, axis=-2)", "tests/test_em.py::test_posterior_survives_impossible_rows"),
    "far rows fall off linearly": Mutation("mixture/answers.py", "values * pull**2", "values * pull", "tests/test_laws.py::test_a_row_too_far_for_one_component_is_right_for_another"),
    "far rows not pulled": Mutation("mixture/answers.py", "x / pull[:, None]", "x", "tests/test_far.py::test_far_rows_are_finite_ordered_and_shared_out"),
    # the pass
    "sums without compensation": Mutation("rows/sums.py", "Compensated(value, trees.map(add, self.error, dropped))", "Compensated(value, self.error)", "tests/test_em.py::test_compensated_sums_keep_what_float32_drops"),
    "the last chunk repeats rows": Mutation("rows/chunks.py", "jnp.where(slots >= begin, w, 0)", "w", "tests/test_em.py::test_any_chunk_size_gives_the_same_statistics[full-centred]"),
    "impossible rows without weight count": Mutation("em/kernels.py", "xp.sum(xp.where(w > 0, w * x, 0.0), axis=-1)", "xp.sum(w * x, axis=-1)", "tests/test_laws.py::test_padding_has_no_say_even_where_it_is_impossible"),
    "the place of a cell dropped": Mutation("em/coefficients.py", "frame.centre.astype(dtype) - held.means", "-held.means", "tests/test_cells.py::test_statistics_are_those_of_rows_in_one_array[full-shared_feature]"),
    "a cell's volume dropped": Mutation("em/kernels.py", "joint if volume is None else joint + volume", "joint", "tests/test_cells.py::test_statistics_are_those_of_rows_in_one_array[full-centred]"),
    "what is rounded off for all rows is lost": Mutation("em/kernels.py", "else joint + lost[:, None]", "else joint", "tests/test_cells.py::test_what_rounding_takes_from_all_rows_alike_is_made_good"),
    "a cell counts whoever has rows there": Mutation("em/steps.py", "found.lost / positive(found.counts)", "found.lost / jnp.sum(found.counts)", "tests/test_cells.py::test_the_fast_kernel_is_never_trusted_where_it_is_wrong"),
    "rows are overlooked": Mutation("em/kernels.py", "jnp.where(within & (eps * kappa > _BLIND), kappa, 0.0)", "jnp.zeros_like(kappa)", "tests/test_cells.py::test_a_component_whose_rows_are_overlooked_is_not_trusted"),
    "chunks read on into the next cell": Mutation("rows/cell_rows.py", "jnp.where(slots < stop, fresh, 0)", "fresh", "tests/test_cells.py::test_statistics_are_those_of_rows_in_one_array[full-shared_feature]"),
    "sums of squares carried by half": Mutation("families/full.py", "half = raw + 0.5 * counts * shift", "half = raw + counts * shift", "tests/test_cells.py::test_coefficients_seen_from_elsewhere_make_the_same_densities_and_sums_are_carried_back[full]"),
    "rows never laid out anew": Mutation("run/lanes.py", "        if rows is None:\n            return False\n        self.rows = rows", "        if True:\n            return False\n        self.rows = rows", "tests/test_cells.py::test_rows_are_laid_out_anew_where_a_spike_lies_within_a_cell"),
    "the error of the sum dropped": Mutation("run/lanes.py", "np.asarray(high, np.float64) + np.asarray(low, np.float64)", "np.asarray(high, np.float64)", "tests/test_laws.py::test_float32_reports_what_its_sums_dropped"),
    "a row is found once in every chunk": Mutation("rows/base.py", "== rows.index) & (rows.weights > 0)", "== rows.index)", "tests/test_rows.py::test_single_rows_are_found_by_a_pass"),
    "a sum captures its mixture": Mutation("em/steps.py", "mixture, operand = held", "_, operand = held", "tests/test_rows.py::test_starts_have_all_they_need_from_their_operand[random]"),
    "chosen rows come in blocks of any length": Mutation("rows/source.py", ">= size:", ">= size and False:", "tests/test_rows.py::test_chosen_rows_come_in_full_blocks[40]"),
    "weights are no part of a fingerprint": Mutation("rows/source.py", "for part in block:", "for part in block[:1]:", "tests/test_rows.py::test_fingerprints_tell_rows_weights_and_labels_apart"),
    # the M-step
    "weights not normalised": Mutation("em/steps.py", "Mixture(shares / xp.sum(shares, axis=-1, keepdims=True)", "Mixture(shares", f"{TEXTBOOK}[diag-float64-centred]"),
    "means not moved": Mutation("families/gaussian.py", "self.means + self.colour(offset)", "self.means", f"{TEXTBOOK}[full-float64-centred]"),
    "offset not taken out, full": Mutation("families/full.py", " - share * offset[..., :, None] * offset[..., None, :]", "", f"{TEXTBOOK}[full-float64-centred]"),
    "offset not taken out, tied": Mutation("families/tied.py", "(moments.second - between) / dof", "moments.second / dof", f"{TEXTBOOK}[tied-float64-centred]"),
    "offset not taken out, diag": Mutation("families/diagonal.py", " - counts[..., None] / dof * self.contract(offset**2)", "", f"{TEXTBOOK}[diag-float64-centred]"),
    "the ridge added twice": Mutation("families/linalg.py", "cholesky(m + whitened_ridge)", "cholesky(m + 2 * whitened_ridge)", f"{TEXTBOOK}[full-float64-centred]"),
    "the rates' ridge counted once": Mutation("families/bernoulli.py", "(1 + 2 * ridge**2)", "(1 + ridge**2)", f"{TEXTBOOK}[bernoulli-float64-centred]"),
    "half the cross term of Q": Mutation("families/full.py", "spread + 2 * cross", "spread + cross", "tests/test_families.py::test_q_elsewhere_is_the_expected_joint[full]"),
    # priors
    "degrees of freedom one short": Mutation("families/full.py", "prior.dof + self.n_features + 1)", "prior.dof + self.n_features)", f"{MODE}[centred-full]"),
    "a tied prior for each component": Mutation("families/tied.py", "(prior.dof + self.n_features + 1) / self.n_components", "prior.dof + self.n_features + 1", f"{MODE}[centred-tied]"),
    "the prior is no part of the gain": Mutation("run/loop.py", "return value + (new.log_prior - old.log_prior)", "return value", "tests/test_laws.py::test_gains_are_of_the_posterior_and_signed"),
    # what is known beforehand
    "labels not heard": Mutation("mixture/density.py", "xp.where(possible, joint, -xp.inf)", "joint", "tests/test_labels.py::test_a_pass_shares_rows_among_possible_components_only[centred-full]"),
    "covariances not about held means": Mutation("families/gaussian.py", "namespace(moments.first, which).where(which[..., None], 0.0, moments.first)", "moments.first", "tests/test_fixed.py::test_the_m_step_is_the_maximum_over_what_is_free"),
    "free weights take all": Mutation("em/penalty.py", "free * (room /", "free * (1 /", "tests/test_fixed.py::test_within_is_idempotent_and_keeps_the_simplex[full]"),
    # families as a whole
    "held means of any size": Mutation("problem/fixed.py", "if not np.all(traits.means.holds(centres)):", "if False:", "tests/test_traits.py::test_fixed_parameters[exponential]"),
    "priors of any size": Mutation("problem/prior.py", "if not np.all(allowed.holds(mean)):", "if False:", "tests/test_traits.py::test_priors[exponential]"),
    "files are not looked at": Mutation("mixture/integrity.py", "~rule.holds(leaves[leaf])", "False", "tests/test_traits.py::test_files[exponential]"),
    "families are dataclasses like others": Mutation("families/base.py", "trees.register_by_names(made, tuple(constraints(made)))", "trees.register_dataclass(made)", "tests/test_traits.py::test_families_with_the_same_fields_do_not_run_each_others_programs"),
    "what all share goes to one": Mutation("families/components.py", "xp.all(which, axis=-1)", "xp.any(which, axis=-1)", "tests/test_families_numpy.py::test_what_all_share_stays_unless_all_are_replaced"),
    "factors by rows above": Mutation("families/linalg.py", "known = factor[..., j, None, :j]", "known = 0 * factor[..., j, None, :j]", "tests/test_families_numpy.py::test_factors_are_the_same_on_numpy"),
    "contours of half the mass": Mutation("plotting/components.py", "math.exp(-(sigmas**2) / 2)", "0.5", "tests/test_traits.py::test_pictures_in_the_plane[exponential]"),
    "everybody has shared features": Mutation("em/choice.py", "if issubclass(family, SharedFeatures):", "if True:", "tests/test_traits.py::test_the_fast_kernel_is_for_families_with_shared_features[exponential]"),
    "ridges cost nothing": Mutation("em/steps.py", " - 0.5 * jnp.sum(counts * other.components.ridge_trace(ridge))", "", "tests/test_families.py::test_q_is_stationary_at_its_maximum_and_lower_elsewhere"),
    # drivers
    "only the end of a step is guarded": Mutation("drivers/base.py", "conditioning=reduce(xp.maximum, [each.conditioning for each in read])", "conditioning=statistics.conditioning", "tests/test_squarem.py::test_a_step_too_far_ends_at_one_of_em_and_shortens_the_next"),
    "halves add their conditioning up": Mutation("em/statistics.py", "jnp.maximum(self.conditioning, other.conditioning)", "self.conditioning + other.conditioning", "tests/test_em.py::test_statistics_of_halves_add_up_and_keep_the_conditioning_of_their_mixture"),
    "line searches cut short are believed": Mutation("drivers/gradient.py", "jnp.where(kept_away, jnp.inf, jnp.zeros_like(cost))", "jnp.zeros_like(cost)", "tests/test_drivers.py::test_a_search_kept_away_from_all_it_tries_is_refused"),
    "line searches go by what is wrong": Mutation("drivers/gradient.py", "jnp.where(e_step.trusts(statistics), value + cost_of(free), jnp.inf)", "value + cost_of(free)", "tests/test_drivers.py::test_a_search_kept_away_from_all_it_tries_is_refused"),
    "extrapolation half as far": Mutation("drivers/squarem.py", "a + 2 * length * r + length**2 * v", "a + length * r + length**2 * v", "tests/test_squarem.py::test_a_step_is_the_papers[centred]"),
    "steps down are taken": Mutation("drivers/squarem.py", "good = sure | (_gain(first, of_first, there, of_there, penalty) >= 0)", "good = sure | True", "tests/test_squarem.py::test_a_step_too_far_ends_at_one_of_em_and_shortens_the_next"),
    "passes of a step not counted": Mutation("drivers/squarem.py", "read=(of_first, of_there), ", "read=(of_there,), ", "tests/test_squarem.py::test_passes_are_those_that_read_the_rows"),
    "extrapolation moves what is held": Mutation("drivers/squarem.py", "there = penalty.pinned.within(there)", "pass", "tests/test_squarem.py::test_what_is_held_stays_as_given[full]"),
    "absent components come to life": Mutation("drivers/parameters.py", ", where=~absent)", ")", "tests/test_squarem.py::test_free_parameters_come_back[full]"),
    "whole rows go where labels forbid": Mutation("em/responsibilities.py", "joint = xp.where(possible, joint, -xp.inf)", "pass", "tests/test_hard.py::test_rows_stay_with_the_components_that_labels_allow"),
    "responsibilities always soft": Mutation("em/steps.py", "assign if isinstance(assign, jax.tree_util.Partial) else jax.tree_util.Partial(assign)", "jax.tree_util.Partial(posterior)", "tests/test_hard.py::test_a_pass_gives_every_row_whole_to_the_likeliest[full-centred]"),
    "the classification likelihood as the mixture's": Mutation("run/lanes.py", "not self.driver.climbs_likelihood", "False", "tests/test_hard.py::test_results_report_the_mixtures_likelihood_and_history_what_was_raised"),
    # selection
    "absent components count as collapsed": Mutation("run/soundness.py", "collapsed = present & (weightless | narrow)", "collapsed = weightless | narrow", "tests/test_selection.py::test_absent_components_change_nothing[diag-centred-float64]"),
    "absent components move": Mutation("em/steps.py", "moved.with_replaced(mixture.weights == 0, components)", "moved", "tests/test_selection.py::test_absent_components_change_nothing[diag-centred-float64]"),
    "absent components choose the kernel": Mutation("em/steps.py", "xp.where(mixture.weights == 0, 0.0, xp.maximum(each, found.unseen))", "xp.maximum(each, found.unseen)", "tests/test_selection.py::test_absent_components_change_nothing[diag-auto-float64]"),
    "bits of another generator": Mutation("inputs/threefry.py", "_ROTATIONS = ((13, 15, 26, 6)", "_ROTATIONS = ((13, 15, 26, 7)", "tests/test_engine.py::test_bits_are_those_of_jax"),
    "seeds next to one another": Mutation("problem/kmeans.py", "candidates = drawn(w[:, None] * nearest", "candidates = drawn(0 * nearest + w[:, None]", "tests/test_engine.py::test_seeds_are_drawn_by_squared_distance"),
    "centres forget weights": Mutation("problem/kmeans.py", "added(w[i] * row)", "added(row)", "tests/test_engine.py::test_lloyd_is_scikit_learns"),
    "NumPy steps past a kernel's limit": Mutation("run/host_loop.py", "_estep(rows, now.tags, kernel, now.state.mixture, driver.assign, limit)", "_estep(rows, now.tags, kernel, now.state.mixture, driver.assign)\n        limit = np.inf", "tests/test_engine.py::test_tight_clusters_take_the_accurate_road"),
    "NumPy sees every fold": Mutation("run/host_loop.py", "seen = rows if tags is None else without(rows, tags.fold)", "seen = rows", "tests/test_engine.py::test_selections"),
    "a sum of one chunk": Mutation("rows/host_rows.py", "sums = part if sums is None else", "sums = part if True else", "tests/test_engine.py::test_rows_are_read_in_chunks"),
    "few rows ask for a program": Mutation("mixture/answers.py", "if len(x) * width <= _AT_ONCE and", "if len(x) * width < 0 and", "tests/test_engine.py::test_small_fits_compile_nothing"),
    "the fold is seen": Mutation("rows/folds.py", "namespace(own, rows.weights).where(others, rows.weights, 0)", "rows.weights", "tests/test_selection.py::test_without_a_fold_is_a_fit_to_the_other_rows[diag]"),
    "absent components are sorted with the others": Mutation("mixture/ordering.py", "np.lexsort((values, weights == 0), axis=-1)", "np.argsort(values, axis=-1, kind='stable')", "tests/test_ordering.py::test_equal_ones_keep_their_order_and_absent_ones_come_last"),
    "weights taken are not divided by their sum": Mutation("mixture/ordering.py", "weights / weights.sum(-1, keepdims=True)", "weights / 1", "tests/test_ordering.py::test_take"),
    "components without weight are matched": Mutation("mixture/ordering.py", "mine, theirs = np.asarray(mixture.weights) > 0, np.asarray(other.weights) > 0", "mine, theirs = np.asarray(mixture.weights) > -1, np.asarray(other.weights) > -1", "tests/test_ordering.py::test_components_without_weight_lie_nowhere"),
    "Bhattacharyya minds no covariances": Mutation("families/distances.py", "np.maximum(volume - (volumes + other_volume) / 2, 0.0) / 2", "0.0 * volume", "tests/test_ordering.py::test_distances_are_the_textbooks"),
    "whose covariance was given is not sorted": Mutation("fit/diagnostics.py", "given = np.take_along_axis(self._given(), order, axis=1)", "given = self._given()", "tests/test_ordering.py::test_a_sorted_result_knows_which_components_were_given"),
    "whose weight was given is not sorted": Mutation("fit/diagnostics.py", "np.take_along_axis(np.asarray(self.held), order, axis=1)", "self.held", "tests/test_ordering.py::test_a_sorted_result_knows_which_components_were_given"),
    "forked processes hang": Mutation("inputs/forking.py", "_stranded = _has_begun()", "_stranded = False", "tests/test_forking.py::test_it_does_not_matter_who_computed"),
    "what is more ridge than rows wins": Mutation("selection/cells.py", "if not self.restarts.spurious[view, i, start]:", "if True:", "tests/test_selection.py::test_a_spike_of_equal_rows_cannot_win"),
    # the loop
    "the gain's sign": Mutation("run/loop.py", "value = (new.log_likelihood - old.log_likelihood)", "value = (old.log_likelihood - new.log_likelihood)", "tests/test_laws.py::test_gains_are_of_the_posterior_and_signed"),
    "gains not per row": Mutation("run/loop.py", "gain = _gain(old, new) / weight", "gain = _gain(old, new)", "tests/test_stopping.py::test_each_rule_keeps_its_word"),
    "the limit of conditioning ignored": Mutation("run/loop.py", "refused = running & ~trusted(kappa, limit)", "refused = running & False", "tests/test_laws.py::test_a_kernel_takes_no_step_to_where_it_is_wrong"),
    "the slowest kernel first": Mutation("em/choice.py", "np.argmax(believed | (trusted == np.inf), axis=-1)", "np.argmax(trusted == np.inf, axis=-1)", "tests/test_restarts.py::test_the_fastest_kernel_that_can_be_trusted_is_chosen"),
    # soundness
    "spurious never flagged": Mutation("run/soundness.py", "handful = few & there & (narrow | (components.ridge_trace(spike) > _RIDGE))", "handful = few & False", "tests/test_soundness.py::test_a_component_on_a_handful_of_rows_is_spurious_where_it_is_far_narrower_than_others"),
    "spurious restarts may win": Mutation("fit/result.py", "np.where(spurious, 1, 0)", "np.where(spurious, 0, 0)", "tests/test_restarts.py::test_the_best_is_the_best_of_the_sound"),
    "the floor never seen": Mutation("run/soundness.py", "(~lenient & few & (components.ridge_trace(floor) > _RIDGE))", "(lenient & few & (components.ridge_trace(floor) > _RIDGE))", "tests/test_restarts.py::test_collapse_has_a_status_and_keeps_the_mixture_before_it"),
    "what is owed is not taken off": Mutation("run/record.py", "self.log_posterior - self.owed", "self.log_posterior", "tests/test_soundness.py::test_more_starts_never_make_the_answer_worse[iris-3]"),
    "steps of rounding not seen": Mutation("problem/coordinates.py", "_ROUNDED * self.step", "0 * self.step", "tests/test_soundness.py::test_a_component_narrower_than_rounding_is_spurious"),
    "far rows stretch the ridge": Mutation("problem/resolution.py", "np.minimum(np.where(found > 0, found, scale), scale)", "scale + 0 * found", "tests/test_soundness.py::test_one_far_row_does_not_widen_the_others[full]"),
    "honest components are revived": Mutation("run/soundness.py", "few &= even >= components.rows_to_span", "few &= even >= 0", "tests/test_soundness.py::test_honest_components_with_fewer_rows_than_others_are_left_alone[sizes1]"),
    "few is what others have, too": Mutation("run/soundness.py", "_FEWER = 0.25", "_FEWER = 25.0", "tests/test_soundness.py::test_honest_components_with_fewer_rows_than_others_are_left_alone[sizes0]"),
    "what is left is the last gain": Mutation("run/stopping.py", "late * rate / (1 - rate)", "late * rate", "tests/test_soundness.py::test_what_is_still_to_gain_is_told"),
    "every number of rows has slots of its own": Mutation("rows/rungs.py", "rungs[bisect_left(rungs, n)]", "n + -n % 16", "tests/test_programs.py::test_a_new_number_of_rows_compiles_at_most_once_a_rung[fit]"),
    "programs are never let go of": Mutation("inputs/programs.py", "        program.clear_cache()", "        pass", "tests/test_programs.py::test_programs_are_let_go_of_before_the_system_runs_out_of_maps"),
    # coordinates
    "volume of the coordinates, wrong way": Mutation("run/lanes.py", "/ self.total_weight[members] - self.log_volume", "/ self.total_weight[members] + self.log_volume", REPORTED),
    "starts not shifted": Mutation("problem/coordinates.py", "-self.shift / self.root, 1 / self.root", "0 * self.shift, 1 / self.root", "tests/test_initialization.py::test_a_given_mixture_is_the_start"),
    "a ridge in wrong units": Mutation("problem/coordinates.py", "return np.maximum(NARROW * self.narrowest, _STEPS", "return np.maximum(NARROW**2 * self.narrowest, _STEPS", "tests/test_laws.py::test_the_automatic_ridge_is_a_thousandth_of_the_narrowest_scale"),
}
# fmt: on


def copy_repository(to: Path) -> None:
    """What git would commit, new files included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((ROOT / name).read_bytes())


def environment(copy: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAXGMM_", "PYTEST_"))}
    return kept | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def run_tests(copy: Path, tests: list[str]) -> tuple[int, str]:
    """pytest's exit status and what it printed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "slow or not slow", "-p", "no:cacheprovider", *tests]
    ran = subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


def mutated(content: str, name: str, mutation: Mutation) -> str:
    found = content.count(mutation.old)
    if found != 1:
        sys.exit(f"{name}: jaxgmm/{mutation.file} must hold {mutation.old!r} once, holds it {found} times")
    return content.replace(mutation.old, mutation.new)


def check_import(copy: Path) -> None:
    command = [sys.executable, "-c", "import jaxgmm; print(jaxgmm.__file__)"]
    imported = subprocess.run(
        command, cwd=copy, env=environment(copy), check=True, capture_output=True, text=True
    ).stdout
    if not Path(imported.strip()).is_relative_to(copy):
        sys.exit(f"tests would import {imported.strip()}, not the copy in {copy}")


def main(names: list[str]) -> int:
    if names == ["--list"]:
        print("\n".join(MUTATIONS))
        return 0
    if unknown := [name for name in names if name not in MUTATIONS]:
        sys.exit(f"no mutation is called {unknown[0]!r}; --list says which there are")
    chosen = {name: MUTATIONS[name] for name in names or MUTATIONS}
    survivors = []
    with tempfile.TemporaryDirectory(prefix="jaxgmm mutations ") as folder:
        copy = Path(folder).resolve()
        copy_repository(copy)
        check_import(copy)
        for name, mutation in chosen.items():
            mutated((copy / "jaxgmm" / mutation.file).read_text(), name, mutation)
        status, output = run_tests(copy, sorted({mutation.tests for mutation in chosen.values()}))
        if status != 0:
            sys.exit(f"{output}\nthe tests must be green before anything is broken")
        for name, mutation in chosen.items():
            path = copy / "jaxgmm" / mutation.file
            sound = path.read_text()
            path.write_text(mutated(sound, name, mutation))
            begun = time.perf_counter()
            status, output = run_tests(copy, [mutation.tests])
            path.write_text(sound)
            if status >= BROKEN:
                sys.exit(f"{output}\n{name}: no test ran")
            verdict = "caught" if status == RED else "SURVIVED"
            if status != RED:
                survivors.append(name)
            print(f"{verdict:9} {name:40} {time.perf_counter() - begun:5.0f} s  {mutation.tests}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
