"""Component families: one file per structure, one contract (`base.Family`)."""

from jaxgmm.families.base import Family
from jaxgmm.families.bernoulli import Bernoulli
from jaxgmm.families.diagonal import DiagGaussian, SphericalGaussian
from jaxgmm.families.full import FullGaussian
from jaxgmm.families.tied import TiedGaussian

#: the registry: names are scikit-learn's `covariance_type` where it has one
FAMILIES: dict[str, type[Family]] = {
    family.name: family for family in (FullGaussian, TiedGaussian, DiagGaussian, SphericalGaussian, Bernoulli)
}

__all__ = ["FAMILIES", "Bernoulli", "DiagGaussian", "Family", "FullGaussian", "SphericalGaussian", "TiedGaussian"]
