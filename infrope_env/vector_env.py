"""InfinityRopeVectorEnv: many environments whose blocks are made in one forward pass.

Every row is an `InfinityRopeEnv` with a rollout of its own. A step first plans every row, which changes nothing, then
makes all blocks together, and then steps each row as usual: its rollout hands out the block that was made. So prompts,
rewards, saved states and recordings of a row are those of a single environment.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from infrope_env.control.actions import Transition
from infrope_env.control.frames import Frames
from infrope_env.dynamics.batch import RolloutBatch
from infrope_env.env_state import EnvState
from infrope_env.recording.quality import Quality, require_quality
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.vector_rows import RowEnv, RowPlan, RowResult

Results = tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
"""Observations, rewards, terminations, truncations and infos of all rows."""


class InfinityRopeVectorEnv(VectorEnv[Frames, NDArray[np.int64], NDArray[Any]]):
    """Many rows of one model, each a world of its own; one step makes one block of every row.

    Attributes:
        rows: The environment of each row. Its methods that make no block may be called.
    """

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        record: str | None = None,
        quality: Quality = "standard",
        **kwargs: Any,
    ) -> None:
        """Make the rows, which share the model.

        Args:
            num_envs: Number of rows.
            autoreset_mode: When a row whose episode ended is reset: in the next step, in the same step ("SameStep"), or
                by the caller ("Disabled"), who gives `reset` the option "reset_mask".
            render_mode: "rgb_array" renders one picture of all rows; None disables rendering.
            record: Folder in which every row is recorded, below row_000, row_001, ...; None records nothing. The
                recordings replay on a single environment.
            quality: Quality of the recordings, see `RecordRollout`.
            kwargs: Arguments of every row, see `InfinityRopeEnv`.

        Raises:
            ValueError: An argument has no valid value.
        """
        if not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"expected num_envs to be a number from 1, got {num_envs!r}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(
                f"expected render_mode of a vector environment to be None or rgb_array, got {render_mode!r}"
            )
        if kwargs.get("compile"):
            raise ValueError("compile is for a single environment: a batch has too many shapes to compile ahead")
        if kwargs.get("precision") == "int8":
            raise ValueError("precision='int8' is for a single environment: a batch would round its rows together")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.num_envs, self.render_mode = num_envs, render_mode
        self._kwargs, self._record, self._quality = kwargs, record, require_quality(quality)
        self.rows = tuple(RowEnv(num_envs, render_mode=render_mode, **kwargs) for _ in range(num_envs))
        self._steppers: Sequence[gymnasium.Env[Any, Any]] = self.rows
        first = self.rows[0]
        self.metadata = first.metadata | {"autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        self.observation_space = batch_space(first.observation_space, num_envs)
        self.action_space = batch_space(first.action_space, num_envs)
        self._batch = RolloutBatch([row._rollout for row in self.rows])
        self._observations = np.zeros(self.observation_space.shape or (), np.uint8)
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Start a rollout in every row, or in those of a mask, and make their first blocks.

        Args:
            seed: Seed of each row; a number n means n, n + 1, ...; None draws them from each row's `np_random`.
            options: Options of `InfinityRopeEnv.reset` for all rows; a list has a value for each, None for no value.
                "reset_mask", a bool array (num_envs,), leaves the other rows as they are.

        Returns:
            Observations of all rows, num_envs t H W 3, and the infos of those that were reset.

        Raises:
            ValueError, TypeError: An argument is not valid for a row, which the message names; nothing has changed.
        """
        self._begin_recording()
        seeds = self._per_row("seed", self._count_up(seed))
        mask, shared = self._parse_mask(options)
        each = self._options_of_rows(shared)
        plans = dict(self._plan(row, self._plan_reset, seeds[row], each[row]) for row in np.flatnonzero(mask).tolist())
        infos = dict[str, Any]()
        for row, (observation, *_, info) in self._make(plans).items():
            self._observations[row], self._ended[row] = observation, False
            infos = self._add_info(infos, info, row)
        return self._observations.copy(), infos

    def step(self, actions: NDArray[np.int64]) -> Results:
        """Make the next block of every row.

        Returns:
            Results of all rows. Under NEXT_STEP a row whose episode ended is reset instead, without a reward; under
            SAME_STEP it is reset too, and "final_obs" and "final_info" in the infos have its last block.

        Raises:
            ResetNeeded: A row has no rollout, or under DISABLED its episode has ended.
            ValueError: A row has no such action; nothing has changed.
        """
        asked = list(iterate(self.action_space, actions))
        if len(asked) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions, got {len(asked)}")
        again = set(np.flatnonzero(self._ended).tolist())
        if again and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"The episodes of rows {sorted(again)} have ended: reset them, with a reset_mask.")
        plans = dict(
            self._plan(row, self._plan_reset, None, None) if row in again else self._plan(row, self._plan_step, action)
            for row, action in enumerate(asked)
        )
        results, infos = self._make(plans), dict[str, Any]()
        rewards, terminated, truncated = (np.array([results[row][part] for row in plans]) for part in (1, 2, 3))
        self._ended = terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            ended = np.flatnonzero(self._ended).tolist()
            for row in ended:
                final = {"final_obs": results[row][0], "final_info": results[row][4]}
                infos = self._add_info(infos, final, row)
            results |= self._make(dict(self._plan(row, self._plan_reset, None, None) for row in ended))
            self._ended = np.zeros_like(self._ended)
        for row, (observation, *_, info) in results.items():
            self._observations[row] = observation
            infos = self._add_info(infos, info, row)
        return self._observations.copy(), rewards.astype(np.float64), terminated, truncated, infos

    def set_prompt(self, texts: str | Sequence[str | None], cut: bool = False) -> None:
        """Put free text in force in all rows, or in those with a text in a list; see `InfinityRopeEnv.set_prompt`.

        Raises:
            ValueError: The text encoder cannot read a text; no row has changed.
        """
        wanted = {row: text for row, text in enumerate(self._per_row("texts", texts)) if text is not None}
        for row, text in wanted.items():
            with self._named(row):
                self.rows[row].embed(text)
        for row, text in wanted.items():
            self.rows[row].set_prompt(text, cut)

    def save_state(self) -> tuple[EnvState, ...]:
        """Return a copy of all that the future of each row depends on."""
        return tuple(row.save_state() for row in self.rows)

    def restore_state(self, states: Sequence[EnvState | None]) -> tuple[Frames, dict[str, Any]]:
        """Go back to saved states, of any row or single environment; a row with None stays as it is.

        Returns:
            Observations of all rows, and the infos of those that were restored.

        Raises:
            ValueError: A state was saved under other settings; no row has changed.
        """
        wanted = {row: state for row, state in enumerate(self._per_row("states", states)) if state is not None}
        for row, state in wanted.items():
            with self._named(row):
                self.rows[row].require_origin(state)
        infos = dict[str, Any]()
        for row, state in wanted.items():
            self._observations[row], info = self.rows[row].restore_state(state)
            self._ended[row] = False
            infos = self._add_info(infos, info, row)
        return self._observations.copy(), infos

    def render(self) -> Any:
        """Return the newest pixel frames of all rows in one picture, H W 3, row after row; None without rendering."""
        if self.render_mode is None:
            return None
        pictures = [np.asarray(row.render()) for row in self.rows]
        columns = math.ceil(math.sqrt(self.num_envs))
        pictures += [np.zeros_like(pictures[0])] * (-self.num_envs % columns)
        lines = [np.concatenate(pictures[i : i + columns], axis=1) for i in range(0, len(pictures), columns)]
        return np.concatenate(lines)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return what a method of each row returns, or its attribute. Rows make no block together in it."""
        values = [getattr(row, name) for row in self.rows]
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of each row."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of the rows; a list or tuple has a value for each of them."""
        for row, value in zip(self.rows, self._per_row("values", values), strict=True):
            setattr(row, name, value)

    @property  # type: ignore[misc]
    def np_random(self) -> Any:
        """Random generator of each row."""
        return self.get_attr("np_random")

    @property
    def np_random_seed(self) -> Any:
        """Seed of the random generator of each row."""
        return self.get_attr("np_random_seed")

    def close_extras(self, **kwargs: Any) -> None:
        """Close every row and its recording."""
        for row in self._steppers:
            row.close()

    def _begin_recording(self) -> None:
        """Wrap the rows in recorders, once; the id, which a recording names, is known after construction only."""
        if self._record is None or self._steppers is not self.rows:
            return
        if self.spec is None:
            raise ValueError("Only a vector environment from gymnasium.make_vec can be recorded: its id must be known.")
        spec = copy.deepcopy(gymnasium.spec(self.spec.id))  # the registry's own must not change
        spec.kwargs = spec.kwargs | self._kwargs
        recorders = []
        for number, row in enumerate(self.rows):
            row.spec = spec
            recorders.append(RecordRollout(row, Path(self._record) / f"row_{number:03d}", self._quality))
        self._steppers = recorders

    def _make(self, plans: Mapping[int, RowPlan]) -> dict[int, RowResult]:
        """Make the planned blocks together, then step their rows; return the results by row.

        An exception leaves the rows whose blocks were not handed out without a rollout.
        """
        together = {row: plan for row, plan in plans.items() if not plan.alone}
        waiting = dict(plans)
        try:
            for row, plan in together.items():
                if plan.seed is not None:
                    self.rows[row]._rollout.reset(plan.seed)
            requests = {row: (self.rows[row].embed(plan.prompt), plan.transition) for row, plan in together.items()}
            for row, block in self._batch.generate(requests).items() if requests else ():
                self.rows[row]._rollout.made = block
            results = {}
            for row, plan in plans.items():
                with self._named(row):
                    results[row] = plan.step()
                del waiting[row]
        finally:
            for row in waiting:
                self.rows[row]._rollout.made, self.rows[row].newest = None, None
        if self.rows[0].model.device.type == "cuda":
            self._batch.commit()  # only queued here: it runs while the caller chooses the next actions
        return results

    def _plan(self, row: int, plan: Callable[..., RowPlan], *arguments: Any) -> tuple[int, RowPlan]:
        """Return a row with its plan; an error names the row."""
        with self._named(row):
            return row, plan(row, *arguments)

    def _plan_step(self, row: int, action: int | np.integer[Any]) -> RowPlan:
        steering, transition = self.rows[row].plan_step(action)
        self.rows[row].embed(steering.prompt)
        return RowPlan(steering.prompt, transition, lambda: self._steppers[row].step(action))

    def _plan_reset(self, row: int, seed: int | None, options: dict[str, Any] | None) -> RowPlan:
        _, steering, picture = self.rows[row].plan_reset(options, seed)
        drawn = self.rows[row].next_seed(seed)

        def step() -> RowResult:
            observation, info = self._steppers[row].reset(seed=seed, options=options)
            return observation, 0.0, False, False, info

        return RowPlan(steering.prompt, Transition.START, step, drawn, alone=picture is not None)

    @contextmanager
    def _named(self, row: int) -> Iterator[None]:
        """Name the row in an error about its arguments."""
        try:
            yield
        except (ValueError, TypeError, ResetNeeded) as error:
            kind = next(kind for kind in (ResetNeeded, TypeError, ValueError) if isinstance(error, kind))
            raise kind(f"row {row}: {error}") from error

    def _count_up(self, seed: int | Sequence[int | None] | None) -> int | list[int | None] | None:
        return [int(seed) + row for row in range(self.num_envs)] if isinstance(seed, (int, np.integer)) else seed  # type: ignore[return-value]

    def _per_row(self, name: str, values: Any) -> list[Any]:
        """Return a value for each row: the elements of a list or tuple, otherwise the value itself."""
        if not isinstance(values, (list, tuple)):
            return [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"expected {name} to have {self.num_envs} elements, one for each row, got {len(values)}")
        return list(values)

    def _options_of_rows(self, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the options of each row, without those that are None."""
        each = {name: self._per_row(f"option {name!r}", values) for name, values in options.items()}
        return [
            {name: values[row] for name, values in each.items() if values[row] is not None}
            for row in range(self.num_envs)
        ]

    def _parse_mask(self, options: Mapping[str, Any] | None) -> tuple[NDArray[np.bool_], dict[str, Any]]:
        """Return which rows are reset, and the other options."""
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"expected reset options to be a dict, got {type(options).__name__}")
        others = dict(options or {})
        mask = others.pop("reset_mask", np.ones(self.num_envs, np.bool_))
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise TypeError(f"expected reset_mask to be a bool array of shape ({self.num_envs},), got {mask!r}")
        if not mask.any():
            raise ValueError("expected reset_mask to have at least one row that is True")
        return mask, others
