"""The scores of a shape with what each of them is, in words."""

from tangrid.reports.measures import QUALITY, Measure
from tangrid.reports.scores import Score

_MAIN = {measure.key: measure for measure in QUALITY}


def _f_score(distance: str) -> Score:
    near = f"{float(distance):g}"
    return Score(
        measure=Measure(
            key=f"f_score_{distance}", label=f"F-score at {near}", unit="%", better=1
        ),
        words=f"Share of points that are no farther than {near} from the other "
        "surface: harmonic mean of both directions.",
    )


FIT_SCORES = (
    Score(
        measure=_MAIN["iou"],
        words="Intersection over union: the volume inside both shapes, divided by the "
        "volume inside either. 1 is perfect.",
    ),
    Score(
        measure=_MAIN["nae"],
        words="Normal angular error: mean angle between the normal at a point and that "
        "at the nearest point of the other surface, in both directions.",
    ),
    Score(
        measure=Measure(
            key="nae_neurbf_code", label="Normal error, NeuRBF code", better=-1
        ),
        words="What NeuRBF's released code prints: it adds an angle and a cosine, so "
        "it is about half the normal error and one half. Compare it with published "
        "tables only.",
    ),
    Score(
        measure=_MAIN["chamfer_l1"],
        words="Mean distance from points of one surface to the nearest points of the "
        "other, both directions added. The spacing of the points is its floor.",
    ),
    Score(
        measure=Measure(key="chamfer_l2", label="Chamfer L2", digits=8, better=-1),
        words="The same with squared distances.",
    ),
    *(_f_score(distance) for distance in ("1e-2", "2e-3", "1e-3", "2e-4", "1e-4")),
    Score(
        measure=Measure(
            key="normal_consistency", label="Normal consistency", digits=4, better=1
        ),
        words="Mean absolute cosine of the angle between the normals, in both "
        "directions. 1 is perfect.",
    ),
    Score(
        measure=Measure(
            key="hausdorff_95", label="Hausdorff distance, 95 %", digits=5, better=-1
        ),
        words="95 % of the points of either surface are nearer to the other than this.",
    ),
    Score(
        measure=_MAIN["sdf_error"],
        words="Mean absolute error of the signed distance at points near the surface.",
    ),
    Score(
        measure=Measure(key="eikonal", label="Eikonal error", digits=4, better=-1),
        words="Mean difference between the length of the field's gradient and 1, near "
        "the surface. A true distance has none.",
    ),
)
"""How well the fit agrees with the truth."""

SURFACE_FACTS = (
    Score(
        measure=Measure(key="mesh_faces", label="Faces of the mesh", digits=None),
        words="Triangles of the truth.",
    ),
    Score(
        measure=Measure(key="mesh_vertices", label="Vertices of the mesh", digits=None),
        words="Points that its triangles share.",
    ),
    Score(
        measure=Measure(key="open_edges", label="Open edges", digits=None),
        words="Edges with one triangle only. A closed mesh has none.",
    ),
    Score(
        measure=Measure(key="shells", label="Shells", digits=None),
        words="Parts of the mesh that share no corner.",
    ),
    Score(
        measure=Measure(
            key="surface_faces", label="Faces of the fitted surface", digits=None
        ),
        words="Triangles of the surface that was drawn from the fitted field.",
    ),
)
"""What is scored."""

SHAPE_SCORES = {
    "Fit against truth": FIT_SCORES,
    "The mesh and the fitted surface": SURFACE_FACTS,
}
"""All of them."""
