"""PSANet's collect branch alone, in which every position gathers from all others (Zhao et al., ECCV 2018)."""

_base_ = "./psanet_r50-d8.py"

model = dict(decode_head=dict(psa_type="collect"))
