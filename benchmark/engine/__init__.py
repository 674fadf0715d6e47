"""Training and evaluation with mmengine's Runner."""
