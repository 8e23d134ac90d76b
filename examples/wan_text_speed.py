"""Measure Wan's text encoder on the CPU: seconds per prompt and memory, by dtype and number of threads.

    python examples/wan_text_speed.py                            # random weights, 11.4 GB in a temporary folder
    python examples/wan_text_speed.py --folder Wan2.1-T2V-1.3B   # released ones, which are as fast

A prompt has 145 tokens, as those of wan.toml. On busy processors the processor time says more than the wall time.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from infrope_env.output import run_program
from infrope_env.recording.run_info import processor
from infrope_env.text.own_thread import start_thread
from infrope_env.text.umt5 import DTYPES, UMT5TextEncoder

ROWS, WIDTH, FFN, HEADS, BUCKETS, TOKENS = 256384, 4096, 10240, 64, 32, 145


def write_random_encoder(folder: Path, layers: int, shrink: int) -> Path:
    """Write weights in bfloat16 in the layout of diffusers, one file per layer, and a tokenizer of one id per word."""
    width, ffn, generator = WIDTH // shrink, FFN // shrink, torch.Generator().manual_seed(0)

    def weight(outputs: int, inputs: int) -> torch.Tensor:
        return (torch.randn(outputs, inputs, generator=generator) * inputs**-0.5).bfloat16()

    (folder / "text_encoder").mkdir(parents=True)
    scale = torch.ones(width, dtype=torch.bfloat16)
    table = weight(1024, width).repeat(ROWS // 1024 // shrink, 1)
    once = {"shared.weight": table, "encoder.final_layer_norm.weight": scale}
    save_file(once, folder / "text_encoder" / "model-once.safetensors")
    for i in range(layers):
        attention, dense = f"encoder.block.{i}.layer.0", f"encoder.block.{i}.layer.1"
        tensors = {f"{attention}.SelfAttention.{part}.weight": weight(width, width) for part in "qkvo"}
        tensors[f"{attention}.SelfAttention.relative_attention_bias.weight"] = weight(BUCKETS, HEADS)
        tensors |= {f"{part}.layer_norm.weight": scale.clone() for part in (attention, dense)}
        tensors |= {f"{dense}.DenseReluDense.{part}.weight": weight(ffn, width) for part in ("wi_0", "wi_1")}
        save_file(tensors | {f"{dense}.DenseReluDense.wo.weight": weight(width, ffn)},
                  folder / "text_encoder" / f"model-{i:02}.safetensors")  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel({"</s>": 1} | {f"word{i}": i + 2 for i in range(500)}, unk_token="word0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    (folder / "tokenizer").mkdir()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return folder


def own_bytes() -> int:
    """Return the memory of this process without mapped files; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def measure(encoder: UMT5TextEncoder, texts: list[str], threads: int) -> dict[str, float]:
    """Encode texts together in a thread of its own; return times per text, and the most memory that it took."""
    memory, wall_s, cpu_s = [own_bytes()], time.perf_counter(), time.process_time()
    encoding = start_thread(lambda: encoder(texts, lambda _: memory.append(own_bytes())), threads=threads, name="timed")
    assert encoding.result().isfinite().all()
    wall_s, cpu_s = (time.perf_counter() - wall_s) / len(texts), (time.process_time() - cpu_s) / len(texts)
    return {"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2), "gb": round((max(memory) - memory[0]) / 1e9, 2)}


def main(
    folder: Path | None = None,
    threads: tuple[int, ...] = (1, 2),
    weights: tuple[Literal["bfloat16", "int8", "float32"], ...] = ("bfloat16", "int8"),
    arithmetic: tuple[Literal["float32", "bfloat16"], ...] = ("float32",),  # play takes float32
    batch: int = 1,
    layers: int = 24,
    shrink: int = 1,
) -> None:
    """Print a line per case, then all of them as one line of JSON. `layers` and `shrink` are of random weights."""
    print(f"{processor()}, torch {torch.__version__}, {TOKENS} tokens, batches of {batch}")
    words = [f"word{i % 500}" for i in range(7 * batch + TOKENS)]
    texts = [" ".join(words[7 * i : 7 * i + TOKENS - 1]) for i in range(batch)]
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = folder or write_random_encoder(Path(place) / "Wan", layers, shrink)
        for kind, how, count in ((kind, how, count) for kind in weights for how in arithmetic for count in threads):
            encoder = UMT5TextEncoder.from_folder(folder, dtype=kind, arithmetic=DTYPES[how])
            cases.append({"weights": kind, "arithmetic": how, "threads": count} | measure(encoder, texts, count))
            print("  ".join(f"{name} {value}" for name, value in cases[-1].items()), flush=True)
    print(json.dumps(cases))


if __name__ == "__main__":
    run_program(main, description=__doc__)
