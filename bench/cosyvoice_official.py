"""Measures CosyVoice's own code for `bench.cosyvoice`, in an interpreter that can import it, never in the hub's.

Arguments: its repository, the device, the number of threads, ids of the text and of the transcript, speech tokens of
the prompt, ids of a first text to warm up with, 1 to measure CPU time. Prints a line of JSON when it is ready,
and for each line of input, `whole` or `stream`, the times of one utterance in seconds.
"""

import json
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import torch


def build(device):
    """Build the official model classes in the sizes of CosyVoice2-0.5B, with random weights."""
    from cosyvoice.cli.model import CosyVoice2Model
    from cosyvoice.flow.decoder import CausalConditionalDecoder
    from cosyvoice.flow.flow import CausalMaskedDiffWithXvec
    from cosyvoice.flow.flow_matching import CausalConditionalCFM
    from cosyvoice.hifigan.f0_predictor import ConvRNNF0Predictor
    from cosyvoice.hifigan.generator import HiFTGenerator
    from cosyvoice.llm.llm import Qwen2Encoder, Qwen2LM
    from cosyvoice.transformer.upsample_encoder import UpsampleConformerEncoder
    from cosyvoice.utils.common import ras_sampling
    from omegaconf import DictConfig
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = json.loads((Path(__file__).parent / "cosyvoice_model/CosyVoice-BlankEN/config.json").read_text())
    encoder = Qwen2Encoder.__new__(Qwen2Encoder)  # its constructor would load released weights
    torch.nn.Module.__init__(encoder)
    encoder.model = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **sizes))
    sampling = partial(ras_sampling, top_p=0.8, top_k=25, win_size=10, tau_r=0.1)
    llm = Qwen2LM(896, 896, 6561, encoder, sampling)
    llm.inference = partial(llm.inference, min_token_text_ratio=2, max_token_text_ratio=2)
    estimator = CausalConditionalDecoder(
        in_channels=320,
        out_channels=80,
        channels=[256],
        dropout=0.0,
        attention_head_dim=64,
        n_blocks=4,
        num_mid_blocks=12,
        num_heads=8,
        act_fn="gelu",
        static_chunk_size=50,
        num_decoding_left_chunks=-1,
    )
    content = {
        "sigma_min": 1e-6,
        "solver": "euler",
        "t_scheduler": "cosine",
        "training_cfg_rate": 0.2,
        "inference_cfg_rate": 0.7,
        "reg_loss_type": "l1",
    }
    flow = CausalMaskedDiffWithXvec(
        input_size=512,
        output_size=80,
        vocab_size=6561,
        input_frame_rate=25,
        token_mel_ratio=2,
        pre_lookahead_len=3,
        encoder=UpsampleConformerEncoder(
            input_size=512,
            output_size=512,
            attention_heads=8,
            linear_units=2048,
            num_blocks=6,
            input_layer="linear",
            pos_enc_layer_type="rel_pos_espnet",
            selfattention_layer_type="rel_selfattn",
            use_cnn_module=False,
            macaron_style=False,
            static_chunk_size=25,
        ),
        decoder=CausalConditionalCFM(
            in_channels=240, n_spks=1, spk_emb_dim=80, cfm_params=DictConfig(content), estimator=estimator
        ),
    )
    hift = HiFTGenerator(
        sampling_rate=24000,
        upsample_rates=[8, 5, 3],
        upsample_kernel_sizes=[16, 11, 7],
        source_resblock_kernel_sizes=[7, 7, 11],
        source_resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        f0_predictor=ConvRNNF0Predictor(cond_channels=512),
    )
    half = device != "cpu"
    for module in (llm, flow, hift):
        module.to(device).eval().requires_grad_(False)
    return CosyVoice2Model(llm, flow, hift, fp16=half)


def watched(module, name, times, key, clock):
    """Make `module.name` add its seconds to `times[key]`."""
    inner = getattr(module, name)

    def timed(*arguments, **named):
        begin = clock()
        found = inner(*arguments, **named)
        times[key] = times.get(key, 0.0) + clock() - begin
        return found

    setattr(module, name, timed)


def utterance(text, before, prompt):
    """Return the arguments for `tts`."""
    return {
        "text": torch.randint(0, 150_000, (1, text), dtype=torch.int32),
        "flow_embedding": torch.randn(1, 192),
        "llm_embedding": torch.zeros(0, 192),
        "prompt_text": torch.randint(0, 150_000, (1, before), dtype=torch.int32),
        "llm_prompt_speech_token": torch.randint(0, 6561, (1, prompt), dtype=torch.int32),
        "flow_prompt_speech_token": torch.randint(0, 6561, (1, prompt), dtype=torch.int32),
        "prompt_speech_feat": torch.randn(1, 2 * prompt, 80),
    }


def measure(model, given, times, what, clock):
    """Measure one utterance."""
    times.clear()
    model.token_hop_len = 25  # the utterance before left another value
    begin, first = clock(), 0.0
    for _ in model.tts(**given, stream=what == "stream"):
        first = first or clock() - begin
    end = clock() - begin
    if what == "stream":
        return {"first": first, "stream": end}
    return {
        "lm": end - times["flow"] - times["vocoder"],
        "flow": times["flow"],
        "vocoder": times["vocoder"],
        "whole": end,
    }


def main():
    """Measure one round for each line of input, until the input ends."""
    folder, device = sys.argv[1:3]
    threads, text, before, prompt, warm_up, cpu = map(int, sys.argv[3:9])
    clock = time.process_time if cpu else time.perf_counter
    warnings.simplefilter("ignore")
    sys.path.insert(0, folder)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, times = build(device), {}
    watched(model.flow, "inference", times, "flow", clock)
    watched(model.hift, "inference", times, "vocoder", clock)
    measure(model, utterance(warm_up, before, prompt), times, "whole", clock)
    given = utterance(text, before, prompt)
    print(json.dumps({"ready": 1}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(model, given, times, line.strip(), clock)), flush=True)


if __name__ == "__main__":
    main()
