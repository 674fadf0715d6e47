"""Fully connected conditional random field (CRF), which DeepLab uses to refine predictions.

Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011
(arXiv 1210.5644), in the notation of Chen et al., Semantic Image Segmentation with Deep Convolutional Nets and Fully
Connected CRFs, ICLR 2015 (arXiv 1412.7062). Any two pixels i and j with different labels cost

    w1 exp(-|p_i - p_j|^2 / 2 sigma_alpha^2 - |I_i - I_j|^2 / 2 sigma_beta^2)   the appearance kernel
    + w2 exp(-|p_i - p_j|^2 / 2 sigma_gamma^2)                                  the smoothness kernel

for positions p and colours I. Inference is that of the package pydensecrf2, which differs from these equations in three
points:

- The matrix K of each kernel is normalised to D^-1/2 K D^-1/2, where D contains its row sums, before it is weighted
    (Krähenbühl and Koltun, Parameter Learning and Convergent Inference for Dense Random Fields, ICML 2013). The first
    version of their library has D^-1 K; if row sums vary slowly, the two are nearly equal.
  - A pixel is included in its own sum.
- The sums are approximated on the permutohedral lattice (Adams, Baek and Davis, Eurographics 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError

FLOOR = 1e-5
"""Minimum probability, because zero has no finite energy; the value of pydensecrf."""


@dataclass(frozen=True)
class DenseCRF:
    """A dense CRF with its parameters.

    Attributes:
        w1: weight of the appearance kernel, in units of energy (negative log-probability).
        sigma_alpha: standard deviation of the appearance kernel in position, in pixels.
        sigma_beta: standard deviation of the appearance kernel in colour, in steps of 8-bit RGB.
        w2: weight of the smoothness kernel, in units of energy.
        sigma_gamma: standard deviation of the smoothness kernel, in pixels.
        iterations: number of mean-field updates.

    Raises:
        UserError: a parameter is out of range.
    """

    w1: float
    sigma_alpha: float
    sigma_beta: float
    w2: float
    sigma_gamma: float
    iterations: int = 10

    def __post_init__(self) -> None:
        if min(self.sigma_alpha, self.sigma_beta, self.sigma_gamma) <= 0:
            raise UserError("sigma_alpha, sigma_beta and sigma_gamma of a CRF must be above 0")
        if min(self.w1, self.w2) < 0:
            raise UserError("w1 and w2 of a CRF must not be negative")
        if self.iterations < 1:
            raise UserError("iterations of a CRF must be at least 1")

    def refine(self, image: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Refine the prediction of an image.

        Args:
            image: RGB, uint8 of shape (height, width, 3).
            probabilities: probabilities of K labels at every pixel, shape (K, height, width). A void label is
                treated like any other.

        Returns:
            Marginals of the same shape, with sum 1 at every pixel; the arguments are not changed.

        Raises:
            UserError: pydensecrf2 is not installed.
            ValueError: the shapes do not match, or the image is not uint8.
        """
        densecrf = library()
        labels, height, width = probabilities.shape
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 of shape {(height, width, 3)}, not {image.dtype} of {image.shape}")
        energy = -np.log(np.clip(probabilities, FLOOR, 1), dtype=np.float32)
        image = np.require(image, requirements=["C", "W"])  # the library rejects read-only arrays

        field = densecrf.DenseCRF2D(width, height, labels)
        field.setUnaryEnergy(np.ascontiguousarray(energy.reshape(labels, -1)))
        field.addPairwiseBilateral(sxy=self.sigma_alpha, srgb=self.sigma_beta, rgbim=image, compat=self.w1)
        field.addPairwiseGaussian(sxy=self.sigma_gamma, compat=self.w2)
        marginals = np.array(field.inference(self.iterations), dtype=np.float32, order="C")
        return marginals.reshape(labels, height, width)


PRESETS = {
    "deeplabv1": DenseCRF(w1=5, sigma_alpha=50, sigma_beta=5, w2=3, sigma_gamma=3),
    "deeplabv2": DenseCRF(w1=4, sigma_alpha=67, sigma_beta=3, w2=3, sigma_gamma=1),
}
"""Parameters of the papers, determined on PASCAL VOC 2012.

`deeplabv1`: w2, sigma_gamma and the number of iterations are from the paper. It searched for the others in w1 from 5 to
10, sigma_alpha from 50 to 100 and sigma_beta from 3 to 10, but does not state the result. The values here are the point
of these ranges closest to 4, 49 and 5, the values in copies of the authors' script for LargeFOV (`run_densecrf.sh`).

`deeplabv2`: for ResNet-101, from github.com/kazuto1011/deeplab-pytorch, `configs/voc12.yaml`; the paper (arXiv
1606.00915) states only ranges.
"""


def library() -> ModuleType:
    """Return the inference module of pydensecrf2; call it before a long run that needs it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module("pydensecrf.densecrf")
    except ImportError as error:
        raise UserError(
            'a CRF needs pydensecrf2: pip install "segbench[crf]" with Python 3.12 or older and a C++ compiler'
        ) from error
