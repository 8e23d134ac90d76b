"""When blocks begin and are shown no more: pauses, the end of a script, the number of blocks."""

import threading
import time

from infrope_env.player.headless import stand_still
from infrope_env.player.stream import Stream
from infrope_env.text.turns import EncodingStopped, interruptible
from tests.player.fakes import FakeEnv
from tests.player.simulation import Simulation

PATIENCE_S = 60


def test_a_pause_holds_the_block_on_show_and_each_single_step_shows_one() -> None:
    simulation = Simulation(0.3).run(3)
    on_show = simulation.shown[-1][1]
    simulation.stream.pause(True)
    simulation.run(3)
    made = len(simulation.env.actions)
    assert simulation.shown[-1][1:] == (on_show, 11)
    for steps in (1, 2):
        simulation.stream.single_step()
        simulation.run(3)
        assert simulation.shown[-1][1:] == (on_show + steps, 11)
    assert len(simulation.env.actions) == max(made, on_show + 2)
    simulation.stream.pause(False)
    simulation.run(3)
    assert simulation.shown[-1][1] > on_show + 4


def test_a_block_under_way_when_the_pause_begins_is_shown_by_the_next_single_step() -> None:
    simulation = Simulation(0.3).run(3)
    while simulation.stream._waiting_block is None:  # generated, not yet on show
        simulation.run(0.001)
    on_show, made = simulation.shown[-1][1], len(simulation.env.actions)
    assert made == on_show + 1
    simulation.stream.pause(True)
    simulation.run(3)
    assert simulation.shown[-1][1:] == (on_show, 11) and len(simulation.env.actions) == made
    simulation.stream.single_step()
    simulation.stream.single_step()
    simulation.run(5)
    assert simulation.shown[-1][1:] == (on_show + 2, 11) and len(simulation.env.actions) == made + 1


def test_a_new_world_and_a_restore_are_shown_while_paused_and_nothing_follows() -> None:
    simulation = Simulation(0.3).run(3)
    simulation.stream.save()
    simulation.stream.pause(True)
    simulation.run(1)
    for command in (simulation.stream.new_world, simulation.stream.restore):
        answer, made = command(), len(simulation.env.actions)
        simulation.run(3)
        assert simulation.shown[-1][1] == answer.result()["block"] and len(simulation.env.actions) == made


def test_no_stream_ends_while_paused() -> None:
    simulation = Simulation(0.3, blocks=3).run(1.0)
    simulation.stream.pause(True)
    for _ in range(4):
        simulation.run(3)
        assert not simulation.stream.is_finished(simulation.clock.now)
        simulation.stream.single_step()
    assert simulation.shown[-1][1:] == (2, 11) and len(simulation.env.actions) == 2
    simulation.stream.pause(False)
    assert simulation.stream.is_finished(simulation.clock.now)


def test_the_stream_ends_after_the_given_number_of_blocks() -> None:
    simulation = Simulation(0.3, blocks=3)
    simulation.run(1)
    assert not simulation.stream.is_finished(simulation.clock.now)
    simulation.run(5)
    assert simulation.env.actions == ["stand", "stand"]
    assert simulation.stream.is_finished(simulation.clock.now)


def test_a_restored_block_is_not_counted_again() -> None:
    simulation = Simulation(0.3, blocks=6).run(2)
    simulation.stream.save()
    simulation.run(0.2)
    simulation.stream.restore()
    simulation.run(9)
    assert simulation.stream.is_finished(simulation.clock.now) and len(simulation.env.actions) == 5


def play_to_the_end(simulation: Simulation) -> None:
    for _ in range(300):
        if simulation.stream.is_finished(simulation.clock.now):
            return
        simulation.run(0.1)
    raise AssertionError("the stream has no end")


def test_a_script_is_played_to_its_end_in_a_new_world() -> None:
    simulation = Simulation(0.3, written=6).run(2.5)
    simulation.stream.new_world()
    play_to_the_end(simulation)
    assert simulation.shown[-1][1:] == (5, 11)
    resets = [i for i, entry in enumerate(simulation.env.log) if entry[0] == "reset"]
    assert len(resets) == 2 and len(simulation.env.log) - 1 - resets[-1] == 5


def test_a_script_is_played_to_its_end_after_a_restored_state() -> None:
    simulation = Simulation(0.3, written=6).run(1.5)
    saved = simulation.stream.save()
    simulation.run(2)
    simulation.stream.restore()
    play_to_the_end(simulation)
    assert simulation.shown[-1][1:] == (5, 11)
    restored = simulation.env.log.index(("restore", saved.result()["block"]))
    assert len(simulation.env.log) - 1 - restored == 5 - saved.result()["block"]


def test_a_new_world_that_is_asked_for_at_the_end_of_a_script_plays_it_again() -> None:
    simulation = Simulation(0.3, written=3)
    while len(simulation.env.actions) < 2:
        simulation.run(0.01)
    simulation.stream.new_world()
    play_to_the_end(simulation)
    assert simulation.shown[-1][1:] == (2, 11) and len(simulation.env.actions) == 4


def test_a_number_of_blocks_counts_those_of_new_worlds_and_outranks_the_script() -> None:
    simulation = Simulation(0.3, written=6, blocks=8).run(2.5)
    simulation.stream.new_world()
    play_to_the_end(simulation)
    assert sum(entry[0] in ("reset", "step") for entry in simulation.env.log) == 8
    simulation = Simulation(0.3, written=6, blocks=2)
    while len(simulation.env.actions) < 1:
        simulation.run(0.01)
    refused = simulation.stream.new_world()
    play_to_the_end(simulation)
    assert len(simulation.env.log) == 2 and "last block" in str(refused.exception())


def test_closing_does_not_wait_for_a_prompt_that_is_being_encoded() -> None:
    encoding, began_s = threading.Event(), time.monotonic()

    def work() -> None:
        with interruptible() as stopped:
            encoding.set()
            stopped.wait(PATIENCE_S)
            raise EncodingStopped

    stream = Stream(FakeEnv(work), stand_still)
    first = stream.start(seed=1)
    assert encoding.wait(PATIENCE_S)
    stream.close()
    assert time.monotonic() - began_s < PATIENCE_S and isinstance(first.exception(), EncodingStopped)
