"""One site's masked vector, and one mask taken off a sum, by Flower's own SecAgg+ functions. One JSON object on stdout.

    python secagg_flower.py PARAMETERS SITES
"""

import importlib
import json
import logging
import resource
import secrets
import sys

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_mod, parameters_subtraction
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen, share_keys_plaintext_concat
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)
import flwr

# The package exports a function of the module's name.
site = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
logging.disable(logging.CRITICAL)
PARAMETERS, SITES = int(sys.argv[1]), int(sys.argv[2])
# SecAggPlusWorkflow's defaults.
TARGET_RANGE, MODULUS = 1 << 22, 1 << 32


def cpu_seconds(work):
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def state_of_one():
    state = site.SecAggPlusState()
    keys = {nid: (generate_key_pairs(), generate_key_pairs()) for nid in range(1, SITES + 1)}
    nid = SITES // 2
    state.nid, state.sample_num, state.share_num, state.threshold = nid, SITES, SITES, 2 * SITES // 3 + 1
    state.clipping_range, state.target_range, state.mod_range, state.max_weight = 0.05, TARGET_RANGE, MODULUS, 1000
    state.rd_seed = secrets.token_bytes(32)
    state.sk1 = private_key_to_bytes(keys[nid][0][0])
    state.public_keys_dict = {
        other: (public_key_to_bytes(one[1]), public_key_to_bytes(two[1])) for other, (one, two) in keys.items()
    }
    state.rd_seed_share_dict, state.sk1_share_dict, state.ss2_dict = {}, {}, {}
    sources, sealed = [], []
    for other, (_, two) in keys.items():
        if other != nid:
            shared = generate_shared_key(two[0], keys[nid][1][1])
            state.ss2_dict[other] = shared
            sources.append(other)
            share = secrets.token_bytes(48)
            sealed.append(encrypt(shared, share_keys_plaintext_concat(other, nid, share, share)))
    return state, {site.Key.CIPHERTEXT_LIST: sealed, site.Key.SOURCE_LIST: sources}


update = (0.04 * np.sin(np.arange(PARAMETERS))).astype(np.float32)
parameters = ndarrays_to_parameters([update])
state, configs = state_of_one()
site_seconds, masked = cpu_seconds(lambda: site._collect_masked_vectors(state, configs, 700, parameters))
total = [np.zeros(PARAMETERS, dtype=np.int64)]
own, other = generate_key_pairs(), generate_key_pairs()
seed = generate_shared_key(
    bytes_to_private_key(private_key_to_bytes(own[0])), bytes_to_public_key(public_key_to_bytes(other[1]))
)
unmask_seconds, _ = cpu_seconds(
    lambda: parameters_mod(
        parameters_subtraction(total, pseudo_rand_gen(seed, MODULUS, [(PARAMETERS,)])), MODULUS
    )
)
sent = sum(len(array) for array in masked[site.Key.MASKED_PARAMETERS])
print(
    json.dumps(
        {"flower": flwr.__version__, "siteSeconds": site_seconds, "maskSeconds": unmask_seconds, "sentBytes": sent}
    )
)
