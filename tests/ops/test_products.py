"""Sums of products over very many positions, and the small tables that all positions share."""

import pytest
import torch

from orchid_genomics.ops import products
from orchid_genomics.ops.products import PIECE, sum_in_pieces, sum_products


@pytest.mark.parametrize("n", [PIECE * 4, PIECE * 4 + 17, 5])
def test_pieces_sum_to_the_whole(n: int) -> None:
    a, b = (torch.randn(2, 3, rows, n, dtype=torch.float64) for rows in (4, 5))
    whole = torch.einsum("rgin,rgjn->gij", a, b)
    torch.testing.assert_close(sum_in_pieces(a, b), whole)
    torch.testing.assert_close(sum_products(a, b), whole)


def test_a_narrow_sum_is_wide() -> None:
    a = torch.ones(1, 1, 1, 8 * PIECE, dtype=torch.bfloat16)
    assert sum_in_pieces(a, a).item() == 8 * PIECE
    assert sum_products(a.expand(3, -1, -1, -1), a.expand(3, -1, -1, -1)).dtype == torch.float32


def test_gradients_of_a_table_are_those_of_its_product() -> None:
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    assert torch.equal(products._Table.apply(weight, x), torch.matmul(weight, x))
    assert torch.autograd.gradcheck(products._Table.apply, (weight, x))
    assert torch.autograd.gradgradcheck(products._Table.apply, (weight, x))
