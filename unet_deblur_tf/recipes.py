"""How networks are trained. Plain data, so that scripts can list the names without importing TensorFlow."""

# Every setting of a recipe can be overridden by the flag of the same name.
RECIPES = {
    # Muon, cosine decay after a warm-up. docs/results.md holds the runs that chose it.
    "default": dict(
        norm="none",
        head="residual",
        activation="leaky_relu",
        loss="ssim+l1+fourier",
        optimizer="muon",
        learning_rate=1e-3,
        schedule="cosine",
        batch_size=4,
    ),
    # The seed project's: 1 - SSIM, Adam 1e-3, ReduceLROnPlateau with a patience of 2 epochs.
    "seed": dict(
        norm="batch",
        head="sigmoid",
        activation="relu",
        loss="ssim",
        optimizer="adam",
        learning_rate=1e-3,
        schedule="plateau",
        batch_size=4,
    ),
}

# `train.py --loss`: weighted sums of the losses in `losses.py`, named as there without `_loss`.
LOSSES = {
    "ssim": dict(ssim=1),
    "l1": dict(l1=1),
    "charbonnier": dict(charbonnier=1),
    "ssim+l1": dict(ssim=1, l1=1),
    "ssim+charbonnier": dict(ssim=1, charbonnier=1),
    "l1+fourier": dict(l1=1, fourier=0.1),
    "ssim+l1+fourier": dict(ssim=1, l1=1, fourier=0.1),
}

# AdamW and Muon with weight decay 1e-4 and gradients clipped to norm 1, Adam as it is.
OPTIMIZERS = ("adam", "adamw", "muon")
SCHEDULES = ("cosine", "plateau")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Of squeeze-and-excitation when restoring; "auto" is what scored higher after training.
POOLINGS = ("auto", "local", "global")
