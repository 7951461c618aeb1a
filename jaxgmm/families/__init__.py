"""Component families: one file per structure, one contract (`base.Family`)."""

from jaxgmm.families.base import Family, family
from jaxgmm.families.bernoulli import Bernoulli
from jaxgmm.families.constraints import Constraint, Free, LowerTriangular, Positive, UnitInterval, parameter
from jaxgmm.families.diagonal import DiagGaussian, SphericalGaussian
from jaxgmm.families.full import FullGaussian
from jaxgmm.families.namespace import einsum, namespace
from jaxgmm.families.shared_features import SharedFeatures
from jaxgmm.families.tied import TiedGaussian
from jaxgmm.families.traits import Support, Traits

#: the registry: names are scikit-learn's `covariance_type` where it has one
FAMILIES: dict[str, type[Family]] = {
    each.traits.name: each for each in (FullGaussian, TiedGaussian, DiagGaussian, SphericalGaussian, Bernoulli)
}

__all__ = ["FAMILIES", "Bernoulli", "DiagGaussian", "Family", "FullGaussian", "SphericalGaussian", "TiedGaussian"]
__all__ += ["Constraint", "Free", "LowerTriangular", "Positive", "SharedFeatures", "Support", "Traits", "UnitInterval"]
__all__ += ["einsum", "family", "namespace", "parameter"]
