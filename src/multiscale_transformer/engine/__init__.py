"""The compiled engine: weights, paged KV cache, scheduler, speculative decoding, structured output; no PyTorch."""
