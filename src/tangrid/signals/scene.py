"""A scene as a signal: posed photographs, and the part of space that they show.

Everything is in the frame of the data set, in which cameras look along their own -z;
only LLFF's protocol moves and scales the world. Values are sRGB-coded as in the files.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from tangrid.choices import check_choice
from tangrid.errors import ConfigError
from tangrid.signals.formats.scene_draft import SplitName
from tangrid.signals.formats.scene_reading import ReadingOptions, read_draft
from tangrid.signals.ndc import NdcFrame
from tangrid.signals.scene_bounds import Point, SceneBounds, Scope
from tangrid.signals.scene_findings import SceneFindings
from tangrid.signals.scene_loading import OnImage, load_views
from tangrid.signals.scene_splits import MIN_TRAIN_VIEWS, split_frames
from tangrid.signals.view import View

Background = Literal["white", "black"]
"""What stands behind what is transparent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Hold posed photographs.

    Make one with `Scene.open` or `Scene.from_views`.
    """

    name: str
    """Name in tables: the folder's."""
    source_format: str
    """Format of the files, or ``arrays``."""
    views: tuple[View, ...]
    """Photographs and cameras, of all splits."""
    scope: Scope
    """Kind of scene."""
    low: Point
    """Lower corner of the inner box, in the data set's frame, or in `ndc`."""
    high: Point
    """Upper corner of it. Cascade k is 2^k times as large, about the same centre."""
    near: float
    """Where rays begin: distance along unit directions, or the parameter in `ndc`."""
    far: float
    """Where rays end."""
    cascades: int = 1
    """Number of boxes."""
    ndc: NdcFrame | None = None
    """How rays of a forward-facing scene are mapped before they meet the box."""
    notes: tuple[str, ...] = ()
    """What a reader of its results should know of the data, in words."""
    split_rule: str = "made by a program"
    """How views were divided, in words."""

    def __post_init__(self) -> None:
        """Refuse what cannot be modelled.

        Raises:
            ConfigError: If there are too few views, or the bounds are out of order.
        """
        check_choice("Scene(scope=...)", self.scope, Scope)
        count = self.counts["train"]
        if count < MIN_TRAIN_VIEWS:
            raise ConfigError(
                f"Scene '{self.name}': expected at least {MIN_TRAIN_VIEWS} training "
                f"views, got {count}. One photograph says nothing of depth."
            )
        numbers = (*self.low, *self.high, self.near, self.far)
        is_box = all(a < b for a, b in zip(self.low, self.high, strict=True))
        is_finite = bool(np.isfinite(numbers).all())
        if not (is_box and is_finite and 0 <= self.near < self.far):
            raise ConfigError(
                f"Scene '{self.name}': expected low < high on each axis and 0 <= near "
                f"< far, got {self.low}, {self.high} and {self.near:g}, {self.far:g}. "
                "Near and far are counted along rays from the camera."
            )
        if self.cascades < 1:
            raise ConfigError(
                f"Scene '{self.name}': expected at least one box, got {self.cascades} "
                "cascades. Use 1 for a scene that the box holds."
            )

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        downscale: int = 1,
        holdout: int | None = None,
        skip: int = 1,
        scene_format: str | None = None,
        use_ndc: bool = True,
        on_image: OnImage | None = None,
    ) -> "Scene":
        """Read a scene from a folder of any known format.

        Args:
            path: The folder, or the file of cameras inside it.
            downscale: Whole factor by which photographs are made smaller: the data
                set's own smaller copies where it has them, else means of squares.
            holdout: For data sets without splits, or only with training views: every
                how manieth view of the list sorted by name is for the test; None for 8.
            skip: For data sets with splits: every how manieth view of those held out
                is read.
            scene_format: ``blender``, ``transforms``, ``llff``, ``colmap`` or ``nsvf``;
                None to recognise it.
            use_ndc: Whether forward-facing scenes are modelled in normalised device
                coordinates.
            on_image: Is told how many photographs are read, and of how many.

        Returns:
            The scene.

        Raises:
            DataError: If the folder holds no scene, or its files are damaged.
            ConfigError: If something is asked for that the data set cannot give.
        """
        place = Path(path).expanduser()
        findings = SceneFindings(folder=place)
        options = ReadingOptions(downscale=downscale, use_ndc=use_ndc)
        draft = read_draft(place, findings, scene_format=scene_format, options=options)
        frames, rule = split_frames(draft, findings, holdout=holdout, skip=skip)
        # Photographs take longest; what is wrong already is told without them.
        findings.refuse_errors()
        views = load_views(frames, draft.shrinking, findings, on_image)
        findings.refuse_errors()
        return cls.from_views(
            views,
            draft.bounds,
            name=draft.folder.resolve().name,
            source_format=draft.source_format,
            notes=findings.notes,
            split_rule=rule,
        )

    @classmethod
    def from_views(
        cls,
        views: Sequence[View],
        bounds: SceneBounds,
        *,
        name: str = "scene",
        source_format: str = "arrays",
        notes: Sequence[str] = (),
        split_rule: str = "made by a program",
    ) -> "Scene":
        """Make a scene of views.

        Args:
            views: Photographs and cameras of all splits.
            bounds: What should be modelled.
            name: Name in tables.
            source_format: Where the views come from.
            notes: What a reader should know.
            split_rule: How the views were divided, in words.

        Returns:
            The scene.
        """
        return cls(
            name=name,
            source_format=source_format,
            views=tuple(views),
            notes=tuple(notes),
            split_rule=split_rule,
            **vars(bounds),
        )

    @property
    def bounds(self) -> SceneBounds:
        """The part of space that is modelled."""
        return SceneBounds(
            scope=self.scope,
            low=self.low,
            high=self.high,
            near=self.near,
            far=self.far,
            cascades=self.cascades,
            ndc=self.ndc,
        )

    @property
    def counts(self) -> dict[SplitName, int]:
        """Number of views of each split, 0 where there is none."""
        splits = [view.split for view in self.views]
        return {name: splits.count(name) for name in get_args(SplitName)}

    def of_split(self, name: SplitName) -> tuple[View, ...]:
        """Return the views of a split.

        Args:
            name: ``train``, ``val`` or ``test``.

        Raises:
            ConfigError: If the split is unknown or empty.
        """
        check_choice("Scene.of_split", name, SplitName)
        views = tuple(view for view in self.views if view.split == name)
        if not views:
            there = ", ".join(f"{split} {n}" for split, n in self.counts.items() if n)
            raise ConfigError(
                f"Scene '{self.name}': expected views in the split {name}, got none; "
                f"there are {there}. Name another split."
            )
        return views

    @property
    def num_bytes(self) -> int:
        """Memory that the pixels take."""
        return sum(view.num_bytes for view in self.views)

    @cached_property
    def digest(self) -> str:
        """A hash of splits, cameras and pixels, to know the scene again."""
        digest = hashlib.sha256()
        for view in self.views:
            camera = view.camera
            numbers = (*camera.focal, *camera.principal_point)
            words = (view.split, camera.lens, *map(float.hex, numbers))
            digest.update(f"{words} {view.pixels.shape}".encode())
            digest.update(camera.pose.tobytes())
            digest.update(np.ascontiguousarray(view.pixels).data)
        return digest.hexdigest()[:32]
