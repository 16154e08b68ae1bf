"""Where things are: the course's folders, and what a module's source says about its exercises."""

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from autograder.course.imports import brought, imports_of, place, within
from autograder.errors import CourseError

SETTINGS_FILE = "course.toml"
SETTINGS = {
    "repository": r"([\w.-]+/[\w.-]+)?",
    "branch": r"[\w./-]+",
    "archive": r"(https?://[\w.:/%~-]+)?",
    "contact": r"([^\s\x00-\x1f][^\x00-\x1f]{0,199})?",
}
PACKAGE = r"[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?(?:[<>=!~]=?[\w.*+]+(?:,[<>=!~]=?[\w.*+]+)*)?"
PUBLIC_FILES = ("probes_public", "test_public")  # what students get, with all that these import
KEPT_TO_THE_COURSE = ("test_hidden", "probes_hidden", "mistakes", "alternatives", "conftest")


def nearest(name: str, names: list[str]) -> str:
    """What to say of a name that is none of `names`."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    return f"did you mean {near[0]}?" if near else f"there is {', '.join(names) or 'none yet'}."


@dataclass(frozen=True)
class Module:
    """One weekly module: `source/<name>/<notebook>.py` and everything made from it.

    A module may have several notebooks. Each of these is a module too, a `part`: of the same name and in the same folders,
    with one notebook and the functions that are written there.
    """

    root: Path
    name: str
    part: str = ""  # its notebook's name without the ending, where the module has others too

    @property
    def folder(self) -> Path:
        return self.root / "source" / self.name

    @cached_property
    def sources(self) -> list[Path]:
        """The sources of its notebooks, the Python files of its folder; of a part, its own alone."""
        return [self.folder / f"{self.part}.py"] if self.part else sorted(self.folder.glob("*.py"))

    @property
    def source(self) -> Path:
        """The notebook's source, where it is one notebook."""
        if not self.sources:
            raise CourseError(f"source/{self.name}/ must hold a .py file, the notebook's source; it has none")
        if len(self.sources) > 1:
            names = ", ".join(path.name for path in self.sources)
            raise CourseError(
                f"source/{self.name}/ holds {len(self.sources)} notebooks ({names}), and this is not possible for a module of "
                "several: make each a module of its own where you need it"
            )
        return self.sources[0]

    @cached_property
    def parts(self) -> list["Module"]:
        """Its notebooks, each as a module; itself where it is one."""
        return [Module(self.root, self.name, path.stem) for path in self.sources] if len(self.sources) > 1 else [self]

    @property
    def whole(self) -> "Module":
        """The module that a part is of, with all its notebooks; itself where it is no part."""
        return Module(self.root, self.name)

    @property
    def notebooks(self) -> list[str]:
        """The file names of the notebooks that students get and hand in."""
        return [f"{path.stem}.ipynb" for path in self.sources]

    @property
    def title(self) -> str:
        """What people call it: its name, and where it is a part its notebook's too."""
        return f"{self.name}, {self.notebook}" if self.part else self.name

    @property
    def notebook(self) -> str:
        """The file name of the notebook that students get and hand in."""
        return f"{self.source.stem}.ipynb"

    @property
    def tests(self) -> Path:
        """The module's probes, checks, known mistakes and alternatives."""
        return self.root / "tests" / self.name

    @property
    def public_files(self) -> list[Path]:
        """The files that students get, of `tests/<name>/` and `tests/common/`: public probes, checks, and what these import.

        Raises:
            CourseError: one of them is no Python, imports what is kept to the course, or in a way that fails in a release.
        """
        files = brought(self.tests, PUBLIC_FILES)
        for each in (each for path in files for each in imports_of(self.tests, path)):
            first = within(self.tests, each.target).parts[0]
            where = f"{place(each.file, each.line)}: students get this file, "
            if first.removesuffix(".py").endswith(KEPT_TO_THE_COURSE):
                raise CourseError(f"{where}and it imports {first}, which they must not: move what both need to a third file")
            if not each.relative:
                raise CourseError(
                    f"{where}in a folder called checks/: write `from .… import …` in place of the name {self.name}"
                )
        return files

    @property
    def secret_files(self) -> list[Path]:
        """All other Python files of `tests/<name>/`, wherever in it they lie, and what they import of `tests/common/`."""
        own = set(self.tests.rglob("*.py"))
        shared = brought(self.tests, (path.stem for path in own if path.parent == self.tests))
        return sorted(own.union(shared) - set(self.public_files))

    def place(self, path: Path) -> Path:
        """Where a file of `tests/<name>/` or `tests/common/` lies in the folder `checks/` of a release."""
        return within(self.tests, path)

    @property
    def release(self) -> Path:
        return self.root / "release" / self.name

    @property
    def solutions(self) -> Path:
        return self.root / "solutions" / self.name

    @property
    def grades(self) -> Path:
        """Where a class's grades are, unless another folder is named."""
        return self.root / "grades" / self.name


@dataclass(frozen=True)
class Settings:
    """`course.toml`: what the course is called, where students find it on GitHub, what their code may import, and when.

    Without a repository there is no Colab. `packages` are pip's names of packages beside this one's own. `modules` are dates
    by module: `calendar` reads them.
    """

    title: str = "Deep Learning for Visual Computing"
    term: str = ""
    contact: str = ""
    repository: str = ""
    branch: str = "main"
    archive: str = ""
    packages: list[str] = field(default_factory=list)
    timezone: str = ""
    modules: dict[str, Any] = field(default_factory=dict)

    @property
    def zip(self) -> str:
        """The address of a zip file with `release/` and the package; empty where none is known."""
        return self.archive or self.repository and f"https://github.com/{self.repository}/archive/refs/heads/{self.branch}.zip"


@dataclass(frozen=True)
class Course:
    """The repository: a folder with `source/` and `tests/`."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Course":
        """The course that `start` (the working folder) lies in.

        Raises:
            CourseError: no folder above has a source/ and a tests/.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "source").is_dir() and (folder / "tests").is_dir():
                return cls(folder)
        raise CourseError(
            f"{start} is not inside a course (a folder with source/ and tests/): change into the repository first"
        )

    def modules(self) -> list[Module]:
        """All modules, by name: the folders of `source/` with a Python file, or with a folder in `tests/`; none hidden."""
        folders = [path for path in sorted((self.root / "source").iterdir()) if path.is_dir()]
        modules = [Module(self.root, path.name) for path in folders if not path.name.startswith((".", "__"))]
        return [module for module in modules if any(module.folder.glob("*.py")) or module.tests.is_dir()]

    def module(self, name: str) -> Module:
        """The module called `name`.

        Raises:
            CourseError: there is none; names the nearest.
        """
        names = [module.name for module in self.modules()]
        if name in names:
            return Module(self.root, name)
        raise CourseError(f"no module is called {name!r}: {nearest(name, names)}")

    @cached_property
    def settings(self) -> Settings:
        """What `course.toml` in the root says; all of it is optional.

        Raises:
            CourseError: not TOML, an unknown setting, or a value that is none of its kind.
        """
        path = self.root / SETTINGS_FILE
        if not path.exists():
            return Settings()
        try:
            settings = Settings(**tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
            raise CourseError(f"course.toml: {str(error).removeprefix('Settings.__init__() ')}") from None
        for name, kind in SETTINGS.items():
            value = getattr(settings, name)
            if not re.fullmatch(kind, str(value), re.ASCII):
                raise CourseError(f"course.toml: {name} = {value!r} is no {name}: the file's comments show its form")
        named = settings.packages
        if not isinstance(named, list) or not all(re.fullmatch(PACKAGE, str(one), re.ASCII) for one in named):
            raise CourseError(f'course.toml: packages = {named!r} is no list of packages: write ["scikit-learn>=1.4"]')
        for name in ("title", "term", "contact", "timezone"):
            if not isinstance(getattr(settings, name), str):
                raise CourseError(f"course.toml: {name} = {getattr(settings, name)!r} is no text: write it in quotes")
        if not isinstance(settings.modules, dict):
            raise CourseError("course.toml: modules is no table: write [modules.week08_densenet], and its dates below it")
        return settings

    @property
    def store(self) -> Path:
        """Recordings, kept between runs; safe to delete."""
        return self.root / ".autograder" / "recordings"
