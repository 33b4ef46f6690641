"""Times boson's own generate loop on a language model in boson's layout, for `bench.higgs_audio --official`.

    python higgs_official.py CHECKOUT LANGUAGE_FOLDER COLUMNS THREADS DEVICE

Needs the dependencies of boson's code: transformers 4.46 and torch. The cache is the growing one that boson's script
uses without CUDA graphs.
"""

import sys
import time


def main() -> None:
    """Load, warm up, and print one line."""
    checkout, folder, columns, threads, device = sys.argv[1:6]
    sys.path.insert(0, checkout)
    import torch
    from boson_multimodal.model.higgs_audio import HiggsAudioModel

    torch.set_num_threads(int(threads))
    on = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    model = HiggsAudioModel.from_pretrained(folder, torch_dtype="auto").to(on).eval()
    model.audio_eos_token_id = 263
    text = torch.arange(20, 220, device=on)[None]
    ids = torch.cat([text, torch.tensor([[model.config.audio_out_bos_token_id]], device=on)], 1)

    def run(count: int) -> float:
        begin = time.perf_counter()
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            use_cache=True,
            do_sample=True,
            temperature=0.1,
            top_k=50,
            top_p=0.95,
            ras_win_len=7,
            ras_win_max_num_repeat=2,
            seed=0,
        )
        return time.perf_counter() - begin

    with torch.inference_mode():
        run(4)
        few, many = run(4), run(int(columns))
    step = (many - few) / (int(columns) - 4)
    print(f"boson's own generate: {1000 * step:.1f} ms a step, {1 / step:.1f} columns/s")


if __name__ == "__main__":
    main()
