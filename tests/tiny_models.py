"""Tiny random audio models of transformers, in folders: one of each family."""

from pathlib import Path

import torch

WAVEFORMS = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (5, 64),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
KINDS = ("wav2vec2", "hubert", "ast", "whisper", "clap")
RATE = 16000


def save_model(kind: str, folder: Path, seed: int = 0) -> str:
    """Write a tiny model with random weights; its name as an encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, extractor = globals()[f"_{kind}"]()
    with (
        torch.no_grad(),
        torch.random.fork_rng(),
    ):  # what starts as zero would hide much
        torch.manual_seed(seed + 1)
        for name, weight in model.named_parameters():
            if weight.ndim == 1 and "weight" not in name:
                weight.normal_(std=0.1)
            elif weight.ndim == 2:
                weight.normal_(std=0.4)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return f"hf:{folder}"


def _wav2vec2():  # with layer norms: padding is masked
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        **WAVEFORMS, feat_extract_norm="layer", do_stable_layer_norm=True
    )
    return Wav2Vec2Model(config), Wav2Vec2FeatureExtractor(return_attention_mask=True)


def _hubert():  # with a group norm, as MERT: padding would change it
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    return HubertModel(HubertConfig(**WAVEFORMS)), Wav2Vec2FeatureExtractor()


def _ast():
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    config = ASTConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=64,
        num_mel_bins=32,
    )
    return ASTModel(config), ASTFeatureExtractor(max_length=64, num_mel_bins=32)


def _whisper():
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        d_model=8,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=16,
        max_source_positions=50,
        vocab_size=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return WhisperModel(config), WhisperFeatureExtractor(
        feature_size=16, chunk_length=1
    )


def _clap():
    from transformers import (
        ClapAudioConfig,
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapTextConfig,
    )

    audio = ClapAudioConfig(
        hidden_size=16,
        patch_embeds_hidden_size=8,
        depths=[1, 1],
        num_attention_heads=[2, 2],
        num_hidden_layers=2,
        num_mel_bins=16,
        spec_size=64,
        window_size=4,
        enable_fusion=False,
    )
    text = ClapTextConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=16,
    )
    config = ClapConfig(
        text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=8
    )
    extractor = ClapFeatureExtractor(
        feature_size=16,
        max_length_s=1,
        sampling_rate=RATE,
        frequency_max=RATE // 2,
        truncation="rand_trunc",
    )
    return ClapModel(config), extractor
