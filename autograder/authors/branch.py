"""A branch of a Git repository that holds what was published, and nothing else: `autograder publish --branch NAME`.

Each commit on it is `publish`'s own, and says which tree it made: whatever else is found there, now or earlier, is refused,
for what a history has held once anybody can read. Commits are made beside the working tree and the index, which stay.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import CourseError
from autograder.files import write_whole

MADE = "Published-Tree"  # in a commit's message, the tree that publish made
SAID = f"%(trailers:key={MADE},valueonly,separator=%x2C)"
NAME = re.compile(r"\w[\w./-]*", re.ASCII)
REMOTE = "origin"


@dataclass(frozen=True)
class Branch:
    """A branch of the repository that `root` lies in."""

    root: Path
    name: str

    def require_ours(self) -> str:
        """The commit that the next one follows, empty for a new branch; changes nothing.

        Raises:
            CourseError: no repository, no such name, checked out, behind its remote, or holding what publish did not make.
        """
        if not self._tells("rev-parse", "--git-dir"):
            raise CourseError(f"{self.root} is no Git repository: publish into a folder, or name one with --repository")
        if not NAME.fullmatch(self.name) or not self._tells("check-ref-format", f"refs/heads/{self.name}"):
            raise CourseError(f"{self.name!r} cannot be a branch's name here: write it with letters, digits, -, . and /")
        if f"branch refs/heads/{self.name}" in self._git("worktree", "list", "--porcelain").splitlines():
            raise CourseError(f"the branch {self.name} is checked out in {self.root}: name another, or check out another there")
        here, there = (self._commit(f"refs/{place}/{self.name}") for place in ("heads", f"remotes/{REMOTE}"))
        if here and there and not self._tells("merge-base", "--is-ancestor", there, here):
            raise CourseError(
                f"{self.name} lacks commits that {REMOTE} has: run `git -C {self.root} fetch {REMOTE} {self.name}:{self.name}`"
            )
        tip = here or there
        if not tip and (others := self._published()):
            raise CourseError(
                f"there is no branch {self.name!r}, and {others[0]} is published on already: name that one, or rename it "
                f"first (git branch -m {others[0]} {self.name})"
            )
        if tip:
            self._require_own_commits(tip)
        return tip

    def _require_own_commits(self, tip: str) -> None:
        shallow = Path(self.root, self._git("rev-parse", "--git-path", "shallow").strip())
        cut = shallow.read_text().split() if shallow.is_file() else []
        for line in self._git("log", f"--format=%H %T {SAID} %s", tip).splitlines():
            commit, tree, said, subject = line.split(" ", 3)
            if commit in cut:
                mend = f"run `git -C {self.root} fetch --unshallow`"
                raise CourseError(f"{self.root} holds only a part of the history of {self.name}: {mend}")
            if said != tree:
                what = f"a commit that publish did not make, {commit[:9]} “{subject}”"
                raise CourseError(f"the branch {self.name} holds {what}: name another branch")

    def paths(self, tip: str) -> set[str]:
        """Every file that its history has held."""
        names = self._git("log", "--format=", "--name-only", "--no-renames", "-z", tip) if tip else ""
        return set(filter(None, re.split(r"[\0\n]", names)))

    def commit(self, files: dict[str, bytes], tip: str, subject: str) -> int:
        """Makes `files` the branch's newest commit; gives how many of them came, changed or went."""
        with tempfile.TemporaryDirectory(prefix="publish-") as scratch:
            tree_folder, index = Path(scratch) / "tree", str(Path(scratch) / "index")
            for name, data in files.items():
                write_whole(tree_folder / name, data)
            add = ("-c", "core.autocrlf=false", f"--work-tree={tree_folder}", "add", "--all", "--force", str(tree_folder))
            self._git(*add, index=index)
            tree = self._git("write-tree", index=index).strip()
        compared = ("diff-tree", "-r", "--name-only", tip, tree) if tip else ("ls-tree", "-r", "--name-only", tree)
        changed = self._git(*compared)
        local = self._commit(f"refs/heads/{self.name}")
        new = tip
        if changed:
            parents = ("-p", tip) if tip else ()
            new = self._git("commit-tree", tree, *parents, "-m", f"{subject}\n\n{MADE}: {tree}").strip()
        if new != local:
            self._git("update-ref", f"refs/heads/{self.name}", new, local or "0" * len(new))
        return len(changed.splitlines())

    def _commit(self, ref: str) -> str:
        found = self._run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        return found.stdout.strip()

    def _published(self) -> list[str]:
        """The branches that publish has made here."""
        shown = f"%(refname:short) %(tree) {SAID.replace('%(', '%(contents:')}"
        lines = [line.split(" ") for line in self._git("for-each-ref", f"--format={shown}", "refs/heads").splitlines()]
        return [name for name, tree, said in lines if said == tree]

    def _tells(self, *arguments: str) -> bool:
        return self._run(*arguments).returncode == 0

    def _git(self, *arguments: str, index: str = "") -> str:
        done = self._run(*arguments, index=index)
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise CourseError(f"Git could not do it in {self.root}: {said}")
        return done.stdout

    def _run(self, *arguments: str, index: str = "") -> "subprocess.CompletedProcess[str]":
        environment = os.environ | ({"GIT_INDEX_FILE": index} if index else {})
        try:
            return subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, text=True, env=environment)
        except OSError as error:
            raise CourseError(f"Git is needed, and cannot be run here ({error}): publish into a folder") from None
