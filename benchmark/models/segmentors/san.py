"""SAN (arXiv 2302.12242) with random weights: mmsegmentation's initialisation needs those of CLIP."""

from __future__ import annotations

from typing import Any

from mmseg.models.decode_heads.san_head import SideAdapterCLIPHead
from mmseg.models.text_encoder import CLIPTextEncoder
from mmseg.registry import MODELS
from torch import nn


def _is_pretrained(module: Any) -> bool:
    return isinstance(module.init_cfg, dict) and module.init_cfg.get("type") == "Pretrained_Part"


@MODELS.register_module()
class InitialisedCLIPTextEncoder(CLIPTextEncoder):
    """Text encoder of mmsegmentation, with embeddings initialized like CLIP's if no weights are loaded.

    Deviations follow `CLIP.initialize_parameters` of github.com/openai/CLIP.
    """

    def init_weights(self) -> None:
        """Load the weights given in the config, or draw random ones."""
        super().init_weights()
        if not _is_pretrained(self):
            nn.init.normal_(self.token_embedding.weight, std=0.02)
            nn.init.normal_(self.positional_embedding, std=0.01)
            nn.init.normal_(self.text_projection, std=self.text_projection.shape[0] ** -0.5)


@MODELS.register_module()
class InitialisedSideAdapterCLIPHead(SideAdapterCLIPHead):
    """Head of mmsegmentation, with PyTorch's weights in its copies of CLIP's last layers if none are loaded."""

    def init_weights(self) -> None:
        """Load the weights given in the config, or draw random ones."""
        if _is_pretrained(self):
            super().init_weights()
        else:
            self.side_adapter_network.init_weights()
