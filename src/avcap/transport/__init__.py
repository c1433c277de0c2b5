"""Optimal transport as pure functions on tensors: costs, the Sinkhorn solver, and quantities of a plan.

Every function takes the batch axis first and treats clips independently. Nothing here knows Lightning or a model.
"""

from avcap.transport.annealed import annealed_sinkhorn
from avcap.transport.cost import cosine_similarity, squared_euclidean_cost
from avcap.transport.divergence import sinkhorn_divergence
from avcap.transport.emd import emd
from avcap.transport.envelope import TransportSolution, transport_cost
from avcap.transport.gaussian import gaussian_map
from avcap.transport.mmd import mmd
from avcap.transport.plan import apply_plan, barycentric_projection, marginals
from avcap.transport.precision import as_full_precision, full_precision
from avcap.transport.sinkhorn import GradientPolicy, sinkhorn
