from __future__ import annotations

import pytest
import torch
from conftest_network import graph_of, random_network

pytestmark = pytest.mark.gpu


def test_the_gpu_predicts_what_the_cpu_predicts(basis, rutile):
    model = random_network(basis)
    graph = graph_of(rutile)
    with torch.no_grad():
        site, pair = model(graph)
        site_gpu, pair_gpu = model.to("cuda")(graph.to("cuda"))
    for z, blocks in site.items():
        torch.testing.assert_close(site_gpu[z].cpu(), blocks, atol=1e-4, rtol=1e-4)
    for key, blocks in pair.items():
        torch.testing.assert_close(pair_gpu[key].cpu(), blocks, atol=1e-4, rtol=1e-4)
