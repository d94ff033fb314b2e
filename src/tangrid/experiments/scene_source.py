"""Where a scene comes from: files, the demonstration, or the program itself."""

from dataclasses import dataclass, field

from tangrid.errors import ConfigError
from tangrid.experiments.demo_scene import DEMO_PATH, demo_scene
from tangrid.runs.annotations import ADDED_LATER
from tangrid.signals.scene import Scene
from tangrid.signals.scene_loading import OnImage


@dataclass(frozen=True, kw_only=True)
class SceneSource:
    """Where a scene comes from."""

    path: str | None = None
    """Folder, file of cameras, or ``tangrid:demo``; None for views of a program."""
    name: str = "scene"
    """Name in tables."""
    downscale: int = 1
    """Whole factor by which photographs are made smaller."""
    holdout: int | None = None
    """Every how manieth view is for the test, where the data set does not say."""
    uses_ndc: bool = True
    """Whether forward-facing scenes are modelled in normalised device coordinates."""
    scene_format: str | None = field(default=None, metadata=ADDED_LATER)
    """Name of the format; None to recognise it."""

    def open(self, on_image: OnImage | None = None) -> Scene:
        """Return the scene, read from its files.

        Args:
            on_image: Is told how many photographs are read, and of how many.

        Raises:
            ConfigError: If it was made of views, which no file keeps, or something is
                asked of the demonstration that it does not have.
        """
        if self.path == DEMO_PATH:
            asked = self._asked_of_demo()
            if asked:
                raise ConfigError(
                    "--demo: expected the scene as it is made, got "
                    f"{' and '.join(asked)}. Leave that out."
                )
            return demo_scene(on_image=on_image)
        if self.path is None:
            raise ConfigError(
                f"signal '{self.name}': expected the path of a folder, got views that "
                "only the program that made them had. Give the signal itself."
            )
        return Scene.open(
            self.path,
            downscale=self.downscale,
            holdout=self.holdout,
            scene_format=self.scene_format,
            use_ndc=self.uses_ndc,
            on_image=on_image,
        )

    def _asked_of_demo(self) -> list[str]:
        """Return the flags that mean files, of which the demonstration has none."""
        asked = []
        if self.downscale != 1:
            asked.append(f"--downscale {self.downscale}")
        if self.holdout is not None:
            asked.append(f"--holdout {self.holdout}")
        if self.scene_format is not None:
            asked.append(f"--format {self.scene_format}")
        if not self.uses_ndc:
            asked.append("--no-ndc")
        return asked
