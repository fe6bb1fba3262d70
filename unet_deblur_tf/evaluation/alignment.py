"""Scores a picture after aligning it with the sharp one: the protocol of RealBlur.

RealBlur's two cameras see a scene from slightly different positions. So its authors align the restored picture with the
sharp one by a homography, and score the part that both show:

1. One factor matches the brightness of the picture z to that of the sharp one x: sum(x z) / sum(z z).
2. ECC finds a homography between the grey pictures, smoothed by 5x5, in 100 iterations.
3. The picture is warped with cubic interpolation. PSNR and SSIM leave out the pixels that the warped picture does not
   cover.

The authors align only restored pictures. Here the blurred picture is aligned, too, so that the gain is due to restoring
alone.

References:
    Rim et al., "Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms", ECCV 2020, with its
    published evaluation code.
    Evangelidis, Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization", PAMI 2008
    (ECC).
"""

import cv2
import numpy as np

ITERATIONS, SMOOTHING = 100, 5
WINDOW, SIGMA = 11, 1.5  # the window of SSIM, as in Wang et al., IEEE TIP 2004
C1, C2 = 0.01**2, 0.03**2


def aligned_scores(sharp, picture):
    """Computes PSNR and SSIM of a picture after alignment.

    Args:
        sharp, picture: uint8 `(height, width, 3)`.

    Returns:
        (PSNR in dB, SSIM), floats.
    """
    sharp, picture = sharp.astype(np.float32) / 255, picture.astype(np.float32) / 255
    picture, sharp, mask = align(sharp, picture)
    error = np.sum((sharp - picture) ** 2, dtype=np.float64) / np.sum(mask)
    psnr = -10 * np.log10(max(error, 1e-10))
    border = WINDOW // 2
    inside = np.s_[border:-border, border:-border]
    weights = mask[inside].sum(axis=(0, 1), dtype=np.float64)
    by_channel = (ssim_map(sharp, picture) * mask)[inside].sum(axis=(0, 1), dtype=np.float64) / weights
    return float(psnr), float(by_channel.mean())


def align(sharp, picture):
    """Warps a picture onto the sharp one.

    Args:
        sharp, picture: float32 `(height, width, 3)` in 0..1.

    Returns:
        (warped picture, sharp picture, mask), all float32 `(height, width, 3)`, and 0 at pixels that the warped picture
        does not cover. If ECC finds no homography, the picture is not warped.
    """
    picture = np.sum(sharp * picture) / max(np.sum(picture * picture), 1e-8) * picture
    grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (sharp, picture))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, 0)
    try:
        _, warp = cv2.findTransformECC(
            *grey, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, None, SMOOTHING
        )
    except cv2.error:  # the pictures have nothing in common, for example if one is black
        return picture, sharp, np.ones_like(sharp)
    size = sharp.shape[1::-1]
    inverse = cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(picture, warp, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpPerspective(np.ones_like(sharp), warp, size, flags=cv2.INTER_NEAREST | inverse)
    return picture * mask, sharp * mask, mask


def ssim_map(first, second):
    """Computes SSIM at each pixel and channel. The values within 5 pixels of the border are not valid.

    Args:
        first, second: float32 `(height, width, channels)` in 0..1.

    Returns:
        float64 `(height, width, channels)`.
    """

    def mean(field):
        return cv2.GaussianBlur(field, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT)

    first, second = (
        first.astype(np.float64),
        second.astype(np.float64),
    )  # float64, since variances are small differences of large numbers
    mean1, mean2 = mean(first), mean(second)
    variances = mean(first**2) - mean1**2 + mean(second**2) - mean2**2
    covariance = mean(first * second) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + C1) / (mean1**2 + mean2**2 + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)
