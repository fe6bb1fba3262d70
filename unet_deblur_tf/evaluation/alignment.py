"""Scores of a picture after it was aligned with the sharp one: the protocol of RealBlur.

RealBlur's two cameras see a scene from places that differ by a little, so its authors look for the homography that fits
a restored picture best to the sharp one, and score what both show: Rim et al., "Real-World Blur Dataset for Learning
and Benchmarking Deblurring Algorithms", ECCV 2020, and the evaluation code that they published with it.

1. The picture's light is matched to the sharp one's by one factor, sum(x z) / sum(z z).
2. ECC (Evangelidis, Psarakis, PAMI 2008) finds a homography: 100 iterations, on grey, smoothed by 5x5.
3. The picture is warped (cubic), and what it does not reach is left out, of PSNR and of SSIM.

The authors align restored pictures alone; here the blurred one is aligned, too, so that a gain is that of restoring.
"""

import cv2
import numpy as np

ITERATIONS, SMOOTHING = 100, 5
WINDOW, SIGMA = 11, 1.5  # of SSIM, as Wang et al., IEEE TIP 2004
C1, C2 = 0.01**2, 0.03**2


def aligned_scores(sharp, picture):
    """PSNR and SSIM of a picture after aligning it.

    Args:
        sharp, picture: uint8 `(height, width, 3)`.

    Returns:
        (PSNR in dB, SSIM), floats.
    """
    sharp, picture = (each.astype(np.float32) / 255 for each in (sharp, picture))
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
        (the picture, the sharp one, the mask), float32 of the same shape; all are 0 where the picture does not reach. A
        picture for which no homography is found stays where it is.
    """
    picture = np.sum(sharp * picture) / max(np.sum(picture * picture), 1e-8) * picture
    grey = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (sharp, picture))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, 0)
    try:
        _, warp = cv2.findTransformECC(
            *grey, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, None, SMOOTHING
        )
    except cv2.error:  # nothing in common, such as a black picture
        return picture, sharp, np.ones_like(sharp)
    size = sharp.shape[1::-1]
    inverse = cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(picture, warp, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpPerspective(np.ones_like(sharp), warp, size, flags=cv2.INTER_NEAREST | inverse)
    return picture * mask, sharp * mask, mask


def ssim_map(first, second):
    """SSIM at each place and channel of float32 pictures `(height, width, channels)` in 0..1, not valid at borders."""

    def mean(field):
        return cv2.GaussianBlur(field, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT)

    first, second = first.astype(np.float64), second.astype(np.float64)  # variances are small differences
    mean1, mean2 = mean(first), mean(second)
    variances = mean(first**2) - mean1**2 + mean(second**2) - mean2**2
    covariance = mean(first * second) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + C1) / (mean1**2 + mean2**2 + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)
