"""AXL for Hugging Face's transformers: `AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)`.

The model itself is in the axl_*.py files beside this one, which AXL wrote out of its own sources when it exported the weights.
Tokens are bytes. There is no memory here: what the model looks up in is AXL's.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .axl_cache import Cache
from .axl_model import MultiScaleTransformer


class MultiScaleConfig(PretrainedConfig):
    """The fields of AXL's ModelConfig, under `axl`."""

    model_type = "multiscale_transformer"

    def __init__(self, axl: dict[str, Any] | None = None, **fields: Any) -> None:
        self.axl = dict(axl or {})
        self.vocab_size = self.axl.get("vocab_size", 258)
        self.hidden_size = self.axl.get("d_model", 0)
        self.num_hidden_layers = sum(self.axl.get("layers", ()))
        self.num_attention_heads = self.axl.get("n_heads", 0)
        self.max_position_embeddings = self.axl.get("max_seq_len", 0)
        super().__init__(**{"tie_word_embeddings": False, **fields})


class MultiScaleForCausalLM(PreTrainedModel, GenerationMixin):
    """The three-scale byte transformer with its language-model head."""

    config_class = MultiScaleConfig
    base_model_prefix = "model"
    _is_stateful = True  # its cache is its own: no assisted generation that rolls back behind its back

    def __init__(self, config: MultiScaleConfig) -> None:
        super().__init__(config)
        self.shape = SimpleNamespace(**config.axl)
        self.model = MultiScaleTransformer(self.shape)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _init_weights(self, module: Any) -> None:
        """Weights are loaded; what the constructor set stays."""

    def get_input_embeddings(self) -> Any:
        """The table of bytes, which is the head as well."""
        return self.model.embedding

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V) of the byte after each; rows of a batch have the same length (there is no padding)."""
        if attention_mask is not None and not bool(attention_mask.all()):
            raise ValueError("AXL reads rows of one length: send them one at a time, or cut them to the same length")
        if not isinstance(past_key_values, Cache):
            past_key_values = Cache(self.shape) if use_cache or use_cache is None else None
        logits = self.model(input_ids, past_key_values)
        loss = None
        if labels is not None:
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, past_key_values: Any = None, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Only what the cache has not read."""
        cache = past_key_values if isinstance(past_key_values, Cache) else None
        if cache is not None:
            input_ids = input_ids[:, cache.length :]
        return {"input_ids": input_ids, "past_key_values": cache, "use_cache": kwargs.get("use_cache", True)}
