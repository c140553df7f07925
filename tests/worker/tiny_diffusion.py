"""A pipeline of diffusers with random weights, as large as a test needs: 200 kB of safetensors in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

DOWN, UP = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")


def write_pipeline(folder: Path) -> None:
    """Write `pipeline`, and a `controlnet` that goes with it."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=32,
        norm_num_groups=4,
        down_block_types=DOWN,
        up_block_types=UP,
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=_text_encoder(),
        tokenizer=_tokenizer(folder),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder / "pipeline")
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    for parameter in control.parameters():  # an untrained one says nothing
        torch.nn.init.normal_(parameter, std=0.1)
    control.save_pretrained(folder / "controlnet")


def write_lora(folder: Path) -> None:
    """Write a `lora.safetensors` for that pipeline."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_pretrained(folder / "pipeline" / "unet")
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers, weight_name="lora.safetensors")


def write_adapter(folder: Path) -> None:
    """Write an `ip_adapter.safetensors` for that pipeline, and the `image_encoder` that it sees with."""
    torch.manual_seed(2)
    tensors = {"image_proj.proj.weight": torch.randn(4 * 16, 8), "image_proj.proj.bias": torch.randn(4 * 16)}
    tensors |= {"image_proj.norm.weight": torch.ones(16), "image_proj.norm.bias": torch.zeros(16)}
    unet = UNet2DConditionModel.from_pretrained(folder / "pipeline" / "unet")
    processors = [name for name in unet.attn_processors if "attn2" in name]
    for number, name in enumerate(processors):
        width = 16 if "mid" in name or "down_blocks.1" in name or "up_blocks.0" in name else 8
        for part in ("k", "v"):
            tensors[f"ip_adapter.{2 * number + 1}.to_{part}_ip.weight"] = torch.randn(width, 16)
    save_file(tensors, folder / "ip_adapter.safetensors")
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        projection_dim=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")


def _text_encoder() -> CLIPTextModel:
    config = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return CLIPTextModel(config)


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """A token for each byte, within words and at their ends."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "tokens").mkdir(parents=True)
    (folder / "tokens" / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "tokens" / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(str(folder / "tokens"), model_max_length=77)
