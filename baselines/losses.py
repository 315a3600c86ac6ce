"""Every loss as a library: the pure functions of all baselines, and `criterion`, a baseline as a module.

The functions are those that the baselines themselves call. A name that says nothing without its file has the
method's in front of it here. R rows of K logits are samples or pixels. docs/losses.md lists them. This module
is no baseline: it registers nothing.
"""

from __future__ import annotations

from baselines._class_features import class_cost as wkd_l_class_cost
from baselines._contrast import nce_loss
from baselines._logits import standardized as standardized_logits
from baselines._regions import divergence_rows as sdd_divergence_rows
from baselines._regions import region_logits as sdd_region_logits
from baselines._regions import region_weights as sdd_region_weights
from baselines._singular_vectors import first_direction as kdsvd_first_direction
from baselines._transport import exact, ipot, sinkhorn
from baselines.ab import ab_loss
from baselines.ab import boundary_loss as ab_boundary_loss
from baselines.at import at_loss
from baselines.at import attention as at_attention
from baselines.c2kd import kendall as c2kd_kendall
from baselines.c2kd import selected_loss as c2kd_selected_loss
from baselines.cat_kd import cat_kd_loss
from baselines.cat_kd import class_maps as cat_kd_class_maps
from baselines.cc import cc_loss
from baselines.crcd import relation_scores as crcd_relation_scores
from baselines.crld import consistency_loss as crld_consistency_loss
from baselines.ctkd import curriculum_kd_loss
from baselines.ctkd import scaled_gradient as ctkd_scaled_gradient
from baselines.ctkd import temperature_of as ctkd_temperature_of
from baselines.dcd import dcd_losses
from baselines.dist import dist_losses
from baselines.dist import pearson as dist_pearson
from baselines.dkd import nckd_loss, tckd_loss
from baselines.fitnet import fitnet_loss
from baselines.fsp import flow as fsp_flow
from baselines.fsp import fsp_loss
from baselines.ft import ft_loss
from baselines.gckt import dual_loss as gckt_dual_loss
from baselines.generalized_distillation import soft_label_loss
from baselines.ickd import channel_correlation as ickd_channel_correlation
from baselines.ickd import ickd_loss
from baselines.infonce import infonce_loss
from baselines.itrd import correlation_loss as itrd_correlation_loss
from baselines.itrd import mutual_loss as itrd_mutual_loss
from baselines.kd import kd_loss
from baselines.kdsvd import as_matrix as kdsvd_as_matrix
from baselines.kdsvd import kdsvd_loss
from baselines.lckt import cosine_cost
from baselines.lckt import transport_loss as lckt_transport_loss
from baselines.mad import mad_loss
from baselines.mad import uncertainty as mad_uncertainty
from baselines.mars import mars_loss
from baselines.mlkd import mlkd_losses
from baselines.mlkd import relation_loss as mlkd_relation_loss
from baselines.mlkd import strong_view_loss as mlkd_strong_view_loss
from baselines.mlkd import weak_view_losses as mlkd_weak_view_losses
from baselines.modality_hallucination import hallucination_loss
from baselines.nkd import nkd_losses
from baselines.nkd import soft_cross_entropy_rows as nkd_soft_cross_entropy_rows
from baselines.nkd import target_rows as nkd_target_rows
from baselines.nst import mmd as nst_mmd
from baselines.nst import nst_loss
from baselines.ofa_kd import ofa_loss
from baselines.ofd import margins as ofd_margins
from baselines.ofd import ofd_loss
from baselines.pad_l2 import pad_l2_loss
from baselines.pkt import neighbours as pkt_neighbours
from baselines.pkt import pkt_loss
from baselines.pseudo_label import pseudo_label_loss
from baselines.reviewkd import hcl_loss
from baselines.rkd import angle_loss as rkd_angle_loss
from baselines.rkd import angles as rkd_angles
from baselines.rkd import distance_loss as rkd_distance_loss
from baselines.rkd import distances as rkd_distances
from baselines.rrd import rrd_loss
from baselines.sdd_dkd import dkd_rows as sdd_dkd_rows
from baselines.sdd_kd import kd_rows as sdd_kd_rows
from baselines.semckd import attention as semckd_attention
from baselines.semckd import semckd_loss
from baselines.simkd import simkd_loss
from baselines.sp import similarity as sp_similarity
from baselines.sp import sp_loss
from baselines.srd import srd_loss
from baselines.srrl import srrl_losses
from baselines.sskd import kept_loss as sskd_kept_loss
from baselines.sskd import kept_rows as sskd_kept_rows
from baselines.supervision_transfer import transfer_loss as supervision_transfer_loss
from baselines.tfkd import tfkd_rows
from baselines.tfkd import virtual_teacher as tfkd_virtual_teacher
from baselines.ttm import matching_rows as ttm_matching_rows
from baselines.ttm import power_sum as ttm_power_sum
from baselines.vid import vid_loss
from baselines.wkd_f import moments as wkd_f_moments
from baselines.wkd_f import wkd_f_losses
from baselines.wkd_l import target_loss as wkd_l_target_loss
from baselines.wkd_l import transport_loss as wkd_l_transport_loss
from benchmark import Criterion, criterion
from benchmark.contracts import supervised_cross_entropy

__all__ = [
    "Criterion",
    "ab_boundary_loss",
    "ab_loss",
    "at_attention",
    "at_loss",
    "c2kd_kendall",
    "c2kd_selected_loss",
    "cat_kd_class_maps",
    "cat_kd_loss",
    "cc_loss",
    "cosine_cost",
    "crcd_relation_scores",
    "criterion",
    "crld_consistency_loss",
    "ctkd_scaled_gradient",
    "ctkd_temperature_of",
    "curriculum_kd_loss",
    "dcd_losses",
    "dist_losses",
    "dist_pearson",
    "exact",
    "fitnet_loss",
    "fsp_flow",
    "fsp_loss",
    "ft_loss",
    "gckt_dual_loss",
    "hallucination_loss",
    "hcl_loss",
    "ickd_channel_correlation",
    "ickd_loss",
    "infonce_loss",
    "ipot",
    "itrd_correlation_loss",
    "itrd_mutual_loss",
    "kd_loss",
    "kdsvd_as_matrix",
    "kdsvd_first_direction",
    "kdsvd_loss",
    "lckt_transport_loss",
    "mad_loss",
    "mad_uncertainty",
    "mars_loss",
    "mlkd_losses",
    "mlkd_relation_loss",
    "mlkd_strong_view_loss",
    "mlkd_weak_view_losses",
    "nce_loss",
    "nckd_loss",
    "nkd_losses",
    "nkd_soft_cross_entropy_rows",
    "nkd_target_rows",
    "nst_loss",
    "nst_mmd",
    "ofa_loss",
    "ofd_loss",
    "ofd_margins",
    "pad_l2_loss",
    "pkt_loss",
    "pkt_neighbours",
    "pseudo_label_loss",
    "rkd_angle_loss",
    "rkd_angles",
    "rkd_distance_loss",
    "rkd_distances",
    "rrd_loss",
    "sdd_divergence_rows",
    "sdd_dkd_rows",
    "sdd_kd_rows",
    "sdd_region_logits",
    "sdd_region_weights",
    "semckd_attention",
    "semckd_loss",
    "simkd_loss",
    "sinkhorn",
    "soft_label_loss",
    "sp_loss",
    "sp_similarity",
    "srd_loss",
    "srrl_losses",
    "sskd_kept_loss",
    "sskd_kept_rows",
    "standardized_logits",
    "supervised_cross_entropy",
    "supervision_transfer_loss",
    "tckd_loss",
    "tfkd_rows",
    "tfkd_virtual_teacher",
    "ttm_matching_rows",
    "ttm_power_sum",
    "vid_loss",
    "wkd_f_losses",
    "wkd_f_moments",
    "wkd_l_class_cost",
    "wkd_l_target_loss",
    "wkd_l_transport_loss",
]
