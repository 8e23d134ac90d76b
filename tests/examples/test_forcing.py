"""Teacher forcing computes what play computes: the same clean context, laid out by the same transitions."""

import torch

from examples.pocket_world.train.generator import POCKET_MODEL, PocketGenerator
from examples.pocket_world.train.teacher_forcing import AttentionPlanner, TeacherForcingContext
from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable

START, CONTINUE, SWITCH, CUT = Transition
TRANSITIONS = [START, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE, SWITCH]
CAPTION = "an orange fox walks to the right in a snowy field"


@torch.no_grad()
def test_a_teacher_forced_block_equals_the_block_of_play() -> None:
    torch.manual_seed(0)
    model = PocketGenerator().eval()
    torch.nn.init.normal_(model.transformer.head.head.weight, std=0.02)
    clean, noisy = torch.randn(2, 7, 3, POCKET_MODEL.latent_channels, *POCKET_MODEL.latent_size)
    table = RotaryTable(POCKET_MODEL.head_dim, POCKET_MODEL.rows, POCKET_MODEL.cols)
    plan = AttentionPlanner(table, POCKET_MODEL.tokens_per_frame)([TRANSITIONS], [Window()])
    timesteps = torch.full((7,), 937.5)
    time = model.transformer.modulate(torch.cat((torch.zeros(7), timesteps)))
    text = [(torch.cat((k, k)), torch.cat((v, v))) for k, v in model.text_kv([CAPTION] * 7)]
    context = TeacherForcingContext(plan, clips=1)
    output = model.transformer(torch.cat((clean, noisy)), time, text, [context] * len(text))
    assert torch.allclose(output[7:], _played(model, clean, noisy), atol=1e-4)


def _played(model: PocketGenerator, clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Return the network's output for the same noisy blocks in play, with the clean blocks committed in between."""
    rollout = Rollout(model.transformer)
    embedding = model.text([CAPTION])
    time = model.transformer.modulate(torch.tensor([937.5]))
    velocities = []
    for index, transition in enumerate(TRANSITIONS):
        block = rollout.prepare(embedding, transition, rollout._buffers)
        velocities.append(model.transformer(noisy[index : index + 1], time, block.text, block.contexts))
        rollout.finish(block, clean[index : index + 1])
        rollout.commit()
    return torch.cat(velocities)
