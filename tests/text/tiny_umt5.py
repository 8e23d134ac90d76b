"""A tiny random UMT5 in the layouts of the real downloads; names and layouts are written out by hand."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

WORDS = ["a", "red", "fox", "walks", "through", "deep", "snow", "in", "the", "forest", "at", "dawn", "café"]
SIZES = {"d_model": 16, "d_kv": 6, "d_ff": 40, "num_layers": 3, "num_heads": 2}
END_ID = 1
PROMPT = "a red fox walks through deep snow"


def write_tokenizer(path: Path) -> None:
    """Write a tokenizer.json built like UMT5's: unigram pieces that begin with a bar, an end mark after every text."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS), *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.Unigram([(piece, -0.1 * i) for i, piece in enumerate(pieces)], unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END_ID)])
    tokenizer.enable_padding(length=7)  # the encoder ignores the padding of a file
    path.parent.mkdir(parents=True)
    tokenizer.save(str(path))


def write_diffusers_folder(folder: Path, sizes: dict[str, int] = SIZES) -> Path:
    """Write a folder like Wan-AI/Wan2.1-T2V-1.3B-Diffusers: two shards, with one name for the token embedding."""
    from transformers import UMT5Config, UMT5EncoderModel

    write_tokenizer(folder / "tokenizer" / "tokenizer.json")
    torch.manual_seed(0)
    model = UMT5EncoderModel(UMT5Config(vocab_size=64, feed_forward_proj="gated-gelu", **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.2)
        model.shared.weight.normal_()
    tensors = {name: value.clone() for name, value in model.state_dict().items() if "embed_tokens" not in name}
    names, places = sorted(tensors), {}
    (folder / "text_encoder").mkdir()
    for i, part in enumerate((names[:10], names[10:]), start=1):
        shard = folder / "text_encoder" / f"model-0000{i}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, shard)
        places |= dict.fromkeys(part, shard.name)
    index = {"metadata": {}, "weight_map": places}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    config = model.config.to_dict() | {"tie_word_embeddings": False, "architectures": ["UMT5EncoderModel"]}
    (folder / "text_encoder" / "config.json").write_text(json.dumps(config))
    return folder


def weights_of(twin: Path) -> dict[str, Tensor]:
    shards = sorted((twin / "text_encoder").glob("*.safetensors"))
    return {name: tensor for shard in shards for name, tensor in load_file(shard).items()}


def original_weights(twin: Path) -> dict[str, Tensor]:
    """Return the same weights under the names of Wan's own encoder, written out by hand."""
    ours, theirs = weights_of(twin), {}
    layers = sum(name.endswith("SelfAttention.q.weight") for name in ours)
    theirs["token_embedding.weight"] = ours["shared.weight"]
    theirs["norm.weight"] = ours["encoder.final_layer_norm.weight"]
    for i in range(layers):
        block, attention = f"encoder.block.{i}", f"encoder.block.{i}.layer.0.SelfAttention"
        for part in "qkvo":
            theirs[f"blocks.{i}.attn.{part}.weight"] = ours[f"{attention}.{part}.weight"]
        theirs[f"blocks.{i}.pos_embedding.embedding.weight"] = ours[f"{attention}.relative_attention_bias.weight"]
        theirs[f"blocks.{i}.norm1.weight"] = ours[f"{block}.layer.0.layer_norm.weight"]
        theirs[f"blocks.{i}.norm2.weight"] = ours[f"{block}.layer.1.layer_norm.weight"]
        for name, part in (("gate.0", "wi_0"), ("fc1", "wi_1"), ("fc2", "wo")):
            theirs[f"blocks.{i}.ffn.{name}.weight"] = ours[f"{block}.layer.1.DenseReluDense.{part}.weight"]
    return theirs


def write_original_folder(folder: Path, twin: Path) -> Path:
    """Write a folder like Wan-AI/Wan2.1-T2V-1.3B, with the generator's files beside the encoder's."""
    write_tokenizer(folder / "google" / "umt5-xxl" / "tokenizer.json")
    torch.save(original_weights(twin), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    (folder / "config.json").write_text('{"model_type": "t2v"}')
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"another model's")
    return folder


def copy_folder(folder: Path, to: Path) -> Path:
    for file in folder.rglob("*"):
        if file.is_file():
            (to / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (to / file.relative_to(folder)).write_bytes(file.read_bytes())
    return to
