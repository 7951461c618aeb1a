"""The rules of a race: every number that it goes by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RaceRules:
    """The numbers of a race, with the values that `search="race"` uses.

    Rows of samples: so many for each free parameter of a mixture, or for each component and feature where that is
    less, since covariances need not be known well to tell starts apart; and no fewer than some. Contests, where optima
    that lie close together must not look alike, read more.

    Attributes:
        fewest_starts: with fewer starts there is nothing to race.
        fewest_steps: with fewer steps allowed there is nothing to cut.
        worthwhile: from so many rows × starts × parameters on a race saves time, compiling included.
        thorough_below: with fewer rows every start runs to its end in the first heat: that takes no longer.
        sample_per_parameter, sample_per_mean, sample_least: rows that heats and trials read.
        contest_per_parameter, contest_per_mean, contest_least: rows that contests read.
        sample_multiple: samples are multiples of this.
        sample_saving: a sample must be so many times smaller than the rows, or all rows are read.
        probe_per_mean, probe_least: rows by whose labels runners are told apart, and on which jumps are thought out.
        budget_passes, budget_rows, budget_most: what a race may read before the final for each start: so many times
            all rows, or so many rows if that is more, but no more than so many times all rows.
        width: runners of the second heat, and jumps tried at a time, at least: fewer hardly cost less.
        heat_steps, contest_steps: of the first heat and of trials; of the second heat and of contests.
        leaders: how many jump at a time.
        contenders: leaders and jumps together in a contest that follows trials.
        fewest_rounds, most_rounds: of jumps, whatever the budget.
        stale_rounds, stale_rounds_cheap: a race ends after so many rounds of jumps without a gain; after so many
            where rounds take no time to speak of beside compiling. (Of 48 such races 13 ended below the best of all
            starts after 2 rounds, 7 after 3.)
        patience: a leader rests after so many rounds that each gained it less than `matters`.
        matters: a gain that matters, nats per row.
        popular: where so large a share of a heat comes to one optimum, one round of jumps is enough.
        semifinalists, finalists: how many run on all rows, and how many of them to the end.
        tolerance: before the semifinal kernels may err so many times more than usual: that is less than samples do.
        winner_tol: the winner runs on with this share of tol, as EM is slow and should not be judged by where it gave
            up.
        alike: two runners are on the way to one optimum where so large a share of rows has the same labels.
        near: and their headings lie within this, nats per row.
        window: headings are extrapolated from the gains of twice so many steps, as single gains are noise.
        most_carried: gains that hardly shrink, or grow, are carried on as if each were this share of the last.
        split_tries, split_steps: how often, and for how many steps, a component is tried as two.
    """

    fewest_starts: int = 8
    fewest_steps: int = 50
    worthwhile: float = 5e8
    thorough_below: int = 4096
    sample_per_parameter: int = 6
    sample_per_mean: int = 48
    sample_least: int = 2048
    contest_per_parameter: int = 16
    contest_per_mean: int = 128
    contest_least: int = 16384
    sample_multiple: int = 1024
    sample_saving: float = 1.5
    probe_per_mean: int = 16
    probe_least: int = 2048
    budget_passes: int = 8
    budget_rows: int = 700_000
    budget_most: int = 40
    width: int = 32
    heat_steps: int = 12
    contest_steps: int = 16
    leaders: int = 4
    contenders: int = 16
    fewest_rounds: int = 4
    most_rounds: int = 16
    stale_rounds: int = 2
    stale_rounds_cheap: int = 3
    patience: int = 2
    matters: float = 1e-4
    popular: float = 0.5
    semifinalists: int = 6
    finalists: int = 3
    tolerance: float = 8.0
    winner_tol: float = 0.1
    alike: float = 0.97
    near: float = 2e-3
    window: int = 4
    most_carried: float = 0.9
    split_tries: int = 2
    split_steps: int = 6

    def saves_time(self, n_starts: int, n_rows: int, n_parameters: int) -> bool:
        """Whether a race takes less time than all starts run to their ends."""
        return n_starts * n_rows * n_parameters >= self.worthwhile

    def probe_rows(self, n_components: int, n_features: int) -> int:
        """How many rows runners are told apart by, if there are as many."""
        return max(self.probe_least, self.probe_per_mean * n_components * n_features)


@dataclass(frozen=True)
class Plan:
    """A race between so many starts, as it follows from the rules and the shapes.

    Attributes:
        sample: how many rows heats and trials of jumps read; None for all, and no trials.
        larger: how many rows contests read; None for all.
        width: runners of the second heat, and jumps that are tried.
        leaders: how many jump at a time.
        rounds: of jumps, at most.
        stale: after how many of them without a gain the race ends.
        thorough: whether the first heat runs all starts to their end.
    """

    sample: int | None
    larger: int | None
    width: int
    leaders: int
    rounds: int
    stale: int
    thorough: bool

    @classmethod
    def of(cls, rules: RaceRules, n: int, n_rows: int, shape: tuple[int, int], n_parameters: int) -> Plan:
        """The race for `n` starts of mixtures of `shape` (k, d)."""

        def size(per_parameter: int, per_mean: int, least: int) -> int | None:
            wanted = max(least, min(per_parameter * n_parameters, per_mean * shape[0] * shape[1]))
            rows = -(-wanted // rules.sample_multiple) * rules.sample_multiple
            return rows if rules.sample_saving * rows <= n_rows else None

        sample = size(rules.sample_per_parameter, rules.sample_per_mean, rules.sample_least)
        larger = size(rules.contest_per_parameter, rules.contest_per_mean, rules.contest_least)
        width = max(rules.width, -(-n // 4))
        few, many = sample or n_rows, larger or n_rows
        short, long = rules.heat_steps + 1, rules.contest_steps + 1
        heats = (n * short + min(n, width) * long) * few
        # What a round of jumps reads.
        each = width * long * many if sample is None else width * short * few + rules.contenders * long * many
        allowed = min(max(rules.budget_passes * n_rows, rules.budget_rows), rules.budget_most * n_rows)
        rounds = int(np.clip((n * allowed - heats) / each, rules.fewest_rounds, rules.most_rounds))
        slow = rules.saves_time(n, n_rows, n_parameters)
        return cls(
            sample=sample,
            larger=larger,
            width=width,
            leaders=min(rules.leaders, n // 2),
            rounds=rounds,
            stale=rules.stale_rounds if slow else rules.stale_rounds_cheap,
            thorough=n_rows < rules.thorough_below,
        )
