"""Context modules compared: point-wise spatial attention, collect and distribute (PSA, Zhao et al., ECCV 2018)."""

_base_ = "../_base_/models/context_r50-d8.py"

model = dict(
    decode_head=dict(
        type="PSANetHead",
        mask_size=(97, 97),
        psa_type="bi-direction",
        compact=False,
        shrink_factor=2,
        normalization_factor=1.0,
        psa_softmax=True,
    )
)
