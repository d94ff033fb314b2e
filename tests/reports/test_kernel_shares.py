from tangrid.reports.kernel_shares import share_section
from tests.reports.fake_kernels import analysis_with, model_with, read_section


def test_parts_are_ordered_from_coarse_levels_to_the_last_layer():
    shares = {
        "decoder.layers.0": 0.1,
        "encoding.table, level 10": 0.2,
        "encoding.table, level 9": 0.3,
        "encoding.phases": 0.4,
    }
    reader = read_section(share_section(analysis_with(model_with(shares=shares))))
    assert [piece["title"] for piece in reader.all("i") if "title" in piece] == [
        "encoding.table, level 10: 20 %",
        "encoding.table, level 9: 30 %",
        "encoding.phases: 40 %",
        "decoder.layers.0: 10 %",
    ]
    assert "grid 50 %, rest of the encoding 40 %, network 10 %" in reader.words()


def test_shares_are_means_over_seeds():
    seeds = [
        model_with(shares={"layers.0": share, "layers.1": 1 - share}) | {"seed": seed}
        for seed, share in enumerate((0.2, 0.4))
    ]
    reader = read_section(share_section(analysis_with(*seeds)))
    titles = [piece["title"] for piece in reader.all("i") if "title" in piece]
    assert titles == ["layers.0: 30 %", "layers.1: 70 %"]
    # A network without a grid has no levels to draw.
    assert reader.all("svg") == []
