"""The repository's root is the nbgrader course; `nbgrader` commands run here.

Grading, releases and formgrader's rubrics are this project's (`autograder/gradebook/preprocessors.py`); all else is nbgrader's.
"""

from pathlib import Path

from autograder.gradebook.late import policy_file
from autograder.gradebook.preprocessors import prepare

c = get_config()  # noqa: F821  nbgrader puts it here

c.CourseDirectory.course_id = "deep-learning-for-visual-computing"
# c.CourseDirectory.db_url = "postgresql+psycopg://HOST/gradebook"  # in place of gradebook.db
c.CourseDirectory.source_directory = ".autograder/source"  # signposts; in source/ nbgrader would copy solutions about
prepare(Path(__file__).parent)

c.GenerateAssignment.exporter_class = "autograder.gradebook.preprocessors.ReleaseExporter"
c.Autograde.exporter_class = "autograder.gradebook.preprocessors.SubmissionExporter"
c.Autograde.sanitize_preprocessors = ["autograder.gradebook.preprocessors.Rebuild"]
c.Autograde.autograde_preprocessors = [
    "autograder.gradebook.preprocessors.SaveScores",
    "nbgrader.preprocessors.AssignLatePenalties",
    "autograder.gradebook.preprocessors.WritePage",
]
c.Autograde.force = True  # a rerun is cheap; without it nbgrader skips new uploads, and for ever a student it was killed at
c.GenerateFeedback.exporter_class = "autograder.gradebook.preprocessors.FeedbackExporter"
c.GenerateFeedback.force = True  # without it nbgrader keeps its page though a TA has given points since
c.ExchangeFactory.release_feedback = "autograder.gradebook.preprocessors.ReleaseFeedback"
c.HTMLExporter.preprocessors = ["autograder.gradebook.preprocessors.ShowRubrics"]

c.ZipCollectApp.extractor_plugin = "autograder.gradebook.collecting.Collect"  # which leaves the collector nothing

c.AssignLatePenalties.plugin_class = "autograder.gradebook.late.LatePolicyPlugin"
c.LatePolicyPlugin.policy_file = policy_file(Path(__file__).parent)
