"""The verbs of the command line: their words, where their flags are, what runs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb; its module is imported only when it is used.

    Attributes:
        words: What one types, such as ``("fit", "image")``.
        module: Module in this room with a function ``run(request, command)``.
        request: Name of the dataclass in that module that its flags are made from.
        summary: One line for the overview.
    """

    words: tuple[str, ...]
    module: str
    request: str
    summary: str

    @property
    def name(self) -> str:
        """The words in one."""
        return " ".join(self.words)

    def parse(self, arguments: Sequence[str]) -> Any:  # noqa: ANN401
        """Return the request that some arguments make.

        Args:
            arguments: The words after the verb.
        """
        # Here and not above: the overview needs none of this.
        import tyro  # noqa: PLC0415

        return tyro.cli(
            getattr(self._home, self.request),
            prog=f"tangrid {self.name}",
            args=list(arguments),
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )

    def run(self, request: Any, command: Sequence[str]) -> int:  # noqa: ANN401
        """Do what a request says.

        Args:
            request: What `parse` returned.
            command: The whole command, for the record.

        Returns:
            The exit code; a verb that knows none but success need not say it.
        """
        return self._home.run(request, tuple(command)) or 0

    @property
    def _home(self) -> Any:  # noqa: ANN401
        return import_module(f"tangrid.cli.{self.module}")


VERBS = (
    Verb(
        words=("fit", "image"),
        module="fit_image",
        request="FitImageRequest",
        summary="fit one model to one image",
    ),
    Verb(
        words=("fit", "sdf"),
        module="fit_sdf",
        request="FitSdfRequest",
        summary="fit one model to the signed distance of one mesh",
    ),
    Verb(
        words=("fit", "scene"),
        module="fit_scene",
        request="FitSceneRequest",
        summary="fit one model to posed photographs",
    ),
    Verb(
        words=("compare", "image"),
        module="compare_image",
        request="CompareImageRequest",
        summary="fit several models to images: one table, one page",
    ),
    Verb(
        words=("compare", "sdf"),
        module="compare_sdf",
        request="CompareSdfRequest",
        summary="fit several models to meshes: one table, one page",
    ),
    Verb(
        words=("compare", "scene"),
        module="compare_scene",
        request="CompareSceneRequest",
        summary="fit several models to scenes: one table, one page",
    ),
    Verb(
        words=("analyze", "image"),
        module="analyze_image",
        request="AnalyzeImageRequest",
        summary="look at tangent kernels of untrained models at pixels",
    ),
    # After it: a folder of a run is the word that follows.
    Verb(
        words=("analyze",),
        module="analyze_run",
        request="AnalyzeRunRequest",
        summary="look at tangent kernels of fits before and after",
    ),
    Verb(
        words=("predict", "image"),
        module="predict_image",
        request="PredictImageRequest",
        summary="rank models for an image before any is trained",
    ),
    Verb(
        words=("predict", "sdf"),
        module="predict_sdf",
        request="PredictSdfRequest",
        summary="rank models for a mesh before any is trained",
    ),
    Verb(
        words=("render",),
        module="render",
        request="RenderRequest",
        summary="draw a fitted image, or views of a shape or scene",
    ),
    Verb(
        words=("view",),
        module="view",
        request="ViewRequest",
        summary="look around a fitted scene or shape in a browser",
    ),
    Verb(
        words=("export", "mesh"),
        module="export_mesh",
        request="ExportMeshRequest",
        summary="write the surface of a fitted shape or scene as a mesh",
    ),
    Verb(
        words=("export", "points"),
        module="export_points",
        request="ExportPointsRequest",
        summary="write what the cameras of a scene see as points",
    ),
    Verb(
        words=("check", "data"),
        module="check_data",
        request="CheckDataRequest",
        summary="look over posed photographs before a fit",
    ),
    Verb(
        words=("catalogue",),
        module="catalogue",
        request="CatalogueRequest",
        summary="list every model and component with its defaults",
    ),
)
"""Every verb, in the order of the overview."""
